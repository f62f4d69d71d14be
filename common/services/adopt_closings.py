"""Positions that the venue itself has closed: what it liquidated or settled becomes an exit of ours, with its reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from common.domain.errors import Permanent
from common.domain.market import InstrumentStatus
from common.domain.order import Order, OrderIntent, OrderRole, OrderStatus, OrderType, closing_order_id, side_of
from common.domain.position import CloseReason, Position
from common.domain.tenant import Account
from common.ports.venue import VenueFill
from common.services.closing import NEVER
from common.store import UnitOfWork

log = logging.getLogger(__name__)

T = TypeVar("T")


def adopt_closings(uow: UnitOfWork, account: Account, fills: Sequence[VenueFill], now: datetime) -> None:
    """Add an exit to the ledger for each order that the venue placed by itself to close what we hold.

    Its fills are booked like those of any order of ours, whose client id they bear. What it closes beyond what we hold is
    the reconciler's to explain. Repeating it changes nothing.
    """
    for fill in fills:
        if fill.closed_by_venue is None or not fill.client_order_id or uow.orders.by_client_id(fill.client_order_id):
            continue
        held = [item for item in uow.positions.open(account.id) if item.instrument == fill.instrument]
        closed = next((item for item in held if side_of(item.side, OrderRole.EXIT) is fill.side), None)
        if closed is not None:
            _add_exit(uow, closed, fill, fill.client_order_id, fill.closed_by_venue, now)


def _add_exit(
    uow: UnitOfWork, position: Position, fill: VenueFill, client_order_id: str, reason: CloseReason, now: datetime
) -> None:
    order_id = closing_order_id(position.id, OrderRole.EXIT, uow.orders.next_number(position.id, OrderRole.EXIT))
    intent = OrderIntent(
        order_id=order_id,
        tenant_id=position.tenant_id,
        account_id=position.account_id,
        venue=position.venue,
        instrument=position.instrument,
        role=OrderRole.EXIT,
        side=fill.side,
        type=OrderType.MARKET,
        quantity=position.quantity,
        price=fill.price,
        trigger_price=None,
        client_order_id=client_order_id,
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
        venue_order_id=fill.venue_order_id,
        submitted_at=fill.occurred_at,
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
