"""The position stage: visits accounts, learns what happened, guards what is open."""

from __future__ import annotations

from typing import Any

from common.services.fleet import Fleet
from common.services.invariants import find_account
from common.services.monitor_account import monitor_account
from common.services.tenants import find_tenant
from common.services.ticks import active_accounts
from workers.app import app
from workers.stage import tick


@tick("position.monitor", "position")
def monitor(fleet: Fleet, tenant: str, account: str | None = None) -> None:
    """Visit one account of a tenant, by name or id."""
    owner = find_tenant(fleet, tenant)
    monitor_account(fleet, owner.id, find_account(fleet, owner.id, account).id)


@tick("position.visit", "position")
def visit(fleet: Fleet, tenant_id: str, account_id: str) -> None:
    """Visit one account, by ids."""
    from uuid import UUID

    monitor_account(fleet, UUID(tenant_id), UUID(account_id))


@tick("position.tick", "maintenance")
def visits(fleet: Fleet, **_: Any) -> None:
    """Ring for a visit of every account."""
    for tenant_id, account_id in active_accounts(fleet):
        arguments = {"tenant_id": str(tenant_id), "account_id": str(account_id)}
        app.send_task("position.visit", kwargs=arguments, queue="position", expires=10)
