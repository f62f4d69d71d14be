"""Tenants, their accounts and what they subscribe to."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import case, literal, select
from sqlalchemy.dialects.postgresql import insert

from common.domain.errors import NotFound
from common.domain.risk.book import TradingState
from common.domain.signal import Signal
from common.domain.tenant import Account, Subscriber, Subscription, Tenant
from common.store import tables
from common.store.codecs import ACCOUNT, SUBSCRIPTION, TENANT
from common.store.session import Session, array_text, matching, plain_json, quoted_array

_GUARD = """
    SELECT true FROM account_guards WHERE account_id = :account FOR UPDATE SKIP LOCKED
"""

_SUBSCRIBERS_OF = """
    SELECT asked.id, found.*
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:venues AS text[]), CAST(:instruments AS text[]), CAST(:timeframes AS text[]),
        CAST(:strategies AS text[]), CAST(:digests AS text[]), CAST(:closed AS timestamptz[])
    ) AS asked (id, venue, instrument, timeframe, strategy, digest, closed_at)
    CROSS JOIN LATERAL signal_subscribers(
        asked.venue, asked.instrument, asked.timeframe, asked.strategy, asked.digest, asked.closed_at, :now,
        CAST(:caps AS jsonb)) AS found
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What at least one tenant subscribes to at a venue, or holds a position of, with its parameters."""

    strategy: str
    digest: str
    parameters: Mapping[str, Any]
    timeframe: str
    instruments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's balance as last told by its venue, at `at`, with what was closed since; `marks` are the prices then."""

    wallet: Decimal
    equity: Decimal
    available: Decimal
    at: datetime
    marks: Mapping[str, Decimal] = field(default_factory=dict)


class Tenants:
    """The register of tenants: whole for the platform (no tenant in context), itself for a tenant."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, tenant: Tenant) -> None:
        """Enter `tenant`; a name or id that is taken raises Permanent."""
        self._session.add(tables.tenants, TENANT.row(tenant))

    def get(self, tenant_id: UUID) -> Tenant | None:
        """The tenant, if there is one."""
        return next((tenant for tenant in self.list() if tenant.id == tenant_id), None)

    def by_name(self, name: str) -> Tenant | None:
        """The tenant of that name, if there is one."""
        return next((tenant for tenant in self.list() if tenant.name == name), None)

    def list(self) -> builtins.list[Tenant]:
        """All tenants by name."""
        return [TENANT.value(row) for row in self._session.all("SELECT * FROM tenant_directory()")]

    def set_state(self, tenant_id: UUID, state: TradingState) -> bool:
        """Let the tenant trade, reduce or rest; whether there is such a tenant."""
        parameters = {"id": tenant_id, "state": state.value}
        return bool(self._session.scalar("SELECT set_tenant_state(:id, :state)", parameters))

    def allow_live(self, tenant_id: UUID, allowed: bool) -> bool:
        """Record the tenant's own say on live money; whether there is such a tenant."""
        parameters = {"id": tenant_id, "allowed": allowed}
        return bool(self._session.scalar("SELECT set_tenant_live(:id, :allowed)", parameters))


class Accounts:
    """The accounts of one tenant, with their balances and sealed keys."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._told: set[UUID] = set()

    def add(self, account: Account) -> None:
        """Open `account` in our books, with the rows its locks live on."""
        self._session.add(tables.accounts, ACCOUNT.row(account) | {"limits": dict(account.limits)})
        place = {"tenant_id": account.tenant_id, "account_id": account.id}
        self._session.add(tables.account_guards, place)
        self._session.add(tables.account_risk, place)
        self._session.add_once(tables.tenant_risk, {"tenant_id": account.tenant_id})

    def get(self, account_id: UUID) -> Account | None:
        """The account, if this tenant has it."""
        row = self._session.first(matching(tables.accounts, "id"), {"id": account_id})
        return ACCOUNT.value(row) if row else None

    def list(self) -> builtins.list[Account]:
        """All accounts of the tenant by name."""
        rows = self._session.all(matching(tables.accounts, order=("name",)), {})
        return [ACCOUNT.value(row) for row in rows]

    def active(self) -> builtins.list[tuple[UUID, UUID]]:
        """(tenant, account) of every account on the platform; needs a unit of work without tenant."""
        rows = self._session.all("SELECT tenant_id, account_id FROM active_accounts()")
        return [(row.tenant_id, row.account_id) for row in rows]

    def mark_reconciled(self, account_id: UUID, is_reconciled: bool) -> None:
        """Record whether our book of the account equals the venue's."""
        self._session.execute(
            "UPDATE accounts SET is_reconciled = :is_reconciled WHERE id = :id AND is_reconciled <> :is_reconciled",
            {"id": account_id, "is_reconciled": is_reconciled},
        )

    def claim(self, account_id: UUID) -> bool:
        """Take the account for this transaction; False while somebody else has it."""
        return bool(self._session.scalar(_GUARD, {"account": account_id}))

    def save_credentials(self, account_id: UUID, key_id: str, sealed: bytes, hint: str) -> None:
        """Keep the account's sealed keys; `hint` is what may be shown of them."""
        row = {"tenant_id": self._session.tenant(), "account_id": account_id}
        self._session.put(tables.credentials, row | {"key_id": key_id, "sealed": sealed, "hint": hint})

    def sealed_credentials(self, account_id: UUID) -> bytes | None:
        """The account's keys as the vault sealed them, if it has any."""
        sealed = self._session.scalar("SELECT sealed FROM credentials WHERE account_id = :id", {"id": account_id})
        return bytes(sealed) if sealed is not None else None

    def save_balance(
        self,
        account_id: UUID,
        wallet: Decimal,
        equity: Decimal,
        available: Decimal,
        now: datetime,
        *,
        marks: Mapping[str, Decimal] | None = None,
    ) -> None:
        """Keep the balance the venue told at `now`, when its markets stood at `marks`."""
        row = {"tenant_id": self._session.tenant(), "account_id": account_id, "wallet": wallet, "equity": equity}
        row["marks"] = {symbol: str(mark) for symbol, mark in (marks or {}).items()}
        self._session.put(tables.account_balances, row | {"available": available, "updated_at": now})
        self._told.add(account_id)

    def correct_balance(self, account_id: UUID, wallet: Decimal, equity: Decimal) -> None:
        """Let what was earned after the balance was told make it `wallet` and `equity`."""
        self._session.execute(
            "UPDATE account_balances SET wallet = :wallet, equity = :equity WHERE account_id = :id",
            {"id": account_id, "wallet": wallet, "equity": equity},
        )

    def is_told(self, account_id: UUID) -> bool:
        """Whether the balance was told in this very transaction."""
        return account_id in self._told

    def balance(self, account_id: UUID) -> Balance | None:
        """The balance as last kept, if any."""
        row = self._session.first(
            "SELECT wallet, equity, available, updated_at, marks FROM account_balances WHERE account_id = :id",
            {"id": account_id},
        )
        if row is None:
            return None
        marks = {symbol: Decimal(mark) for symbol, mark in row.marks.items()}
        return Balance(row.wallet, row.equity, row.available, row.updated_at, marks)


class Subscriptions:
    """Who wants to trade what."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, subscription: Subscription) -> None:
        """Keep `subscription`, in place of the account's earlier one to that strategy and timeframe.

        It counts as active from its new beginning only where its instruments changed.
        """
        row = SUBSCRIPTION.row(subscription)
        table, account = tables.subscriptions, tables.accounts
        values = [literal(value, table.c[name].type).label(name) for name, value in row.items()]
        source = select(*values, account.c.venue).where(account.c.id == subscription.account_id)
        statement = insert(table).from_select([*row, "venue"], source)
        fresh = statement.excluded
        is_same = (table.c.instruments == fresh.instruments) & table.c.active_to.is_(None)
        changes: dict[str, Any] = {
            name: fresh[name] for name in ("instruments", "advisor", "on_advisor_unavailable", "active_to", "pool")
        }
        changes["active_from"] = case((is_same, table.c.active_from), else_=fresh.active_from)
        keys = ["tenant_id", "account_id", "strategy", "timeframe"]
        if self._session.changed(statement.on_conflict_do_update(index_elements=keys, set_=changes)) != 1:
            raise NotFound("account", subscription.account_id)

    def list(self) -> builtins.list[Subscription]:
        """All subscriptions of the tenant, oldest first."""
        rows = self._session.all(matching(tables.subscriptions, order=("active_from", "id")), {})
        return [SUBSCRIPTION.value(row) for row in rows]

    def follow(self, subscription_id: UUID, pool: str, instruments: Sequence[str]) -> bool:
        """Give the subscription the `instruments` of its `pool`; False when they are the same or it follows it no more."""
        statement = """
            UPDATE subscriptions SET instruments = CAST(:instruments AS text[])
            WHERE id = :id AND pool = :pool AND instruments <> CAST(:instruments AS text[])
        """
        given = {"id": subscription_id, "pool": pool, "instruments": quoted_array(instruments)}
        return self._session.changed(statement, given) == 1

    def end(self, subscription_id: UUID, now: datetime) -> bool:
        """End the subscription at `now`; False when it had ended or is not there."""
        statement = (
            "UPDATE subscriptions SET active_to = :now WHERE id = :id AND coalesce(active_to, 'infinity') > :now"
        )
        return self._session.changed(statement, {"id": subscription_id, "now": now}) == 1

    def subscribers(
        self,
        venue: str,
        instrument: str,
        timeframe: str,
        strategy: str,
        now: datetime,
        *,
        digest: str = "",
        closed_at: datetime | None = None,
        max_positions: Mapping[str, int] | None = None,
    ) -> builtins.list[Subscriber]:
        """Every account to be asked about a signal, and whether it could act on it now.

        Asked are those whose parameters at `closed_at` (or `now`) had the signal's `digest`, whatever they have since.
        `max_positions` gives the limit on open positions by profile; an account's own `position_count_max` comes first.
        """
        rows = self._session.all(
            "SELECT * FROM signal_subscribers(:venue, :instrument, :timeframe, :strategy, :digest, :closed_at, :now, "
            "CAST(:caps AS jsonb))",
            {
                "venue": venue,
                "instrument": instrument,
                "timeframe": timeframe,
                "strategy": strategy,
                "digest": digest,
                "closed_at": closed_at or now,
                "now": now,
                "caps": plain_json(max_positions or {}),
            },
        )
        return [Subscriber(row.tenant_id, row.account_id, row.advisor, row.can_act) for row in rows]

    def subscribers_of(
        self, signals: Sequence[Signal], digests: Mapping[UUID, str], now: datetime, *, max_positions: Mapping[str, int]
    ) -> Mapping[UUID, builtins.list[Subscriber]]:
        """As `subscribers` for each of `signals`, by id; `digests` of their parameters count at their candles' closes."""
        found: dict[UUID, builtins.list[Subscriber]] = {signal.id: [] for signal in signals}
        if not signals:
            return found
        parameters = {
            "ids": array_text(signal.id for signal in signals),
            "venues": quoted_array(signal.venue for signal in signals),
            "instruments": quoted_array(signal.instrument for signal in signals),
            "timeframes": quoted_array(signal.timeframe for signal in signals),
            "strategies": quoted_array(signal.strategy for signal in signals),
            "digests": quoted_array(digests[signal.id] for signal in signals),
            "closed": array_text(signal.closed_at for signal in signals),
            "now": now,
            "caps": plain_json(max_positions),
        }
        for row in self._session.all(_SUBSCRIBERS_OF, parameters):
            found[row.id].append(Subscriber(row.tenant_id, row.account_id, row.advisor, row.can_act))
        return found

    def wanted(
        self, venue: str, now: datetime | None = None, *, closed_at: datetime | None = None
    ) -> builtins.list[Wanted]:
        """What is subscribed to at `venue`, over all tenants; with `now`, only by subscriptions active then.

        Each with the parameters in force for candles that close at `closed_at` (the last ones put in force without it),
        and with those that open positions were entered with.
        """
        rows = self._session.all(
            "SELECT * FROM wanted_markets(:venue, :now, :closed_at)",
            {"venue": venue, "now": now, "closed_at": closed_at},
        )
        return [Wanted(row.strategy, row.digest, row.parameters, row.timeframe, tuple(row.instruments)) for row in rows]
