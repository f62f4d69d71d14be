"""How every job runs: claim, decide, write state and successors, mark done, commit, ring."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from common.domain.errors import AskAgain, OutcomeUnknown, Permanent, TradewindsError, Transient
from common.domain.job import Job, JobRef, JobState, Stage
from common.services.fleet import Fleet
from common.store import UnitOfWork

log = logging.getLogger(__name__)

Handler = Callable[[Fleet, UnitOfWork, Job], str]
"""Decides one claimed job; writes into the unit of work and returns the outcome in a few words.

Asks the world first and writes last: no row but the job's own is locked while a port is being waited for.
"""


class Result(StrEnum):
    """What became of one ring of the doorbell."""

    DONE = "done"
    EXPIRED = "expired"
    FAILED = "failed"
    POSTPONED = "postponed"
    NOTHING_TO_CLAIM = "nothing_to_claim"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Routine:
    """What a stage does with a job, with one that came too late, and with one that failed for good.

    An `is_persistent` stage has no such thing as failing for good: its question must be answered one day.
    """

    handle: Handler
    on_expired: Handler | None = None
    on_failed: Callable[[Fleet, UnitOfWork, Job, str], None] | None = None
    is_persistent: bool = False


def run(fleet: Fleet, routines: Mapping[Stage, Routine], ref: JobRef) -> Result:
    """Run the job of `ref` once if it can be claimed; safe to call any number of times, at once or later.

    One transaction holds the claim and all that the handler writes. Transient failures postpone the job, permanent
    ones end it; in both cases nothing else of the attempt is kept. A lost COMMIT leaves the job to the relay. A defect
    of ours is tried again a few times in case it was the moment's, then recorded: it is never rung for without end.
    """
    routine = routines[ref.stage]
    try:
        return _attempt(fleet, routine, ref)
    except OutcomeUnknown as error:
        log.warning("commit of job %s is in doubt, the relay will ring again: %s", ref.id, error)
        return Result.UNKNOWN
    except Transient as error:
        return _put_off(fleet, routine, ref, error, attempts_max=None)
    except Permanent as error:
        log.error("job %s of %s failed: %s", ref.id, ref.stage, error)
        return _put_off(fleet, routine, ref, error, attempts_max=0)
    except Exception as error:
        log.exception("job %s of %s hit a defect", ref.id, ref.stage)
        return _put_off(fleet, routine, ref, error, attempts_max=fleet.policy.defect_attempts_max)


def _attempt(fleet: Fleet, routine: Routine, ref: JobRef) -> Result:
    now = fleet.clock.now()
    with fleet.store.unit_of_work(ref.tenant_id) as uow:
        job = uow.jobs.claim(ref.id, now)
        if job is None:
            return Result.NOTHING_TO_CLAIM
        late = job.expires_at is not None and job.expires_at <= now
        if late:
            outcome = routine.on_expired(fleet, uow, job) if routine.on_expired else "expired before it was claimed"
            uow.jobs.finish(job, JobState.EXPIRED, outcome, fleet.clock.now())
        else:
            uow.jobs.finish(job, JobState.DONE, routine.handle(fleet, uow, job), fleet.clock.now())
        refs = uow.commit()
    fleet.publish(refs)
    return Result.EXPIRED if late else Result.DONE


def _put_off(fleet: Fleet, routine: Routine, ref: JobRef, error: Exception, attempts_max: int | None) -> Result:
    """Postpone the job, or end it where `attempts_max` (None = no end) is reached."""
    try:
        refs, is_over = _put_off_or_end(fleet, routine, ref, error, attempts_max)
    except Permanent as second:
        log.error("job %s cannot even be given up as its stage does: %s", ref.id, second)
        return _put_off(fleet, Routine(routine.handle), ref, error, attempts_max=0)
    except TradewindsError as second:
        log.warning("job %s could not be put off, the relay will ring again: %s", ref.id, second)
        return Result.POSTPONED
    if refs is None:
        return Result.NOTHING_TO_CLAIM
    fleet.publish(refs)
    return Result.FAILED if is_over else Result.POSTPONED


def _put_off_or_end(
    fleet: Fleet, routine: Routine, ref: JobRef, error: Exception, attempts_max: int | None
) -> tuple[Sequence[JobRef] | None, bool]:
    """(jobs to ring for, whether this one has ended); no jobs at all (None) where it could not be claimed."""
    with fleet.store.unit_of_work(ref.tenant_id) as uow:
        now = fleet.clock.now()
        job = uow.jobs.claim(ref.id, now)
        if job is None:
            return None, False
        is_over = attempts_max is not None and job.attempts + 1 >= attempts_max and not routine.is_persistent
        if is_over:
            _end(fleet, uow, routine, job, error, now)
        else:
            uow.jobs.postpone(job, now + fleet.clock.transport(_delay_s(fleet, job, error)), _text(error))
        return uow.commit(), is_over


def _end(fleet: Fleet, uow: UnitOfWork, routine: Routine, job: Job, error: Exception, now: datetime) -> None:
    if routine.on_failed is not None:
        routine.on_failed(fleet, uow, job, _text(error))
    uow.jobs.finish(job, JobState.FAILED, _text(error), now)


def _delay_s(fleet: Fleet, job: Job, error: Exception) -> float:
    if isinstance(error, AskAgain):
        return max(error.delay_s, fleet.policy.retry_base_s)
    return min(fleet.policy.retry_base_s * 2.0 ** min(job.attempts, 16), fleet.policy.retry_max_s)


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, TradewindsError) else f"{type(error).__name__}: {error}"
