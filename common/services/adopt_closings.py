"""Positions that the venue itself has closed: what it liquidated or settled becomes an exit of ours, with its reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from common.domain.errors import Permanent
from common.domain.market import InstrumentStatus
from common.domain.money import ZERO
from common.domain.order import Order, OrderIntent, OrderRole, OrderStatus, OrderType, closing_order_id, side_of
from common.domain.position import CloseReason, Position
from common.domain.tenant import Account
from common.ports.venue import VenueFill
from common.services.closing import NEVER
from common.store import UnitOfWork

log = logging.getLogger(__name__)

T = TypeVar("T")


def adopt_closings(uow: UnitOfWork, account: Account, fills: Sequence[VenueFill], now: datetime) -> list[VenueFill]:
    """`fills`, with an exit in the ledger for each that the venue made by itself to close what we hold.

    Where one of them closes several positions it is divided among them, the oldest first, and its parts are numbered.
    What is more than we hold stays as it is: a stranger's, for the reconciler to explain. Repeating it changes nothing.
    """
    left: dict[UUID, Decimal] = {}
    found: list[VenueFill] = []
    for fill in fills:
        if fill.closed_by_venue is None or not fill.client_order_id or uow.orders.by_client_id(fill.client_order_id):
            found.append(fill)
            continue
        held = [p for p in uow.positions.open(account.id) if p.instrument == fill.instrument]
        held = [p for p in held if side_of(p.side, OrderRole.EXIT) is fill.side]
        for position in held:
            left.setdefault(position.id, position.quantity)
        found += _divided(uow, fill, sorted(held, key=_age), left, fill.closed_by_venue, now)
    return found


def _age(position: Position) -> tuple[str, str]:
    return (position.opened_at.isoformat() if position.opened_at else "", str(position.id))


def _divided(
    uow: UnitOfWork,
    fill: VenueFill,
    held: Sequence[Position],
    left: dict[UUID, Decimal],
    reason: CloseReason,
    now: datetime,
) -> list[VenueFill]:
    rest = fill.quantity
    parts: list[VenueFill] = []
    for position in held:
        size = min(rest, left[position.id])
        if size <= ZERO:
            continue
        part = replace(fill, quantity=size, fee=fill.fee * size / fill.quantity)
        if parts:
            number = len(parts) + 1
            part = replace(
                part, trade_id=f"{fill.trade_id}/{number}", client_order_id=f"{fill.client_order_id}/{number}"
            )
        _add_exit(uow, position, part, left[position.id], reason, now)
        left[position.id] -= size
        rest -= size
        parts.append(part)
    return parts if not rest else [*parts, replace(fill, quantity=rest)]


def _add_exit(
    uow: UnitOfWork, position: Position, part: VenueFill, quantity: Decimal, reason: CloseReason, now: datetime
) -> None:
    """The exit that the venue has placed for us; further fills of the same order of its find it by its client id."""
    order_id = closing_order_id(position.id, OrderRole.EXIT, uow.orders.next_number(position.id, OrderRole.EXIT))
    intent = OrderIntent(
        order_id=order_id,
        tenant_id=position.tenant_id,
        account_id=position.account_id,
        venue=position.venue,
        instrument=position.instrument,
        role=OrderRole.EXIT,
        side=part.side,
        type=OrderType.MARKET,
        quantity=quantity,
        price=part.price,
        trigger_price=None,
        client_order_id=str(part.client_order_id),
        signal_id=position.signal_id,
        position_id=position.id,
        leverage=position.leverage,
        halt_epoch=0,
        expires_at=now + NEVER,
    )
    order = Order(
        intent=intent,
        status=OrderStatus.ACCEPTED,
        version=0,
        created_at=now,
        venue_order_id=part.venue_order_id,
        submitted_at=part.occurred_at,
        reason=reason.value,
    )
    uow.orders.add(order)
    payload = {"to": "accepted", "role": OrderRole.EXIT.value, "reason": reason.value, "by": "the venue itself"}
    uow.audit.append("order", str(order.id), payload, now)


def ask_of(uow: UnitOfWork, account: Account, symbol: str, ask: Callable[[], T], otherwise: T) -> T:
    """What the venue answers about `symbol`; `otherwise` where it knows a delisted one no more.

    One listing that has ended must not keep the account's other positions from being looked after.
    """
    try:
        return ask()
    except Permanent as error:
        instrument = uow.instruments.get(account.venue, symbol)
        if instrument is None or instrument.status is not InstrumentStatus.DELISTED:
            raise
        log.warning("%s is delisted, and %s cannot be asked about it any more: %s", symbol, account.venue, error)
        return otherwise
