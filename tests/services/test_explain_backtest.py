"""Why a backtest traded as it did: rows, the decision behind a trade, and everything its judges saw."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from common.domain.backtest import Result, excursions, run
from common.domain.errors import NotFound
from common.services.explain_backtest import decision_behind, decision_row, decisions_behind, explain, trade_row
from common.services.run_backtest import Wishes, backtest_setup, chosen_strategy, load_markets
from tests.services.tapes import two_markets


@pytest.fixture(scope="module")
def result() -> Result:
    """Two markets, one position at a time, so that some signals are vetoed."""
    wishes = Wishes("rsi_mean_reversion", limits={"position_count_max": 1})
    strategy = chosen_strategy(wishes)
    return run(backtest_setup(load_markets(two_markets(), wishes, strategy), wishes, strategy))


def test_a_trades_row_says_what_it_earned_and_how_it_was_left(result: Result) -> None:
    position, excursion = result.positions[0], excursions(result)[0]
    row = trade_row(1, position, excursion)
    assert (row["number"], row["mae"], row["mfe"]) == (1, *excursion)
    assert row["held_s"] == (row["closed_at"] - row["opened_at"]).total_seconds() > 0
    assert row["net_profit"] == row["gross_profit"] - row["fees"] + row["funding"]
    assert row["reason"] in {"stop", "target", "trailing", "time", "manual"}


def test_a_position_that_is_still_held_has_no_end(result: Result) -> None:
    row = trade_row(7, replace(result.positions[0], closed_at=None, close_reason=None), (0.0, 0.0))
    assert (row["held_s"], row["reason"]) == (None, None)


def test_a_veto_is_told_with_its_rule_and_its_two_numbers(result: Result) -> None:
    rows = [decision_row(result, number, item) for number, item in enumerate(result.decisions, 1)]
    vetoed = next(row for row in rows if row["rule"] == "position_count_exceeds_limit")
    filled = next(row for row in rows if row["outcome"] == "filled")
    assert (vetoed["outcome"], vetoed["limit"]) == ("vetoed", "1")
    assert (filled["rule"], filled["measured"], filled["limit"], filled["unit"]) == (None, None, None, None)
    assert float(filled["quantity"]) > 0


def test_every_trade_has_the_decision_that_opened_it(result: Result) -> None:
    one_by_one = [decision_behind(result, position) for position in result.positions]
    assert decisions_behind(result, result.positions) == one_by_one
    assert len(set(one_by_one)) == len(result.positions) == result.outcomes["filled"]


def test_a_position_of_another_run_has_no_decision_here(result: Result) -> None:
    stranger = replace(result.positions[0], id=UUID(int=5), strategy="another")
    with pytest.raises(NotFound, match="decision"):
        decision_behind(result, stranger)
    assert decisions_behind(result, [replace(stranger, opened_at=None)]) == []


def test_the_story_of_a_trade_and_of_a_veto_tell_the_same_as_the_run(result: Result) -> None:
    filled = decision_behind(result, result.positions[-1])
    vetoed, rule = next((item, item.veto.rule.value) for item in result.decisions if item.veto is not None)
    traded, refused = explain(result, [filled, vetoed])
    assert (traded["outcome"], traded["veto"]) == ("filled", None)
    assert [rule["rule"] for rule in traded["rules"] if rule["is_crossed"]] == []
    assert traded["signal"]["id"] == str(result.positions[-1].signal_id)
    assert refused["veto"]["rule"] == rule
    assert rule in [rule["rule"] for rule in refused["rules"] if rule["is_crossed"]]
    assert {"now", "market", "book"} == set(traded["inputs"])
