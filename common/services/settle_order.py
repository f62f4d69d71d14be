"""execution.settle and execution.cancel: asks the venue until it is known what became of an order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.domain.errors import AskAgain
from common.domain.job import Job
from common.domain.order import IN_DOUBT, TERMINAL, Order, OrderStatus
from common.domain.tenant import Account
from common.ports.venue import Venue, VenueFill, VenueOrder
from common.services.close_position import request_cancel
from common.services.fleet import Fleet
from common.services.learn import keep, learn
from common.services.place_order import subject
from common.store import UnitOfWork


def settle_order(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
    """Find the order at the venue and learn it, or conclude NOT_PLACED when all three kinds of evidence agree.

    NOT_PLACED needs: the validity window closed at the venue's clock, the visibility horizon passed after that, and
    neither the order, nor the open orders, nor the fills show it. Until then the reservation stays held.
    """
    order, account = subject(uow, job)
    if order.status is OrderStatus.INTENDED:
        # Were this job done now, nobody would ask any more once the order has left and is in doubt.
        raise AskAgain("the order has not left yet", fleet.policy.settle_again_s)
    if order.status not in IN_DOUBT:
        return f"already known: {order.status}"
    venue = fleet.venue_of(uow, account)
    asked_at = fleet.clock.now()
    seen, fills = _ask(fleet, venue, order)
    if seen is None and not _may_conclude(venue, order, asked_at):
        raise AskAgain("the venue does not show the order yet", fleet.policy.settle_again_s)
    if seen is None and _traces(uow, account, venue, order, fills):
        raise AskAgain("the venue shows fills that may be the order's", fleet.policy.settle_again_s)
    uow.risk.lock()
    now = fleet.clock.now()
    if order.status is OrderStatus.SUBMITTING:
        order = keep(uow, order, order.move(OrderStatus.UNKNOWN, reason="its sender did not tell", updated_at=now), now)
    if seen is None:
        reason = "window closed, horizon passed, no trace at the venue"
        keep(uow, order, order.move(OrderStatus.NOT_PLACED, reason=reason, updated_at=now), now)
        return "not placed"
    learn(fleet, uow, account, [(order, seen)], fills)
    return f"found: {seen.status}, {seen.filled_quantity} filled"


def _ask(fleet: Fleet, venue: Venue, order: Order) -> tuple[VenueOrder | None, list[VenueFill]]:
    seen = venue.find(order.intent)
    if seen is None:
        wanted = order.intent.client_order_id
        seen = next((item for item in venue.open_orders() if item.client_order_id == wanted), None)
    since = (order.submitted_at or order.created_at) - fleet.policy.overlap
    return seen, list(venue.fills(order.intent.instrument, since))


def _traces(
    uow: UnitOfWork, account: Account, venue: Venue, order: Order, fills: Sequence[VenueFill]
) -> list[VenueFill]:
    """Fills that contradict the order's absence: under its id, or of its side in its time and of no order we know."""
    sent_at = order.submitted_at or order.created_at
    return [
        fill
        for fill in fills
        if fill.client_order_id == order.intent.client_order_id
        or (
            fill.client_order_id is None
            and fill.side is order.intent.side
            and sent_at <= fill.occurred_at <= (order.valid_until or sent_at) + venue.visibility
            and uow.orders.by_venue_id(account.id, fill.venue_order_id) is None
        )
    ]


def _may_conclude(venue: Venue, order: Order, asked_at: datetime) -> bool:
    return order.valid_until is not None and asked_at > order.valid_until + venue.visibility


def cancel_order(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
    """Ask the venue to cancel, then ask what the order is: only the venue's word ends it."""
    order, account = subject(uow, job)
    if order.status in TERMINAL:
        return f"nothing to cancel: {order.status}"
    if order.status is OrderStatus.INTENDED:
        request_cancel(uow, order, fleet.clock.now())
        return "abandoned before it left"
    if order.status in IN_DOUBT:
        raise AskAgain("the order is in doubt; its fate is being asked for", fleet.policy.settle_again_s)
    venue = fleet.venue_of(uow, account)
    venue.cancel(order.intent)
    after = _learn(fleet, uow, account, venue, order)
    if after.status not in TERMINAL:
        # The outcome so far is kept by the monitor; this job only insists until the venue says it has ended.
        raise AskAgain(f"still {after.status} at the venue", fleet.policy.settle_again_s)
    return f"{after.status}"


def _learn(fleet: Fleet, uow: UnitOfWork, account: Account, venue: Venue, order: Order) -> Order:
    seen = venue.find(order.intent)
    since = (order.submitted_at or order.created_at) - fleet.policy.overlap
    fills = list(venue.fills(order.intent.instrument, since)) if seen is not None and seen.filled_quantity > 0 else []
    uow.risk.lock()
    if seen is not None:
        learn(fleet, uow, account, [(order, seen)], fills)
    current = uow.orders.get(order.id)
    return current if current is not None else order
