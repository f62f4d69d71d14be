"""Liquidation: when equity falls under the maintenance margin the venue closes everything at what the book gives."""

from decimal import Decimal

from simulator.account import Account
from simulator.events import order_event
from simulator.ledger import book_fill, book_income, end_order
from simulator.money import ZERO, booked, from_steps, to_steps
from simulator.orders import Order
from simulator.state import Change
from simulator.venue import Venue

CLEARANCE = Decimal("0.005")  # of the notional, to the insurance fund


def liquidate_if_due(venue: Venue, account: Account, at_ms: int, change: Change) -> None:
    """Close the account's positions by force when its equity no longer covers their maintenance margin."""
    if _is_due(venue, account, at_ms):
        liquidate(venue, account, at_ms, change)


def liquidate(venue: Venue, account: Account, at_ms: int, change: Change) -> None:
    """Cancel what is open, close what is held at what the book gives, and take the clearance; conditional orders stay."""
    for some in venue.open_orders_of(account.api_key).values():
        for order in some:
            end_order(venue, order, "CANCELED", at_ms, change)
    for position in sorted(account.held(), key=lambda p: p.symbol):
        _close(venue, account, position.symbol, at_ms, change)
    if account.wallet < 0:
        # The insurance fund bears what the account cannot.
        book_income(venue, account, "INSURANCE_CLEAR", -account.wallet, "", at_ms, change)


def _is_due(venue: Venue, account: Account, at_ms: int) -> bool:
    """A quick look in floats, since it happens at every tick, and an exact one when it comes near."""
    equity, maintenance = float(account.wallet), 0.0
    for position in account.positions.values():
        if position.qty:
            feed = venue.market.feeds[position.symbol]
            mark = feed.tick_price(feed.tick_at(at_ms)) / 10**feed.price_scale
            size = float(position.qty)
            equity += size * (mark - float(position.entry))
            maintenance += venue.rules[position.symbol].rough_maintenance(abs(size) * mark)
    if equity > maintenance * 1.01:
        return False
    book = venue.margins_of(account, at_ms)
    return book.maintenance > 0 and book.equity < book.maintenance


def _close(venue: Venue, account: Account, symbol: str, at_ms: int, change: Change) -> None:
    rules, position = venue.rules[symbol], account.position(symbol)
    is_buy, size = position.qty < 0, abs(position.qty)
    number = venue.take_id("order")
    order = Order(
        number, account.api_key, f"autoclose-{number}", symbol, "BUY" if is_buy else "SELL", "MARKET", "IOC", size, ZERO,
        False, at_ms, at_ms, original_type="LIQUIDATION", is_forced=True,
    )  # fmt: skip
    venue.index_order(order)
    venue.touch_order(change, order)
    change.events.append((account.api_key, order_event(order, "NEW", at_ms)))
    levels = venue.books[symbol].take(at_ms, is_buy, None, to_steps(size, rules.qty_scale))
    last = venue.last_price(symbol, at_ms)
    for price_steps, part in levels:
        last = from_steps(price_steps, rules.price_scale)
        book_fill(venue, order, last, from_steps(part, rules.qty_scale), False, at_ms, change)
    if order.is_open:
        # The book was too thin: the venue takes the rest over at the last price it saw.
        book_fill(venue, order, last, order.remaining, False, at_ms, change)
    book_income(venue, account, "INSURANCE_CLEAR", -booked(order.quote * CLEARANCE), symbol, at_ms, change)
