"""What a backtest comes to: equity and exposure at every close, the figures of performance, excursions of trades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

_MS = timedelta(milliseconds=1)

Places = npt.NDArray[np.intp]


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
    """Equity and exposure of `result` at every close from its start on, marked at the closes; floats, for charts.

    The entry fee is paid when the position opens, everything else is booked when it closes.
    """
    markets = {market.instrument.symbol: market for market in result.setup.markets}
    at_ms = _closes(result.setup.markets)
    if result.setup.start is not None:
        # Days spent warming up earn nothing and vary by nothing: they would water down every ratio.
        at_ms = at_ms[at_ms > (result.setup.start - EPOCH) // timedelta(milliseconds=1)]
    equity, exposure = np.full(at_ms.size, float(result.setup.equity)), np.zeros(at_ms.size)
    by_symbol: dict[str, list[tuple[float, float, float, int, int]]] = {symbol: [] for symbol in markets}
    for position in result.positions:
        by_symbol[position.instrument].append(_row(position))
    for symbol, market in markets.items():
        rows = np.array(by_symbol[symbol]).reshape(-1, 5)
        if not rows.size:
            continue
        opened, closed = rows[:, 3], rows[:, 4]
        # Held at the closes after the opening and before the end; from the end on, its result counts.
        first, last = np.searchsorted(at_ms, opened + 1), np.searchsorted(at_ms, closed)
        units, sizes, booked = rows[:, 0], np.abs(rows[:, 0]), rows[:, 2]
        marks = _marks(market, at_ms)
        held = _between(units, first, last, at_ms.size)
        equity += held * marks - _between(units * rows[:, 1], first, last, at_ms.size)
        equity += _between(booked, last, np.full(last.size, at_ms.size), at_ms.size)
        exposure += _between(sizes, first, last, at_ms.size) * marks
    return Curve(at_ms, equity, exposure)


def _closes(markets: Sequence[BacktestMarket]) -> npt.NDArray[np.int64]:
    """Every moment at which a candle closed, once."""
    distinct: list[npt.NDArray[np.int64]] = []
    for market in markets:
        own = market.columns.opened_at + market.step_ms
        # Most markets close at the same moments, and finding that is far less work than sorting them all.
        if not any(np.array_equal(own, known) for known in distinct):
            distinct.append(own)
    return distinct[0] if len(distinct) == 1 else np.unique(np.concatenate(distinct))


def _row(position: Position) -> tuple[float, float, float, int, int]:
    """(signed units, entry price, net profit, opened ms, closed ms)."""
    units = float(position.opened_quantity) * position.side.sign
    opened, closed = _ms(position, is_opening=True), _ms(position, is_opening=False)
    return units, float(position.entry_price), float(position.net_profit), opened, closed


def _between(amounts: Series, first: Places, last: Places, size: int) -> Series:
    """At each of `size` places the sum of the amounts whose span, `first` to `last` (exclusive), holds it."""
    steps = np.zeros(size + 1)
    np.add.at(steps, first, amounts)
    np.subtract.at(steps, last, amounts)
    total: Series = np.cumsum(steps[:-1])
    # Nothing held is nothing at all, not what rounding left over.
    count = np.zeros(size + 1, dtype=np.int64)
    np.add.at(count, first, 1)
    np.subtract.at(count, last, 1)
    return np.where(np.cumsum(count[:-1]) > 0, total, 0.0)


def _marks(market: BacktestMarket, at_ms: npt.NDArray[np.int64]) -> Series:
    known = market.columns.opened_at + market.step_ms
    if np.array_equal(known, at_ms):
        return market.columns.close
    place = np.searchsorted(known, at_ms, side="right") - 1
    return market.columns.close[np.clip(place, 0, None)]


def _ms(position: Position, *, is_opening: bool) -> int:
    moment = position.opened_at if is_opening else position.closed_at
    return 0 if moment is None else (moment - EPOCH) // _MS


def figures(result: Result, found: Curve | None = None) -> Report:
    """The performance of `result`, from its positions and the equity at the end of every UTC day.

    `found` is its curve where that is known already.
    """
    return report(result.positions, equity_points(result, found or curve(result)))


def equity_points(result: Result, found: Curve) -> list[EquityPoint]:
    """The equity that `result` began with, and that at the end of every UTC day of its curve, stamped with that end.

    A candle that closes at midnight belongs to the day that ends then, so that the first day has its return too.
    """
    days = (found.at_ms - 1) // DAY_MS
    ends: list[int] = np.flatnonzero(np.diff(days, append=-1)).tolist()
    opened = [market.step_ms for market in result.setup.markets]
    points = [(int(found.at_ms[0]) - min(opened), result.setup.equity)] if ends else []
    points += [((int(days[end]) + 1) * DAY_MS, exact(found.equity[end])) for end in ends]
    return [EquityPoint(EPOCH + timedelta(milliseconds=at), equity) for at, equity in points]


def excursions(result: Result) -> tuple[tuple[float, float], ...]:
    """(adverse, favourable) excursion of every position, as fractions of its entry price, both 0 or more (MAE, MFE)."""
    markets = {market.instrument.symbol: market for market in result.setup.markets}
    places: dict[str, list[int]] = {symbol: [] for symbol in markets}
    for place, position in enumerate(result.positions):
        places[position.instrument].append(place)
    found: list[tuple[float, float]] = [(0.0, 0.0)] * len(result.positions)
    for symbol, own in places.items():
        pairs = _excursions(markets[symbol], [result.positions[place] for place in own])
        for place, pair in zip(own, pairs, strict=True):
            found[place] = pair
    return tuple(found)


def _excursions(market: BacktestMarket, positions: list[Position]) -> Iterator[tuple[float, float]]:
    """(adverse, favourable) of the positions of one market."""
    columns = market.columns
    moments = [(_ms(position, is_opening=True), _ms(position, is_opening=False)) for position in positions]
    spans = np.searchsorted(columns.opened_at, np.array(moments, dtype=np.int64).reshape(-1, 2))
    entry = np.array([float(position.entry_price) for position in positions])
    rise = np.maximum(0.0, _over(np.maximum, columns.high, spans, entry) / entry - 1.0)
    fall = np.maximum(0.0, 1.0 - _over(np.minimum, columns.low, spans, entry) / entry)
    is_long = np.array([position.side is Side.LONG for position in positions], dtype=np.bool_)
    adverse, favourable = np.where(is_long, fall, rise), np.where(is_long, rise, fall)
    return zip(adverse.tolist(), favourable.tolist(), strict=True)


def _over(choose: np.ufunc, prices: Series, spans: Places, otherwise: Series) -> Series:
    """`choose` over the prices of each (first, last exclusive) of `spans`; `otherwise` where a span is empty."""
    # A span may end where the prices do, which reduceat wants an element for; what lies between spans is thrown away.
    extremes: Series = choose.reduceat(np.append(prices, np.nan), spans.ravel())[::2]
    return np.where(spans[:, 1] > spans[:, 0], extremes, otherwise)
