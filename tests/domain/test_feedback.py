"""Feedback says how many trades it speaks of, and calls nothing bad or good on fewer than three."""

from __future__ import annotations

import statistics

from common.domain.feedback import feedback, tally
from common.domain.position import Position
from tests.domain.risk_world import D
from tests.domain.test_performance import trade

SOL = "SOL/USDT:USDT"
ADA = "ADA/USDT:USDT"


def trades(instrument: str, *profits: object) -> list[Position]:
    """Closed trades with these net profits."""
    return [trade(number, D(str(profit)) + D("0.5"), instrument=instrument) for number, profit in enumerate(profits)]


def test_a_tally_counts_and_measures() -> None:
    found = tally(trades(SOL, 3, -1, 4, -2))
    assert (found.trades, found.wins, found.net_profit) == (4, 2, D(4))
    assert (found.win_rate, found.profit_factor) == (D("0.5"), D(7) / 3)
    profits = [3.0, -1.0, 4.0, -2.0]
    assert found.sharpe is not None
    assert abs(float(found.sharpe) - statistics.mean(profits) / statistics.stdev(profits)) < 1e-12


def test_nothing_closed_is_nothing_said() -> None:
    found = feedback([], [])
    assert (found.overall.trades, found.overall.win_rate, found.overall.sharpe) == (0, None, None)
    assert (found.best, found.worst, found.by_symbol, found.avoid, found.favour) == (None, None, {}, (), ())


def test_an_instrument_is_avoided_below_thirty_percent_and_favoured_above_seventy_of_three_at_least() -> None:
    bad, good = trades(SOL, -1, -1, 1, -1), trades(ADA, 1, 1, 1, -1)
    found = feedback([*bad, *good], [*bad, *good])
    assert (found.avoid, found.favour) == ((SOL,), (ADA,))
    assert (found.worst, found.best) == (SOL, ADA)
    assert {name: item.trades for name, item in found.by_symbol.items()} == {ADA: 4, SOL: 4}


def test_two_trades_say_nothing_and_the_bounds_themselves_are_neither() -> None:
    assert feedback([], trades(SOL, -1, -1)).avoid == ()
    on_bounds = [*trades(SOL, *[1] * 3, *[-1] * 7), *trades(ADA, *[1] * 7, *[-1] * 3)]
    assert (feedback([], on_bounds).avoid, feedback([], on_bounds).favour) == ((), ())
