"""Intents of the orders that close a position; they reduce only, so sending one more is never a new risk."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from common.domain.money import round_to
from common.domain.order import (
    Order,
    OrderIntent,
    OrderRole,
    OrderStatus,
    OrderType,
    client_order_id,
    closing_order_id,
    side_of,
)
from common.domain.position import Position
from common.services.evaluate_risk import request_placement
from common.services.fleet import Fleet, instrument_of
from common.store import UnitOfWork

NEVER = timedelta(days=365)
"""Closing orders do not become stale: a position must be leavable as long as it is held."""


def add_closing_order(
    fleet: Fleet,
    uow: UnitOfWork,
    position: Position,
    role: OrderRole,
    quantity: Decimal,
    *,
    trigger: Decimal | None,
    reason: str,
    now: datetime,
    replaces: UUID | None = None,
) -> Order:
    """Commit the intent of the next stop or exit of `position` and ask for its placement."""
    instrument = instrument_of(uow, position.venue, position.instrument)
    number = uow.orders.next_number(position.id, role)
    order_id = closing_order_id(position.id, role, number)
    trigger_price = None if trigger is None else round_to(trigger, instrument.tick_size)
    intent = OrderIntent(
        order_id=order_id,
        tenant_id=position.tenant_id,
        account_id=position.account_id,
        venue=position.venue,
        instrument=position.instrument,
        role=role,
        side=side_of(position.side, role),
        type=OrderType.MARKET if trigger_price is None else OrderType.STOP_MARKET,
        quantity=quantity,
        price=position.entry_price if trigger_price is None else trigger_price,
        trigger_price=trigger_price,
        client_order_id=client_order_id(fleet.policy.order_prefix, order_id, role),
        signal_id=position.signal_id,
        position_id=position.id,
        leverage=position.leverage,
        halt_epoch=0,
        expires_at=now + NEVER,
        replaces=replaces,
    )
    order = Order(intent=intent, status=OrderStatus.INTENDED, version=0, created_at=now, reason=reason)
    uow.orders.add(order)
    uow.audit.append("order", str(order.id), {"to": "intended", "role": role.value, "reason": reason}, now)
    request_placement(uow, order, replaces, now)
    return order
