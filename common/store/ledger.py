"""The ledger: decisions, orders, fills, fundings and the positions they add up to."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, func, select, text

from common.domain.decision import Decision, DecisionOutcome
from common.domain.fill import Fill, Funding
from common.domain.order import IN_DOUBT, Order, OrderRole, OrderStatus
from common.domain.position import Position
from common.store import tables
from common.store.codecs import DECISION, FILL, FUNDING, ORDER, POSITION
from common.store.session import Session, matching, quoted_array

_OLDEST_ORDER_FIRST = ("created_at", "id")
_OLDEST_FILL_FIRST = ("occurred_at", "trade_id")
_OLDEST_FUNDING_FIRST = ("occurred_at", "income_id")

# Written out, because a partial index is not found through parameters.
_LIVE_ORDERS = matching(tables.orders, "account_id", order=_OLDEST_ORDER_FIRST).where(text(tables.LIVE_ORDER))

_LINGERING_ORDERS = matching(tables.orders, "account_id", order=_OLDEST_ORDER_FIRST).where(
    tables.orders.c.id.in_(select(tables.reservations.c.order_id).where(tables.reservations.c.lapses_at.is_not(None)))
)

_ORDERS_OF_ROLE = select(func.count()).where(
    tables.orders.c.position_id == bindparam("position_id"), tables.orders.c.role == bindparam("role")
)

_OPEN_POSITIONS = matching(tables.positions, "account_id", order=("opened_at", "id")).where(
    tables.positions.c.quantity > 0
)

_CLOSED_POSITIONS = matching(tables.positions, "account_id", order=("closed_at", "id")).where(
    tables.positions.c.closed_at >= bindparam("since")
)

_POSITION_HELD_AT = (
    matching(tables.positions, "account_id", "instrument")
    .where(tables.positions.c.opened_at <= bindparam("instant"))
    .where(tables.positions.c.closed_at.is_(None) | (tables.positions.c.closed_at >= bindparam("instant")))
    .order_by(tables.positions.c.opened_at.desc(), tables.positions.c.id)
    .limit(1)
)

_KNOWN_FILLS = "SELECT trade_id FROM fills WHERE account_id = :account AND trade_id = ANY (CAST(:ids AS text[]))"

_LAST_FILL = select(func.max(tables.fills.c.occurred_at)).where(
    tables.fills.c.account_id == bindparam("account_id"), tables.fills.c.instrument == bindparam("instrument")
)

_LAST_FUNDING = select(func.max(tables.fundings.c.occurred_at)).where(
    tables.fundings.c.account_id == bindparam("account_id")
)


def page(table: Table, at: Any, limit: int, before: datetime | None, **equals: Any) -> Select[Any]:
    """The newest rows of `table` by column `at`, those before `before`, where every given column has that value."""
    keys = [column for column in table.primary_key if column is not at]
    statement = select(table).order_by(at.desc(), *keys).limit(limit)
    if before is not None:
        statement = statement.where(at < before)
    for name, value in equals.items():
        if value is not None:
            statement = statement.where(table.c[name] == value)
    return statement


class Decisions:
    """The one outcome of every signal for every subscribed account."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, decision: Decision) -> bool:
        """Keep `decision`; False when the account had decided on that signal."""
        row = DECISION.row(decision) | {"inputs": dict(decision.inputs)}
        return self._session.add_once(tables.decisions, row)

    def get(self, decision_id: UUID) -> Decision | None:
        """The decision, if there is one."""
        row = self._session.first(matching(tables.decisions, "id"), {"id": decision_id})
        return DECISION.value(row) if row else None

    def for_signal(self, signal_id: UUID) -> builtins.list[Decision]:
        """What each account of the tenant decided on the signal."""
        table = tables.decisions
        rows = self._session.all(select(table).where(table.c.signal_id == signal_id).order_by(table.c.account_id))
        return [DECISION.value(row) for row in rows]

    def list(
        self,
        limit: int = 50,
        before: datetime | None = None,
        *,
        account_id: UUID | None = None,
        outcome: DecisionOutcome | None = None,
    ) -> builtins.list[Decision]:
        """The newest first."""
        table = tables.decisions
        statement = page(table, table.c.occurred_at, limit, before, account_id=account_id, outcome=outcome)
        return [DECISION.value(row) for row in self._session.all(statement)]


class Orders:
    """Orders, changed by compare-and-set on their version."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, order: Order) -> None:
        """Keep a new order; an id or client order id that is taken raises Permanent."""
        self._session.add(tables.orders, ORDER.row(order))

    def get(self, order_id: UUID) -> Order | None:
        """The order, if there is one."""
        return self._one(id=order_id)

    def by_client_id(self, client_order_id: str) -> Order | None:
        """The order that the venue knows under our id."""
        return self._one(client_order_id=client_order_id)

    def by_venue_id(self, account_id: UUID, venue_order_id: str) -> Order | None:
        """The order that the account's venue gave that id."""
        return self._one(account_id=account_id, venue_order_id=venue_order_id)

    def _one(self, **equals: Any) -> Order | None:
        row = self._session.first(matching(tables.orders, *equals), equals)
        return ORDER.value(row) if row else None

    def save(self, order: Order) -> bool:
        """Keep the next version of an order; False when somebody else kept one first."""
        return _save(self._session, tables.orders, ORDER.row(order))

    def live(self, account_id: UUID, instrument: str | None = None) -> builtins.list[Order]:
        """Orders that may still change, oldest first."""
        live = [ORDER.value(row) for row in self._session.all(_LIVE_ORDERS, {"account_id": account_id})]
        return [order for order in live if instrument is None or order.intent.instrument == instrument]

    def in_doubt(self, account_id: UUID) -> builtins.list[Order]:
        """Orders of which we do not know whether the venue has them, oldest first."""
        return [order for order in self.live(account_id) if order.status in IN_DOUBT]

    def lingering(self, account_id: UUID) -> builtins.list[Order]:
        """Entries that were taken back and of which the venue may yet tell fills, oldest first."""
        return [ORDER.value(row) for row in self._session.all(_LINGERING_ORDERS, {"account_id": account_id})]

    def of_account(self, account_id: UUID) -> builtins.list[Order]:
        """Every order the account ever had, oldest first."""
        return self._all(account_id=account_id)

    def of_position(self, position_id: UUID) -> builtins.list[Order]:
        """Entry, stops and exits of a position, oldest first."""
        return self._all(position_id=position_id)

    def _all(self, **equals: Any) -> builtins.list[Order]:
        rows = self._session.all(matching(tables.orders, *equals, order=_OLDEST_ORDER_FIRST), equals)
        return [ORDER.value(row) for row in rows]

    def next_number(self, position_id: UUID, role: OrderRole) -> int:
        """One more than the orders of that role the position has had."""
        wanted = {"position_id": position_id, "role": role.value}
        return 1 + int(self._session.scalar(_ORDERS_OF_ROLE, wanted))

    def list(
        self,
        limit: int = 50,
        before: datetime | None = None,
        *,
        account_id: UUID | None = None,
        status: OrderStatus | None = None,
        instrument: str | None = None,
    ) -> builtins.list[Order]:
        """The newest first."""
        table = tables.orders
        statement = page(
            table, table.c.created_at, limit, before, account_id=account_id, status=status, instrument=instrument
        )
        return [ORDER.value(row) for row in self._session.all(statement)]


def _save(session: Session, table: Table, row: dict[str, Any]) -> bool:
    values: Mapping[str, Any] = {name: value for name, value in row.items() if name not in {"id", "tenant_id"}}
    return session.change(table, values, id=row["id"], version=row["version"] - 1) == 1


class Fills:
    """Executions, each booked once."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, fill: Fill) -> bool:
        """Book `fill`; False when it was booked before."""
        return self._session.add_once(tables.fills, FILL.row(fill))

    def known(self, account_id: UUID, trade_ids: Collection[str]) -> set[str]:
        """Those of `trade_ids` that the account has booked."""
        if not trade_ids:
            return set()
        rows = self._session.all(_KNOWN_FILLS, {"account": account_id, "ids": quoted_array(sorted(trade_ids))})
        return {row.trade_id for row in rows}

    def of_order(self, order_id: UUID) -> builtins.list[Fill]:
        """Fills of the order, oldest first."""
        return self._where(order_id=order_id)

    def of_position(self, position_id: UUID) -> builtins.list[Fill]:
        """Fills of the position, oldest first."""
        return self._where(position_id=position_id)

    def of_account(self, account_id: UUID) -> builtins.list[Fill]:
        """Every fill the account ever had, oldest first."""
        return self._where(account_id=account_id)

    def _where(self, **equals: Any) -> builtins.list[Fill]:
        rows = self._session.all(matching(tables.fills, *equals, order=_OLDEST_FILL_FIRST), equals)
        return [FILL.value(row) for row in rows]

    def last_at(self, account_id: UUID, instrument: str) -> datetime | None:
        """When the account last traded the instrument, as far as booked."""
        wanted = {"account_id": account_id, "instrument": instrument}
        latest: datetime | None = self._session.scalar(_LAST_FILL, wanted)
        return latest

    def list(
        self,
        limit: int = 50,
        before: datetime | None = None,
        *,
        account_id: UUID | None = None,
        instrument: str | None = None,
    ) -> builtins.list[Fill]:
        """The newest first."""
        table = tables.fills
        statement = page(table, table.c.occurred_at, limit, before, account_id=account_id, instrument=instrument)
        return [FILL.value(row) for row in self._session.all(statement)]


class Fundings:
    """Funding payments, each booked once."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, funding: Funding) -> bool:
        """Book `funding`; False when it was booked before."""
        return self._session.add_once(tables.fundings, FUNDING.row(funding))

    def of_position(self, position_id: UUID) -> list[Funding]:
        """Payments of the position, oldest first."""
        return self._where(position_id=position_id)

    def of_account(self, account_id: UUID) -> list[Funding]:
        """Every payment the account ever made or got, oldest first."""
        return self._where(account_id=account_id)

    def _where(self, **equals: Any) -> list[Funding]:
        rows = self._session.all(matching(tables.fundings, *equals, order=_OLDEST_FUNDING_FIRST), equals)
        return [FUNDING.value(row) for row in rows]

    def last_at(self, account_id: UUID) -> datetime | None:
        """When the account last paid or got funding, as far as booked."""
        latest: datetime | None = self._session.scalar(_LAST_FUNDING, {"account_id": account_id})
        return latest


class Positions:
    """Positions, changed by compare-and-set on their version."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, position: Position) -> None:
        """Keep a new position; an id that is taken raises Permanent."""
        self._session.add(tables.positions, POSITION.row(position))

    def get(self, position_id: UUID) -> Position | None:
        """The position, if there is one."""
        row = self._session.first(matching(tables.positions, "id"), {"id": position_id})
        return POSITION.value(row) if row else None

    def save(self, position: Position) -> bool:
        """Keep the next version of a position; False when somebody else kept one first."""
        return _save(self._session, tables.positions, POSITION.row(position))

    def open(self, account_id: UUID) -> builtins.list[Position]:
        """What the account holds, oldest first."""
        return [POSITION.value(row) for row in self._session.all(_OPEN_POSITIONS, {"account_id": account_id})]

    def closed_since(self, account_id: UUID, since: datetime) -> builtins.list[Position]:
        """Positions of the account that were closed at `since` or later, oldest first."""
        rows = self._session.all(_CLOSED_POSITIONS, {"account_id": account_id, "since": since})
        return [POSITION.value(row) for row in rows]

    def held_at(self, account_id: UUID, instrument: str, instant: datetime) -> Position | None:
        """The position of the account on `instrument` that was open at `instant`; the latest where several were.

        What was closed at that very instant counts: whoever is paid for it held it.
        """
        wanted = {"account_id": account_id, "instrument": instrument, "instant": instant}
        row = self._session.first(_POSITION_HELD_AT, wanted)
        return POSITION.value(row) if row else None

    def list(
        self,
        limit: int = 50,
        before: datetime | None = None,
        *,
        account_id: UUID | None = None,
        instrument: str | None = None,
        open_only: bool = False,
    ) -> builtins.list[Position]:
        """Those opened last first."""
        table = tables.positions
        statement = page(table, table.c.opened_at, limit, before, account_id=account_id, instrument=instrument)
        if open_only:
            statement = statement.where(table.c.quantity > 0)
        return [POSITION.value(row) for row in self._session.all(statement)]
