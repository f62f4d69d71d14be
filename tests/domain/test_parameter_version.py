"""The life of a parameter set is a table: every pair of states is walked; only a person decides, within bounds."""

from __future__ import annotations

from itertools import product
from typing import Any
from uuid import UUID

import pytest

from common.domain import strategies
from common.domain.errors import IllegalMove, InvalidInput, NotFound
from common.domain.parameter_version import (
    DEFAULTS,
    TRANSITIONS,
    ParameterState,
    ParameterVersion,
    decider,
    digest_of,
    proposable,
    proposer,
    reasoned,
    rollback_target,
    strategy_of,
)
from common.domain.strategies import registry
from common.domain.strategies.base import Parameters, Rules, bounded
from tests.clocks import NOON

S = ParameterState

# Written down again by hand: the table under test must not be its own witness.
LEGAL = {(S.PROPOSED, S.ACTIVE), (S.PROPOSED, S.REJECTED), (S.ACTIVE, S.RETIRED), (S.RETIRED, S.ACTIVE)}
PAIRS = list(product(S, S))


def version(number: int = 1, state: ParameterState = S.PROPOSED, **changes: Any) -> ParameterVersion:
    values = {
        "tenant_id": UUID(int=1), "strategy": "ema_crossover", "number": number, "parameters": {"fast": 5},
        "digest": "d", "state": state, "proposed_by": "ada", "proposed_at": NOON, "reason": "faster",
    }  # fmt: skip
    return ParameterVersion(**values | changes)


def outcome(source: ParameterState, destination: ParameterState) -> object:
    try:
        return version(state=source).move(destination, "grace", "because", NOON).state
    except IllegalMove as error:
        return error.source, error.destination


@pytest.mark.parametrize(("source", "destination"), PAIRS, ids=[f"{a}->{b}" for a, b in PAIRS])
def test_every_pair_of_states_moves_as_the_table_says_and_not_otherwise(
    source: ParameterState, destination: ParameterState
) -> None:
    expected = {True: destination, False: (source, destination)}
    assert outcome(source, destination) == expected[(source, destination) in LEGAL]


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(S)


def test_a_move_records_who_and_why_and_counts() -> None:
    after = version(moves=2).move(S.REJECTED, "grace", "too fast", NOON)
    assert (after.decided_by, after.decision, after.decided_at, after.moves) == ("grace", "too fast", NOON, 3)
    assert (after.proposed_by, after.reason) == ("ada", "faster")


def test_an_advisor_may_propose_and_decides_nothing() -> None:
    assert proposer("advisor:default") == "advisor:default"
    with pytest.raises(InvalidInput, match="a person"):
        decider("advisor:default")
    assert decider("grace") == "grace"


@pytest.mark.parametrize("name", ["", "  ", "x" * 65])
def test_somebody_has_a_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 64"):
        proposer(name)


@pytest.mark.parametrize("reason", ["", " ", "x" * 501])
def test_a_reason_says_something(reason: str) -> None:
    with pytest.raises(InvalidInput, match="say why"):
        reasoned(reason)
    assert reasoned("because") == "because"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fast": 1}, "fast: 1 is not accepted; expected a number from 2 to 400"),
        ({"fast": 2.5}, "fast: 2.5 is not accepted; expected a whole number"),
        ({"stop_atr": 99}, "stop_atr: 99 is not accepted; expected a number from 0.1 to 20.0"),
        ({"stop_atr": float("nan")}, "stop_atr: nan"),
        ({"stop_atr": 10**400}, "expected a number from 0.1 to 20.0"),
        ({"stop": 1}, "parameter: 'stop' is not accepted; expected one of fast, slow"),
        ({"fast": "9"}, "fast: '9' is not accepted; expected a value of type int"),
        ({"fast": 30}, "fast: 30 is not accepted; expected a window shorter than slow"),
    ],
)
def test_a_proposal_out_of_bounds_names_field_value_and_what_is_accepted(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        proposable("ema_crossover", changes, "")
    assert said in str(refused.value)


def test_a_proposal_for_an_unknown_strategy_names_those_there_are() -> None:
    with pytest.raises(NotFound, match="ema_crossover"):
        proposable("ema_crossing", {}, "")


def test_proposing_what_is_in_force_is_refused() -> None:
    in_force = digest_of(strategies.get("ema_crossover", {"fast": 5}).version)
    with pytest.raises(InvalidInput, match="fast=5"):
        proposable("ema_crossover", {"fast": 5}, in_force)
    with pytest.raises(InvalidInput, match="the defaults"):
        proposable("ema_crossover", {"fast": 9}, "")
    assert proposable("ema_crossover", {"fast": 9}, in_force).version == "1"


def test_a_whole_number_for_a_real_parameter_is_the_same_set() -> None:
    whole, real = (strategies.get("ema_crossover", {"stop_atr": value}) for value in (2, 2.0))
    assert whole.version == real.version
    assert digest_of(whole.version) != ""


def test_the_digest_is_that_of_the_changes_alone() -> None:
    class Older(Parameters):
        __slots__ = ()

    older = strategies.get("ema_crossover", {"fast": 5, "slow": 21}).version
    assert older == strategies.get("ema_crossover", {"fast": 5}).version
    assert Older().digest == ""


def test_approved_parameters_run_only_as_what_was_approved() -> None:
    approved = strategies.get("ema_crossover", {"fast": 5})
    digest = digest_of(approved.version)
    assert strategy_of("ema_crossover", {"fast": 5}, digest).version == approved.version
    with pytest.raises(InvalidInput, match="propose them anew"):
        strategy_of("ema_crossover", {"fast": 9}, digest)
    with pytest.raises(InvalidInput, match=r"expected [0-9a-f]{8} by today"):
        strategy_of("ema_crossover", {"fast": 6}, digest)


def test_a_revision_must_not_look_like_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))

    class Dated(Rules):
        name = "dated"
        revision = "2026-11"

    with pytest.raises(InvalidInput, match="begins the digest"):
        strategies.register(Dated)


APPROVED = (version(1, S.RETIRED), version(2, S.REJECTED), version(3, S.RETIRED), version(4, S.ACTIVE), version(5))


@pytest.mark.parametrize(("wanted", "target"), [(None, 3), (1, 1), (0, DEFAULTS)])
def test_a_roll_back_goes_to_an_earlier_approved_set(wanted: int | None, target: int) -> None:
    assert rollback_target(APPROVED, wanted) == target


@pytest.mark.parametrize("wanted", [2, 4, 5, 6, -1])
def test_a_roll_back_to_anything_else_names_what_there_is(wanted: int) -> None:
    with pytest.raises(InvalidInput, match=r"\(0, 1, 3\)"):
        rollback_target(APPROVED, wanted)


def test_the_first_approved_set_is_rolled_back_to_the_defaults() -> None:
    assert rollback_target([version(1, S.ACTIVE)], None) == DEFAULTS


def test_there_is_nothing_before_the_defaults() -> None:
    with pytest.raises(InvalidInput, match="the defaults are in force"):
        rollback_target([version(1, S.RETIRED)], None)
    assert rollback_target([version(1, S.RETIRED)], 1) == 1
    with pytest.raises(InvalidInput, match=r"\(1\)"):
        rollback_target([version(1, S.RETIRED)], 0)
    with pytest.raises(InvalidInput, match="nothing: no set"):
        rollback_target([], 3)


def test_bounds_are_inclusive() -> None:
    assert bounded(1.0, low=0.0, high=2.0).metadata == {"low": 0.0, "high": 2.0}
    assert proposable("ema_crossover", {"stop_atr": 20}, "").parameters.changes == {"stop_atr": 20.0}
