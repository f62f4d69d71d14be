"""Jobs: asked for twice, they are done once; claimed by one, they are nobody else's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from common.domain.errors import Permanent, Transient
from common.domain.job import JobRef, JobState, Stage, job_id
from common.store import Store, UnitOfWork
from tests.clocks import NOON
from tests.store.world import World, identity

CAUSE = identity("cause")
SECOND = timedelta(seconds=1)


def ask(uow: UnitOfWork, key: str, tenant: UUID | None, **options: Any) -> JobRef:
    """Add a risk job of that key."""
    stage = options.pop("stage", Stage.EVALUATE)
    return uow.jobs.add(
        stage, key, tenant_id=tenant, payload={"n": 1}, now=NOON, correlation_id=CAUSE, causation_id=CAUSE, **options
    )


def asked(store: Store, key: str, context: UUID | None, tenant: UUID | None, **options: Any) -> list[JobRef]:
    """Add one job and commit; what may be rung."""
    with store.unit_of_work(context) as uow:
        ask(uow, key, tenant, **options)
        return uow.commit()


def test_a_job_asked_for_twice_is_there_once_and_rung_once(world: World) -> None:
    first = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    second = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    assert first == [JobRef(job_id(Stage.EVALUATE, "risk:1"), Stage.EVALUATE, world.ours.id)]
    assert second == []


def test_a_job_asked_for_twice_in_one_unit_is_there_once(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        assert ask(uow, "risk:1", world.ours.id) == ask(uow, "risk:1", world.ours.id)
        assert len(uow.commit()) == 1


def test_market_wide_work_hands_over_to_every_tenant_and_reads_none_of_it(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        for house in (world.ours, world.theirs):
            ask(uow, f"risk:{house.id}", house.id)
        ask(uow, "confirm:1", None)
        refs = uow.commit()
    assert {ref.tenant_id for ref in refs} == {world.ours.id, world.theirs.id, None}
    with world.store.unit_of_work(None) as uow:
        assert [job.key for job in uow.jobs.claim_many([ref.id for ref in refs], NOON)] == ["confirm:1"]
    with world.store.unit_of_work(world.ours.id) as uow:
        assert [job.key for job in uow.jobs.claim_many([ref.id for ref in refs], NOON)] == [f"risk:{world.ours.id}"]


def test_a_tenant_hands_no_work_to_another(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        ask(uow, "risk:1", world.theirs.id)
        with pytest.raises(Permanent, match="row-level security"):
            uow.commit()


def test_a_job_comes_back_as_it_was_asked_for(world: World) -> None:
    later = NOON + SECOND
    asked(world.store, "risk:1", world.ours.id, world.ours.id, available_at=NOON, expires_at=later)
    with world.store.unit_of_work(world.ours.id) as uow:
        job = uow.jobs.claim(job_id(Stage.EVALUATE, "risk:1"), NOON)
    assert job is not None
    assert (job.stage, job.key, job.payload) == (Stage.EVALUATE, "risk:1", {"n": 1})
    assert (job.tenant_id, job.correlation_id, job.causation_id) == (world.ours.id, CAUSE, CAUSE)
    assert (job.created_at, job.available_at, job.expires_at) == (NOON, NOON, later)
    assert (job.attempts, job.state, job.outcome) == (0, JobState.PENDING, "")


def test_what_is_not_due_yet_is_neither_rung_nor_claimed(world: World) -> None:
    assert asked(world.store, "risk:1", world.ours.id, world.ours.id, available_at=NOON + SECOND) == []
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.jobs.claim(job_id(Stage.EVALUATE, "risk:1"), NOON) is None
        assert uow.jobs.claim(job_id(Stage.EVALUATE, "risk:1"), NOON + SECOND) is not None


def test_fresh_work_is_claimed_by_a_worker_whose_clock_is_behind(world: World) -> None:
    asked(world.store, "risk:1", world.ours.id, world.ours.id)
    with world.store.unit_of_work(world.ours.id) as uow:
        job = uow.jobs.claim(job_id(Stage.EVALUATE, "risk:1"), NOON - SECOND)
        assert job is not None
        uow.jobs.postpone(job, NOON + SECOND, "the venue is ill")
        assert uow.jobs.claim(job.id, NOON) is None


def test_a_unit_left_without_commit_keeps_nothing(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        ask(uow, "risk:1", world.ours.id)
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.jobs.get(job_id(Stage.EVALUATE, "risk:1")) is None


def test_a_job_is_claimed_by_one_at_a_time(world: World) -> None:
    (ref,) = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    with world.store.unit_of_work(world.ours.id) as first:
        assert first.jobs.claim(ref.id, NOON) is not None
        with world.store.unit_of_work(world.ours.id) as second:
            assert second.jobs.claim(ref.id, NOON) is None
    with world.store.unit_of_work(world.ours.id) as third:
        assert third.jobs.claim(ref.id, NOON) is not None


def test_a_batch_claims_what_is_free_and_leaves_what_is_taken(world: World) -> None:
    refs = [asked(world.store, f"risk:{n}", world.ours.id, world.ours.id)[0] for n in range(3)]
    with world.store.unit_of_work(world.ours.id) as first:
        assert first.jobs.claim(refs[1].id, NOON) is not None
        with world.store.unit_of_work(world.ours.id) as second:
            assert {job.key for job in second.jobs.claim_many([ref.id for ref in refs], NOON)} == {"risk:0", "risk:2"}


def test_a_killed_worker_lets_go_of_its_job(world: World, root: psycopg.Connection[tuple[object, ...]]) -> None:
    (ref,) = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    with world.store.unit_of_work(world.ours.id) as doomed:
        assert doomed.jobs.claim(ref.id, NOON) is not None
        pid = doomed.session.scalar("SELECT pg_backend_pid()")
        root.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        with world.store.unit_of_work(world.ours.id) as heir:
            assert heir.jobs.claim(ref.id, NOON) is not None
        with pytest.raises(Transient):
            doomed.jobs.claim(ref.id, NOON)


def test_a_finished_job_cannot_be_claimed_or_finished_again(world: World) -> None:
    (ref,) = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    with world.store.unit_of_work(world.ours.id) as uow:
        job = uow.jobs.claim(ref.id, NOON)
        assert job is not None
        uow.jobs.finish(job, JobState.DONE, "approved", NOON)
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.jobs.claim(ref.id, NOON) is None
        kept = uow.jobs.get(ref.id)
        assert kept is not None
        assert (kept.state, kept.outcome) == (JobState.DONE, "approved")
        with pytest.raises(Permanent, match="not pending"):
            uow.jobs.finish(job, JobState.DONE, "approved", NOON)


def test_a_postponed_job_waits_and_counts_the_attempt(world: World) -> None:
    (ref,) = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    with world.store.unit_of_work(world.ours.id) as uow:
        job = uow.jobs.claim(ref.id, NOON)
        assert job is not None
        uow.jobs.postpone(job, NOON + SECOND, "the venue is down")
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.jobs.claim(ref.id, NOON) is None
        again = uow.jobs.claim(ref.id, NOON + SECOND)
    assert again is not None
    assert (again.attempts, again.outcome) == (1, "the venue is down")


def test_the_relay_learns_of_everybodys_late_work_by_id_alone(world: World) -> None:
    refs = [
        *asked(world.store, "confirm:1", None, None),
        *asked(world.store, "risk:1", world.ours.id, world.ours.id),
        *asked(world.store, "risk:2", world.theirs.id, world.theirs.id),
    ]
    assert set(due(world.store, NOON + SECOND, older_than=NOON)) == set(refs)
    assert due(world.store, NOON + SECOND, older_than=NOON - SECOND) == []


def due(store: Store, now: datetime, **options: Any) -> list[JobRef]:
    """What the relay would ring for at `now`."""
    with store.unit_of_work(None) as uow:
        refs = uow.jobs.due(now, **({"older_than": now, "limit": 10} | options))
        uow.commit()
    return refs


def test_the_relay_takes_the_oldest_first_and_no_more_than_asked(world: World) -> None:
    for number in (2, 0, 1):
        at = NOON - number * SECOND
        asked(world.store, f"risk:{number}", world.ours.id, world.ours.id, available_at=at)
    with world.store.unit_of_work(None) as uow:
        refs = uow.jobs.due(NOON, NOON, 2)
    assert [ref.id for ref in refs] == [job_id(Stage.EVALUATE, "risk:2"), job_id(Stage.EVALUATE, "risk:1")]


def test_the_relay_does_not_ring_again_for_a_while(world: World) -> None:
    refs = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    assert due(world.store, NOON, quiet=10 * SECOND) == refs
    assert due(world.store, NOON + 9 * SECOND, quiet=10 * SECOND) == []
    assert due(world.store, NOON + 10 * SECOND, quiet=10 * SECOND) == refs


def test_a_clock_that_is_set_back_silences_nothing(world: World) -> None:
    refs = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    assert due(world.store, NOON + 3600 * SECOND, quiet=10 * SECOND) == refs
    assert due(world.store, NOON + SECOND, quiet=10 * SECOND) == refs


def test_the_relay_does_not_ring_for_what_is_being_done(world: World) -> None:
    (ref,) = asked(world.store, "risk:1", world.ours.id, world.ours.id)
    with world.store.unit_of_work(world.ours.id) as worker:
        assert worker.jobs.claim(ref.id, NOON) is not None
        assert due(world.store, NOON) == []
    assert due(world.store, NOON) == [ref]


def test_the_relay_rings_at_once_for_what_is_too_late_to_do(world: World) -> None:
    refs = asked(world.store, "risk:1", world.ours.id, world.ours.id, expires_at=NOON + SECOND)
    assert due(world.store, NOON + SECOND, older_than=NOON - 60 * SECOND) == refs
    assert due(world.store, NOON, older_than=NOON - 60 * SECOND) == []


def test_depths_count_what_is_due_in_each_stage(world: World) -> None:
    asked(world.store, "risk:1", world.ours.id, world.ours.id)
    asked(world.store, "risk:2", world.theirs.id, world.theirs.id, available_at=NOON + 5 * SECOND)
    asked(world.store, "confirm:1", None, None, stage=Stage.CONFIRM)
    with world.store.unit_of_work(None) as uow:
        depths = uow.jobs.depths(NOON + 3 * SECOND)
    assert [(depth.stage, depth.pending, depth.oldest_age_s) for depth in depths] == [
        (Stage.CONFIRM, 1, 3.0),
        (Stage.EVALUATE, 1, 3.0),
    ]


def test_a_refused_request_is_kept_under_its_own_id(store: Store) -> None:
    task = identity("task")
    with store.unit_of_work(None) as uow:
        assert uow.jobs.add_refused(task, "signal.scan", {"venue": "nowhere"}, "no venue 'nowhere'", NOON)
        uow.commit()
    with store.operator() as view:
        trail = view.trail(str(task))
    assert trail is not None
    assert [(job.state, job.outcome) for job in trail["jobs"]] == [(JobState.FAILED, "no venue 'nowhere'")]


def test_finished_jobs_are_forgotten_after_a_while_and_pending_ones_never(world: World) -> None:
    refs = [asked(world.store, f"risk:{n}", world.ours.id, world.ours.id)[0] for n in range(2)]
    with world.store.unit_of_work(world.ours.id) as uow:
        job = uow.jobs.claim(refs[0].id, NOON)
        assert job is not None
        uow.jobs.finish(job, JobState.DONE, "", NOON)
        uow.commit()
    with world.store.unit_of_work(None) as uow:
        assert uow.prune({"jobs": NOON}) == {"jobs": 0}
        assert uow.prune({"jobs": NOON + SECOND}) == {"jobs": 1}
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.jobs.get(refs[0].id) is None
        assert uow.jobs.get(refs[1].id) is not None
