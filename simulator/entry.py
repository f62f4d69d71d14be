"""The entrance of the engine: an order meets the book, and what is left of it rests, waits or expires."""

from decimal import Decimal

from simulator.events import order_event
from simulator.ledger import book_fill, end_order
from simulator.money import from_steps, to_steps
from simulator.orders import Order
from simulator.state import Change
from simulator.venue import Venue


def held_back(venue: Venue, order: Order, size: int, at_ms: int, change: Change) -> int:
    """What a fill fault leaves of a fill: a part and then silence, or nothing for a while."""
    if size <= 0:
        return size
    fault = venue.faults.consult(
        "fill", at_ms, symbol=order.symbol, account=order.account, client_id=order.client_id, type=order.type
    )
    if fault is None:
        return size
    order.frozen_until_ms = at_ms + int(float(fault.params.get("seconds", 60)) * 1000)
    venue.touch_order(change, order)
    venue.interest_version += 1
    if fault.kind == "hold":
        return 0
    rules = venue.rules[order.symbol]
    whole = to_steps(order.remaining, rules.qty_scale)
    return min(size, max(1, int(whole * float(fault.params.get("fraction", 0.5)))) if whole > 1 else 0)


def take(venue: Venue, order: Order, limit: Decimal | None, at_ms: int, change: Change) -> None:
    """Fill an order at once from the book, at `limit` or better; what a fault holds back stays open."""
    rules = venue.rules[order.symbol]
    wanted = order.remaining
    if order.reduce_only:
        wanted = min(wanted, venue.accounts[order.account].position(order.symbol).reducible_by(order.is_buy))
    size = held_back(venue, order, to_steps(wanted, rules.qty_scale), at_ms, change)
    bound = None if limit is None else to_steps(limit, rules.price_scale)
    for price, part in venue.books[order.symbol].take(at_ms, order.is_buy, bound, size):
        if not order.is_open:
            break
        book_fill(
            venue, order, from_steps(price, rules.price_scale), from_steps(part, rules.qty_scale), False, at_ms, change
        )


def resume_market(venue: Venue, order: Order, at_ms: int, change: Change) -> None:
    """Go on with a market order that a fault had frozen."""
    take(venue, order, None, at_ms, change)
    if order.is_open and order.frozen_until_ms <= at_ms:
        end_order(venue, order, "EXPIRED", at_ms, change)


def enter(venue: Venue, order: Order, at_ms: int, change: Change) -> None:
    """Put a checked order into the engine: announce it, match it against the book, rest or expire what is left."""
    venue.index_order(order)
    venue.touch_order(change, order)
    change.events.append((order.account, order_event(order, "NEW", at_ms)))
    take(venue, order, None if order.type == "MARKET" else order.price, at_ms, change)
    if not order.is_open:
        return
    if order.frozen_until_ms > at_ms and order.time_in_force not in ("IOC", "FOK"):
        return
    if order.type == "MARKET" or order.time_in_force in ("IOC", "FOK"):
        end_order(venue, order, "EXPIRED", at_ms, change)
