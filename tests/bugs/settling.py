"""Mistakes in finding out what became of an order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from common.domain.order import IN_DOUBT, OrderStatus
from common.services import close_position, learn, settle_order
from tests.bugs.garden import bug, swap


@bug("I4", "not found means never placed")
def not_found_is_not_placed() -> None:
    swap(settle_order._may_conclude, lambda venue, order, asked_at: True)
    swap(settle_order._traces, lambda uow, account, venue, order, fills: [])


@bug("I4", "the venue's visibility horizon is not waited for")
def skip_horizon() -> None:
    swap(settle_order._may_conclude, lambda venue, order, asked_at: asked_at > order.valid_until)
    swap(settle_order._traces, lambda uow, account, venue, order, fills: [])


@bug("I4", "the window in which a request may still arrive is not waited for")
def skip_window() -> None:
    swap(
        settle_order._may_conclude, lambda venue, order, asked_at: asked_at > order.submitted_at + venue.visibility / 2
    )
    swap(settle_order._traces, lambda uow, account, venue, order, fills: [])


@bug("I4", "an order that shows up after its window is not believed to be ours")
def late_order_not_adopted() -> None:
    original = settle_order._ask

    def ask(fleet: Any, venue: Any, order: Any) -> Any:
        seen, fills = original(fleet, venue, order)
        late = order.valid_until is not None and fleet.clock.now() > order.valid_until
        return (None, []) if late else (seen, fills)

    swap(original, ask)
    swap(settle_order._traces, lambda uow, account, venue, order, fills: [])


@bug("I4", "a cancel that was sent is taken for done")
def cancel_is_done() -> None:
    original = settle_order._learn

    def learnt(fleet: Any, uow: Any, account: Any, venue: Any, order: Any) -> Any:
        uow.risk.lock()
        now = fleet.clock.now()
        if order.status not in {OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}:
            return original(fleet, uow, account, venue, order)
        return learn.keep(uow, order, order.move(OrderStatus.CANCELED, updated_at=now), now)

    swap(original, learnt)


@bug("I4", "an entry in doubt that a halt takes back is written off at once")
def halt_writes_off_what_is_in_doubt() -> None:
    original = close_position.request_cancel

    def cancel(uow: Any, order: Any, now: Any) -> None:
        if order.status in IN_DOUBT:
            unknown = order if order.status is OrderStatus.UNKNOWN else order.move(OrderStatus.UNKNOWN)
            if unknown is not order:
                uow.orders.save(unknown)
            after = unknown.move(OrderStatus.NOT_PLACED, reason="taken back", updated_at=now)
            uow.orders.save(after)
            uow.risk.release_reservation(order.id)
            return
        original(uow, order, now)

    swap(original, cancel)


@bug("I4", "an order is found but its fills are not asked for, and it ends as the venue says")
def end_without_fills() -> None:
    original = settle_order._ask

    def ask(fleet: Any, venue: Any, order: Any) -> Any:
        seen, _ = original(fleet, venue, order)
        return seen, []

    swap(original, ask)
    terminal_first()


@bug("I4", "an order ends as soon as the venue says so, whether or not its fills are known")
def terminal_before_fills() -> None:
    terminal_first()


def terminal_first() -> None:
    """Believe the venue's status without looking at the fills."""
    original = learn.learn_order

    def learn_order(fleet: Any, uow: Any, order: Any, seen: Any) -> Any:
        return original(fleet, uow, order, replace(seen, filled_quantity=order.filled_quantity))

    swap(original, learn_order)
