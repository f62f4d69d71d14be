"""What is known beside a venue: coins as an aggregator sees them, and the market's mood."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from common.domain.features import FEAR_GREED, Columns
from common.domain.market import EPOCH, Instrument
from common.domain.money import ZERO, bps

MOOD_KNOWN_AFTER = timedelta(hours=2)
"""An index value counts from so long after its publication: the fleet asks once an hour, so it has it by then, and a
backtest, which finds it in the history, must not have it earlier than the fleet had."""

MOOD_LASTS = timedelta(days=3)
"""A value that is older says nothing any more."""

_DOLLARS = frozenset({"USD", "USDT", "USDC", "BUSD", "FDUSD"})
_BUNDLE = re.compile(r"(1(?:000)+)([A-Z][A-Z0-9]*)")
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin as `source` sees it: `symbol` in capitals, price, market cap and 24 h volume in US dollars."""

    source: str
    coin: str
    symbol: str
    price: Decimal
    market_cap: Decimal
    volume: Decimal
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Mood:
    """The fear-and-greed index of one day: 0 (extreme fear) to 100 (extreme greed), for the whole market."""

    published_at: datetime
    value: int
    label: str


@dataclass(frozen=True, slots=True)
class PriceFinding:
    """A venue's price that is far from what an aggregator sees; reported, never traded on."""

    venue: str
    symbol: str
    source: str
    price: Decimal
    reference: Decimal
    deviation_bps: Decimal
    found_at: datetime


def coins_by_symbol(coins: Iterable[Coin]) -> dict[str, Coin]:
    """The largest coin of each symbol: several share one, and venues list the one that everybody knows."""
    found: dict[str, Coin] = {}
    for coin in sorted(coins, key=lambda item: (-item.market_cap, item.coin)):
        found.setdefault(coin.symbol, coin)
    return found


def coin_of(instrument: Instrument, coins: Mapping[str, Coin]) -> Coin | None:
    """The coin of `instrument`, its price that of the instrument's unit; None for what is not quoted in dollars.

    Venues sell cheap coins by the thousand: 1000PEPE is a thousand PEPE.
    """
    if instrument.quote not in _DOLLARS:
        return None
    if instrument.base in coins:
        return coins[instrument.base]
    bundle = _BUNDLE.fullmatch(instrument.base)
    if bundle is None or bundle[2] not in coins:
        return None
    coin = coins[bundle[2]]
    return replace(coin, price=coin.price * int(bundle[1]))


def deviation_bps(price: Decimal, reference: Decimal) -> Decimal:
    """How far `price` is from `reference`, in basis points of it, without its sign."""
    return abs(bps(price - reference, reference)) if reference > ZERO else ZERO


def with_mood(columns: Columns, moods: Sequence[Mood]) -> Columns:
    """`columns` with the index that was known before each candle closed; NaN where none was, or only a stale one."""
    if not moods or not len(columns):
        return columns
    known = sorted(moods, key=lambda item: item.published_at)
    from_ms = np.array([(item.published_at + MOOD_KNOWN_AFTER - EPOCH) // _MS for item in known], dtype=np.int64)
    values = np.array([float(item.value) for item in known])
    closed_ms = columns.opened_at + columns.timeframe.seconds * 1000
    place = np.searchsorted(from_ms, closed_ms, side="left") - 1
    latest = np.clip(place, 0, None)
    is_fresh = (place >= 0) & (closed_ms - from_ms[latest] < MOOD_LASTS // _MS)
    return columns.knowing({FEAR_GREED: np.where(is_fresh, values[latest], np.nan)})
