"""maintenance.reconcile: compares an account's book with the venue's; adopts what is ours, quarantines the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from uuid import UUID

from common.domain.errors import NotFound
from common.domain.money import ZERO
from common.domain.order import WORKING, Order
from common.domain.tenant import Account
from common.ports.venue import Venue, VenueFill, VenueOrder, VenuePosition
from common.services.alerts import tell
from common.services.ended_listings import ask_of
from common.services.fleet import Fleet
from common.services.learn import learn, learn_order
from common.store import UnitOfWork

BUSY = "claimed by another worker"
"""What a comparison says that found somebody else at the account."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What the venue holds of an account, and what our book held when it was asked.

    `ended` are orders of ours that were working and are not among its open `orders` any more, as the venue shows them.
    `is_still` when the venue's positions did not move while it was being read, from `began_at` on.
    """

    began_at: datetime
    orders: Sequence[VenueOrder]
    ended: Sequence[tuple[Order, VenueOrder]]
    positions: Mapping[str, Decimal]
    fills: Sequence[VenueFill]
    book: Mapping[str, Decimal]
    is_still: bool


def reconcile_account(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> str:
    """Make the account's book equal to the venue's, or stop its entries where it is not; safe to repeat.

    The account is reconciled when every working order at the venue is ours and known and every position equals the sum
    of our fills. A book that moved while it was read is judged at the next visit.
    """
    news: list[str] = []
    with fleet.store.unit_of_work(tenant_id) as uow:
        if not uow.accounts.claim(account_id):
            return BUSY
        account = uow.accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        statement = read_statement(fleet, uow, account, fleet.venue_of(uow, account))
        uow.risk.lock()
        outcome = _compare(fleet, uow, account, statement, news)
        refs = uow.commit()
    fleet.publish(refs)
    if news:
        title = f"the books of {account.name} at {account.venue} differ: no entries until they agree"
        tell(fleet, "books_differ", title, "; ".join(news), tenant_id=tenant_id)
    return outcome


def read_statement(fleet: Fleet, uow: UnitOfWork, account: Account, venue: Venue) -> Statement:
    """Positions, fills and orders, and the positions once more to know whether they stood still.

    Orders are asked for after the fills: a stop that has triggered carries another id from then on, and so do its fills.
    """
    began_at, book = fleet.clock.now(), _book(uow, account)
    before = _quantities(venue.positions())
    live, lingering = uow.orders.live(account.id), uow.orders.lingering(account.id)
    symbols = {*before, *(o.intent.instrument for o in (*live, *lingering))}
    symbols |= {p.instrument for p in uow.positions.open(account.id)}
    fills: list[VenueFill] = []
    for symbol in sorted(symbols):
        sent = [o.submitted_at or o.created_at for o in lingering if o.intent.instrument == symbol]
        missing = before.get(symbol, ZERO) - book.get(symbol, ZERO)
        fills.extend(_fills_of(fleet, uow, account, venue, symbol, missing, sent))
    orders = list(venue.open_orders())
    shown = {item.client_order_id for item in orders}
    gone = [o for o in live if o.status in WORKING and o.intent.client_order_id not in shown]
    found = [(o, ask_of(uow, account, o.intent.instrument, partial(venue.find, o.intent), None)) for o in gone]
    ended = [(order, item) for order, item in found if item is not None]
    return Statement(began_at, orders, ended, before, fills, book, before == _quantities(venue.positions()))


def _fills_of(
    fleet: Fleet,
    uow: UnitOfWork,
    account: Account,
    venue: Venue,
    symbol: str,
    missing: Decimal,
    sent: Sequence[datetime],
) -> Sequence[VenueFill]:
    """The fills of `symbol` that our book may lack, when the venue holds `missing` more than it.

    Entries that were `sent` then and taken back may have filled all the same; what the venue closed again by itself
    shows in no position.
    """
    earliest = fleet.clock.now() - fleet.policy.memory
    last = uow.fills.last_at(account.id, symbol) or earliest
    none: Sequence[VenueFill] = ()
    since = min([last, *sent]) - fleet.policy.overlap
    found = ask_of(uow, account, symbol, partial(venue.fills, symbol, since), none)
    known = uow.fills.known(account.id, {fill.trade_id for fill in found})
    if sum((fill.quantity * fill.side.sign for fill in found if fill.trade_id not in known), ZERO) == missing:
        return found
    # What is missing is older than the last we know: an order that had been cancelled filled before others did.
    return ask_of(uow, account, symbol, partial(venue.fills, symbol, earliest - fleet.policy.overlap), found)


def _quantities(positions: Sequence[VenuePosition]) -> dict[str, Decimal]:
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for position in positions:
        held[position.instrument] += position.quantity
    return {symbol: quantity for symbol, quantity in held.items() if quantity != ZERO}


def _compare(fleet: Fleet, uow: UnitOfWork, account: Account, statement: Statement, news: list[str]) -> str:
    now = fleet.clock.now()
    moved = not statement.is_still or _book(uow, account) != statement.book
    for item in statement.orders:
        _adopt(fleet, uow, account, item, now)
    strangers = learn(fleet, uow, account, statement.ended, statement.fills)
    # What an order in doubt did cannot be told from what a stranger did before its fate is known.
    doubtful = {order.intent.instrument for order in uow.orders.in_doubt(account.id)}
    for fill in strangers:
        if fill.instrument in doubtful and fill.client_order_id is None:
            continue
        detail = f"fill {fill.trade_id} of {fill.quantity} at {fill.price} belongs to no order of ours"
        _quarantine(uow, account, fill.instrument, fill.venue_order_id, fill.client_order_id or "", detail, now)
    if moved:
        return "moved while it was read; judged at the next visit"
    differences = _differences(uow, account, statement.positions)
    if doubtful & set(differences):
        return "an order is in doubt where the books differ; judged when its fate is known"
    equal = not differences
    if equal:
        uow.risk.reap_reservations(account.id, statement.began_at)
    if account.is_reconciled is not equal:
        uow.accounts.mark_reconciled(account.id, equal)
        told = {
            symbol: f"{theirs} at the venue, {ours} in the ledger" for symbol, (ours, theirs) in differences.items()
        }
        uow.audit.append("reconciliation", str(account.id), {"equal": equal, "differences": told}, now)
        news.extend(f"{symbol}: {text}" for symbol, text in told.items())
    return "equal" if equal else f"{len(differences)} positions differ"


def _adopt(fleet: Fleet, uow: UnitOfWork, account: Account, item: VenueOrder, now: datetime) -> None:
    order = uow.orders.by_client_id(item.client_order_id)
    if order is not None and order.intent.account_id == account.id:
        learn_order(fleet, uow, order, item)
        return
    ours = item.client_order_id.startswith(fleet.policy.order_prefix)
    detail = "has our prefix but is not in the ledger" if ours else "was not placed by this fleet"
    _quarantine(uow, account, item.instrument, item.venue_order_id, item.client_order_id, detail, now)


def _quarantine(
    uow: UnitOfWork,
    account: Account,
    symbol: str,
    venue_order_id: str,
    client_order_id: str,
    detail: str,
    now: datetime,
) -> None:
    if uow.quarantine.add(account.id, symbol, venue_order_id, client_order_id, detail, now):
        payload = {"instrument": symbol, "venue_order_id": venue_order_id, "detail": detail}
        uow.audit.append("quarantine", str(account.id), payload, now)


def _differences(
    uow: UnitOfWork, account: Account, theirs: Mapping[str, Decimal]
) -> dict[str, tuple[Decimal, Decimal]]:
    ours = _book(uow, account)
    symbols = sorted({*ours, *theirs})
    pairs = {symbol: (ours.get(symbol, ZERO), theirs.get(symbol, ZERO)) for symbol in symbols}
    return {symbol: pair for symbol, pair in pairs.items() if pair[0] != pair[1]}


def _book(uow: UnitOfWork, account: Account) -> dict[str, Decimal]:
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for position in uow.positions.open(account.id):
        held[position.instrument] += position.quantity * position.side.sign
    return {symbol: quantity for symbol, quantity in held.items() if quantity != ZERO}
