"""Leaves positions, and cancels what is left of their orders once they are flat."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from common.domain.errors import Transient
from common.domain.job import Stage
from common.domain.order import LIVE, Order, OrderRole, OrderStatus
from common.domain.position import CloseReason, Position
from common.services.closing import add_closing_order
from common.services.fleet import Fleet
from common.store import UnitOfWork


def close_position(
    fleet: Fleet, uow: UnitOfWork, position: Position, reason: CloseReason, now: datetime
) -> Order | None:
    """Ask for a reduce-only market order over all that is held; None while an earlier exit is still under way."""
    under_way = any(
        order.intent.role is OrderRole.EXIT and order.status in LIVE for order in uow.orders.of_position(position.id)
    )
    if under_way:
        return None
    return add_closing_order(
        fleet, uow, position, OrderRole.EXIT, position.quantity, trigger=None, reason=reason.value, now=now
    )


def cancel_leftovers(uow: UnitOfWork, position: Position, now: datetime) -> None:
    """Ask for the cancellation of every order of a flat position that may still rest at the venue."""
    for order in uow.orders.of_position(position.id):
        if order.status in LIVE:
            request_cancel(uow, order, now)


def request_cancel(uow: UnitOfWork, order: Order, now: datetime, cause: UUID | None = None) -> None:
    """Note the wish and add the one cancellation job of `order`; an intent that never left is abandoned at once.

    `cause` is what it is cancelled for, such as the order that has taken its place.
    """
    if order.status is OrderStatus.INTENDED:
        after = order.move(OrderStatus.ABANDONED, reason="not needed any more", updated_at=now)
        if not uow.orders.save(after):
            raise Transient(f"order {order.id} was changed by another worker")
        uow.risk.release_reservation(order.id)
        uow.audit.append("order", str(order.id), {"from": "intended", "to": "abandoned", "reason": after.reason}, now)
        return
    if order.cancel_requested_at is None:
        after = replace(order, cancel_requested_at=now, updated_at=now, version=order.version + 1)
        if not uow.orders.save(after):
            raise Transient(f"order {order.id} was changed by another worker")
    uow.jobs.add(
        Stage.CANCEL,
        f"cancel:{order.intent.client_order_id}",
        tenant_id=order.intent.tenant_id,
        payload={"order_id": str(order.id)},
        now=now,
        correlation_id=order.intent.signal_id or order.intent.position_id,
        causation_id=cause,
    )
