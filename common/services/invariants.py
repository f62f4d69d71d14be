"""What must be true of a quiet fleet, asked of the ledger and of the venue independently."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.domain.errors import NotFound, Permanent
from common.domain.money import ZERO
from common.domain.order import TERMINAL, Order, OrderStatus
from common.domain.postings import EntryKind, disagreements, wallet_of
from common.domain.tenant import Account
from common.ports.venue import Venue
from common.services.account_book import book_of
from common.services.fleet import Fleet
from common.store import UnitOfWork

Differences = list[str]


def check_invariants(fleet: Fleet) -> dict[str, Any]:
    """Promises 1 and 5 as facts: `ledger_equals_venue`, `every_signal_has_outcome`, `audit_chains_hold`.

    Each is true only when its list of `differences` is empty; call it when nothing is under way.
    """
    with fleet.store.operator() as view:
        accounts = view.accounts()
        tenants = view.tenants()
        unanswered = view.signals_without_outcome(fleet.clock.now())
    ledger: Differences = []
    for account in accounts:
        ledger += [f"{account.name}: {item}" for item in compare_account(fleet, account)]
    outcomes = [f"signal {item.signal_id} has no outcome for account {item.account_id}" for item in unanswered]
    chains = [problem for tenant in tenants for problem in _broken_chain(fleet, tenant.id)]
    return {
        "ledger_equals_venue": not ledger,
        "every_signal_has_outcome": not outcomes,
        "audit_chains_hold": not chains,
        "differences": ledger + outcomes + chains,
    }


def _broken_chain(fleet: Fleet, tenant_id: UUID) -> Differences:
    try:
        with fleet.store.unit_of_work(tenant_id) as uow:
            uow.audit.verify()
    except Permanent as error:
        return [str(error)]
    return []


def compare_account(fleet: Fleet, account: Account) -> Differences:
    """Orders, fills, positions and the wallet of `account` that the ledger and its venue tell differently."""
    with fleet.store.unit_of_work(account.tenant_id) as uow:
        orders = uow.orders.of_account(account.id)
        venue = fleet.venue_of(uow, account)
        return [
            *_orders_differ(venue, orders),
            *_fills_differ(fleet, uow, venue, account, orders),
            *_positions_differ(uow, venue, account),
            *_wallet_differs(uow, venue, account),
        ]


def _orders_differ(venue: Venue, orders: list[Order]) -> Differences:
    shown = {item.client_order_id: item for item in venue.open_orders()}
    ours = {order.intent.client_order_id: order for order in orders}
    found: Differences = []
    for client_id, item in sorted(shown.items()):
        order = ours.get(client_id)
        if order is None:
            found.append(f"order {client_id} is open at the venue and not in the ledger")
        elif order.status in TERMINAL or item.quantity != order.intent.quantity:
            found.append(f"order {client_id} is open at the venue and {order.status} in the ledger")
    for client_id, order in sorted(ours.items()):
        open_here = order.status not in TERMINAL and order.status is not OrderStatus.INTENDED
        if open_here and client_id not in shown:
            found.append(f"order {client_id} is {order.status} in the ledger and not open at the venue")
    return found


def _fills_differ(fleet: Fleet, uow: UnitOfWork, venue: Venue, account: Account, orders: list[Order]) -> Differences:
    starts: dict[str, Any] = {}
    for order in orders:
        symbol, at = order.intent.instrument, order.created_at
        starts[symbol] = min(starts.get(symbol, at), at)
    booked: dict[str, dict[str, tuple[Decimal, Decimal, Decimal]]] = defaultdict(dict)
    for fill in uow.fills.of_account(account.id):
        booked[fill.instrument][fill.trade_id] = (fill.quantity, fill.price, fill.fee)
    found: Differences = []
    for symbol, since in sorted(starts.items()):
        told = {
            item.trade_id: (item.quantity, item.price, item.fee)
            for item in venue.fills(symbol, since - timedelta(minutes=5))
        }
        found += _compare(f"fill of {symbol}", booked.get(symbol, {}), told)
    return found


def _positions_differ(uow: UnitOfWork, venue: Venue, account: Account) -> Differences:
    ours: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for position in uow.positions.open(account.id):
        ours[position.instrument] += position.quantity * position.side.sign
    theirs: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for held in venue.positions():
        theirs[held.instrument] += held.quantity
    return _compare("position in", _nonzero(ours), _nonzero(theirs))


def _wallet_differs(uow: UnitOfWork, venue: Venue, account: Account) -> Differences:
    """What the wallet holds beside opening + postings (I15); nothing before the opening was booked."""
    opening = uow.cash_flows.opening(account.id)
    if opening is None:
        return []
    held, entries = venue.balance(), book_of(uow, account)
    expected = wallet_of(entries, held.asset)
    if held.wallet == expected:
        return []
    ours = [entry for entry in entries if entry.kind is not EntryKind.OPENING]
    items = disagreements(ours, venue.statement(opening.occurred_at), held.asset)
    first = f"; {items[0]}" if items else ""
    return [f"wallet is {expected:f} {held.asset} in the ledger and {held.wallet:f} at the venue{first}"]


def _nonzero(quantities: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {symbol: quantity for symbol, quantity in quantities.items() if quantity != ZERO}


def _compare(noun: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Differences:
    return [
        f"{noun} {key} is {ours.get(key, 'absent')} in the ledger and {theirs.get(key, 'absent')} at the venue"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]


def find_account(fleet: Fleet, tenant_id: UUID, name_or_id: str | None) -> Account:
    """The tenant's account of that name or id, or its only one; NotFound names those there are."""
    with fleet.store.unit_of_work(tenant_id) as uow:
        accounts = uow.accounts.list()
    chosen = [a for a in accounts if name_or_id in {None, a.name, str(a.id)}]
    if len(chosen) != 1:
        raise NotFound("account", name_or_id or "(none named)", (account.name for account in accounts))
    return chosen[0]
