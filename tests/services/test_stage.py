"""How every job runs: what is kept, what is not, and when the next attempt is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from common.domain.decision import DecisionOutcome
from common.domain.errors import AskAgain, OutcomeUnknown, Permanent, Transient
from common.domain.job import Job, JobRef, JobState, Stage
from common.services import relay_jobs as relay
from common.services.fleet import Fleet
from common.services.stage import Result, Routine, run
from common.store import UnitOfWork
from tests.services.world import House, World


def ask_for_work(world: World, key: str = "work", expires_in: timedelta | None = None) -> JobRef:
    now = world.clock.now()
    with world.store.unit_of_work(None) as uow:
        ref = uow.jobs.add(
            Stage.SCAN,
            key,
            tenant_id=None,
            payload={},
            now=now,
            expires_at=now + expires_in if expires_in else None,
            correlation_id=UUID(int=7),
        )
        uow.commit()
    return ref


def leave_a_mark(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
    """Write something that can be looked for, and hand work over."""
    uow.heartbeats.beat("marked", "test", "", fleet.clock.now())
    uow.jobs.add(
        Stage.SCAN,
        f"after {job.key}",
        tenant_id=None,
        payload={},
        now=fleet.clock.now(),
        correlation_id=job.correlation_id,
    )
    return "marked"


def marks(world: World) -> int:
    with world.store.operator() as view:
        return len(view.heartbeats())


def fails_with(error: BaseException) -> Callable[[Fleet, UnitOfWork, Job], str]:
    def handle(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
        leave_a_mark(fleet, uow, job)
        raise error

    return handle


def attempt(world: World, ref: JobRef, handle: Any, **changes: Any) -> Result:
    return run(world.fleet, {Stage.SCAN: Routine(handle, **changes)}, ref)


def test_a_job_is_done_together_with_what_it_wrote_and_rings_for_its_successors(world: World) -> None:
    ref = ask_for_work(world)
    assert attempt(world, ref, leave_a_mark) is Result.DONE
    assert (world.job(ref).state, world.job(ref).outcome, marks(world)) == (JobState.DONE, "marked", 1)
    assert [world.job(rung).key for rung in world.bus.rung] == ["after work"]


def test_a_message_that_comes_twice_finds_nothing_the_second_time(world: World) -> None:
    ref = ask_for_work(world)
    attempt(world, ref, leave_a_mark)
    assert attempt(world, ref, leave_a_mark) is Result.NOTHING_TO_CLAIM
    assert len(world.bus.rung) == 1


def test_a_message_for_a_job_that_another_worker_is_at_finds_nothing(world: World) -> None:
    ref = ask_for_work(world)
    inner: list[Result] = []

    def handle(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
        inner.append(attempt(world, ref, leave_a_mark))
        return "mine"

    assert attempt(world, ref, handle) is Result.DONE
    assert inner == [Result.NOTHING_TO_CLAIM]


def test_a_worker_killed_before_its_commit_leaves_nothing_and_the_job_can_be_claimed_at_once(world: World) -> None:
    ref = ask_for_work(world)
    with pytest.raises(KeyboardInterrupt):
        attempt(world, ref, fails_with(KeyboardInterrupt()))
    assert (marks(world), world.job(ref).state) == (0, JobState.PENDING)
    assert attempt(world, ref, leave_a_mark) is Result.DONE


def test_a_transient_failure_postpones_with_growing_delays_and_keeps_nothing_else(world: World) -> None:
    ref = ask_for_work(world)
    delays = []
    for _ in range(3):
        assert attempt(world, ref, fails_with(Transient("the venue sleeps"))) is Result.POSTPONED
        delays.append(world.job(ref).available_at - world.clock.now())
        world.clock.advance(60)
    assert delays == [timedelta(seconds=0.2), timedelta(seconds=0.4), timedelta(seconds=0.8)]
    assert (marks(world), world.job(ref).attempts, world.job(ref).outcome) == (0, 3, "the venue sleeps")


def test_the_delay_between_attempts_has_an_end(world: World) -> None:
    ref = ask_for_work(world)
    for _ in range(12):
        attempt(world, ref, fails_with(Transient("still asleep")))
        world.clock.advance(60)
    attempt(world, ref, fails_with(Transient("still asleep")))
    assert world.job(ref).available_at - world.clock.now() == timedelta(seconds=30)


def test_a_postponed_job_is_not_claimed_before_its_time(world: World) -> None:
    ref = ask_for_work(world)
    attempt(world, ref, fails_with(AskAgain("not yet", 5)))
    world.clock.advance(4.9)
    assert attempt(world, ref, leave_a_mark) is Result.NOTHING_TO_CLAIM
    world.clock.advance(0.2)
    assert attempt(world, ref, leave_a_mark) is Result.DONE


def test_a_permanent_failure_ends_the_job_with_its_reason_and_keeps_nothing_else(world: World) -> None:
    ref = ask_for_work(world)
    assert attempt(world, ref, fails_with(Permanent("no such thing"))) is Result.FAILED
    assert (marks(world), world.job(ref).state, world.job(ref).outcome) == (0, JobState.FAILED, "no such thing")


def test_a_persistent_stage_does_not_fail_for_good(world: World) -> None:
    ref = ask_for_work(world)
    assert attempt(world, ref, fails_with(Permanent("no keys here")), is_persistent=True) is Result.POSTPONED
    assert world.job(ref).state is JobState.PENDING


def test_a_defect_is_tried_again_a_few_times_and_then_recorded(world: World) -> None:
    ref = ask_for_work(world)
    results = []
    for _ in range(world.fleet.policy.defect_attempts_max):
        results.append(attempt(world, ref, fails_with(ZeroDivisionError("by zero"))))
        world.clock.advance(60)
    assert results == [Result.POSTPONED] * 4 + [Result.FAILED]
    assert (marks(world), world.job(ref).outcome) == (0, "ZeroDivisionError: by zero")


def test_what_a_stage_does_with_failure_is_kept_with_the_failure(world: World) -> None:
    ref = ask_for_work(world)

    def on_failed(fleet: Fleet, uow: UnitOfWork, job: Job, reason: str) -> None:
        leave_a_mark(fleet, uow, job)

    assert attempt(world, ref, fails_with(Permanent("no")), on_failed=on_failed) is Result.FAILED
    assert marks(world) == 1
    assert len(world.bus.rung) == 1


def test_a_failure_that_its_stage_cannot_record_still_ends_the_job(world: World) -> None:
    ref = ask_for_work(world)

    def on_failed(fleet: Fleet, uow: UnitOfWork, job: Job, reason: str) -> None:
        raise Permanent("not even that")

    assert attempt(world, ref, fails_with(Permanent("no such signal")), on_failed=on_failed) is Result.FAILED
    assert (world.job(ref).state, world.job(ref).outcome) == (JobState.FAILED, "no such signal")


def test_a_job_that_comes_too_late_expires_and_its_handler_is_not_called(world: World) -> None:
    ref = ask_for_work(world, expires_in=timedelta(seconds=10))
    world.clock.advance(10)
    assert attempt(world, ref, leave_a_mark) is Result.EXPIRED
    assert (marks(world), world.job(ref).state) == (0, JobState.EXPIRED)


def test_a_stage_may_say_what_expiry_means(world: World) -> None:
    ref = ask_for_work(world, expires_in=timedelta(seconds=10))
    world.clock.advance(11)
    assert attempt(world, ref, fails_with(Permanent("not me")), on_expired=leave_a_mark) is Result.EXPIRED
    assert (marks(world), world.job(ref).outcome) == (1, "marked")


class LosesAnswers:
    """A store whose commits hold, or do not, and whose answers are lost."""

    def __init__(self, world: World, *, keeps: bool, times: int = 1) -> None:
        self._store, self._keeps, self._left = world.store, keeps, times

    def unit_of_work(self, tenant_id: UUID | None) -> Any:
        unit = self._store.unit_of_work(tenant_id)
        commit = unit.commit

        def lose() -> list[JobRef]:
            if self._left == 0:
                return commit()
            self._left -= 1
            if self._keeps:
                commit()
                raise OutcomeUnknown("the connection was lost during COMMIT")
            raise Transient("the connection was lost before COMMIT")

        unit.commit = lose  # type: ignore[method-assign]
        return unit


def test_a_lost_commit_that_held_leaves_nothing_to_claim(world: World) -> None:
    ref = ask_for_work(world)
    fleet = replace_store(world, LosesAnswers(world, keeps=True))
    assert run(fleet, {Stage.SCAN: Routine(leave_a_mark)}, ref) is Result.UNKNOWN
    assert attempt(world, ref, leave_a_mark) is Result.NOTHING_TO_CLAIM
    assert marks(world) == 1


def test_a_lost_commit_that_did_not_hold_leaves_the_job_to_the_next_attempt(world: World) -> None:
    ref = ask_for_work(world)
    fleet = replace_store(world, LosesAnswers(world, keeps=False))
    assert run(fleet, {Stage.SCAN: Routine(leave_a_mark)}, ref) is Result.POSTPONED
    assert marks(world) == 0
    world.clock.advance(60)
    assert attempt(world, ref, leave_a_mark) is Result.DONE


def test_a_job_that_cannot_be_put_off_stays_for_the_relay(world: World) -> None:
    ref = ask_for_work(world)
    fleet = replace_store(world, LosesAnswers(world, keeps=False, times=2))
    assert run(fleet, {Stage.SCAN: Routine(leave_a_mark)}, ref) is Result.POSTPONED
    assert (world.job(ref).state, world.job(ref).attempts) == (JobState.PENDING, 0)


def test_a_job_that_another_worker_finished_meanwhile_is_not_put_off(world: World) -> None:
    ref = ask_for_work(world)

    class TakenByAnother(LosesAnswers):
        def unit_of_work(self, tenant_id: UUID | None) -> Any:
            if self._left == 0:
                attempt(world, ref, leave_a_mark)
            return super().unit_of_work(tenant_id)

    fleet = replace_store(world, TakenByAnother(world, keeps=False))
    assert run(fleet, {Stage.SCAN: Routine(leave_a_mark)}, ref) is Result.NOTHING_TO_CLAIM
    assert world.job(ref).state is JobState.DONE


def test_a_ring_that_fails_loses_nothing_because_the_relay_rings_again(world: World) -> None:
    ref = ask_for_work(world)
    world.bus.fails = Transient("broker: connection refused")
    assert attempt(world, ref, leave_a_mark) is Result.DONE
    assert world.bus.rung == []
    world.bus.fails = None
    world.clock.advance(1.1)
    assert relay.relay_jobs(world.fleet) == 1
    assert [world.job(rung).key for rung in world.bus.rung] == ["after work"]


def test_the_relay_lets_young_jobs_be_and_rings_for_old_ones_only_now_and_then(world: World) -> None:
    ref = ask_for_work(world)
    world.clock.advance(0.9)
    assert relay.relay_jobs(world.fleet) == 0
    world.clock.advance(0.2)
    assert relay.relay_jobs(world.fleet) == 1
    world.clock.advance(world.fleet.policy.relay_quiet_s - 0.1)
    assert relay.relay_jobs(world.fleet) == 0
    world.clock.advance(0.2)
    assert relay.relay_jobs(world.fleet) == 1
    assert world.bus.rung == [ref, ref]


def test_the_relay_rings_for_what_was_put_off_as_soon_as_it_is_due(world: World) -> None:
    """Its message is spent, and nobody has sent another one that might be on its way."""
    ref = ask_for_work(world)
    attempt(world, ref, fails_with(AskAgain("not yet", 5)))
    world.clock.advance(4.9)
    assert relay.relay_jobs(world.fleet) == 0
    world.clock.advance(0.2)
    assert relay.relay_jobs(world.fleet) == 1
    attempt(world, ref, fails_with(AskAgain("not yet", 0)))
    world.clock.advance(world.fleet.policy.retry_base_s)
    assert relay.relay_jobs(world.fleet) == 1


def test_the_relay_goes_through_a_backlog_instead_of_repeating_its_beginning(world: World) -> None:
    world.fleet.policy = replace(world.fleet.policy, relay_batch=2)
    refs = {ask_for_work(world, f"work {number}") for number in range(5)}
    world.clock.advance(2)
    counts = [relay.relay_jobs(world.fleet) for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    assert set(world.bus.rung) == refs


def test_an_evaluation_that_fails_for_good_is_the_outcome_of_the_signal(world: World, house: House) -> None:
    signal = world.announce()
    world.venue.prices.clear()
    ref = world.take(Stage.EVALUATE)
    results = []
    for _ in range(world.fleet.policy.defect_attempts_max):
        results.append(world.run(ref))
        world.clock.advance(5)
    decision = world.decision(house, signal)
    assert results[-1] is Result.FAILED
    assert decision is not None
    assert (decision.outcome, decision.inputs["reason"][:8]) == (DecisionOutcome.FAILED, "KeyError")


def test_an_evaluation_of_a_signal_that_never_was_ends_without_a_decision(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        payload = {"signal_id": str(UUID(int=9)), "account_id": str(house.account.id), "advice_id": None}
        ref = uow.jobs.add(
            Stage.EVALUATE,
            "risk:of:nothing",
            tenant_id=house.tenant.id,
            payload=payload,
            now=world.clock.now(),
            correlation_id=UUID(int=9),
        )
        uow.commit()
    assert world.run(ref) is Result.FAILED
    assert "no signal" in world.job(ref).outcome


def replace_store(world: World, store: Any) -> Fleet:
    """The world's fleet on another store."""
    return replace(world.fleet, store=store)
