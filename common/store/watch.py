"""What is watched: strangers' orders, equity, workers' heartbeats and the bearers of tokens."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select

from common.store import tables
from common.store.ledger import page
from common.store.session import Session


@dataclass(frozen=True, slots=True)
class QuarantinedOrder:
    """An order at the venue that is none of ours."""

    account_id: UUID
    instrument: str
    venue_order_id: str
    client_order_id: str | None
    detail: str
    since: datetime


@dataclass(frozen=True, slots=True)
class EquitySnapshot:
    """What an account was worth at an instant."""

    tenant_id: UUID
    account_id: UUID
    occurred_at: datetime
    equity: Decimal
    wallet: Decimal
    unrealised: Decimal
    day_profit: Decimal


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker that was alive."""

    worker: str
    stage: str
    build: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who presents a token; `tenant_id` is None for the operator."""

    tenant_id: UUID | None
    name: str
    scopes: frozenset[str]


class Quarantine:
    """Orders that bear no id of ours; their instrument is closed for entries until somebody clears them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self,
        account_id: UUID,
        instrument: str,
        venue_order_id: str,
        client_order_id: str | None,
        detail: str,
        now: datetime,
    ) -> bool:
        """Keep a stranger's order; False when it was known, cleared or not."""
        row = {"tenant_id": self._session.tenant(), "account_id": account_id, "venue_order_id": venue_order_id}
        row |= {"instrument": instrument, "client_order_id": client_order_id, "detail": detail, "since": now}
        return self._session.add_once(tables.quarantine, row)

    def list(self, account_id: UUID) -> builtins.list[QuarantinedOrder]:
        """What is not cleared, oldest first."""
        rows = self._session.all(
            """
            SELECT account_id, instrument, venue_order_id, client_order_id, detail, since FROM quarantine
            WHERE account_id = :account AND cleared_at IS NULL ORDER BY since, venue_order_id
            """,
            {"account": account_id},
        )
        return [QuarantinedOrder(*row) for row in rows]

    def clear(self, account_id: UUID, venue_order_id: str, by: str, now: datetime) -> bool:
        """Declare a stranger's order explained; False when there is none."""
        return (
            self._session.changed(
                """
                UPDATE quarantine SET cleared_at = :now, cleared_by = :by
                WHERE account_id = :account AND venue_order_id = :order AND cleared_at IS NULL
                """,
                {"account": account_id, "order": venue_order_id, "by": by, "now": now},
            )
            == 1
        )


class Equity:
    """What accounts were worth over time."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def snapshot(
        self,
        account_id: UUID,
        equity: Decimal,
        wallet: Decimal,
        unrealised: Decimal,
        day_profit: Decimal,
        now: datetime,
    ) -> None:
        """Keep what the account is worth at `now`; a second snapshot of the same instant replaces the first."""
        row = {"tenant_id": self._session.tenant(), "account_id": account_id, "occurred_at": now, "equity": equity}
        self._session.put(tables.equity, row | {"wallet": wallet, "unrealised": unrealised, "day_profit": day_profit})

    def latest(self, account_id: UUID) -> EquitySnapshot | None:
        """The last snapshot, if any."""
        return next(iter(self.list(account_id, limit=1)), None)

    def list(
        self, account_id: UUID | None = None, limit: int = 500, before: datetime | None = None
    ) -> builtins.list[EquitySnapshot]:
        """The newest first."""
        statement = page(tables.equity, tables.equity.c.occurred_at, limit, before, account_id=account_id)
        return [EquitySnapshot(**row._mapping) for row in self._session.all(statement)]

    def since(self, account_id: UUID, since: datetime) -> builtins.list[EquitySnapshot]:
        """The account's snapshots at `since` or later, oldest first."""
        table = tables.equity
        statement = select(table).where(table.c.account_id == account_id, table.c.occurred_at >= since)
        return [EquitySnapshot(**row._mapping) for row in self._session.all(statement.order_by(table.c.occurred_at))]


class Heartbeats:
    """Signs of life."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def beat(self, worker: str, stage: str, build: str, now: datetime) -> None:
        """Say that `worker` is alive at `now`."""
        self._session.put(tables.heartbeats, {"worker": worker, "stage": stage, "build": build, "seen_at": now})

    def list(self) -> builtins.list[Heartbeat]:
        """Every worker ever seen and not pruned."""
        table = tables.heartbeats
        rows = self._session.all(select(table).order_by(table.c.stage, table.c.worker))
        return [Heartbeat(**row._mapping) for row in rows]


class Tokens:
    """Hashes of the tokens that open the API; the tokens themselves are shown once and kept nowhere."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, token_hash: bytes, tenant_id: UUID | None, name: str, scopes: Iterable[str], now: datetime) -> None:
        """Admit the bearer of a token; a hash or name that is taken raises Permanent."""
        row = {"token_hash": token_hash, "tenant_id": tenant_id, "name": name, "scopes": sorted(scopes)}
        self._session.add(tables.tokens, row | {"created_at": now})

    def find(self, token_hash: bytes) -> Bearer | None:
        """Whose token has that hash, over all tenants; None when nobody's or revoked."""
        row = self._session.first("SELECT tenant_id, name, scopes FROM find_token(:hash)", {"hash": token_hash})
        return Bearer(row.tenant_id, row.name, frozenset(row.scopes)) if row else None

    def revoke(self, name: str, now: datetime) -> bool:
        """Refuse the token of that name from now on; False when there is none."""
        statement = "UPDATE tokens SET revoked_at = :now WHERE name = :name AND revoked_at IS NULL"
        return self._session.changed(statement, {"name": name, "now": now}) == 1
