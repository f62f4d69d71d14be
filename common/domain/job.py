"""Jobs: the one way a stage hands work over; the key says what the work is, so asking twice is harmless."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from common.domain.signal import NAMESPACE


class Stage(StrEnum):
    """Every stage that consumes jobs."""

    SCAN = "signal.scan"
    CONFIRM = "llm.confirm"
    EVALUATE = "risk.evaluate"
    PLACE = "execution.place"
    SETTLE = "execution.settle"
    CANCEL = "execution.cancel"
    MONITOR = "position.monitor"


class JobState(StrEnum):
    """PENDING until claimed and finished; DONE, EXPIRED (too late to act) and FAILED (permanently) are final."""

    PENDING = "pending"
    DONE = "done"
    EXPIRED = "expired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobRef:
    """What a message says of a job: ids only. `tenant_id` is None for market-wide work."""

    id: UUID
    stage: Stage
    tenant_id: UUID | None


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work: claimed, decided and finished in one transaction with its successors."""

    id: UUID
    stage: Stage
    tenant_id: UUID | None
    key: str
    payload: Mapping[str, Any]
    correlation_id: UUID
    causation_id: UUID | None
    created_at: datetime
    available_at: datetime
    expires_at: datetime | None
    attempts: int
    state: JobState = JobState.PENDING
    outcome: str = ""

    @property
    def ref(self) -> JobRef:
        """The job as a message names it."""
        return JobRef(self.id, self.stage, self.tenant_id)


def job_id(stage: Stage, key: str) -> UUID:
    """The one id of (stage, key)."""
    return uuid5(NAMESPACE, f"job|{stage}|{key}")
