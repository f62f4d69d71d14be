"""The life of a listing: halted, closing down, settled, gone; and what that does to orders and positions."""

from simulator.account import Account
from simulator.errors import VenueError
from simulator.events import algo_event, order_event
from simulator.ledger import book_fill, end_order
from simulator.money import ZERO
from simulator.orders import Order
from simulator.state import Change
from simulator.venue import Venue

TRADING, HALTED, REDUCE_ONLY, SETTLED, GONE = "TRADING", "BREAK", "PRE_SETTLE", "SETTLING", "CLOSE"
STATUSES = {
    TRADING: "everything is accepted",
    HALTED: "nothing is accepted and nothing is matched",
    REDUCE_ONLY: "only what reduces is accepted",
    SETTLED: "orders are cancelled and positions closed at the last price; nothing is accepted",
    GONE: "settled, and not in the listing any more",
}
SETTLEMENT_PREFIX, DELEVERAGE_PREFIX = "settlement_autoclose-", "adl_autoclose"


def set_status(venue: Venue, symbol: str, status: str, now_ms: int) -> None:
    """Bring a listing into a state; settling it closes what is open in it."""
    if symbol not in venue.rules:
        raise VenueError(-1121, f"symbol {symbol!r} is not known; known are {', '.join(sorted(venue.rules))}")
    if status not in STATUSES:
        raise VenueError(-1130, f"status {status!r} is not known; known are {', '.join(STATUSES)}")
    if status in (SETTLED, GONE):
        _settle(venue, symbol, now_ms)
    venue.keep_status(symbol, status)


def _settle(venue: Venue, symbol: str, now_ms: int) -> None:
    change = Change()
    for order in list(venue.open_orders[symbol].values()):
        end_order(venue, order, "CANCELED", now_ms, change)
    for algo in list(venue.open_algos[symbol].values()):
        algo.status, algo.updated_ms = "CANCELED", now_ms
        venue.touch_algo(change, algo)
        change.events.append((algo.account, algo_event(algo, now_ms)))
    for api_key in sorted(venue.holders[symbol]):
        _close(venue, venue.accounts[api_key], symbol, SETTLEMENT_PREFIX, now_ms, change)
    venue.commit(change, now_ms)


def deleverage(venue: Venue, account: Account, symbol: str, now_ms: int) -> None:
    """Close what the account holds in a market by force at the last price; stops of it go on resting."""
    if not account.position(symbol).qty:
        raise VenueError(-2022, f"nothing is held in {symbol}")
    change = Change()
    _close(venue, account, symbol, DELEVERAGE_PREFIX, now_ms, change)
    venue.commit(change, now_ms)


def _close(venue: Venue, account: Account, symbol: str, prefix: str, now_ms: int, change: Change) -> None:
    held = account.position(symbol).qty
    number = venue.take_id("order")
    order = Order(
        number, account.api_key, f"{prefix}{number}", symbol, "BUY" if held < 0 else "SELL", "MARKET", "IOC",
        abs(held), ZERO, True, now_ms, now_ms, original_type="MARKET", is_forced=True,
    )  # fmt: skip
    venue.index_order(order)
    venue.touch_order(change, order)
    change.events.append((account.api_key, order_event(order, "NEW", now_ms)))
    book_fill(venue, order, venue.last_price(symbol, now_ms), order.qty, False, now_ms, change)
