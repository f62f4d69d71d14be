"""Jobs: outbox and inbox in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from common.domain.errors import Permanent
from common.domain.job import Job, JobRef, JobState, Stage, job_id
from common.store import tables
from common.store.codecs import JOB
from common.store.session import Session, array_text, plain_json, quoted_array

_COLUMNS = "id, tenant_id, stage, key, payload, correlation_id, causation_id, created_at, available_at, expires_at"

_BATCH = """
    CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), CAST(:stages AS text[]), CAST(:keys AS text[]),
    CAST(:payloads AS jsonb[]), CAST(:correlations AS uuid[]), CAST(:causations AS uuid[]),
    CAST(:created AS timestamptz[]), CAST(:available AS timestamptz[]), CAST(:expires AS timestamptz[])
"""

_QUOTED = frozenset({"keys", "payloads"})

_ADD_OWN = f"INSERT INTO jobs ({_COLUMNS}) SELECT * FROM unnest({_BATCH}) ON CONFLICT DO NOTHING RETURNING id"

_HAND_OVER = f"SELECT id FROM hand_over_jobs({_BATCH}) AS id"

# What was never put off is due as soon as it is there, though the clock of whoever added it be ahead of ours.
_CLAIM = """
    SELECT * FROM jobs
    WHERE id = ANY (CAST(:ids AS uuid[])) AND state = 'pending' AND (available_at <= :now OR available_at = created_at)
    ORDER BY id
    FOR UPDATE SKIP LOCKED
"""

_FINISH = """
    UPDATE jobs SET state = :state, outcome = :outcome, finished_at = :now
    WHERE id = :id AND state = 'pending'
"""

_POSTPONE = """
    UPDATE jobs SET available_at = :available_at, outcome = :error, attempts = attempts + 1
    WHERE id = :id AND state = 'pending'
"""


@dataclass(frozen=True, slots=True)
class StageDepth:
    """How much waits for a stage, and for how long its oldest job has been due, in seconds."""

    stage: Stage
    pending: int
    oldest_age_s: float


@dataclass(frozen=True, slots=True)
class _Addition:
    ref: JobRef
    parameters: tuple[Any, ...]
    is_available: bool


class Jobs:
    """Additions are collected and written by the commit, all in one statement."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._additions: list[_Addition] = []

    def add(
        self,
        stage: Stage,
        key: str,
        *,
        tenant_id: UUID | None,
        payload: Mapping[str, Any],
        now: datetime,
        correlation_id: UUID,
        available_at: datetime | None = None,
        expires_at: datetime | None = None,
        causation_id: UUID | None = None,
    ) -> JobRef:
        """Add the work that `key` names, unless it was asked for before."""
        ref = JobRef(job_id(stage, key), stage, tenant_id)
        available = available_at or now
        parameters = (
            ref.id,
            tenant_id,
            stage.value,
            key,
            plain_json(payload),
            correlation_id,
            causation_id,
            now,
            available,
            expires_at,
        )
        self._additions.append(_Addition(ref, parameters, available <= now))
        return ref

    def flush(self) -> list[JobRef]:
        """Write the additions; returns those that are new and may be worked on at once."""
        if not self._additions:
            return []
        additions, self._additions = self._additions, []
        names: tuple[str, ...] = ("ids", "tenants", "stages", "keys", "payloads", "correlations", "causations")
        names += ("created", "available", "expires")
        columns = zip(*(addition.parameters for addition in additions), strict=True)
        statement = _HAND_OVER if self._session.tenant_id is None else _ADD_OWN
        rows = self._session.all(
            statement,
            {
                name: (quoted_array if name in _QUOTED else array_text)(column)
                for name, column in zip(names, columns, strict=True)
            },
        )
        new = {row.id for row in rows}
        fresh = {addition.ref.id: addition.ref for addition in additions if addition.is_available}
        return [ref for identity, ref in fresh.items() if identity in new]

    def claim(self, job_id: UUID, now: datetime) -> Job | None:
        """The job, locked until this transaction ends; None when it is done, taken, not due or not there."""
        claimed = self.claim_many([job_id], now)
        return claimed[0] if claimed else None

    def claim_many(self, ids: Sequence[UUID], now: datetime) -> list[Job]:
        """Those of `ids` that can be claimed now."""
        return [JOB.value(row) for row in self._session.all(_CLAIM, {"ids": array_text(ids), "now": now})]

    def get(self, job_id: UUID) -> Job | None:
        """The job as it stands, if this context owns it."""
        row = self._session.first("SELECT * FROM jobs WHERE id = :id", {"id": job_id})
        return JOB.value(row) if row else None

    def add_refused(
        self, task_id: UUID, stage: Stage | str, payload: Mapping[str, Any], reason: str, now: datetime
    ) -> bool:
        """Keep a request that was refused before it became work, under the id it came with; False when it is known."""
        row: dict[str, Any] = {
            "id": task_id,
            "tenant_id": self._session.tenant_id,
            "stage": Stage(stage).value,
            "finished_at": now,
        }
        row |= {"key": f"refused:{task_id}", "payload": dict(payload), "correlation_id": task_id, "created_at": now}
        row |= {"available_at": now, "state": JobState.FAILED.value, "outcome": reason}
        return self._session.add_once(tables.jobs, row)

    def finish(self, job: Job, state: JobState, outcome: str, now: datetime) -> None:
        """End a claimed job."""
        parameters = {"id": job.id, "state": state.value, "outcome": outcome, "now": now}
        if self._session.changed(_FINISH, parameters) != 1:
            raise Permanent(f"job {job.id} is not pending any more")

    def postpone(self, job: Job, available_at: datetime, error: str) -> None:
        """Leave a claimed job pending until `available_at`."""
        self._session.changed(_POSTPONE, {"id": job.id, "available_at": available_at, "error": error})

    def due(self, now: datetime, older_than: datetime, limit: int, quiet: timedelta = timedelta(0)) -> list[JobRef]:
        """Pending jobs of all tenants: put off until now, rung for before `older_than`, or too late; oldest first.

        Remembers what it names, and leaves out what it named within the last `quiet` and what is claimed just now.
        """
        rows = self._session.all(
            "SELECT id, stage, tenant_id FROM due_jobs(:now, :older_than, :quiet, :limit)",
            {"now": now, "older_than": older_than, "quiet": quiet, "limit": limit},
        )
        return [JobRef(row.id, Stage(row.stage), row.tenant_id) for row in rows]

    def depths(self, now: datetime) -> list[StageDepth]:
        """What is due in each stage, over all tenants; stages with nothing due are left out."""
        rows = self._session.all("SELECT stage, pending, oldest FROM job_depths(:now)", {"now": now})
        return [StageDepth(Stage(row.stage), row.pending, max((now - row.oldest).total_seconds(), 0.0)) for row in rows]
