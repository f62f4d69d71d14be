"""The ledger: decisions, orders, fills, fundings and the positions they add up to."""

from __future__ import annotations

import builtins
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table, func, select, text, update

from common.domain.decision import Decision, DecisionOutcome
from common.domain.fill import Fill, Funding
from common.domain.order import IN_DOUBT, Order, OrderRole, OrderStatus
from common.domain.position import Position
from common.store import tables
from common.store.codecs import DECISION, FILL, FUNDING, ORDER, POSITION
from common.store.session import Session


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
        row = self._session.first(select(tables.decisions).where(tables.decisions.c.id == decision_id))
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
        return self._one(tables.orders.c.id == order_id)

    def by_client_id(self, client_order_id: str) -> Order | None:
        """The order that the venue knows under our id."""
        return self._one(tables.orders.c.client_order_id == client_order_id)

    def by_venue_id(self, account_id: UUID, venue_order_id: str) -> Order | None:
        """The order that the account's venue gave that id."""
        table = tables.orders
        return self._one((table.c.account_id == account_id) & (table.c.venue_order_id == venue_order_id))

    def _one(self, condition: Any) -> Order | None:
        row = self._session.first(select(tables.orders).where(condition))
        return ORDER.value(row) if row else None

    def save(self, order: Order) -> bool:
        """Keep the next version of an order; False when somebody else kept one first."""
        return _save(self._session, tables.orders, ORDER.row(order))

    def live(self, account_id: UUID, instrument: str | None = None) -> builtins.list[Order]:
        """Orders that may still change, oldest first."""
        table = tables.orders
        # Written out, because a partial index is not found through parameters.
        statement = select(table).where(table.c.account_id == account_id, text(tables.LIVE_ORDER))
        if instrument is not None:
            statement = statement.where(table.c.instrument == instrument)
        rows = self._session.all(statement.order_by(table.c.created_at, table.c.id))
        return [ORDER.value(row) for row in rows]

    def in_doubt(self, account_id: UUID) -> builtins.list[Order]:
        """Orders of which we do not know whether the venue has them, oldest first."""
        return [order for order in self.live(account_id) if order.status in IN_DOUBT]

    def of_account(self, account_id: UUID) -> builtins.list[Order]:
        """Every order the account ever had, oldest first."""
        table = tables.orders
        statement = select(table).where(table.c.account_id == account_id)
        return [ORDER.value(row) for row in self._session.all(statement.order_by(table.c.created_at, table.c.id))]

    def of_position(self, position_id: UUID) -> builtins.list[Order]:
        """Entry, stops and exits of a position, oldest first."""
        table = tables.orders
        rows = self._session.all(
            select(table).where(table.c.position_id == position_id).order_by(table.c.created_at, table.c.id)
        )
        return [ORDER.value(row) for row in rows]

    def next_number(self, position_id: UUID, role: OrderRole) -> int:
        """One more than the orders of that role the position has had."""
        table = tables.orders
        condition = (table.c.position_id == position_id) & (table.c.role == role.value)
        return 1 + int(self._session.scalar(select(func.count()).select_from(table).where(condition)))

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
    statement = (
        update(table)
        .where(table.c.id == row["id"], table.c.version == row["version"] - 1)
        .values({name: value for name, value in row.items() if name not in {"id", "tenant_id"}})
    )
    return session.changed(statement) == 1


class Fills:
    """Executions, each booked once."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, fill: Fill) -> bool:
        """Book `fill`; False when it was booked before."""
        return self._session.add_once(tables.fills, FILL.row(fill))

    def known(self, account_id: UUID, trade_ids: Collection[str]) -> set[str]:
        """Those of `trade_ids` that the account has booked."""
        table = tables.fills
        condition = (table.c.account_id == account_id) & table.c.trade_id.in_(sorted(trade_ids))
        return {row.trade_id for row in self._session.all(select(table.c.trade_id).where(condition))}

    def of_order(self, order_id: UUID) -> builtins.list[Fill]:
        """Fills of the order, oldest first."""
        return self._where(tables.fills.c.order_id == order_id)

    def of_position(self, position_id: UUID) -> builtins.list[Fill]:
        """Fills of the position, oldest first."""
        return self._where(tables.fills.c.position_id == position_id)

    def of_account(self, account_id: UUID) -> builtins.list[Fill]:
        """Every fill the account ever had, oldest first."""
        return self._where(tables.fills.c.account_id == account_id)

    def _where(self, condition: Any) -> builtins.list[Fill]:
        table = tables.fills
        statement = select(table).where(condition).order_by(table.c.occurred_at, table.c.trade_id)
        return [FILL.value(row) for row in self._session.all(statement)]

    def last_at(self, account_id: UUID, instrument: str) -> datetime | None:
        """When the account last traded the instrument, as far as booked."""
        table = tables.fills
        condition = (table.c.account_id == account_id) & (table.c.instrument == instrument)
        latest: datetime | None = self._session.scalar(select(func.max(table.c.occurred_at)).where(condition))
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
        table = tables.fundings
        return self._where(table.c.position_id == position_id)

    def of_account(self, account_id: UUID) -> list[Funding]:
        """Every payment the account ever made or got, oldest first."""
        return self._where(tables.fundings.c.account_id == account_id)

    def _where(self, condition: Any) -> list[Funding]:
        table = tables.fundings
        statement = select(table).where(condition).order_by(table.c.occurred_at, table.c.income_id)
        return [FUNDING.value(row) for row in self._session.all(statement)]

    def last_at(self, account_id: UUID) -> datetime | None:
        """When the account last paid or got funding, as far as booked."""
        table = tables.fundings
        statement = select(func.max(table.c.occurred_at)).where(table.c.account_id == account_id)
        latest: datetime | None = self._session.scalar(statement)
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
        row = self._session.first(select(tables.positions).where(tables.positions.c.id == position_id))
        return POSITION.value(row) if row else None

    def save(self, position: Position) -> bool:
        """Keep the next version of a position; False when somebody else kept one first."""
        return _save(self._session, tables.positions, POSITION.row(position))

    def open(self, account_id: UUID) -> builtins.list[Position]:
        """What the account holds, oldest first."""
        table = tables.positions
        statement = select(table).where(table.c.account_id == account_id, table.c.quantity > 0)
        rows = self._session.all(statement.order_by(table.c.opened_at, table.c.id))
        return [POSITION.value(row) for row in rows]

    def closed_since(self, account_id: UUID, since: datetime) -> builtins.list[Position]:
        """Positions of the account that were closed at `since` or later, oldest first."""
        table = tables.positions
        statement = select(table).where(table.c.account_id == account_id, table.c.closed_at >= since)
        rows = self._session.all(statement.order_by(table.c.closed_at, table.c.id))
        return [POSITION.value(row) for row in rows]

    def held_at(self, account_id: UUID, instrument: str, instant: datetime) -> Position | None:
        """The position of the account on `instrument` that was open at `instant`; the latest where several were.

        What was closed at that very instant counts: whoever is paid for it held it.
        """
        table = tables.positions
        statement = (
            select(table)
            .where(table.c.account_id == account_id, table.c.instrument == instrument)
            .where(table.c.opened_at <= instant)
            .where(table.c.closed_at.is_(None) | (table.c.closed_at >= instant))
            .order_by(table.c.opened_at.desc(), table.c.id)
            .limit(1)
        )
        row = self._session.first(statement)
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
