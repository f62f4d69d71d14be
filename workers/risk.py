"""The risk stage: one verdict per signal and account."""

from __future__ import annotations

from common.domain.job import JobRef, Stage
from common.services import request
from common.services.fleet import Fleet
from workers.stage import stage


@stage(Stage.EVALUATE)
def evaluate(fleet: Fleet, tenant: str, signal: str, account: str | None = None) -> JobRef:
    """Judge a signal for a tenant's account."""
    return request.evaluation(fleet, tenant, signal, account)
