"""What a tenant's last closed trades say; information for it and beside its decisions, never in a prompt."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from common.domain.codec import encode
from common.domain.feedback import RECENT, Feedback, feedback
from common.services.account_book import name_of
from common.services.fleet import Fleet
from common.store import UnitOfWork


def read_feedback(fleet: Fleet, tenant_id: UUID) -> dict[str, Any]:
    """What the tenant's last twenty closed trades say, over all and of each instrument."""
    with fleet.store.unit_of_work(tenant_id) as uow:
        name = name_of(uow, tenant_id)
        found = feedback(uow.recent.overall(RECENT), uow.recent.by_instrument(RECENT))
    encoded: dict[str, Any] = encode(found)
    return {"tenant": name, **encoded}


def feedback_on(uow: UnitOfWork, instrument: str) -> Feedback:
    """The tenant's feedback as it concerns one instrument: kept beside a decision, as information."""
    return feedback(uow.recent.overall(RECENT), uow.recent.of_instrument(instrument, RECENT))
