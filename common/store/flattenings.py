"""How far closing everything has come, account by account: what was still seen at the venue, and since when nothing is."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from common.store import tables
from common.store.session import Session


@dataclass(frozen=True, slots=True)
class Flattening:
    """One account under one FLATTEN halt, as last seen; `flat_at` is set once neither venue nor ledger showed anything."""

    tenant_id: UUID
    account_id: UUID
    epoch: int
    halted_at: datetime
    seen_at: datetime
    at_venue: tuple[str, ...]
    in_ledger: tuple[str, ...]
    flat_at: datetime | None


class Flattenings:
    """One tenant's accounts on their way to being flat."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def flat(self, account_id: UUID) -> set[int]:
        """Epochs of the halts that the account was seen flat under."""
        statement = "SELECT epoch FROM flattenings WHERE account_id = :account AND flat_at IS NOT NULL"
        return {int(row.epoch) for row in self._session.all(statement, {"account": account_id})}

    def note(
        self,
        account_id: UUID,
        epoch: int,
        halted_at: datetime,
        at_venue: Sequence[str],
        in_ledger: Sequence[str],
        now: datetime,
    ) -> bool:
        """Keep what was seen at `now`; whether that is nothing, which ends the flattening."""
        is_flat = not at_venue and not in_ledger
        row = {"tenant_id": self._session.tenant(), "account_id": account_id, "epoch": epoch, "halted_at": halted_at}
        row |= {"seen_at": now, "at_venue": list(at_venue), "in_ledger": list(in_ledger)}
        self._session.put(tables.flattenings, row | {"flat_at": now if is_flat else None})
        return is_flat

    def list(self) -> builtins.list[Flattening]:
        """Every account of the tenant under every FLATTEN halt, the newest halt first."""
        return rows_of(self._session)


def rows_of(session: Session) -> builtins.list[Flattening]:
    """All rows that the session may see, the newest halt first."""
    table = tables.flattenings
    statement = select(table).order_by(table.c.epoch.desc(), table.c.tenant_id, table.c.account_id)
    return [
        Flattening(**dict(row._mapping) | {"at_venue": tuple(row.at_venue), "in_ledger": tuple(row.in_ledger)})
        for row in session.all(statement)
    ]
