"""Alerts: what people are told of at once; what it is about is kept already, so that nothing hangs on their being told."""

from __future__ import annotations

import logging
from uuid import UUID

from common.domain.errors import TradewindsError
from common.ports.notifier import OPERATOR
from common.services.fleet import Fleet

log = logging.getLogger(__name__)


def tell(fleet: Fleet, kind: str, title: str, body: str, *, tenant_id: UUID | None = None) -> None:
    """Tell the operator, and the tenant whom it concerns, by name; who cannot be told now reads it in the audit trail."""
    for whom in (*_names(fleet, tenant_id), OPERATOR):
        try:
            fleet.notifier.notify(whom, kind, title, body)
        except TradewindsError as error:
            log.warning("%s was not told of %s: %s", whom or "the operator", kind, error)


def _names(fleet: Fleet, tenant_id: UUID | None) -> list[str]:
    if tenant_id is None:
        return []
    with fleet.store.unit_of_work(tenant_id) as uow:
        tenant = uow.tenants.get(tenant_id)
    return [] if tenant is None else [tenant.name]
