"""What a backtest comes to: equity and exposure at every close, the figures of performance, excursions of trades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from common.domain.backtest.engine import Result
from common.domain.backtest.market import BacktestMarket
from common.domain.indicators.series import Series
from common.domain.market import EPOCH
from common.domain.performance import EquityPoint, Report, report
from common.domain.position import Position
from common.domain.signal import Side
from common.domain.strategies.base import exact

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Curve:
    """At every moment `at_ms` at which some candle closed: `equity` and `exposure` (notional held), settle asset."""

    at_ms: npt.NDArray[np.int64]
    equity: Series
    exposure: Series

    @property
    def max_drawdown(self) -> float:
        """Largest fall of equity below its highest before, as a fraction of that."""
        peak = np.maximum.accumulate(self.equity)
        return float(np.max((peak - self.equity) / peak)) if self.equity.size else 0.0


def curve(result: Result) -> Curve:
    """Equity and exposure of `result` at every close, marked at the closes; floats, for charts and drawdowns.

    The entry fee is paid when the position opens, everything else is booked when it closes.
    """
    markets = {market.instrument.symbol: market for market in result.setup.markets}
    closes = [market.columns.opened_at + market.step_ms for market in markets.values()]
    at_ms = np.unique(np.concatenate(closes)) if closes else np.empty(0, dtype=np.int64)
    equity, exposure = np.full(at_ms.size, float(result.setup.equity)), np.zeros(at_ms.size)
    booked = np.zeros(at_ms.size + 1)
    for symbol, market in markets.items():
        marks = _marks(market, at_ms)
        for position in result.positions:
            if position.instrument == symbol:
                _add(position, at_ms, marks, equity, exposure, booked)
    return Curve(at_ms, equity + np.cumsum(booked[:-1]), exposure)


def _marks(market: BacktestMarket, at_ms: npt.NDArray[np.int64]) -> Series:
    known = market.columns.opened_at + market.step_ms
    place = np.searchsorted(known, at_ms, side="right") - 1
    return market.columns.close[np.clip(place, 0, None)] if len(market) else np.full(at_ms.size, np.nan)


def _add(
    position: Position, at_ms: npt.NDArray[np.int64], marks: Series, equity: Series, exposure: Series, booked: Series
) -> None:
    opened, closed = _ms(position, is_opening=True), _ms(position, is_opening=False)
    # Held at the closes after the opening and before the end; from the end on, its result counts.
    first, last = np.searchsorted(at_ms, (opened + 1, closed))
    quantity, entry = float(position.opened_quantity), float(position.entry_price)
    equity[first:last] += (marks[first:last] - entry) * quantity * position.side.sign
    exposure[first:last] += quantity * marks[first:last]
    booked[last] += float(position.net_profit)


def _ms(position: Position, *, is_opening: bool) -> int:
    moment = position.opened_at if is_opening else position.closed_at
    return 0 if moment is None else round((moment - EPOCH) / timedelta(milliseconds=1))


def figures(result: Result) -> Report:
    """The performance of `result`, from its positions and the equity at the end of every UTC day."""
    found = curve(result)
    ends: list[int] = np.flatnonzero(np.diff(found.at_ms // DAY_MS, append=-1)).tolist()
    start = [EquityPoint(EPOCH + timedelta(milliseconds=int(found.at_ms[0])), result.setup.equity)] if ends else []
    points = [
        EquityPoint(EPOCH + timedelta(milliseconds=int(found.at_ms[end])), exact(found.equity[end])) for end in ends
    ]
    return report(result.positions, [*start, *points])


def excursions(result: Result) -> tuple[tuple[float, float], ...]:
    """(adverse, favourable) excursion of every position, as fractions of its entry price, both 0 or more (MAE, MFE)."""
    markets = {market.instrument.symbol: market for market in result.setup.markets}
    return tuple(_excursion(markets[position.instrument], position) for position in result.positions)


def _excursion(market: BacktestMarket, position: Position) -> tuple[float, float]:
    opened = market.columns.opened_at
    first, last = np.searchsorted(opened, (_ms(position, is_opening=True), _ms(position, is_opening=False)))
    entry = float(position.entry_price)
    rise = max(0.0, float(market.columns.high[first:last].max()) / entry - 1.0) if last > first else 0.0
    fall = max(0.0, 1.0 - float(market.columns.low[first:last].min()) / entry) if last > first else 0.0
    return (fall, rise) if position.side is Side.LONG else (rise, fall)
