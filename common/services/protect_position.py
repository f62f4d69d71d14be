"""Sees to it that stops resting at the venue cover every open position in full."""

from __future__ import annotations

from datetime import datetime

from common.domain.exits import stop_price_now
from common.domain.money import ZERO
from common.domain.order import LIVE, Order, OrderRole
from common.domain.position import Position
from common.services.closing import add_closing_order
from common.services.fleet import Fleet
from common.store import UnitOfWork


def stops_of(uow: UnitOfWork, position: Position) -> list[Order]:
    """Stops of `position` that may still rest at the venue."""
    return [
        order
        for order in uow.orders.of_position(position.id)
        if order.intent.role is OrderRole.STOP and order.status in LIVE
    ]


def protect(fleet: Fleet, uow: UnitOfWork, position: Position, now: datetime) -> Order | None:
    """Add a stop for the part of `position` that no live stop covers; None when all of it is covered.

    Stops add up: a second partial fill gets a second stop. They reduce only, so together they can never turn the
    position round, and cover beyond what is held does no harm.
    """
    covered = sum((order.remaining for order in stops_of(uow, position)), ZERO)
    naked = position.quantity - covered
    if naked <= ZERO:
        return None
    return add_closing_order(
        fleet, uow, position, OrderRole.STOP, naked, trigger=stop_price_now(position), reason="protect", now=now
    )
