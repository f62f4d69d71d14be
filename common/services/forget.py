"""maintenance.retention: forgets what nobody will ask for again; ledger, decisions and audit trail are kept for ever."""

from __future__ import annotations

from common.services.fleet import Fleet


def forget(fleet: Fleet) -> dict[str, int]:
    """Forget what is older than the policy remembers; returns how much of each kind went, months of market snapshots.

    A finished job is remembered for much longer than anything may still ring for it.
    """
    now, policy = fleet.clock.now(), fleet.policy
    cutoffs = {
        "jobs": now - policy.work_memory,
        "heartbeats": now - policy.work_memory,
        "nonces": now - policy.work_memory,
        "equity": now - policy.market_memory,
        "market_snapshots": now - policy.market_memory,
    }
    with fleet.store.unit_of_work(None) as uow:
        gone = uow.prune(cutoffs)
        uow.commit()
    return gone
