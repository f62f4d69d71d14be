"""The life of an order: its intent, its states and the only moves between them."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

from common.domain.errors import IllegalMove
from common.domain.money import ZERO
from common.domain.signal import NAMESPACE, Side, derived_id


class OrderSide(StrEnum):
    """Buy or sell, as the venue is told."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for buy, -1 for sell."""
        return 1 if self is OrderSide.BUY else -1


class OrderType(StrEnum):
    """How an order is priced; `STOP_MARKET` rests at the venue until its trigger price is touched."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"


class OrderRole(StrEnum):
    """What an order is for: only an ENTRY increases risk, the others are reduce-only."""

    ENTRY = "entry"
    STOP = "stop"
    EXIT = "exit"

    @property
    def increases_risk(self) -> bool:
        """Whether halts and entry gates apply."""
        return self is OrderRole.ENTRY


class OrderStatus(StrEnum):
    """States of an order; *rejected* is the venue's word, *abandoned* is ours for an intent that never left."""

    INTENDED = "intended"
    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    NOT_PLACED = "not_placed"
    ABANDONED = "abandoned"


_S = OrderStatus
_AT_VENUE = frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED})

TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.INTENDED: frozenset({_S.SUBMITTING, _S.ABANDONED}),
    _S.SUBMITTING: _AT_VENUE | {_S.UNKNOWN, _S.REJECTED},
    _S.UNKNOWN: _AT_VENUE | {_S.NOT_PLACED, _S.REJECTED},
    # Some venues acknowledge first and refuse afterwards (Bybit).
    _S.ACCEPTED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED}),
    _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED}),
    # A cancel can be acknowledged before the last fill is reported: the fill is the truth.
    _S.CANCELED: frozenset({_S.FILLED}),
    _S.EXPIRED: frozenset({_S.FILLED}),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.NOT_PLACED: frozenset(),
    _S.ABANDONED: frozenset(),
}
"""What may follow what in ordinary life."""

ADOPTIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.REJECTED: _AT_VENUE,
    _S.NOT_PLACED: _AT_VENUE,
    _S.ABANDONED: _AT_VENUE,
}
"""What the reconciler alone may do, with an alert: the venue holds an order that we believed could not exist."""

AT_VENUE = _AT_VENUE
"""What can only be said of an order that the venue has, or had."""

TERMINAL = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED, _S.NOT_PLACED, _S.ABANDONED})
IN_DOUBT = frozenset({_S.SUBMITTING, _S.UNKNOWN})
WORKING = frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED})
LIVE = frozenset(_S) - TERMINAL


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """What risk approved, before anybody spoke to the venue; quantity in base units, prices in quote units.

    `price` is the limit price or, for a market entry, the reference price that risk reserved for. `replaces` is the order
    whose place this one takes.
    """

    order_id: UUID
    tenant_id: UUID
    account_id: UUID
    venue: str
    instrument: str
    role: OrderRole
    side: OrderSide
    type: OrderType
    quantity: Decimal
    price: Decimal
    trigger_price: Decimal | None
    client_order_id: str
    signal_id: UUID | None
    position_id: UUID
    leverage: int
    halt_epoch: int
    expires_at: datetime
    replaces: UUID | None = None

    @property
    def reduce_only(self) -> bool:
        """Whether the venue must refuse to increase a position with it."""
        return not self.role.increases_risk


@dataclass(frozen=True, slots=True)
class Order:
    """An intent and what has become of it; `filled_quantity` and `average_price` are folds of its fills.

    `acknowledged_at` is when we first knew that the venue has it.
    """

    intent: OrderIntent
    status: OrderStatus
    version: int
    created_at: datetime
    venue_order_id: str | None = None
    submitted_at: datetime | None = None
    valid_until: datetime | None = None
    cancel_requested_at: datetime | None = None
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    reason: str = ""
    updated_at: datetime | None = None
    acknowledged_at: datetime | None = None

    @property
    def id(self) -> UUID:
        """The order's own id."""
        return self.intent.order_id

    @property
    def remaining(self) -> Decimal:
        """Quantity not filled yet; zero once the order is terminal."""
        return ZERO if self.status in TERMINAL else self.intent.quantity - self.filled_quantity

    def move(self, destination: OrderStatus, *, adopt: bool = False, **changes: object) -> Order:
        """The order in `destination` with `changes`; raises IllegalMove when the table holds no such move.

        Staying in the same state is allowed and changes nothing but `changes`; `adopt` opens the reconciler's moves.
        """
        allowed = TRANSITIONS[self.status] | (ADOPTIONS.get(self.status, frozenset()) if adopt else frozenset())
        if destination is not self.status and destination not in allowed:
            raise IllegalMove("order", self.id, self.status, destination)
        return replace(self, status=destination, version=self.version + 1, **changes)  # type: ignore[arg-type]


def entry_order_id(tenant: UUID, account: UUID, signal: UUID) -> UUID:
    """The one entry order a tenant's account can ever place on a signal."""
    return derived_id(f"entry|{tenant}|{account}|{signal}")


def closing_order_id(position: UUID, role: OrderRole, number: int) -> UUID:
    """The `number`-th stop or exit order of a position."""
    return uuid5(NAMESPACE, f"{role}|{position}|{number}")


def client_order_id(prefix: str, order: UUID, role: OrderRole) -> str:
    """The id the venue sees, derived from the intent: `prefix`, a letter for the role, 24 base-32 characters.

    At most 28 characters for a prefix of up to three, which every venue of the capability table accepts.
    """
    digest = hashlib.sha256(f"client-order|{order}".encode()).digest()
    return f"{prefix}{role[0]}{b32encode(digest)[:24].decode().lower()}"


def side_of(side: Side, role: OrderRole) -> OrderSide:
    """Order side that opens (`ENTRY`) or closes (`STOP`, `EXIT`) a position of `side`."""
    opens_long = (side is Side.LONG) == role.increases_risk
    return OrderSide.BUY if opens_long else OrderSide.SELL
