"""Performance: what closed positions and an equity curve add up to; None wherever a figure is not defined."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise

from common.domain.market import Candle
from common.domain.money import ONE, ZERO
from common.domain.position import Position
from common.domain.signal import Side

PERIODS = 365
"""Daily returns in a year of a market that never closes (T-70)."""

RISK_FREE = Decimal("0.045")
"""Default risk-free rate a year (L-42)."""

_DAY = timedelta(days=1)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity of an account in its settle asset at an instant."""

    occurred_at: datetime
    equity: Decimal


@dataclass(frozen=True, slots=True)
class Flow:
    """Money that came in (`amount` positive) or went out at an instant, in the settle asset; no trade earned it."""

    occurred_at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class TradeStats:
    """What closed positions earned, after fees and funding, in the settle asset; rates as fractions of trades.

    `profit_factor` is gains over losses (None without a loss), `expectancy` and the averages are per trade,
    `worst_streak` and `best_streak` count losses and wins in a row, `streak` is the current one, negative when losing.
    A trade that earned exactly nothing is neither a win nor a loss and ends no streak.
    """

    trades: int
    wins: int
    losses: int
    net_profit: Decimal
    fees: Decimal
    funding: Decimal
    win_rate: Decimal | None
    profit_factor: Decimal | None
    expectancy: Decimal | None
    average_win: Decimal | None
    average_loss: Decimal | None
    payoff: Decimal | None
    best: Decimal | None
    worst: Decimal | None
    best_streak: int
    worst_streak: int
    streak: int
    average_hold: timedelta | None


@dataclass(frozen=True, slots=True)
class CurveStats:
    """What an equity curve says: annualised ratios of daily returns, drawdowns as fractions of the peak before them."""

    total_return: Decimal | None
    sharpe: Decimal | None
    sortino: Decimal | None
    max_drawdown: Decimal | None
    current_drawdown: Decimal | None
    peak: Decimal | None
    days: int


@dataclass(frozen=True, slots=True)
class Report:
    """Trades and curve together, and the trades again by symbol, strategy and reason of exit."""

    trades: TradeStats
    curve: CurveStats
    by_symbol: Mapping[str, TradeStats]
    by_strategy: Mapping[str, TradeStats]
    by_exit: Mapping[str, TradeStats]
    daily_profit: Mapping[date, Decimal]


@dataclass(frozen=True, slots=True)
class Excursion:
    """How far a trade went against (`adverse`, MAE) and for (`favourable`, MFE) its side; fractions of entry, ≥ 0."""

    adverse: Decimal
    favourable: Decimal


def trade_stats(positions: Iterable[Position]) -> TradeStats:
    """Figures of the closed ones among `positions`, in the order in which they were closed."""
    return _stats(_in_order(positions))


_Closed = tuple[Position, Decimal]
"""A closed position and its net profit, which is asked for again and again."""


def _in_order(positions: Iterable[Position]) -> list[_Closed]:
    """The closed ones as they were closed; those of one moment by id where it matters, which is looked at for them alone."""
    closed = sorted([(item, item.net_profit) for item in positions if item.closed_at is not None], key=_closed_at)
    ordered: list[_Closed] = []
    for _, together in groupby(closed, key=_closed_at):
        same = list(together)
        ordered += sorted(same, key=lambda item: str(item[0].id)) if len(same) > 1 and _are_mixed(same) else same
    return ordered


def _are_mixed(closed: Sequence[_Closed]) -> bool:
    # Sums are exact in any order, and wins alone or losses alone make the same streak in any order.
    profits = [profit for _, profit in closed]
    return min(profits) <= ZERO <= max(profits)


def _stats(closed: Sequence[_Closed]) -> TradeStats:
    profits = [profit for _, profit in closed]
    wins = [profit for profit in profits if profit > ZERO]
    losses = [profit for profit in profits if profit < ZERO]
    gained, lost = sum(wins, ZERO), -sum(losses, ZERO)
    average_win, average_loss = _mean(wins), _mean(losses)
    best_streak, worst_streak, streak = _streaks(profits)
    holds = [item.closed_at - item.opened_at for item, _ in closed if item.closed_at and item.opened_at]
    return TradeStats(
        trades=len(closed),
        wins=len(wins),
        losses=len(losses),
        net_profit=sum(profits, ZERO),
        fees=sum([position.fees for position, _ in closed], ZERO),
        funding=sum([position.funding for position, _ in closed], ZERO),
        win_rate=Decimal(len(wins)) / len(closed) if closed else None,
        profit_factor=gained / lost if lost else None,
        expectancy=_mean(profits),
        average_win=average_win,
        average_loss=average_loss,
        payoff=average_win / -average_loss if average_win is not None and average_loss is not None else None,
        best=max(profits, default=None),
        worst=min(profits, default=None),
        best_streak=best_streak,
        worst_streak=worst_streak,
        streak=streak,
        average_hold=sum(holds, timedelta(0)) / len(holds) if holds else None,
    )


def _closed_at(closed: _Closed) -> datetime:
    return closed[0].closed_at or _NEVER


def _mean(values: Sequence[Decimal]) -> Decimal | None:
    return sum(values, ZERO) / len(values) if values else None


def _streaks(profits: Iterable[Decimal]) -> tuple[int, int, int]:
    best = worst = current = 0
    for profit in profits:
        if profit > ZERO:
            current = max(current, 0) + 1
        elif profit < ZERO:
            current = min(current, 0) - 1
        best, worst = max(best, current), max(worst, -current)
    return best, worst, current


def without_flows(points: Iterable[EquityPoint], flows: Iterable[Flow]) -> list[EquityPoint]:
    """The curve as it would stand had nothing flowed in or out since its first point; `points` where there are no flows.

    Time-weighted: from one point to the next the curve grows by (equity after − flows between) / equity before, so that a
    deposit is no profit and a withdrawal no loss (Dietz; GIPS). A flow counts to the first point at or after it; what
    flowed before the first point is part of it. While nothing is there to earn on, the curve stands still.
    """
    ordered = sorted(points, key=lambda item: item.occurred_at)
    moved = sorted(flows, key=lambda item: item.occurred_at)
    if not ordered or not any(flow.occurred_at > ordered[0].occurred_at for flow in moved):
        return ordered
    grown, worth = [ordered[0]], ordered[0].equity
    later = deque(flow for flow in moved if flow.occurred_at > ordered[0].occurred_at)
    for before, after in pairwise(ordered):
        flowed = ZERO
        while later and later[0].occurred_at <= after.occurred_at:
            flowed += later.popleft().amount
        if before.equity > ZERO:
            worth = worth * (after.equity - flowed) / before.equity
        grown.append(EquityPoint(after.occurred_at, worth))
    return grown


def together(curves: Iterable[Sequence[EquityPoint]]) -> tuple[list[EquityPoint], list[Flow]]:
    """The curves of several accounts as one, and what joining them adds from outside.

    At every point the last known equity of each account counts; an account that begins later than the first comes with
    its first equity as a flow, which nobody earned.
    """
    moments = sorted(
        (point.occurred_at, number, point.equity) for number, curve in enumerate(curves) for point in curve
    )
    last: dict[int, Decimal] = {}
    points: list[EquityPoint] = []
    flows: list[Flow] = []
    for at, number, equity in moments:
        if number not in last and last:
            flows.append(Flow(at, equity))
        last[number] = equity
        if points and points[-1].occurred_at == at:
            points.pop()
        points.append(EquityPoint(at, sum(last.values(), ZERO)))
    return points, flows


def daily_equity(points: Iterable[EquityPoint]) -> list[Decimal]:
    """Equity at the end of each UTC day from the first to the last point; a day without one keeps the day before's."""
    by_day: dict[date, Decimal] = {}
    for point in sorted(points, key=lambda item: item.occurred_at):
        by_day[point.occurred_at.astimezone(UTC).date()] = point.equity
    if not by_day:
        return []
    series: list[Decimal] = []
    day, last = min(by_day), max(by_day)
    while day <= last:
        series.append(by_day[day] if day in by_day else series[-1])
        day += _DAY
    return series


def daily_returns(points: Iterable[EquityPoint]) -> list[Decimal]:
    """Day over day change of equity as fractions; empty when a day ended with nothing to earn on."""
    series = daily_equity(points)
    if any(equity <= ZERO for equity in series[:-1]):
        return []
    return [after / before - ONE for before, after in pairwise(series)]


def sharpe(returns: Sequence[Decimal], risk_free: Decimal = RISK_FREE, periods: int = PERIODS) -> Decimal | None:
    """Annualised Sharpe ratio of `returns` per period; `risk_free` a year. None below two returns or without variation.

    (mean excess / sample standard deviation) x sqrt(periods); Sharpe 1994.
    """
    if len(returns) < 2:
        return None
    excess = [value - risk_free / periods for value in returns]
    mean = sum(excess, ZERO) / len(excess)
    variance = sum(((value - mean) ** 2 for value in excess), ZERO) / (len(excess) - 1)
    return None if _is_flat(variance) else mean / variance.sqrt() * Decimal(periods).sqrt()


def sortino(returns: Sequence[Decimal], risk_free: Decimal = RISK_FREE, periods: int = PERIODS) -> Decimal | None:
    """As `sharpe`, over the downside deviation against the risk-free rate; None where no return fell short of it."""
    if len(returns) < 2:
        return None
    excess = [value - risk_free / periods for value in returns]
    downside = sum((min(value, ZERO) ** 2 for value in excess), ZERO) / len(excess)
    return None if _is_flat(downside) else sum(excess, ZERO) / len(excess) / downside.sqrt() * Decimal(periods).sqrt()


def _is_flat(variance: Decimal) -> bool:
    # Rounding in the 28th digit is no variation; without this a constant series would have a ratio of 10^13.
    return variance < Decimal("1e-40")


def drawdowns(points: Iterable[EquityPoint]) -> tuple[Decimal, Decimal] | None:
    """(largest, current) drawdown as fractions of the peak before; None without a positive peak."""
    peak = largest = current = ZERO
    for point in sorted(points, key=lambda item: item.occurred_at):
        peak = max(peak, point.equity)
        current = (peak - point.equity) / peak if peak > ZERO else ZERO
        largest = max(largest, current)
    return (largest, current) if peak > ZERO else None


def curve_stats(points: Iterable[EquityPoint], risk_free: Decimal = RISK_FREE) -> CurveStats:
    """Figures of an equity curve; the points may come in any order."""
    ordered = sorted(points, key=lambda item: item.occurred_at)
    returns, falls = daily_returns(ordered), drawdowns(ordered)
    has_start = len(ordered) > 1 and ordered[0].equity > ZERO
    return CurveStats(
        total_return=ordered[-1].equity / ordered[0].equity - ONE if has_start else None,
        sharpe=sharpe(returns, risk_free),
        sortino=sortino(returns, risk_free),
        max_drawdown=None if falls is None else falls[0],
        current_drawdown=None if falls is None else falls[1],
        peak=max((point.equity for point in ordered), default=None),
        days=len(returns),
    )


def grouped(positions: Iterable[Position], key: Callable[[Position], str]) -> dict[str, TradeStats]:
    """Figures of closed positions for each value of `key`, by name."""
    return {name: _stats(group) for name, group in _groups(_in_order(positions), key).items()}


def _groups(closed: Iterable[_Closed], key: Callable[[Position], str]) -> dict[str, list[_Closed]]:
    groups: dict[str, list[_Closed]] = {}
    for item in closed:
        groups.setdefault(key(item[0]), []).append(item)
    return {name: groups[name] for name in sorted(groups)}


def daily_profit(positions: Iterable[Position]) -> dict[date, Decimal]:
    """Net profit of the positions closed on each UTC day that closed any (T-63)."""
    return _daily_profit(_in_order(positions))


def _daily_profit(closed: Iterable[_Closed]) -> dict[date, Decimal]:
    days: dict[date, Decimal] = {}
    for item in closed:
        day = _closed_at(item).astimezone(UTC).date()
        days[day] = days.get(day, ZERO) + item[1]
    return days


def last_days(days: Mapping[date, Decimal], today: date, count: int = 30) -> dict[date, Decimal]:
    """Profit of each of the last `count` days up to `today`, zero where none was made or lost (T-63)."""
    return {day: days.get(day, ZERO) for day in (today - _DAY * back for back in reversed(range(count)))}


def profit_since(positions: Iterable[Position], since: datetime) -> Decimal:
    """Net profit of the positions closed at or after `since` (T-73)."""
    return sum((item.net_profit for item in positions if item.closed_at and item.closed_at >= since), ZERO)


def report(positions: Iterable[Position], points: Iterable[EquityPoint], *, risk_free: Decimal = RISK_FREE) -> Report:
    """Everything above about one account; `points` net of flows, see `without_flows`."""
    closed = _in_order(positions)
    whole = _stats(closed)

    def by(key: Callable[[Position], str]) -> dict[str, TradeStats]:
        groups = _groups(closed, key)
        # A group of everything, as that of a single strategy, needs no second reckoning.
        return {name: whole if len(group) == len(closed) else _stats(group) for name, group in groups.items()}

    return Report(
        trades=whole,
        curve=curve_stats(points, risk_free),
        by_symbol=by(lambda position: position.instrument),
        by_strategy=by(lambda position: position.strategy),
        by_exit=by(lambda position: str(position.close_reason or "unknown")),
        daily_profit=_daily_profit(closed),
    )


def excursion(position: Position, candles: Iterable[Candle]) -> Excursion | None:
    """MAE and MFE of `position` over the `candles` that overlap its life; None without entry or candles."""
    if position.opened_at is None or position.entry_price <= ZERO:
        return None
    end = position.closed_at or _NEVER
    during = [item for item in candles if item.closed_at > position.opened_at and item.opened_at < end]
    if not during:
        return None
    rise = (max(candle.high for candle in during) - position.entry_price) / position.entry_price
    fall = (position.entry_price - min(candle.low for candle in during)) / position.entry_price
    favourable, adverse = (rise, fall) if position.side is Side.LONG else (fall, rise)
    return Excursion(max(ZERO, adverse), max(ZERO, favourable))
