"""Parameters of tenants: proposed, decided once, in force from the next candle on, and what that does to signals and positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import psycopg
import pytest

from common.domain import strategies
from common.domain.errors import InvalidInput, NotFound, Transient
from common.domain.job import Stage
from common.domain.parameter_version import ParameterState, digest_of
from common.domain.position import CloseReason
from common.domain.risk.book import HaltMode, HaltScope
from common.domain.signal import Signal
from common.domain.strategies import registry
from common.services import parameters, request
from common.services.halts import halt
from common.services.parameters import (
    approve_parameters,
    list_parameters,
    parameters_of,
    propose_parameters,
    reject_parameters,
    roll_back_parameters,
)
from common.services.tenants import subscribe
from common.services.unsubscribe import unsubscribe
from tests.services.test_signals import CROSS_UP, rewrite_history, scan
from tests.services.venue import NOON, SOL, VENUE
from tests.services.world import FRAME, STRATEGY, House, World
from tests.store.world import somebody_waits

FASTER = {"fast": 8}
"""The averages of 8 and 21 cross on the same jump as those of 9 and 21 do."""


@pytest.fixture(autouse=True)
def earlier(world: World) -> None:
    """Two minutes before noon, so that what is approved counts for the candle that closes then."""
    world.clock.advance(-122)


def propose(world: World, tenant: str = "harbour", changes: dict[str, Any] | None = None, **other: Any) -> int:
    wish = {"by": "ada", "reason": "reacts earlier"} | other
    return propose_parameters(world.fleet, tenant, STRATEGY, changes or FASTER, **wish).number


def approve(world: World, tenant: str = "harbour", number: int = 1, by: str = "grace") -> None:
    approve_parameters(world.fleet, tenant, STRATEGY, number, by=by, reason="the backtest agrees")


def use(world: World, tenant: str = "harbour", changes: dict[str, Any] | None = None) -> str:
    """Propose and approve; the version of signals that the tenant gets from now on."""
    approve(world, tenant, propose(world, tenant, changes))
    return strategies.get(STRATEGY, changes or FASTER).version


def states(world: World, tenant: str = "harbour") -> list[str]:
    return [row["state"] for row in reversed(list_parameters(world.fleet, tenant, STRATEGY))]


def raised(world: World) -> dict[str, Signal]:
    with world.store.operator() as view:
        return {signal.strategy_version: signal for signal in view.signals()}


def missing(world: World) -> int:
    with world.store.operator() as view:
        return len(view.signals_without_outcome(world.clock.now()))


def at_noon(world: World, closes: list[float] = CROSS_UP) -> None:
    """The candle of noon has closed as `closes` has it, and was scanned."""
    world.clock.advance(122)
    rewrite_history(world, SOL, closes)
    scan(world)


# --- Deciding -------------------------------------------------------------------------------------------------------


def test_a_proposal_is_kept_and_changes_nothing(world: World, house: House) -> None:
    assert (propose(world), propose(world, changes={"fast": 7})) == (1, 2)
    assert states(world) == ["proposed", "proposed"]
    at_noon(world)
    assert set(raised(world)) == {"1"}


def test_a_proposal_out_of_bounds_is_refused_at_once_and_not_kept(world: World, house: House) -> None:
    with pytest.raises(InvalidInput, match="fast: 1 is not accepted; expected a number from 2 to 400"):
        propose(world, changes={"fast": 1})
    with pytest.raises(NotFound, match="no tenant 'nobody'"):
        propose(world, "nobody")
    assert states(world) == []


def test_a_model_may_propose_inside_the_bounds_and_decides_nothing(world: World, house: House) -> None:
    number = propose(world, by="advisor:default")
    verbs: tuple[Callable[..., Any], ...] = (approve_parameters, reject_parameters)
    for verb in verbs:
        with pytest.raises(InvalidInput, match="a person"):
            verb(world.fleet, "harbour", STRATEGY, number, by="advisor:default", reason="I am sure")
    with pytest.raises(InvalidInput, match="a person"):
        roll_back_parameters(world.fleet, "harbour", STRATEGY, by="advisor:default", reason="I am sure")
    assert states(world) == ["proposed"]


def test_every_step_is_in_the_tenants_audit_chain_with_proposer_and_decider(world: World, house: House) -> None:
    use(world)
    use(world, changes={"fast": 7})
    reject_parameters(world.fleet, "harbour", STRATEGY, propose(world, changes={"fast": 6}), by="grace", reason="noise")
    roll_back_parameters(world.fleet, "harbour", STRATEGY, by="hopper", reason="it lost")
    with world.store.unit_of_work(house.tenant.id) as uow:
        told = [
            (number, entry.payload["to"], entry.payload["by"])
            for number in (1, 2, 3)
            for entry in uow.audit.of(f"{STRATEGY}|{number}")
        ]
        uow.audit.verify()
    assert told == [
        (1, "proposed", "ada"), (1, "active", "grace"), (1, "retired", "grace"), (1, "active", "hopper"),
        (2, "proposed", "ada"), (2, "active", "grace"), (2, "retired", "hopper"),
        (3, "proposed", "ada"), (3, "rejected", "grace"),
    ]  # fmt: skip
    assert states(world) == ["active", "retired", "rejected"]


def test_what_was_decided_is_not_decided_again(world: World, house: House) -> None:
    use(world)
    use(world, changes={"fast": 7})
    reject_parameters(world.fleet, "harbour", STRATEGY, propose(world, changes={"fast": 6}), by="grace", reason="noise")
    for number, said in ((1, "retired by grace: roll back to it"), (2, "active by grace"), (3, "rejected by grace")):
        with pytest.raises(InvalidInput, match=said):
            approve(world, number=number)
    with pytest.raises(NotFound, match="there is: 1, 2, 3"):
        approve(world, number=4)
    assert states(world) == ["retired", "active", "rejected"]


def test_of_two_approvers_at_once_one_acts_and_the_other_is_told(
    world: World, house: House, root: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = propose(world), propose(world, changes={"fast": 7})
    told: list[str] = []
    retire = parameters._retire

    def late() -> None:
        try:
            approve(world, number=second, by="hopper")
        except Transient as error:
            told.append(str(error))

    def with_company(*arguments: Any) -> None:
        monkeypatch.setattr(parameters, "_retire", retire)
        other.start()
        while not somebody_waits(root):
            other.join(0.01)
        retire(*arguments)

    other = Thread(target=late)
    monkeypatch.setattr(parameters, "_retire", with_company)
    approve(world, number=first)
    other.join()
    assert told == [f"somebody else has just decided on the parameters of {STRATEGY}: look again before you decide"]
    assert states(world) == ["active", "proposed"]


def test_of_two_who_decide_on_one_proposal_the_second_changes_nothing(
    world: World, house: House, root: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = propose(world)
    told: list[str] = []

    def late() -> None:
        try:
            reject_parameters(world.fleet, "harbour", STRATEGY, number, by="hopper", reason="no")
        except Transient as error:
            told.append(str(error))

    with world.store.unit_of_work(house.tenant.id) as uow:
        found = uow.parameters.get(STRATEGY, number)
        assert found is not None
        uow.parameters.save(found.move(ParameterState.REJECTED, "grace", "noise", NOON))
        other = Thread(target=late)
        other.start()
        while not somebody_waits(root):
            other.join(0.01)
        uow.commit()
    other.join()
    assert len(told) == 1
    [row] = parameters_of(world.fleet, house.tenant.id)
    assert (row["decided_by"], row["tenant"], row["problem"]) == ("grace", "harbour", None)


def test_two_proposals_at_once_get_numbers_of_their_own(
    world: World, house: House, root: psycopg.Connection[Any]
) -> None:
    numbers: list[int] = []
    with world.store.unit_of_work(house.tenant.id) as uow:
        number = propose(world)
        found = uow.parameters.get(STRATEGY, number)
        assert found is not None
        uow.parameters.add(replace(found, number=2))
        other = Thread(target=lambda: numbers.append(propose(world, changes={"fast": 7})))
        other.start()
        while not somebody_waits(root):
            other.join(0.01)
        uow.commit()
    other.join()
    assert numbers == [3]


def test_a_roll_back_goes_one_set_back_and_at_last_to_the_defaults(world: World, house: House) -> None:
    use(world)
    use(world, changes={"fast": 7})
    numbers = [
        roll_back_parameters(world.fleet, "harbour", STRATEGY, by="grace", reason="it lost").number for _ in range(2)
    ]
    assert numbers == [1, 0]
    assert states(world) == ["retired", "retired"]
    with pytest.raises(InvalidInput, match="nothing before them"):
        roll_back_parameters(world.fleet, "harbour", STRATEGY, by="grace", reason="it lost")
    again = roll_back_parameters(world.fleet, "harbour", STRATEGY, by="grace", reason="it was good", number=2)
    assert (again.number, states(world)) == (2, ["retired", "active"])


def test_what_todays_code_would_not_run_as_it_was_approved_is_not_put_in_force(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = propose(world)
    narrowed = type(
        "Narrowed", (registry._KINDS[STRATEGY],), {"parameters_type": strategies.RsiMeanReversion.parameters_type}
    )
    monkeypatch.setitem(registry._KINDS, STRATEGY, narrowed)
    with pytest.raises(InvalidInput, match="'fast' is not accepted"):
        approve(world, number=number)
    [row] = list_parameters(world.fleet)
    assert "'fast' is not accepted" in row["problem"]


# --- Trading by them ------------------------------------------------------------------------------------------------


def test_tenants_of_the_same_parameters_share_one_signal_and_others_get_their_own(world: World, house: House) -> None:
    houses = {name: world.settle_in(name) for name in ("meridian", "skiff", "cutter")}
    version = use(world)
    assert use(world, "meridian") == version
    slower = use(world, "skiff", {"slow": 20})
    at_noon(world)
    signals = raised(world)
    assert set(signals) == {"1", version, slower}
    meant = {(job.tenant_id, job.payload["signal_id"]) for job in world.jobs(Stage.EVALUATE)}
    assert meant == {
        (house.tenant.id, str(signals[version].id)),
        (houses["meridian"].tenant.id, str(signals[version].id)),
        (houses["skiff"].tenant.id, str(signals[slower].id)),
        (houses["cutter"].tenant.id, str(signals["1"].id)),
    }
    world.work()
    assert missing(world) == 0


def test_a_signal_raised_before_a_switch_has_its_one_outcome_per_subscriber(world: World) -> None:
    house = world.settle_in(advisor="default")
    at_noon(world)
    use(world)
    world.clock.advance(10)
    world.work()
    [signal] = raised(world).values()
    assert signal.strategy_version == "1"
    assert world.decision(house, signal) is not None
    assert (missing(world), len(world.jobs(Stage.EVALUATE))) == (0, 1)


def test_a_set_counts_from_the_first_candle_that_closes_after_it_has_settled(world: World, house: House) -> None:
    world.clock.advance(121.5)
    use(world)
    world.clock.advance(-121.5)
    at_noon(world)
    assert set(raised(world)) == {"1"}
    world.work()
    assert missing(world) == 0


def test_a_position_is_left_by_the_parameters_it_was_opened_with(world: World, house: House) -> None:
    version = use(world)
    at_noon(world)
    world.work()
    position = world.position(house, raised(world)[version])
    assert position is not None
    use(world, changes={"fast": 7})
    leave(world, "")
    assert still_open(world, house)
    leave(world, digest_of(strategies.get(STRATEGY, {"fast": 7}).version))
    assert still_open(world, house)
    leave(world, digest_of(version))
    assert not still_open(world, house)
    closed = world.position(house, raised(world)[version])
    assert closed is not None
    assert closed.close_reason is CloseReason.OPPOSITE


def leave(world: World, digest: str) -> None:
    """The strategy with the parameters of `digest` says now that longs on SOL should be left."""
    world.clock.advance(5)
    with world.store.unit_of_work(None) as uow:
        side = raised(world)[max(raised(world))].side
        uow.leavings.add(VENUE, SOL, STRATEGY, side, world.clock.now(), digest=digest)
        uow.commit()


def still_open(world: World, house: House) -> bool:
    world.visit(house)
    world.work()
    world.visit(house)
    return bool(world.positions(house))


def test_the_old_parameters_are_evaluated_while_a_position_of_theirs_is_open(world: World, house: House) -> None:
    old = use(world)
    at_noon(world)
    world.work()
    assert len(world.positions(house)) == 1
    new = use(world, changes={"fast": 7})
    world.clock.advance(FRAME.seconds)
    with world.store.unit_of_work(None) as uow:
        digests = {want.digest for want in uow.subscriptions.wanted(VENUE, closed_at=NOON + FRAME.duration)}
    assert digests == {digest_of(old), digest_of(new)}


def test_a_tenants_risk_is_not_asked_by_hand_about_anothers_parameters(world: World, house: House) -> None:
    world.settle_in("meridian")
    version = use(world)
    at_noon(world)
    signals = raised(world)
    assert request.evaluation(world.fleet, "harbour", str(signals[version].id)).stage is Stage.EVALUATE
    with pytest.raises(InvalidInput, match="one of ema_crossover with harbour's parameters"):
        request.evaluation(world.fleet, "harbour", str(signals["1"].id))
    with pytest.raises(InvalidInput, match="the defaults"):
        request.evaluation(world.fleet, "meridian", str(signals[version].id))


def test_an_approval_that_outlived_its_strategys_bounds_does_not_silence_the_others(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = world.settle_in("meridian")
    use(world)

    def refuse(name: str, changes: Any, digest: str) -> Any:
        if changes:
            raise InvalidInput("fast", 8, "a number from 9 to 400")
        return strategies.get(name)

    monkeypatch.setattr("common.services.scan_market.strategy_of", refuse)
    at_noon(world)
    world.work()
    [signal] = raised(world).values()
    assert world.decision(other, signal) is not None
    assert world.decision(house, signal) is None


# --- Strategies of the user's own -----------------------------------------------------------------------------------


def test_a_strategy_that_this_process_does_not_know_can_be_halted_where_somebody_subscribes_to_it(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_KINDS", {})
    placed = halt(
        world.fleet, scope=HaltScope.STRATEGY, subject=STRATEGY, mode=HaltMode.HALT_NEW, reason="a drill", by="grace"
    )
    assert placed.subject == STRATEGY
    with pytest.raises(NotFound, match="there is: ema_crossover"):
        halt(world.fleet, scope=HaltScope.STRATEGY, subject="ema", mode=HaltMode.HALT_NEW, reason="a drill", by="grace")


def test_a_subscription_ends_for_good_even_when_its_strategy_is_gone(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.clock.advance(122)
    monkeypatch.setattr(registry, "_KINDS", {})
    ended = unsubscribe(world.fleet, *house.ids, strategy=STRATEGY, timeframe="5m")
    assert ended.active_to == world.clock.now()
    with pytest.raises(NotFound, match="no subscription 'ema_crossover 5m'"):
        unsubscribe(world.fleet, *house.ids, strategy=STRATEGY, timeframe="5m")


def test_a_subscription_to_nothing_is_refused(world: World, house: House) -> None:
    with pytest.raises(InvalidInput, match="at least one symbol"):
        subscribe(world.fleet, *house.ids, strategy=STRATEGY, timeframe="5m", instruments=[])
