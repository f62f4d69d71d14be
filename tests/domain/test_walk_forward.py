"""Walk-forward: windows that never judge what they learnt on, and gates with both their numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.domain.backtest.walk_forward import (
    GateRule,
    Gates,
    degradation,
    stitched,
    stitched_gates,
    window_gates,
    windows,
)
from common.domain.errors import InvalidInput
from common.domain.performance import sharpe
from tests.domain.test_search import MEASURED

D = Decimal
START = datetime(2021, 1, 1, tzinfo=UTC)
MONTH, WEEK = timedelta(days=30), timedelta(days=7)
GOOD = replace(MEASURED, trades=50, wins=30, win_rate=D("0.6"), sharpe=D(2))


def days(count: int) -> timedelta:
    return timedelta(days=count)


def test_thirty_days_teach_and_the_seven_that_follow_judge() -> None:
    found = windows(START, START + days(51), MONTH, WEEK)
    assert [(item.number, item.train_from, item.train_to, item.validate_to) for item in found] == [
        (1, START, START + days(30), START + days(37)),
        (2, START + days(7), START + days(37), START + days(44)),
        (3, START + days(14), START + days(44), START + days(51)),
    ]


@given(
    some.integers(1, 400), some.integers(1, 60), some.integers(1, 30), some.one_of(some.none(), some.integers(1, 30))
)
def test_nothing_is_judged_that_was_learnt_on_and_nothing_beyond_the_end(total, train, validate, step) -> None:
    total += train + validate
    found = windows(START, START + days(total), days(train), days(validate), None if step is None else days(step))
    assert all(item.train_from + days(train) == item.train_to < item.validate_to for item in found)
    assert found[-1].validate_to <= START + days(total) < found[-1].validate_to + days(step or validate)
    assert all(late.train_from - early.train_from == days(step or validate) for early, late in pairwise(found))
    assert step is not None or all(late.train_to == early.validate_to for early, late in pairwise(found))


@pytest.mark.parametrize(
    ("until", "train", "validate", "step", "said"),
    [
        (36, 30, 7, None, "at least 37 days"),
        (90, 0, 7, None, "train"),
        (90, 30, -1, None, "validate"),
        (90, 30, 7, -2, "step"),
    ],
)
def test_windows_that_do_not_fit_are_refused(until, train, validate, step, said) -> None:
    with pytest.raises(InvalidInput, match=said):
        windows(START, START + days(until), days(train), days(validate), None if step is None else days(step))


def test_a_window_passes_at_every_limit() -> None:
    trained = replace(GOOD, sharpe=D(1))
    validated = replace(GOOD, win_rate=D("0.45"), sharpe=D("0.7"))
    gates = window_gates(Gates(), trained, validated)
    assert [(gate.rule, gate.measured, gate.limit) for gate in gates] == [
        (GateRule.TRADES_TOO_FEW, D(50), D(50)),
        (GateRule.DEGRADED_TOO_FAR, D("0.3"), D("0.30")),
        (GateRule.SHARPE_TOO_LOW, D("0.7"), D("0.5")),
        (GateRule.WIN_RATE_TOO_LOW, D("0.45"), D("0.45")),
    ]
    assert all(gate.passed for gate in gates)


@pytest.mark.parametrize(
    ("changes", "shut"),
    [
        ({"trades": 49}, GateRule.TRADES_TOO_FEW),
        ({"sharpe": D("1.39")}, GateRule.DEGRADED_TOO_FAR),
        ({"win_rate": D("0.449")}, GateRule.WIN_RATE_TOO_LOW),
    ],
)
def test_one_step_beyond_a_limit_shuts_its_gate_alone(changes, shut) -> None:
    gates = window_gates(Gates(), GOOD, replace(GOOD, **changes))
    assert [gate.rule for gate in gates if not gate.passed] == [shut]


def test_a_sharpe_below_the_floor_shuts_its_gate_even_where_nothing_was_lost() -> None:
    gates = window_gates(Gates(), replace(GOOD, sharpe=D("0.4")), replace(GOOD, sharpe=D("0.49")))
    assert [gate.rule for gate in gates if not gate.passed] == [GateRule.SHARPE_TOO_LOW]


def test_a_search_that_found_nothing_passes_no_gate_and_measures_nothing() -> None:
    gates = window_gates(Gates(), None, None)
    assert [(gate.measured, gate.passed) for gate in gates] == [
        (D(0), False),
        (None, False),
        (None, False),
        (None, False),
    ]


@pytest.mark.parametrize(
    ("trained", "validated", "lost"),
    [
        (D(2), D(1), D("0.5")),
        (D(1), D(2), D(-1)),
        (D(2), D(-2), D(2)),
        (D(0), D(1), None),
        (D(-1), D(1), None),
        (None, D(1), None),
        (D(1), None, None),
    ],
)
def test_degradation_is_the_part_lost_of_what_was_earned_in_training(trained, validated, lost) -> None:
    assert degradation(trained, validated) == lost


@pytest.mark.parametrize("wrong", [{"trades_min": 0}, {"win_rate_min": D("1.1")}, {"win_rate_min": D("-0.1")}])
def test_gates_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(InvalidInput):
        Gates(**wrong)


def test_windows_are_stitched_day_after_day_and_trade_after_trade() -> None:
    daily = [(D("0.1"), D("-0.05")), (), (D("0.02"),)]
    whole = stitched([GOOD, None, replace(GOOD, sharpe=D(1))], [GOOD, None, replace(GOOD, trades=10, wins=0)], daily)
    assert (whole.trades, whole.wins, whole.win_rate, whole.days) == (60, 30, D("0.5"), 3)
    assert whole.total_return == D("1.1") * D("0.95") * D("1.02") - 1
    assert whole.net_profit == 2 * GOOD.net_profit
    assert whole.trained == D("1.5")
    ratio = sharpe([D("0.1"), D("-0.05"), D("0.02")]) or D(0)
    assert whole.sharpe == ratio > 1
    assert [gate.measured for gate in stitched_gates(Gates(), whole)] == [
        D(60),
        (D("1.5") - ratio) / D("1.5"),
        ratio,
        D("0.5"),
    ]


def test_windows_without_a_trade_have_no_rate_to_pass_with() -> None:
    whole = stitched([None], [None], [()])
    assert (whole.trades, whole.total_return) == (0, D(0))
    assert {whole.win_rate, whole.sharpe, whole.trained} == {None}
    assert not any(gate.passed for gate in stitched_gates(Gates(), whole))
