"""Moves the stop at the venue after a price that has run: the new one rests before the old one is cancelled."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from common.domain.exits import next_stop
from common.domain.money import ZERO
from common.domain.order import WORKING, Order, OrderRole
from common.domain.position import Position
from common.services.close_position import request_cancel
from common.services.closing import add_closing_order
from common.services.fleet import Fleet, instrument_of
from common.services.protect_position import stops_of
from common.store import UnitOfWork


def move_stop(fleet: Fleet, uow: UnitOfWork, position: Position, mark: Decimal, now: datetime) -> Order | None:
    """Bring the stops of `position` one step closer to where they ought to be; the stop that was intended, if any.

    One half of a replacement at a time, each read from the ledger alone, so that whoever comes next goes on: a stop
    over all that is held is placed beside the old ones; when it rests, whatever it makes superfluous is cancelled. Stops
    add up and reduce only, so a position is covered twice for a moment and never less than once.
    """
    stops = stops_of(uow, position)
    if any(order.status not in WORKING for order in stops):
        return None  # A stop is on its way, or in doubt: what is to be moved is not known yet.
    if _cancel_superfluous(uow, position, stops, now):
        return None  # The old one goes first: never more than two at a time.
    covered = sum((order.remaining for order in stops), ZERO)
    if covered < position.quantity or not _may_move(fleet, uow, position, now):
        return None
    worst = min(stops, key=lambda order: _favour(position, order))
    tick = instrument_of(uow, position.venue, position.instrument).tick_size
    trigger = next_stop(position, worst.intent.price, mark, fleet.policy.stop_move_step, tick)
    if trigger is None:
        return None
    return add_closing_order(
        fleet,
        uow,
        position,
        OrderRole.STOP,
        position.quantity,
        trigger=trigger,
        reason="follows the price",
        now=now,
        replaces=worst.id,
    )


def _cancel_superfluous(uow: UnitOfWork, position: Position, stops: list[Order], now: datetime) -> bool:
    """Cancel the stops that lie behind others which cover everything by themselves; whether there are such."""
    covered, found = ZERO, False
    last: Order | None = None
    for order in sorted(stops, key=lambda one: _favour(position, one), reverse=True):
        if last is not None and covered >= position.quantity and _favour(position, order) < _favour(position, last):
            request_cancel(uow, order, now, cause=last.id)
            found = True
        else:
            covered, last = covered + order.remaining, order
    return found


def _may_move(fleet: Fleet, uow: UnitOfWork, position: Position, now: datetime) -> bool:
    """Whether the last stop was moved long enough ago, whatever has become of it."""
    moved = [order.created_at for order in uow.orders.of_position(position.id) if order.intent.replaces is not None]
    return all(at <= now - fleet.policy.stop_move_every for at in moved)


def _favour(position: Position, stop: Order) -> Decimal:
    """How good the stop is for its owner: the higher the better, for a long and for a short."""
    return stop.intent.price * position.side.sign
