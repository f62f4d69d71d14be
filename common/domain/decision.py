"""Decisions: the one outcome every signal has for every tenant that subscribes to it, with its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from common.domain.risk.verdict import Veto
from common.domain.signal import NAMESPACE


class DecisionOutcome(StrEnum):
    """What became of a signal for a tenant."""

    APPROVED = "approved"
    VETOED = "vetoed"
    EXPIRED = "expired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict as it is kept: unique by (tenant, account, signal); `inputs` hold all that the judges saw."""

    id: UUID
    tenant_id: UUID
    account_id: UUID
    signal_id: UUID
    outcome: DecisionOutcome
    veto: Veto | None
    order_id: UUID | None
    advice_id: UUID | None
    inputs: Mapping[str, Any]
    occurred_at: datetime


def decision_id(tenant: UUID, account: UUID, signal: UUID) -> UUID:
    """The one id of a tenant's decision on a signal."""
    return uuid5(NAMESPACE, f"decision|{tenant}|{account}|{signal}")
