"""What has really been committed, in the order of the commits: the simulation's own memory beside the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from common.domain.order import Order, OrderStatus
from common.domain.position import Position
from common.domain.risk.book import HaltScope

Change = tuple[str, tuple[Any, ...]]
"""The name of a tapped call and its arguments."""


@dataclass(slots=True)
class HaltSpan:
    """A halt between the commit that imposed it and the one that lifted it."""

    scope: HaltScope
    subject: str
    mode: str
    since: int
    until: int | None = None

    def held_at(self, number: int) -> bool:
        """Whether the halt was committed before commit `number` and not lifted by then."""
        return self.since < number and (self.until is None or self.until > number)


@dataclass(slots=True)
class Record:
    """Orders, positions, reservations and halts as of the last commit; `number` counts commits, `moves` changes of orders and positions."""

    number: int = 0
    moves: int = 0
    orders: dict[UUID, Order] = field(default_factory=dict)
    submitted: dict[str, int] = field(default_factory=dict)
    positions: dict[UUID, Position] = field(default_factory=dict)
    closed_at: dict[UUID, int] = field(default_factory=dict)
    reserved: dict[UUID, UUID] = field(default_factory=dict)
    equity: dict[UUID, Any] = field(default_factory=dict)
    halts: list[HaltSpan] = field(default_factory=list)
    reconciled: dict[UUID, bool] = field(default_factory=dict)
    quarantined: set[tuple[UUID, str]] = field(default_factory=set)
    by_client_id: dict[str, UUID] = field(default_factory=dict)

    def apply(self, changes: list[Change]) -> None:
        """One transaction was kept."""
        self.number += 1
        for name, arguments in changes:
            _APPLY[name](self, *arguments)

    def order(self, client_order_id: str) -> Order | None:
        """The committed order of that client order id."""
        identity = self.by_client_id.get(client_order_id)
        return self.orders.get(identity) if identity else None

    def on_order(self, order: Order) -> None:
        """An order was added or changed."""
        self.moves += 1
        self.orders[order.id] = order
        self.by_client_id[order.intent.client_order_id] = order.id
        if order.status is OrderStatus.SUBMITTING:
            self.submitted.setdefault(order.intent.client_order_id, self.number)

    def on_position(self, position: Position) -> None:
        """A position was added or changed."""
        self.moves += 1
        self.positions[position.id] = position
        if not position.is_open:
            self.closed_at.setdefault(position.id, self.number)

    def on_reserve(self, order_id: UUID, account_id: UUID, *_: Any) -> None:
        """A reservation was made."""
        self.reserved[order_id] = account_id

    def on_release(self, order_id: UUID, *_: Any) -> None:
        """A reservation was released, or soon will be."""
        self.reserved.pop(order_id, None)

    def on_balance(self, account_id: UUID, wallet: Any, equity: Any, *_: Any) -> None:
        """The venue told a balance, or a fill corrected it."""
        self.equity[account_id] = equity

    def on_halt(self, scope: HaltScope, subject: str, mode: Any, *_: Any) -> None:
        """A halt was imposed, in place of one on the same subject."""
        self.on_resume(scope, subject)
        self.halts.append(HaltSpan(scope, subject, str(mode), self.number))

    def on_resume(self, scope: HaltScope, subject: str, *_: Any) -> None:
        """A halt was lifted."""
        for span in self.halts:
            if span.until is None and (span.scope, span.subject) == (scope, subject):
                span.until = self.number

    def on_reconcile(self, account_id: UUID, is_equal: bool) -> None:
        """A book was compared."""
        self.reconciled[account_id] = is_equal

    def on_quarantine(self, account_id: UUID, symbol: str, *_: Any) -> None:
        """A stranger's order was found."""
        self.quarantined.add((account_id, symbol))


TAPS: dict[str, dict[str, str]] = {
    "orders": {"add": "order", "save": "order"},
    "positions": {"add": "position", "save": "position"},
    "risk": {"add_reservation": "reserve", "release_reservation": "release", "let_lapse": "release"},
    "accounts": {"save_balance": "balance", "correct_balance": "correction", "mark_reconciled": "reconcile"},
    "halts": {"add": "halt", "lift": "resume"},
    "quarantine": {"add": "quarantine"},
}
"""Which calls of which repository change what is recorded."""

_APPLY: dict[str, Callable[..., None]] = {
    "order": Record.on_order,
    "position": Record.on_position,
    "reserve": Record.on_reserve,
    "release": Record.on_release,
    "balance": Record.on_balance,
    "correction": Record.on_balance,
    "halt": Record.on_halt,
    "resume": Record.on_resume,
    "reconcile": Record.on_reconcile,
    "quarantine": Record.on_quarantine,
}
