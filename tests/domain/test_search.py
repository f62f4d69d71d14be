"""Search: what may be varied, by what it is judged, and which trial is the best."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.domain import strategies
from common.domain.backtest.measured import Measured
from common.domain.codec import decode, encode
from common.domain.errors import InvalidInput
from common.domain.search import (
    Dimension,
    Objective,
    Outcome,
    Tried,
    best_of,
    objective_named,
    space_of,
    value_of,
)
from common.domain.strategies import Parameters, bounded

ONE = Decimal(1)
MEASURED = Measured(
    10, 6, Decimal("0.6"), Decimal(2), Decimal(3), Decimal(30), Decimal("0.3"), ONE, Decimal(4), Decimal("0.1")
)


@dataclass(frozen=True, slots=True)
class Several(Parameters):
    """One of each kind."""

    window: int = bounded(14, low=2, high=200)
    share: float = bounded(0.5, low=0.0, high=1.0)
    is_patient: bool = False
    unbounded: int = field(default=3)


def test_every_bounded_parameter_is_searched_within_its_bounds() -> None:
    assert space_of(Several(), {}) == (
        Dimension("window", 2, 200, 14, is_log=True),
        Dimension("share", 0.0, 1.0, 0.5),
        Dimension("is_patient", low=False, high=True, default=False),
    )


def test_named_ranges_are_searched_alone_and_what_is_fixed_is_not() -> None:
    assert space_of(Several(), {"window": (5, 30)}) == (Dimension("window", 5, 30, 14),)
    assert [item.name for item in space_of(Several(), {}, fixed=("window", "is_patient"))] == ["share"]
    assert space_of(Several(), {"unbounded": (1, 9)}) == (Dimension("unbounded", 1, 9, 3),)


def test_a_strategys_own_values_are_those_it_was_given() -> None:
    (fast,) = space_of(strategies.get("ema_crossover", {"fast": 12}).parameters, {"fast": (5, 20)})
    assert fast.default == 12


@pytest.mark.parametrize(
    ("ranges", "fixed", "said"),
    [
        ({"windw": (1, 2)}, (), "expected one of window, share, is_patient, unbounded"),
        ({"window": (5, 9)}, ("window",), "expected one of share, is_patient, unbounded"),
        (
            {"window": (1, 30)},
            (),
            "space of window: '1:30' is not accepted; expected LOW:HIGH, whole numbers from 2 to 200",
        ),
        ({"window": (30, 5)}, (), "space of window"),
        ({"window": (5, 9.5)}, (), "whole numbers"),
        ({"share": (0.5, 1.5)}, (), "LOW:HIGH, numbers from 0.0 to 1.0"),
        ({}, ("window", "share", "is_patient"), "no parameter to search"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(ranges, fixed, said) -> None:
    with pytest.raises(InvalidInput) as refused:
        space_of(Several(), ranges, fixed)
    assert said in str(refused.value)


def test_a_name_is_refused_even_where_nothing_may_be_named() -> None:
    with pytest.raises(InvalidInput, match="no parameter"):
        space_of(Parameters(), {"window": (1, 2)})


@given(
    some.floats(0, 1, exclude_max=True),
    some.sampled_from(space_of(Several(), {"unbounded": (1, 4)}) + space_of(Several(), {})),
)
def test_every_share_of_a_range_is_inside_it_and_of_its_kind(share: float, item: Dimension) -> None:
    value = item.at(share)
    assert item.holds(value)
    assert type(value) is item.kind


def test_shares_reach_both_ends_and_ratios_are_searched_where_a_range_is_long() -> None:
    plain, ratios = Dimension("a", 1, 4, 2), Dimension("b", 1, 10_000, 5, is_log=True)
    assert [plain.at(share) for share in (0.0, 0.25, 0.5, 0.999)] == [1, 2, 3, 4]
    assert [ratios.at(share) for share in (0.0, 0.5, 0.9999999)] == [1, 100, 10_000]
    assert Dimension("c", 0.0, 2.0, 1.0).at(0.25) == 0.5
    assert not plain.holds(5)


@pytest.mark.parametrize(
    ("objective", "value"),
    [
        ("sharpe", "1"),
        ("sortino", "4"),
        ("calmar", "3"),
        ("total_return", "0.3"),
        ("profit_factor", "2"),
        ("win_rate", "0.6"),
    ],
)
def test_objectives_read_what_they_are_called(objective: str, value: str) -> None:
    assert value_of(objective_named(objective), MEASURED) == Decimal(value)


def test_an_objective_that_is_not_defined_has_no_value() -> None:
    assert value_of(Objective.SHARPE, replace(MEASURED, sharpe=None)) is None
    assert value_of(Objective.CALMAR, replace(MEASURED, max_drawdown=Decimal(0))) is None
    assert value_of(Objective.CALMAR, replace(MEASURED, total_return=None)) is None
    with pytest.raises(InvalidInput, match="one of sharpe, sortino"):
        objective_named("luck")


def test_the_best_is_the_largest_and_of_equals_the_first() -> None:
    tried = [Tried(n, {}, Outcome(None if v is None else Decimal(v))) for n, v in enumerate((None, -3, 2, 2, 1))]
    assert best_of(tried) == tried[2]
    assert best_of(tried[:1]) is None
    assert best_of(tried[:2]) == tried[1]


def test_an_outcome_is_kept_to_the_last_digit() -> None:
    outcome = Outcome(Decimal("1.23456789012345678901"), replace(MEASURED, sharpe=None))
    assert decode(Outcome, encode(outcome)) == outcome
