"""Figures of performance as plain values, the same for a backtest and for the live ledger."""

from __future__ import annotations

from typing import Any

from common.domain.performance import TradeStats


def stats(item: TradeStats) -> dict[str, Any]:
    """The figures of some trades."""
    return {
        "trades": item.trades,
        "wins": item.wins,
        "losses": item.losses,
        "win_rate": item.win_rate,
        "profit_factor": item.profit_factor,
        "expectancy": item.expectancy,
        "net_profit": item.net_profit,
        "fees": item.fees,
        "funding": item.funding,
        "payoff": item.payoff,
        "best": item.best,
        "worst": item.worst,
        "worst_streak": item.worst_streak,
        "best_streak": item.best_streak,
        "average_hold_s": None if item.average_hold is None else item.average_hold.total_seconds(),
    }
