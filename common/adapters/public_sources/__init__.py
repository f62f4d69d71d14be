"""Public sources beside the venues: coins of CoinGecko and CoinMarketCap, and alternative.me's fear-and-greed index."""

from common.adapters.public_sources.coingecko import CoinGecko
from common.adapters.public_sources.coinmarketcap import CoinMarketCap
from common.adapters.public_sources.fear_greed import FearGreedIndex

__all__ = ["CoinGecko", "CoinMarketCap", "FearGreedIndex"]
