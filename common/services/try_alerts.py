"""Lets people see whether their alerts get through."""

from __future__ import annotations

from common.ports.notifier import OPERATOR
from common.services.fleet import Fleet
from common.services.tenants import find_tenant


def try_alerts(fleet: Fleet, tenant: str | None) -> str:
    """Send a test alert to `tenant`, by name or id, or to the operator; returns whom, and raises what a channel raises."""
    whom = find_tenant(fleet, tenant).name if tenant else OPERATOR
    fleet.notifier.notify(whom, "test", "Alerts get through", "This is what `tradewinds alert` sends.")
    return whom or "operator"
