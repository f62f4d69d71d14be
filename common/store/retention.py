"""Retention: what may be forgotten, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from common.domain.errors import InvalidInput
from common.store.session import Session

_PRUNE = {
    "jobs": "SELECT prune_jobs(:cutoff)",
    "equity": "SELECT prune_equity(:cutoff)",
    "nonces": "WITH gone AS (DELETE FROM nonces WHERE used_at < :cutoff RETURNING 1) SELECT count(*) FROM gone",
    "market_snapshots": "SELECT drop_snapshot_months(:cutoff)",
    "heartbeats": "WITH gone AS (DELETE FROM heartbeats WHERE seen_at < :cutoff RETURNING 1) SELECT count(*) FROM gone",
}


def prune(session: Session, cutoffs: Mapping[str, datetime]) -> dict[str, int]:
    """Delete finished jobs, equity snapshots, nonces and heartbeats older than their cutoff; returns how many of each.

    Of market snapshots the months go that ended before it, each of them counted once. The ledger, the decisions and the audit trail are never forgotten. Raises InvalidInput for any other name.
    """
    for name in cutoffs:
        if name not in _PRUNE:
            raise InvalidInput("cutoffs", name, f"one of {', '.join(sorted(_PRUNE))}")
    return {name: int(session.scalar(_PRUNE[name], {"cutoff": cutoff})) for name, cutoff in cutoffs.items()}
