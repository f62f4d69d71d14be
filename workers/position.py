"""The position stage: visits accounts, learns what happened, guards what is open."""

from __future__ import annotations

from typing import Any

from common.services.fleet import Fleet
from common.services.invariants import find_account
from common.services.monitor_account import monitor_account, visit_account
from common.services.tenants import find_tenant
from common.services.ticks import active_accounts
from workers.app import app
from workers.stage import tick


@tick("position.monitor", "position")
def monitor(fleet: Fleet, tenant: str, account: str | None = None) -> None:
    """Look at one account of a tenant, by name or id, whether that is due or not."""
    owner = find_tenant(fleet, tenant)
    monitor_account(fleet, owner.id, find_account(fleet, owner.id, account).id)


@tick("position.visit", "position")
def visit(fleet: Fleet, tenant_id: str, account_id: str) -> None:
    """Guard one account, by ids; it is looked at when that is due."""
    from uuid import UUID

    visit_account(fleet, UUID(tenant_id), UUID(account_id))


@tick("position.tick", "maintenance")
def visits(fleet: Fleet, **_: Any) -> None:
    """Ring for a visit of every account."""
    for tenant_id, account_id in active_accounts(fleet):
        arguments = {"tenant_id": str(tenant_id), "account_id": str(account_id)}
        app.send_task("position.visit", kwargs=arguments, queue="position", expires=10)
