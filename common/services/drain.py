"""Brings the fleet to rest: nothing new is begun, what was begun is finished, and then the books are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.domain.codec import encode
from common.domain.job import JobRef
from common.domain.order import OrderStatus
from common.services.fleet import Fleet
from common.services.invariants import check_invariants
from common.services.monitor_account import monitor_account, visit_account
from common.services.reconcile_account import reconcile_account
from common.services.reconcile_cash import reconcile_cash
from common.services.routines import ROUTINES
from common.services.stage import run
from common.services.ticks import each_account

UNSETTLED = (OrderStatus.INTENDED, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is under way: jobs that wait, and orders whose fate is open."""

    jobs: int
    orders: int

    @property
    def is_empty(self) -> bool:
        """Whether the fleet is at rest."""
        return self.jobs == 0 and self.orders == 0


def backlog(fleet: Fleet) -> Backlog:
    """What is under way now, over all tenants."""
    with fleet.store.operator() as view:
        counts: dict[str, Any] = encode(view.counts())
    return Backlog(
        jobs=counts["jobs"].get("pending", 0),
        orders=sum(counts["orders"].get(status.value, 0) for status in UNSETTLED),
    )


def work_off(fleet: Fleet) -> Backlog:
    """Visit every account and run the jobs that nobody has claimed for a while; returns what is left.

    Safe beside workers: whoever claims a job first runs it, everybody else finds nothing to do. Safe to call again and
    again: whoever is under way is looked at as often as the venue's rate limit bears.
    """
    each_account(fleet, visit_account)
    for ref in _forgotten(fleet):
        run(fleet, ROUTINES, ref)
    return backlog(fleet)


def compare_books(fleet: Fleet, attempts: int = 5) -> dict[str, Any]:
    """The invariants of a fleet at rest.

    The market does not rest: a stop may fill at the venue between two looks. So every account is visited just before, and
    a difference counts only when it is still there after `attempts` comparisons.
    """
    found: dict[str, Any] = {}
    for _ in range(max(attempts, 1)):
        each_account(fleet, monitor_account)
        each_account(fleet, reconcile_account)
        work_off(fleet)
        each_account(fleet, reconcile_cash)
        found = check_invariants(fleet)
        if not found["differences"]:
            break
    return found


def _forgotten(fleet: Fleet) -> list[JobRef]:
    now = fleet.clock.now()
    grace = fleet.clock.transport(fleet.policy.relay_grace_s)
    with fleet.store.unit_of_work(None) as uow:
        return uow.jobs.due(now, older_than=now - grace, limit=fleet.policy.relay_batch)
