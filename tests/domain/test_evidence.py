"""Evidence is what the judges saw and what came after; nothing that is not known is held against a trade."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from common.domain.blunder import BlunderLabel, Evidence, review
from common.domain.evidence import evidence_of, judged_from, recorded_evidence, return_after
from common.domain.market import Timeframe
from common.domain.position import Position
from common.domain.signal import ExitPlan, Side
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D
from tests.domain.test_performance import trade

FIVE = Timeframe.parse("5m")
HELD = trade(
    0,
    -10,
    entry_price=D(40000),
    opened_quantity=D("0.01"),
    opened_at=NOW,
    exits=ExitPlan(D(39000), D(42000), max_hold=timedelta(hours=1)),
)


def judged(position: Position = HELD, close: Decimal | None = None, **limits: Any) -> Evidence:
    """Evidence of `position`, judged in the ordinary world under its limits with `limits` changed."""
    return evidence_of(position, world.context(limits=replace(world.LIMITS, **limits)), close)


def test_ten_bars_count_from_the_bar_of_the_entry() -> None:
    assert judged_from(HELD, FIVE) == world.CLOSED + timedelta(minutes=50)
    assert judged_from(replace(HELD, opened_at=None), FIVE) is None


def test_the_return_is_the_markets_from_the_entry() -> None:
    assert return_after(HELD, D(39200)) == D("-0.02")
    assert return_after(HELD, None) is None
    assert return_after(replace(HELD, entry_price=D(0)), D(39200)) is None


def test_spread_and_largest_size_are_those_of_the_judges() -> None:
    found = judged(spread_bps_max=D(2), notional_max=D(4000), slippage_bps_max=D(0))
    assert found.entry_spread_bps == D("0.25")
    assert (found.spread_bps_max, found.planned_hold) == (D(2), timedelta(hours=1))
    # 4,000 at the expected price is what sizing could have taken at most.
    price = world.context().proposal.price
    assert found.largest_quantity is not None
    assert abs(found.largest_quantity - 4000 / price) < D("1e-20")


def test_without_stored_inputs_only_the_plan_and_the_market_speak() -> None:
    assert evidence_of(HELD, None, D(39000)) == Evidence(planned_hold=timedelta(hours=1), return_after=D("-0.025"))


def test_a_condition_that_the_judges_rules_forbid_is_held_against_the_trade() -> None:
    assert not judged(spread_bps_max=D("0.25")).was_forbidden
    assert judged(spread_bps_max=D("0.24")).was_forbidden
    labels = review(HELD, judged(spread_bps_max=D("0.24"))).labels
    assert labels[:2] == (BlunderLabel.RULE_VIOLATION_SPREAD, BlunderLabel.TRADED_DURING_FORBIDDEN)


@pytest.mark.parametrize(
    ("side", "price", "is_forbidden"),
    [(Side.LONG, 40008, False), (Side.LONG, 40009, True), (Side.SHORT, 39992, False), (Side.SHORT, 39991, True)],
)
def test_a_fill_beyond_the_slippage_limit_was_forbidden(side: Side, price: int, is_forbidden: bool) -> None:
    paid = replace(HELD, side=side, entry_price=D(price))
    assert judged(paid, slippage_bps_max=D(2)).was_forbidden is is_forbidden
    assert not judged(paid, slippage_bps_max=None).was_forbidden


def test_a_market_without_a_usable_book_tells_no_spread() -> None:
    context = world.context(market=replace(world.MARKET, book=None))
    assert evidence_of(HELD, context, None).entry_spread_bps is None


def recorded(position: Position = HELD, instrument: Any = world.INSTRUMENT, **limits: Any) -> Evidence:
    """Evidence of a backtest's trade, quoted 39,999 to 40,001."""
    bounds = replace(world.LIMITS, notional_max=None, btc_quantity_max=None, slippage_bps_max=None)
    return recorded_evidence(position, instrument, replace(bounds, **limits), (D(39999), D(40001)), D(40400))


def test_a_backtest_tells_spread_size_and_return() -> None:
    found = recorded(spread_bps_max=D(3), notional_max=D("40001"))
    assert (found.entry_spread_bps, found.spread_bps_max) == (D("0.5"), D(3))
    assert (found.largest_quantity, found.return_after, found.was_forbidden) == (D(1), D("0.01"), False)


def test_the_smallest_of_a_backtests_size_limits_counts_and_btcs_for_btc_alone() -> None:
    assert recorded(btc_quantity_max=D("0.5"), notional_max=D("40001")).largest_quantity == D("0.5")
    assert recorded(instrument=world.ALTERNATIVE, btc_quantity_max=D("0.5")).largest_quantity is None
    assert recorded(notional_max=D("40001"), slippage_bps_max=D(10_000)).largest_quantity == D("0.5")
