"""The market at this moment, asked of the venue once for all tenants that need it within the same instant."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from weakref import WeakKeyDictionary

import numpy as np

from common.domain import features
from common.domain.indicators.series import Series
from common.domain.market import Instrument, MarketState, Timeframe
from common.domain.money import ZERO
from common.ports.venue import MarketData
from common.services.fleet import Fleet
from common.store import UnitOfWork

MEDIAN_BARS = 100
"""The ATR's median is taken over so many bars, as in the backtest; with fewer it is not known."""


@dataclass(slots=True)
class _Seen:
    at: float
    state: MarketState


@dataclass(slots=True)
class _Mark:
    at: float
    price: Decimal


_marks: WeakKeyDictionary[MarketData, dict[str, _Mark]] = WeakKeyDictionary()
_cache: WeakKeyDictionary[MarketData, dict[str, _Seen]] = WeakKeyDictionary()
_lock = threading.Lock()


def market_now(fleet: Fleet, instrument: Instrument) -> MarketState:
    """Book, last, mark and funding of `instrument`, at most `market_fresh_s` seconds of life old."""
    market = fleet.market(instrument.venue)
    with _lock:
        seen = _cache.setdefault(market, {}).get(instrument.symbol)
    moment = fleet.clock.monotonic()
    if seen is not None and 0 <= moment - seen.at < fleet.policy.market_fresh_s:
        return seen.state
    state = market.market(instrument)
    with _lock:
        _cache[market][instrument.symbol] = _Seen(moment, state)
    return state


def mark_now(fleet: Fleet, venue: str, symbol: str) -> Decimal:
    """The mark price of `symbol`, zero where the venue tells none; asked once for all accounts that hold it.

    It is at most `mark_fresh` of venue time old, or `market_fresh_s` seconds of life where that is longer: a venue that
    runs fast is not asked faster for it.
    """
    market = fleet.market(venue)
    moment = fleet.clock.monotonic()
    fresh_s = max(fleet.policy.mark_fresh.total_seconds() / fleet.clock.rate, fleet.policy.market_fresh_s)
    with _lock:
        seen = _marks.setdefault(market, {}).get(symbol)
    if seen is not None and 0 <= moment - seen.at < fresh_s:
        return seen.price
    price = market.mark(symbol) or ZERO
    with _lock:
        _marks[market][symbol] = _Mark(moment, price)
    return price


def with_candles(
    fleet: Fleet, uow: UnitOfWork, state: MarketState, timeframe: Timeframe, until: datetime
) -> MarketState:
    """`state` with what the stored candles add: ATR in price units and its median, volume ratio, age and gaps."""
    symbol = state.instrument.symbol
    history = fleet.policy.history_candles
    columns = uow.candles.arrays(state.instrument.venue, [symbol], str(timeframe), until, history).get(symbol)
    if columns is None or not len(columns.opened_at):
        return replace(state, has_gap=True)
    values = features.compute(["atr_14", "volume_ratio_20"], columns)
    last_closed = datetime.fromtimestamp(int(columns.opened_at[-1]) / 1000, tz=until.tzinfo) + timeframe.duration
    span = int(columns.opened_at[-1] - columns.opened_at[-min(20, len(columns.opened_at))]) // 1000
    whole = span == timeframe.seconds * (min(20, len(columns.opened_at)) - 1)
    return replace(
        state,
        atr=_decimal(values["atr_14"][-1]),
        atr_median=_median(values["atr_14"]),
        volume_ratio=_decimal(values["volume_ratio_20"][-1]),
        candle_closed_at=last_closed,
        has_gap=not whole,
    )


def _median(series: Series) -> Decimal | None:
    return _decimal(float(np.median(series[-MEDIAN_BARS:]))) if len(series) >= MEDIAN_BARS else None


def _decimal(value: float) -> Decimal | None:
    return Decimal(repr(float(value))) if math.isfinite(value) else None
