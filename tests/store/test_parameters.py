"""Parameter sets: numbered once, moved by one, in force one after the other, and asked of by scans and signals."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Thread
from typing import Any

import psycopg

from common.domain.parameter_version import ParameterState
from common.domain.signal import Side
from common.store import Store
from common.store.tenants import Wanted
from tests.clocks import NOON
from tests.store.world import (
    STRATEGY,
    SYMBOL,
    TIMEFRAME,
    VENUE,
    House,
    World,
    parameter_version,
    position,
    signal,
    somebody_waits,
)

HOUR = timedelta(hours=1)


def approve(world: World, house: House, at: datetime, number: int = 1, digest: str = "abcd1234") -> None:
    """A set of that digest in force for the house from `at` on."""
    with world.store.unit_of_work(house.id) as uow:
        uow.parameters.add(parameter_version(house, number, digest=digest))
        uow.parameters.activate(STRATEGY, number, digest, at)
        uow.commit()


def wanted(world: World, closed_at: datetime | None) -> list[Wanted]:
    with world.store.unit_of_work(None) as uow:
        return uow.subscriptions.wanted(VENUE, closed_at=closed_at)


def asked(world: World, digest: str, closed_at: datetime, now: datetime | None = None) -> list[str]:
    names = {house.id: house.tenant.name for house in (world.ours, world.theirs)}
    with world.store.unit_of_work(None) as uow:
        found = uow.subscriptions.subscribers(
            VENUE, SYMBOL, TIMEFRAME, STRATEGY, now or closed_at, digest=digest, closed_at=closed_at
        )
    return sorted(names[subscriber.tenant_id] for subscriber in found)


def test_a_set_comes_back_as_it_was_proposed(world: World) -> None:
    proposed = parameter_version(world.ours, parameters={"fast": 5, "stop_atr": 2.25, "eager": True})
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.parameters.add(proposed)
        assert uow.parameters.get(STRATEGY, 1) == proposed
        assert uow.parameters.list() == [proposed]
        assert uow.parameters.list("another") == []
        assert uow.parameters.get(STRATEGY, 2) is None
        assert uow.parameters.next_number(STRATEGY) == 2
        assert uow.parameters.next_number("another") == 1


def test_of_two_moves_from_the_same_state_the_second_is_not_kept(world: World) -> None:
    proposed = parameter_version(world.ours)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.parameters.add(proposed)
        assert uow.parameters.save(proposed.move(ParameterState.REJECTED, "grace", "no", NOON))
        assert not uow.parameters.save(proposed.move(ParameterState.ACTIVE, "hopper", "yes", NOON))
        kept = uow.parameters.get(STRATEGY, 1)
        assert kept is not None
        assert (kept.state, kept.decided_by) == (ParameterState.REJECTED, "grace")


def test_two_who_act_at_once_meet_and_the_second_gets_nothing(
    world: World, root: psycopg.Connection[Any], store: Store
) -> None:
    outcomes: list[object] = []

    def second() -> None:
        with store.unit_of_work(world.ours.id) as uow:
            outcomes.append(uow.parameters.add(parameter_version(world.ours)))
            outcomes.append(uow.parameters.activate(STRATEGY, 2, "2", NOON))

    with store.unit_of_work(world.ours.id) as uow:
        assert uow.parameters.activations(STRATEGY) == []
        uow.parameters.add(parameter_version(world.ours))
        other = Thread(target=second)
        other.start()
        while not somebody_waits(root):
            other.join(0.01)
        uow.parameters.activate(STRATEGY, 1, "1", NOON)
        uow.commit()
    other.join()
    assert outcomes[0] is False
    assert outcomes[1] is not None
    with store.unit_of_work(world.ours.id) as uow:
        assert [item.digest for item in uow.parameters.activations(STRATEGY)] == ["1"]


def test_an_activation_that_somebody_else_made_first_is_not_made(
    world: World, root: psycopg.Connection[Any], store: Store
) -> None:
    outcomes: list[object] = []

    def second() -> None:
        with store.unit_of_work(world.ours.id) as uow:
            outcomes.append(uow.parameters.activate(STRATEGY, 2, "2", NOON))

    with store.unit_of_work(world.ours.id) as uow:
        uow.parameters.activate(STRATEGY, 1, "1", NOON)
        other = Thread(target=second)
        other.start()
        while not somebody_waits(root):
            other.join(0.01)
        uow.commit()
    other.join()
    assert outcomes == [None]


def test_sets_are_in_force_one_after_the_other_even_when_the_clock_goes_back(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        for number, at in ((1, NOON), (2, NOON + HOUR), (3, NOON)):
            uow.parameters.activate(STRATEGY, number, str(number), at)
        periods = [(item.digest, item.active_from, item.active_to) for item in uow.parameters.activations(STRATEGY)]
        assert periods == [
            ("1", NOON, NOON + HOUR),
            ("2", NOON + HOUR, NOON + HOUR),
            ("3", NOON + HOUR, None),
        ]
        moments = (NOON - HOUR, NOON, NOON + HOUR - timedelta(microseconds=1), NOON + HOUR)
        assert [uow.parameters.digest_at(STRATEGY, at) for at in moments] == ["", "1", "1", "3"]


def test_what_is_wanted_names_each_parameter_set_once(world: World) -> None:
    approve(world, world.ours, NOON)
    defaults, own = (
        Wanted(STRATEGY, "", {}, TIMEFRAME, (SYMBOL,)),
        Wanted(STRATEGY, "abcd1234", {"fast": 5}, TIMEFRAME, (SYMBOL,)),
    )
    assert wanted(world, NOON - HOUR) == [defaults]
    assert wanted(world, NOON) == wanted(world, None) == [defaults, own]
    approve(world, world.theirs, NOON + HOUR)
    assert wanted(world, NOON) == [defaults, own]
    assert wanted(world, NOON + HOUR) == [own]


def test_a_signal_is_for_those_whose_parameters_it_has_at_its_candles_close(world: World) -> None:
    approve(world, world.ours, NOON)
    assert asked(world, "", NOON - HOUR) == ["ours", "theirs"]
    assert asked(world, "", NOON) == ["theirs"]
    assert asked(world, "abcd1234", NOON) == ["ours"]
    assert asked(world, "abcd1234", NOON - HOUR) == []
    # The model answers after a switch: those are asked who were meant when the candle closed.
    assert asked(world, "", NOON - HOUR, now=NOON + HOUR) == ["ours", "theirs"]


def test_the_set_that_a_position_was_opened_with_stays_wanted_until_it_is_left(world: World) -> None:
    own = signal(strategy_version="1-abcd1234")
    approve(world, world.ours, NOON - HOUR)
    approve(world, world.ours, NOON + HOUR, number=2, digest="ffff0000")
    held = position(world.ours, signal_id=own.id)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.signals.add(own)
        uow.positions.add(held)
        uow.commit()
    digests = [want.digest for want in wanted(world, NOON + 2 * HOUR)]
    assert digests == ["", "abcd1234", "ffff0000"]
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.session.execute("UPDATE positions SET quantity = 0")
        uow.commit()
    assert [want.digest for want in wanted(world, NOON + 2 * HOUR)] == ["", "ffff0000"]


def test_a_leaving_is_said_to_those_of_its_own_parameters(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        assert uow.leavings.add(VENUE, SYMBOL, STRATEGY, Side.LONG, NOON, digest="abcd1234")
        assert not uow.leavings.add(VENUE, SYMBOL, STRATEGY, Side.LONG, NOON, digest="abcd1234")
        assert uow.leavings.since(VENUE, SYMBOL, STRATEGY, Side.LONG, NOON - HOUR) is None
        assert uow.leavings.since(VENUE, SYMBOL, STRATEGY, Side.LONG, NOON - HOUR, digest="abcd1234") == NOON


def test_only_the_signal_of_its_own_parameters_has_to_have_an_outcome(world: World) -> None:
    approve(world, world.ours, NOON + HOUR)
    before, after = signal(), signal(24)
    own = signal(24, id=signal(25).id, strategy_version="1-abcd1234")
    with world.store.unit_of_work(None) as uow:
        for item in (before, after, own):
            uow.signals.add(item)
        uow.commit()
    with world.store.operator() as view:
        missing = {(item.signal_id, item.tenant_id) for item in view.signals_without_outcome(NOON + 3 * HOUR)}
    ours, theirs = world.ours.id, world.theirs.id
    assert missing == {(before.id, ours), (before.id, theirs), (own.id, ours), (after.id, theirs)}


def test_the_operator_sees_every_tenants_sets(world: World) -> None:
    approve(world, world.ours, NOON)
    approve(world, world.theirs, NOON)
    with world.store.operator() as view:
        assert {item.tenant_id for item in view.parameters()} == {world.ours.id, world.theirs.id}
        assert [item.tenant_id for item in view.parameters(world.ours.id, STRATEGY)] == [world.ours.id]
