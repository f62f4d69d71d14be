"""The stage helper: turns a use case into a Celery task that is a doorbell and nothing more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any
from uuid import UUID

from common.domain.errors import InvalidInput, OutcomeUnknown, Permanent, Transient
from common.domain.job import JobRef, Stage
from common.services.fleet import Fleet
from common.services.routines import ROUTINES
from common.services.stage import run
from common.telemetry import bound, metrics
from workers.app import app
from workers.fleet import current_fleet
from workers.queues import STAGE_QUEUES
from workers.seal import objection_now

log = logging.getLogger(__name__)

TICK_S_MAX = 60
"""Longest run of a tick's task; it is asked to end five seconds earlier."""

Request = Callable[..., JobRef]


def stage(name: Stage) -> Callable[[Request], Any]:
    """A task of stage `name`: with `jobs` it runs them; with readable arguments it asks the decorated function first.

    The decorated function turns readable arguments (`celery call`) into the job they mean. What cannot be meant is
    answered in the log and kept as a failed job under the task's id, for `tradewinds why`. A message that names jobs
    without a seal of ours is not heard at all; readable arguments need none, for they can only name what exists.
    """

    def decorate(request: Request) -> Any:
        @wraps(request)
        def ring(self: Any, jobs: list[list[str | None]] | None = None, seal: Any = None, **readable: Any) -> None:
            if jobs is not None and _is_forged(name, jobs, seal):
                return
            fleet = current_fleet()
            refs = _asked(fleet, self, name, request, jobs, readable)
            for ref in refs:
                _run(fleet, ref)

        limit = STAGE_QUEUES[name].limit_s
        return app.task(name=name.value, bind=True, time_limit=limit, soft_time_limit=limit - 5)(ring)

    return decorate


def _is_forged(name: Stage, jobs: list[list[str | None]], seal: object) -> bool:
    why = objection_now(name, jobs, seal)
    if why:
        # What a forger wrote does not belong into our log.
        log.warning("a message for %s was dropped: %s", name.value, why)
        metrics().job(name.value, "forged", 0.0)
    return bool(why)


def _named(name: Stage, jobs: list[list[str | None]]) -> list[JobRef]:
    try:
        return [JobRef(UUID(job), name, UUID(tenant) if tenant else None) for job, tenant in jobs]
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput("jobs", jobs, "pairs of a job's id and its tenant's id or null") from None


def _asked(
    fleet: Fleet,
    task: Any,
    name: Stage,
    request: Request,
    jobs: list[list[str | None]] | None,
    readable: Mapping[str, Any],
) -> list[JobRef]:
    try:
        return [request(fleet, **readable)] if jobs is None else _named(name, jobs)
    except (Permanent, TypeError) as error:
        reason = str(error).replace(f"{request.__name__}()", name.value)
        wanted = dict(readable) | ({} if jobs is None else {"jobs": jobs})
        log.error("%s %s refused: %s", name.value, wanted, reason)
        with fleet.store.unit_of_work(None) as uow:
            uow.jobs.add_refused(UUID(task.request.id), name.value, wanted, reason, fleet.clock.now())
            uow.commit()
        return []


def _run(fleet: Fleet, ref: JobRef) -> None:
    started = fleet.clock.monotonic()
    with bound(stage=ref.stage.value, job=str(ref.id), tenant=str(ref.tenant_id or "")):
        outcome = run(fleet, ROUTINES, ref)
        metrics().job(ref.stage.value, outcome.value, fleet.clock.monotonic() - started)


def tick(name: str, queue: str) -> Callable[[Callable[..., object]], Any]:
    """A task that a beat rings: idempotent, never retried; a Transient failure or a lost COMMIT is left to the next tick."""

    def decorate(function: Callable[..., object]) -> Any:
        @wraps(function)
        def ring(**arguments: Any) -> None:
            fleet = current_fleet()
            started = fleet.clock.monotonic()
            with bound(task=name):
                try:
                    function(fleet, **arguments)
                    outcome = "done"
                except (Transient, OutcomeUnknown) as error:
                    # A tick is harmless twice: whether a lost COMMIT held need not be known.
                    log.warning("%s waits for its next tick: %s", name, error)
                    outcome = "postponed"
                except (Permanent, TypeError) as error:
                    log.error("%s %s refused: %s", name, arguments, error)
                    outcome = "failed"
                metrics().job(name, outcome, fleet.clock.monotonic() - started)

        return app.task(name=name, queue=queue, time_limit=TICK_S_MAX, soft_time_limit=TICK_S_MAX - 5)(ring)

    return decorate
