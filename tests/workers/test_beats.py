"""Beats as data: periods follow the venue's clock, no tick outlives its period, and one leader ticks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery

from beat_schedule import BEATS, Beat, seconds
from common.domain.errors import InvalidInput, Transient
from tests.servers import cut_leaders
from tests.services.venue import StepClock
from tests.services.world import World


def test_a_beat_that_outlives_its_period_is_refused_when_it_is_made() -> None:
    Beat("a.tick", every=seconds(5), expires=seconds(5))
    with pytest.raises(InvalidInput, match="no more than its period"):
        Beat("a.tick", every=seconds(5), expires=seconds(5.1))


def test_a_beat_without_a_period_is_refused() -> None:
    with pytest.raises(InvalidInput, match="above zero"):
        Beat("a.tick", every=seconds(0), expires=seconds(0))


@pytest.mark.parametrize(("rate", "period"), [(1.0, 60.0), (10.0, 6.0), (600.0, 2.0)])
def test_a_market_tick_shrinks_with_the_venues_speed_down_to_its_floor(rate: float, period: float) -> None:
    beat = Beat("a.tick", every=seconds(60), expires=seconds(60), in_venue_time=True, floor=seconds(2))
    assert beat.period(rate) == seconds(period)


def test_a_floor_never_lengthens_a_period() -> None:
    beat = Beat("a.tick", every=seconds(1), expires=seconds(1), in_venue_time=True, floor=seconds(5))
    assert beat.period(1.0) == seconds(1)


def test_other_ticks_keep_lifes_time() -> None:
    assert Beat("a.tick", every=seconds(60), expires=seconds(60)).period(600.0) == seconds(60)


@pytest.mark.parametrize("rate", [1.0, 60.0, 600.0])
def test_what_celery_is_told_expires_within_its_period_or_a_second(rate: float) -> None:
    for beat in BEATS:
        entry = beat.entry(rate)
        assert entry["task"] == beat.name
        assert timedelta(0) < entry["schedule"] <= beat.every
        assert entry["options"]["expires"] <= max(entry["schedule"].total_seconds(), 1.0)


def test_every_beat_rings_a_task_that_exists_on_a_queue_that_exists(app: Celery) -> None:
    from workers.queues import QUEUES

    for beat in BEATS:
        task = app.tasks[beat.name]
        assert task.queue in QUEUES


# --- The scheduler --------------------------------------------------------------------------------------------------


@pytest.fixture
def scheduler(fleet: World, app: Celery) -> Any:
    return make_scheduler(app)


def make_scheduler(app: Celery) -> Any:
    from workers.beat import FleetScheduler

    made = FleetScheduler(app=app)
    made.sent = []
    made.apply_async = lambda entry, **_: made.sent.append(entry.task)
    return made


def test_the_scheduler_holds_every_beat_at_the_venues_present_speed(fleet: World, app: Celery) -> None:
    fleet.fleet.clock = StepClock(fleet.clock.now(), rate=60.0)
    schedule = make_scheduler(app).schedule
    assert {name: entry.schedule.run_every for name, entry in schedule.items() if "." in name and name in NAMES} == {
        beat.name: beat.period(60.0) for beat in BEATS
    }


NAMES = {beat.name for beat in BEATS}


def test_the_leader_ticks_and_a_standby_only_waits_until_the_leader_is_gone(app: Celery, scheduler: Any) -> None:
    from workers.beat import STANDBY_S

    standby = make_scheduler(app)
    ticks(scheduler)
    assert set(scheduler.sent) == NAMES
    assert standby.tick() == STANDBY_S
    assert standby.sent == []
    scheduler.close()
    ticks(standby)
    assert set(standby.sent) == NAMES
    standby.close()


def ticks(scheduler: Any) -> None:
    """Tick as often as it takes to go once through all entries; a tick rings for one entry."""
    for entry in scheduler.schedule.values():
        entry.last_run_at -= timedelta(hours=2)
    for _ in range(len(scheduler.schedule) + 1):
        scheduler.tick()


def test_a_leader_that_lost_its_connection_leads_no_more_and_may_lead_again(scheduler: Any, root: Any) -> None:
    assert scheduler._leads()
    cut_leaders(root)
    assert not scheduler._leads()
    assert scheduler._leads()
    scheduler.close()


def test_without_postgres_the_beat_stands_by(fleet: World, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object, __: str) -> None:
        raise Transient("connection refused")

    monkeypatch.setattr(type(fleet.store), "try_lead", refuse)
    assert not scheduler._leads()
    scheduler.close()
