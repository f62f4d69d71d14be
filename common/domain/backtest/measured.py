"""What one backtest measured, small enough to keep of thousands: the figures that searches and gates read."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from common.domain.backtest.engine import Result
from common.domain.backtest.result import Curve, curve, equity_points
from common.domain.performance import curve_stats, daily_returns, trade_stats


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one run; rates and drawdown as fractions, ratios annualised, money in the settle asset.

    None where a figure is not defined, as `common.domain.performance` has it; drawdown is that of closes.
    """

    trades: int
    wins: int
    win_rate: Decimal | None
    profit_factor: Decimal | None
    expectancy: Decimal | None
    net_profit: Decimal
    total_return: Decimal | None
    sharpe: Decimal | None
    sortino: Decimal | None
    max_drawdown: Decimal


def measure(result: Result) -> tuple[Measured, tuple[Decimal, ...]]:
    """(what `result` measured, the returns of its UTC days)."""
    found: Curve = curve(result)
    points = equity_points(result, found)
    trades, shape = trade_stats(result.positions), curve_stats(points)
    measured = Measured(
        trades=trades.trades,
        wins=trades.wins,
        win_rate=trades.win_rate,
        profit_factor=trades.profit_factor,
        expectancy=trades.expectancy,
        net_profit=trades.net_profit,
        total_return=shape.total_return,
        sharpe=shape.sharpe,
        sortino=shape.sortino,
        max_drawdown=Decimal(repr(found.max_drawdown)),
    )
    return measured, tuple(daily_returns(points))
