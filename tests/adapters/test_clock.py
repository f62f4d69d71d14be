"""Clocks: life's own, a venue's that runs fast, and what happens when that venue restarts or is gone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.adapters.clock import FollowedClock, SystemClock, VenueClock, read_simulator_clock
from common.adapters.ids import SystemIds
from common.domain.errors import Permanent, Transient
from common.ports.clock import Clock
from common.ports.ids import Ids
from tests.adapters.scripted_server import Answer, ScriptedServer
from tests.clocks import NOON, ManualClock, SeededIds

PATH = ("GET", "/simulator/clock")


def told(rate: float = 600.0, venue: float = NOON.timestamp(), **changes: Any) -> Answer:
    return Answer(200, {"rate": rate, "origin_real": time.time(), "origin_venue": venue, "server_time": 0} | changes)


@pytest.mark.parametrize(
    "clock",
    [SystemClock(), VenueClock(time.time(), NOON.timestamp(), 60.0), ManualClock()],
    ids=["life", "venue", "manual"],
)
def test_every_clock_tells_aware_utc_and_never_goes_back(clock: Clock) -> None:
    first, second = clock.now(), clock.now()
    assert first.tzinfo is UTC
    assert first <= second
    assert clock.monotonic() <= clock.monotonic()
    assert clock.transport(2) == timedelta(seconds=2 * clock.rate)


def test_a_venues_time_runs_at_its_rate_from_its_origin() -> None:
    ten_seconds_ago = time.time() - 10
    clock = VenueClock(ten_seconds_ago, NOON.timestamp(), 600.0)
    assert timedelta(seconds=6000) <= clock.now() - NOON < timedelta(seconds=6000 + 600)


def test_the_simulators_clock_is_followed(server: ScriptedServer) -> None:
    server.on(*PATH, told())
    clock = read_simulator_clock(server.url)
    assert clock.rate == 600.0
    assert NOON <= clock.now() < NOON + timedelta(hours=1)


def test_a_restart_that_moved_the_origin_is_noticed_on_refresh(server: ScriptedServer) -> None:
    server.on(*PATH, told())
    clock = FollowedClock(server.url, refresh_s=3600)
    later = NOON + timedelta(days=3)
    server.on(*PATH, told(venue=later.timestamp(), rate=60.0))
    assert clock.refresh() is True
    assert clock.rate == 60.0
    assert clock.now() >= later


def test_an_old_reading_is_renewed_by_itself(server: ScriptedServer) -> None:
    server.on(*PATH, told())
    clock = FollowedClock(server.url, refresh_s=0.0)
    server.on(*PATH, told(venue=(NOON + timedelta(days=3)).timestamp()))
    assert clock.now() >= NOON + timedelta(days=3)


def test_time_goes_on_while_the_simulator_is_gone(server: ScriptedServer) -> None:
    server.on(*PATH, told())
    clock = FollowedClock(server.url, refresh_s=0.0)
    server.on(*PATH, Answer(reset=True))
    assert clock.refresh() is False
    assert clock.now() >= NOON


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(reset=True), Transient),
        (Answer(503, {}), Transient),
        (Answer(404, {"code": -1}), Permanent),
        (Answer(200, "hello"), Permanent),
        (Answer(200, []), Permanent),
        (told(rate=0.0), Permanent),
        (told(rate=-1.0), Permanent),
        (told(rate="fast"), Permanent),
        (told(origin_venue=None), Permanent),
    ],
)
def test_what_is_no_clock_is_refused(server: ScriptedServer, answer: Answer, kind: type[Exception]) -> None:
    server.on(*PATH, answer)
    with pytest.raises(kind):
        read_simulator_clock(server.url)


@pytest.mark.parametrize("ids", [SystemIds(), SeededIds()], ids=["system", "seeded"])
def test_ids_and_tokens_are_fresh_and_long_enough(ids: Ids) -> None:
    assert len({ids.new() for _ in range(1000)}) == 1000
    assert len({ids.token() for _ in range(1000)}) == 1000
    assert len(ids.token()) >= 43


def test_seeded_ids_are_the_same_in_every_run() -> None:
    assert [SeededIds(7).new() for _ in range(2)] == [SeededIds(7).new() for _ in range(2)]
    assert SeededIds(7).new() != SeededIds(8).new()


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(rate=10)
    assert clock.now() == clock.now() == NOON
    assert clock.advance(timedelta(seconds=20)) == NOON + timedelta(seconds=20)
    assert clock.monotonic() == 2.0
    assert isinstance(clock.now(), datetime)
