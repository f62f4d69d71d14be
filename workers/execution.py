"""The execution stage: orders placed once, asked about while in doubt, cancelled until the venue says so."""

from __future__ import annotations

from common.domain.job import JobRef, Stage
from common.services import request
from common.services.fleet import Fleet
from workers.stage import stage


@stage(Stage.PLACE)
def place(fleet: Fleet, tenant: str, order: str) -> JobRef:
    """Place an order that risk approved and that has not left yet."""
    return request.order_job(fleet, Stage.PLACE, tenant, order)


@stage(Stage.SETTLE)
def settle(fleet: Fleet, tenant: str, order: str) -> JobRef:
    """Ask the venue what became of an order in doubt."""
    return request.order_job(fleet, Stage.SETTLE, tenant, order)


@stage(Stage.CANCEL)
def cancel(fleet: Fleet, tenant: str, order: str) -> JobRef:
    """Cancel a working order."""
    return request.order_job(fleet, Stage.CANCEL, tenant, order)
