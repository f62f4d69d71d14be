"""The whole fleet in one process: the same use cases, rung by threads, and everything begun is finished."""

from __future__ import annotations

import threading
import time
from uuid import UUID

import pytest

from common.domain.errors import Transient
from common.domain.job import JobRef, Stage
from common.services import standalone
from common.services.drain import Backlog, backlog
from common.services.fleet import Fleet
from common.services.standalone import LocalBus, Tick, run_standalone
from tests.services.test_signals import CROSS_UP, rewrite_history
from tests.services.venue import SOL
from tests.services.world import House, World


def test_a_local_bus_hands_on_what_it_is_rung_for_in_order() -> None:
    bus, refs = LocalBus(), [JobRef(UUID(int=number), Stage.PLACE, None) for number in range(3)]
    bus.ring(refs)
    assert [bus.waiting.get_nowait() for _ in refs] == refs


@pytest.mark.parametrize(("rate", "period"), [(1.0, 60.0), (60.0, 5.0)])
def test_a_tick_follows_the_venues_clock_down_to_its_floor(rate: float, period: float) -> None:
    assert Tick("a tick", lambda fleet: None, venue_s=60, floor_s=5).period_s(rate) == period


def test_one_process_takes_a_signal_from_candle_to_protected_position(world: World, house: House) -> None:
    rewrite_history(world, SOL, CROSS_UP)
    deadline = time.monotonic() + 30

    def is_protected() -> bool:
        # Time does not pass by itself here; whatever is not rung for at once is found by the relay.
        world.clock.advance(0.5)
        held = [order.status for order in world.orders(house)]
        return held.count("accepted") == 1 or time.monotonic() > deadline

    run_standalone(world.fleet, is_protected)
    assert len(world.positions(house)) == 1
    assert backlog(world.fleet).is_empty


def test_a_tick_that_fails_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    stop = threading.Event()

    def fail(_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            stop.set()
        raise Transient("no answer")

    standalone._repeat(world.fleet, Tick("failing", fail, venue_s=0, floor_s=0.01), stop)
    assert len(calls) == 3


def test_draining_is_bounded_and_survives_a_database_that_is_away(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.announce()
    calls: list[int] = []

    def fail(_: object) -> None:
        calls.append(1)
        raise Transient("connection refused")

    monkeypatch.setattr(standalone, "work_off", fail)
    monkeypatch.setattr(standalone, "_DRAIN_VISITS_MAX", 3)
    standalone._drain(world.fleet, threading.Event())
    assert len(calls) == 3


def test_draining_goes_on_until_nothing_is_under_way(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.announce()
    left: list[bool] = []
    until = threading.Event()

    def one_by_one(fleet: Fleet) -> Backlog:
        world.run(world.bus.inbox.pop(0))
        left.append(backlog(fleet).is_empty)
        return backlog(fleet)

    monkeypatch.setattr(standalone, "work_off", one_by_one)
    monkeypatch.setattr(standalone, "_LOOK_S", 0.001)
    standalone._drain(world.fleet, until)
    assert (left[0], left[-1]) == (False, True)
    assert len(world.positions(house)) == 1
