"""Performance: figures that are defined are right, and those that are not are None."""

from __future__ import annotations

import math
import statistics
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import performance
from common.domain.market import Candle
from common.domain.performance import EquityPoint
from common.domain.position import CloseReason, Position
from common.domain.signal import ExitPlan, Side
from tests.domain import risk_world as world
from tests.domain.risk_world import D

START = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def trade(number: int, profit: object, **changes: object) -> Position:
    """The `number`-th closed position, an hour long, with `profit` before 1 of fees and 0.5 of funding received."""
    position = Position(
        id=UUID(int=number + 1),
        tenant_id=world.TENANT,
        account_id=world.ACCOUNT,
        venue="simulator",
        instrument=world.SYMBOL,
        side=Side.LONG,
        strategy="confluence",
        signal_id=None,
        leverage=3,
        exits=ExitPlan(D(90), D(120)),
        opened_quantity=D(1),
        entry_price=D(100),
        gross_profit=D(str(profit)),
        fees=D(1),
        funding=D("0.5"),
        opened_at=START + number * HOUR,
        closed_at=START + (number + 1) * HOUR,
        close_reason=CloseReason.TARGET,
    )
    return replace(position, **changes)


def curve(*equities: object, step: timedelta = timedelta(days=1)) -> list[EquityPoint]:
    return [EquityPoint(START + number * step, D(str(equity))) for number, equity in enumerate(equities)]


def test_profit_is_what_is_left_after_fees_and_funding_at_any_leverage() -> None:
    stats = [performance.trade_stats([trade(0, 200, leverage=leverage)]) for leverage in (1, 10)]
    assert [item.net_profit for item in stats] == [D("199.5"), D("199.5")]


def test_the_figures_of_a_handful_of_trades() -> None:
    stats = performance.trade_stats([trade(n, gross) for n, gross in enumerate([20.5, -9.5, -4.5, 10.5, 0.5])])
    assert (stats.trades, stats.wins, stats.losses) == (5, 2, 2)
    assert (stats.win_rate, stats.profit_factor, stats.expectancy) == (D("0.4"), D(2), D(3))
    assert (stats.average_win, stats.average_loss, stats.payoff) == (D(15), D("-7.5"), D(2))
    assert (stats.best, stats.worst, stats.net_profit) == (D(20), D(-10), D(15))
    assert (stats.best_streak, stats.worst_streak, stats.streak) == (1, 2, 1)
    assert (stats.fees, stats.funding, stats.average_hold) == (D(5), D("2.5"), HOUR)


def test_a_losing_streak_is_negative_and_order_is_by_close() -> None:
    trades = [trade(2, -9), trade(0, 9), trade(1, -9)]
    assert performance.trade_stats(trades).streak == -2


def test_figures_without_data_are_none_and_open_positions_do_not_count() -> None:
    stats = performance.trade_stats([trade(0, 5, closed_at=None)])
    undefined = {
        "win_rate",
        "profit_factor",
        "expectancy",
        "average_win",
        "average_loss",
        "payoff",
        "best",
        "worst",
        "average_hold",
    }
    assert {item.name for item in fields(stats) if getattr(stats, item.name) is None} == undefined
    assert performance.trade_stats([trade(0, 5)]).profit_factor is None


def test_a_day_without_a_snapshot_keeps_the_day_befores_equity() -> None:
    points = [
        EquityPoint(START, D(100)),
        EquityPoint(START + HOUR, D(110)),
        EquityPoint(START + timedelta(days=2), D(121)),
    ]
    assert performance.daily_equity(points) == [D(110), D(110), D(121)]
    assert performance.daily_returns(points) == [0, D("0.1")]
    assert performance.daily_equity([]) == []


def test_no_returns_on_nothing() -> None:
    assert performance.daily_returns(curve(100, 0, 50)) == []


def test_sharpe_and_sortino_annualise_daily_returns_by_365() -> None:
    returns = [D(text) for text in ("0.01", "-0.02", "0.015", "0.003", "-0.001")]
    excess = [float(value) - 0.045 / 365 for value in returns]
    downside = math.sqrt(sum(min(value, 0) ** 2 for value in excess) / len(excess))
    sharpe, sortino = performance.sharpe(returns), performance.sortino(returns)
    assert sharpe is not None
    assert sortino is not None
    assert float(sharpe) == pytest.approx(statistics.mean(excess) / statistics.stdev(excess) * math.sqrt(365))
    assert float(sortino) == pytest.approx(statistics.mean(excess) / downside * math.sqrt(365))


def test_ratios_are_none_where_nothing_varies_or_nothing_is_known() -> None:
    flat = [D("0.01")] * 5
    assert performance.sharpe(flat) is None
    assert performance.sharpe([D("0.01") / 3] * 7) is None
    assert performance.sortino(flat) is None
    assert performance.sharpe([D(1)]) is None
    assert performance.sortino([D(1)]) is None


def test_drawdown_is_measured_from_the_peak_before() -> None:
    stats = performance.curve_stats(curve(100, 120, 90, 150, 135))
    assert (stats.max_drawdown, stats.current_drawdown) == (D("0.25"), D("0.1"))
    assert (stats.peak, stats.total_return, stats.days) == (D(150), D("0.35"), 4)


def test_an_empty_curve_says_nothing() -> None:
    stats = performance.curve_stats([])
    assert stats == performance.CurveStats(None, None, None, None, None, None, 0)
    assert performance.drawdowns(curve(0, 0)) is None
    assert performance.drawdowns(curve(0, 10, 5)) == (D("0.5"), D("0.5"))
    assert performance.curve_stats(curve(100)).total_return is None


def test_a_report_groups_by_symbol_strategy_exit_and_day() -> None:
    trades = [
        trade(0, 10.5),
        trade(1, -9.5, instrument="ETH/USDT:USDT", strategy="other", close_reason=CloseReason.STOP),
        trade(30, 4.5, close_reason=None),
        trade(31, 1, closed_at=None),
    ]
    report = performance.report(trades, curve(100, 110))
    assert report.trades.trades == 3
    assert {name: item.net_profit for name, item in report.by_symbol.items()} == {
        world.SYMBOL: D(14),
        "ETH/USDT:USDT": D(-10),
    }
    assert set(report.by_strategy) == {"confluence", "other"}
    assert set(report.by_exit) == {"target", "stop", "unknown"}
    assert report.daily_profit == {date(2026, 3, 1): D(0), date(2026, 3, 2): D(4)}
    assert report.curve.total_return == D("0.1")
    assert set(performance.grouped(trades, lambda position: position.strategy)) == {"confluence", "other"}
    assert performance.profit_since(trades, START + 20 * HOUR) == D(4)


def candle(number: int, low: int, high: int) -> Candle:
    opened = START + number * HOUR
    return Candle(opened, opened + HOUR, D(low), D(high), D(low), D(high), D(1))


def test_excursions_are_the_worst_and_best_of_a_positions_life() -> None:
    candles = [candle(0, 1, 500), candle(1, 95, 104), candle(2, 97, 112), candle(3, 1, 500)]
    held = trade(1, 0, closed_at=START + 3 * HOUR)
    short = replace(held, side=Side.SHORT)
    assert performance.excursion(held, candles) == performance.Excursion(D("0.05"), D("0.12"))
    assert performance.excursion(short, candles) == performance.Excursion(D("0.12"), D("0.05"))
    assert performance.excursion(held, candles[:1]) is None
    assert performance.excursion(replace(held, opened_at=None), candles) is None
    still_open = performance.excursion(replace(held, closed_at=None), candles)
    assert still_open == performance.Excursion(D("0.99"), D(4))


def test_a_trade_that_only_gained_has_no_adverse_excursion() -> None:
    assert performance.excursion(trade(0, 0), [candle(0, 101, 105)]) == performance.Excursion(D(0), D("0.05"))


@given(
    st.lists(st.decimals("-1000", "1000", places=2), max_size=12),
    st.lists(st.decimals("0", "100000", places=2), max_size=12),
)
def test_no_figure_is_ever_endless_or_no_number(profits: list[Decimal], equities: list[Decimal]) -> None:
    report = performance.report([trade(n, profit) for n, profit in enumerate(profits)], curve(*equities))
    figures = [getattr(part, item.name) for part in (report.trades, report.curve) for item in fields(part)]
    assert all(figure.is_finite() for figure in figures if isinstance(figure, Decimal))


@given(st.lists(st.decimals("-50", "50", places=1), min_size=1, max_size=10))
def test_groups_add_up_to_the_whole(profits: list[Decimal]) -> None:
    trades = [trade(n, profit, strategy=f"s{n % 3}") for n, profit in enumerate(profits)]
    report = performance.report(trades, [])
    assert sum(item.net_profit for item in report.by_strategy.values()) == report.trades.net_profit
    assert sum(report.daily_profit.values()) == report.trades.net_profit


def flow(hours: float, amount: object) -> performance.Flow:
    return performance.Flow(START + hours * HOUR, D(str(amount)))


def equities(points: list[EquityPoint]) -> list[Decimal]:
    return [point.equity for point in points]


def test_a_deposit_is_no_profit_and_a_withdrawal_no_loss() -> None:
    days = curve(100, 160, 176, 88)
    grown = performance.without_flows(days, [flow(1, 50), flow(50, "-88")])
    # 10 % on the first day, 10 % on the second, nothing on the third.
    assert equities(grown) == [D(100), D(110), D(121), D(121)]
    assert performance.curve_stats(grown).max_drawdown == 0
    assert performance.curve_stats(days).max_drawdown == D("0.5")


def test_a_curve_without_flows_is_itself_and_what_came_before_it_is_part_of_it() -> None:
    days = curve(100, 160)
    assert performance.without_flows(days, []) == days
    assert performance.without_flows(days, [flow(0, 50), flow(-5, 1)]) == days
    assert performance.without_flows([], [flow(1, 1)]) == []


def test_a_flow_counts_to_the_point_at_its_own_instant_and_none_beyond_the_last_point() -> None:
    grown = performance.without_flows(curve(100, 150, 150), [flow(24, 50), flow(60, 7)])
    assert equities(grown) == [D(100), D(100), D(100)]


def test_while_nothing_is_there_to_earn_on_the_curve_stands_still() -> None:
    grown = performance.without_flows(curve(100, 0, 50, 55), [flow(1, -100), flow(25, 50)])
    assert equities(grown) == [D(100), D(100), D(100), D(110)]


def test_accounts_are_added_up_and_one_that_comes_later_is_a_flow() -> None:
    first, second = (
        curve(100, 110, 121),
        [EquityPoint(START + 30 * HOUR, D(500)), EquityPoint(START + 48 * HOUR, D(550))],
    )
    points, flows = performance.together([first, second, []])
    assert equities(points) == [D(100), D(110), D(610), D(671)]
    assert flows == [flow(30, 500)]
    assert equities(performance.without_flows(points, flows)) == [D(100), D(110), D(110), D(121)]
    assert performance.together([]) == ([], [])


def test_accounts_of_the_same_instant_begin_together() -> None:
    points, flows = performance.together([curve(100), curve(50)])
    assert (equities(points), flows) == ([D(150)], [flow(0, 50)])
    assert performance.without_flows(points, flows) == points


@given(st.lists(st.decimals("1", "1000", places=2), min_size=2, max_size=8), st.decimals("-1000", "1000", places=2))
def test_a_flow_changes_nothing_of_what_was_earned_beside_it(levels: list[Decimal], amount: Decimal) -> None:
    points = curve(*levels)
    moved = [EquityPoint(points[0].occurred_at, points[0].equity)]
    moved += [EquityPoint(point.occurred_at, point.equity + amount) for point in points[1:]]
    grown = performance.without_flows(moved, [flow(1, amount)])
    assert abs(grown[1].equity - levels[1]) < D("1e-20")


def test_the_last_days_are_all_there_and_zero_where_nothing_was_closed() -> None:
    days = performance.last_days({date(2026, 3, 1): D(4), date(2026, 1, 1): D(9)}, date(2026, 3, 2), 3)
    assert days == {date(2026, 2, 28): D(0), date(2026, 3, 1): D(4), date(2026, 3, 2): D(0)}
