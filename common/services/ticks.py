"""What the beats ask for: every tick names its work and leaves the doing to jobs and to visits of accounts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from common.domain.errors import TradewindsError
from common.services.fleet import Fleet

log = logging.getLogger(__name__)

Visit = Callable[[Fleet, UUID, UUID], object]


def each_account(fleet: Fleet, visit: Visit) -> int:
    """Visit every account in turn; one that fails is logged and does not keep the others from their visit."""
    visited = 0
    for tenant_id, account_id in active_accounts(fleet):
        try:
            visit(fleet, tenant_id, account_id)
            visited += 1
        except TradewindsError as error:
            log.warning("%s of account %s failed: %s", getattr(visit, "__name__", "visit"), account_id, error)
    return visited


def active_accounts(fleet: Fleet) -> list[tuple[UUID, UUID]]:
    """(tenant, account) of every account there is to look after."""
    with fleet.store.unit_of_work(None) as uow:
        return uow.accounts.active()
