"""Keeps what markets looked like when candles closed, once for everybody, for as long as the policy says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from common.domain.snapshot import MarketSnapshot
from common.services.fleet import Fleet


def keep_snapshots(fleet: Fleet, snapshots: Sequence[MarketSnapshot]) -> int:
    """Store `snapshots`; returns how many. Those that come after a scan looked for them are left out: they are late."""
    with fleet.store.unit_of_work(None) as uow:
        kept = uow.snapshots.save(snapshots)
        uow.commit()
    return kept


@dataclass(frozen=True, slots=True)
class KeptSnapshots:
    """Of one market: snapshots, closes that a scan found without one, first and last, and how many tell what."""

    venue: str
    symbol: str
    snapshots: int
    missing: int
    first: datetime
    last: datetime
    books: int
    tapes: int
    marks: int
    open_interests: int


def list_snapshots(fleet: Fleet) -> list[KeptSnapshots]:
    """Every market of which there is anything."""
    with fleet.store.unit_of_work(None) as uow:
        return [KeptSnapshots(*row) for row in uow.snapshots.kept()]
