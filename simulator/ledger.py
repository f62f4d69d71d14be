"""Booking: what a fill, a fee, a funding payment or a deposit does to an account, and what is told of it."""

from decimal import Decimal

from simulator.account import Account
from simulator.events import account_event, algo_event, order_event
from simulator.filters import MAKER, TAKER
from simulator.money import ZERO, booked
from simulator.orders import Fill, Income, Order
from simulator.state import Change
from simulator.venue import Venue


def book_income(
    venue: Venue,
    account: Account,
    kind: str,
    amount: Decimal,
    symbol: str,
    at_ms: int,
    change: Change,
    trade_id: str = "",
) -> None:
    """Move the wallet by an amount and write down why; nothing for zero."""
    if amount == 0:
        return
    entry = Income(venue.take_id("tran"), account.api_key, kind, amount, symbol, at_ms, trade_id)
    account.wallet += amount
    account.updated_ms = at_ms
    venue.income[account.api_key].append(entry)
    change.income.append(entry)
    change.accounts[account.api_key] = account


def book_fill(
    venue: Venue, order: Order, price: Decimal, qty: Decimal, is_maker: bool, at_ms: int, change: Change
) -> Fill:
    """Execute a part of an order: position, fee, profit, order state, events."""
    account = venue.accounts[order.account]
    position = account.position(order.symbol)
    quote = price * qty
    realized = position.apply(qty if order.is_buy else -qty, price)
    position.updated_ms = account.updated_ms = at_ms
    fee = booked(quote * (MAKER if is_maker else TAKER))
    fill = Fill(
        venue.take_id("trade"), order.order_id, order.account, order.client_id, order.symbol, order.side, price, qty,
        quote, fee, realized, is_maker, at_ms, order.visible_ms,
    )  # fmt: skip
    book_income(venue, account, "REALIZED_PNL", realized, order.symbol, at_ms, change, str(fill.trade_id))
    book_income(venue, account, "COMMISSION", -fee, order.symbol, at_ms, change, str(fill.trade_id))
    venue.fills[order.account].append(fill)
    change.fills.append(fill)
    change.accounts[order.account] = account
    order.filled += qty
    order.quote += quote
    order.updated_ms = at_ms
    if order.is_open or order.filled == order.qty:
        order.status = "FILLED" if order.filled == order.qty else "PARTIALLY_FILLED"
    venue.touch_order(change, order)
    venue.note_holdings(account)
    change.events.append((order.account, account_event(account, "ORDER", ZERO, {order.symbol: price}, at_ms, at_ms)))
    execution = "CALCULATED" if order.is_forced else "TRADE"
    change.events.append((order.account, order_event(order, execution, at_ms, fill)))
    finish_algo(venue, order, at_ms, change)
    expire_useless_reductions(venue, account, order.symbol, at_ms, change)
    return fill


def end_order(venue: Venue, order: Order, status: str, at_ms: int, change: Change) -> None:
    """Take an order out of the engine as CANCELED or EXPIRED."""
    order.status = status
    order.updated_ms = at_ms
    venue.touch_order(change, order)
    change.events.append((order.account, order_event(order, status, at_ms)))
    finish_algo(venue, order, at_ms, change)


def finish_algo(venue: Venue, order: Order, at_ms: int, change: Change) -> None:
    """Close the conditional order whose triggered order is done."""
    algo = venue.algos.get(order.algo_id)
    if algo is None or order.is_open or algo.status == "FINISHED":
        return
    algo.status = "FINISHED"
    algo.updated_ms = at_ms
    venue.touch_algo(change, algo)
    change.events.append((order.account, algo_event(algo, at_ms, order)))


def expire_useless_reductions(venue: Venue, account: Account, symbol: str, at_ms: int, change: Change) -> None:
    """Expire resting reduce-only orders that have nothing left to reduce, as the venue does by itself."""
    position = account.position(symbol)
    for order in list(venue.open_orders[symbol].values()):
        if order.account == account.api_key and order.reduce_only and not position.reducible_by(order.is_buy):
            end_order(venue, order, "EXPIRED", at_ms, change)
