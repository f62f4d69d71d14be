"""CoinMarketCap's coins by market cap (API v1, GET /v1/cryptocurrency/listings/latest)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from common.adapters.public_sources.asking import ask
from common.domain.money import ZERO
from common.domain.sources import Coin
from common.ports.clock import Clock

NAME = "coinmarketcap"
PAGE = 5_000  # The most that one request answers.


class _Quote(BaseModel):
    """A coin in one currency."""

    model_config = ConfigDict(extra="ignore")

    price: Decimal | None = None
    market_cap: Decimal | None = None
    volume_24h: Decimal | None = None
    last_updated: AwareDatetime | None = None


class _Row(BaseModel):
    """A row of listings/latest; a coin without a price is no news."""

    model_config = ConfigDict(extra="ignore")

    slug: str = Field(min_length=1, max_length=200)
    symbol: str = Field(min_length=1, max_length=100)
    quote: dict[str, _Quote]


class _Answer(BaseModel):
    """What one request answers."""

    model_config = ConfigDict(extra="ignore")

    data: list[_Row]


_ANSWER = TypeAdapter(_Answer)


class CoinMarketCap:
    """Coins of CoinMarketCap at `url`, which wants a key. Implements ports.sources.CoinSource."""

    def __init__(self, url: str, clock: Clock, key: str, timeout_s: float = 10.0) -> None:
        self._url, self._clock, self._timeout_s = url.rstrip("/"), clock, timeout_s
        self._headers = {"X-CMC_PRO_API_KEY": key}

    @property
    def name(self) -> str:
        """The source's name in our books."""
        return NAME

    def coins(self, count: int) -> Sequence[Coin]:
        """The `count` largest coins with a price, by market cap; one request for up to 5,000."""
        query = {"start": "1", "limit": str(min(count, PAGE)), "convert": "USD", "sort": "market_cap"}
        address = f"{self._url}/v1/cryptocurrency/listings/latest"
        answer = ask(NAME, address, query, _ANSWER, self._headers, self._timeout_s)
        found = [coin for row in answer.data if (coin := self._coin(row)) is not None]
        return found[:count]

    def _coin(self, row: _Row) -> Coin | None:
        quote = row.quote.get("USD")
        if quote is None or quote.price is None or quote.price <= ZERO:
            return None
        told = quote.last_updated or self._clock.now()
        cap, volume = quote.market_cap or ZERO, quote.volume_24h or ZERO
        return Coin(NAME, row.slug, row.symbol.upper(), quote.price, cap, volume, told)
