"""position.monitor: guards every open position of an account and, when it is due, asks the venue and writes what it tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

from common.domain.errors import NotFound
from common.domain.exits import track
from common.domain.market import EPOCH
from common.domain.money import ZERO
from common.domain.order import IN_DOUBT, TERMINAL, WORKING, Order, OrderRole, OrderStatus
from common.domain.position import CloseReason, Position
from common.domain.risk.book import HaltMode
from common.domain.tenant import Account
from common.ports.rate_limits import CallClass, calling
from common.ports.venue import Venue, VenueBalance, VenueFill, VenueFunding, VenueOrder
from common.services.alerts import tell
from common.services.close_position import cancel_leftovers, close_position, request_cancel
from common.services.ended_listings import ask_of
from common.services.flatness import note_flatness, witness
from common.services.fleet import Fleet
from common.services.learn import learn, learn_fundings, live_orders, save_position
from common.services.leaving import halted, wish_to_leave
from common.services.look_due import is_look_due
from common.services.market_view import mark_now
from common.services.move_stop import move_stop
from common.services.protect_position import protect
from common.store import UnitOfWork

CLAIMED = "claimed by another monitor"
"""What a visit says that found somebody else visiting."""

_TAKES_BACK = {HaltMode.CANCEL_ENTRIES, HaltMode.FLATTEN}
_MINUTE = timedelta(minutes=1)
_NEVER_RESTED = IN_DOUBT | {OrderStatus.INTENDED, OrderStatus.ABANDONED, OrderStatus.NOT_PLACED, OrderStatus.REJECTED}


@dataclass(slots=True)
class Observation:
    """What a visit saw: the marks of what is held and, where the venue was asked about the account, what it told."""

    marks: dict[str, Decimal]
    balance: VenueBalance | None = None
    orders: list[tuple[Order, VenueOrder]] = field(default_factory=list)
    fills: list[VenueFill] = field(default_factory=list)
    fundings: Sequence[VenueFunding] = ()
    unprotected: list[Position] = field(default_factory=list)
    """Positions that are left because no stop came to rest for them in time."""


def monitor_account(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> str:
    """Visit one account and ask the venue about it, whether that is due or not.

    A second monitor of the same account finds it claimed and does nothing. The venue is asked first; then, in the same
    transaction that holds the claim, everything is written at once. Halts in force take back entries (CANCEL_ENTRIES,
    FLATTEN) and leave positions (FLATTEN); no halt keeps an exit back.
    """
    return _visit(fleet, tenant_id, account_id, insists=True)


def visit_account(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> str:
    """Visit one account as often as one likes: its positions are guarded by their marks each time.

    The venue is asked about the account only when that is due or something about it is restless, for its rate limit is
    one for everybody.
    """
    return _visit(fleet, tenant_id, account_id, insists=False)


def _visit(fleet: Fleet, tenant_id: UUID, account_id: UUID, *, insists: bool) -> str:
    with calling(CallClass.EXIT, str(tenant_id)), fleet.store.unit_of_work(tenant_id) as uow:
        if not uow.accounts.claim(account_id):
            return CLAIMED
        account = uow.accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        positions = uow.positions.open(account.id)
        seen = Observation(_marks(fleet, uow, account, {p.instrument for p in positions}))
        open_there = None
        if insists or is_look_due(fleet, uow, account, seen.marks):
            venue = fleet.venue_of(uow, account)
            observe(fleet, uow, account, venue, positions, seen, insists=insists)
            open_there = witness(uow, account, venue, insists=insists)
        uow.risk.lock()
        _write(fleet, uow, account, seen)
        guarded = _guard(fleet, uow, account, seen)
        note_flatness(uow, account, open_there, fleet.clock.now())
        refs = uow.commit()
    fleet.publish(refs)
    for position in seen.unprotected:
        title = f"{position.instrument} of {account.name} at {account.venue} is left: it has no stop"
        body = f"No stop came to rest for {position.quantity} within {fleet.policy.stop_deadline_s:.0f} s."
        tell(fleet, "unprotected", title, body, tenant_id=tenant_id)
    return f"{len(seen.orders)} orders, {len(seen.fills)} fills, {guarded} positions"


def _marks(fleet: Fleet, uow: UnitOfWork, account: Account, symbols: Iterable[str]) -> dict[str, Decimal]:
    return {
        symbol: ask_of(uow, account, symbol, partial(mark_now, fleet, account.venue, symbol), ZERO)
        for symbol in sorted(symbols)
    }


def observe(
    fleet: Fleet,
    uow: UnitOfWork,
    account: Account,
    venue: Venue,
    positions: list[Position],
    seen: Observation,
    *,
    insists: bool = True,
) -> None:
    """Ask the venue everything that the account's live orders and open `positions` depend on, as cheaply as it can be told.

    Each live order is asked for by its id. Fills are read of the markets alone where an order or a holding shows more,
    or other, than our book; what the venue has beside our orders is the reconciler's.
    """
    last = uow.accounts.balance(account.id)
    last_at = last.at if last is not None else fleet.clock.now()
    live = [o for o in live_orders(uow, account) if o.status not in IN_DOUBT and o.status is not OrderStatus.INTENDED]
    seen.balance = venue.balance()
    # What was closed lately may have paid funding that was not told then.
    lately = uow.positions.closed_since(account.id, last_at - fleet.policy.overlap)
    for order in live:
        item = ask_of(uow, account, order.intent.instrument, partial(venue.find, order.intent), None)
        if item is not None:
            seen.orders.append((order, item))
    for symbol in _moved(venue, live, positions, seen):
        since = _since(fleet, uow, account, symbol, live, positions, seen)
        seen.fills.extend(ask_of(uow, account, symbol, partial(venue.fills, symbol, since), []))
    seen.marks |= _marks(fleet, uow, account, {o.intent.instrument for o in live} - seen.marks.keys())
    opened = [p.opened_at for p in (*positions, *lately) if p.opened_at is not None]
    if opened and (insists or _begins_minute(last_at, fleet.clock.now())):
        # The first known may be younger than a payment that fell due while an entry was in doubt.
        since = (uow.fundings.last_at(account.id) or min(opened)) - fleet.policy.overlap
        seen.fundings = venue.fundings(since)


def _moved(venue: Venue, live: list[Order], positions: list[Position], seen: Observation) -> list[str]:
    """Markets of which the venue may have fills that we have not: ours, where an order or the holding says so."""
    symbols = {o.intent.instrument for o in live} | {p.instrument for p in positions}
    if not symbols:
        return []
    held = dict.fromkeys(symbols, ZERO)
    for holding in venue.positions():
        held[holding.instrument] = held.get(holding.instrument, ZERO) + holding.quantity
    for position in positions:
        held[position.instrument] -= position.quantity * position.side.sign
    lacking = {o.intent.instrument for o, item in seen.orders if item.filled_quantity > o.filled_quantity}
    return sorted(symbol for symbol in symbols if held[symbol] != ZERO or symbol in lacking)


def _begins_minute(last_at: datetime, now: datetime) -> bool:
    """Whether this is the first look of its minute: whoever looks, it is written down with what the look was for."""
    return (now - EPOCH) // _MINUTE != (last_at - EPOCH) // _MINUTE


def _since(
    fleet: Fleet,
    uow: UnitOfWork,
    account: Account,
    symbol: str,
    live: list[Order],
    positions: list[Position],
    seen: Observation,
) -> datetime:
    last = uow.fills.last_at(account.id, symbol)
    if last is None:
        starts = [_sent_at(o) for o in live if o.intent.instrument == symbol]
        starts += [p.opened_at for p in positions if p.instrument == symbol and p.opened_at is not None]
    else:
        # A fill may be older than the last one we know: that of an order which filled while nobody looked.
        lacking = [o for o, item in seen.orders if item.filled_quantity > o.filled_quantity]
        starts = [last, *(_sent_at(o) for o in lacking if o.intent.instrument == symbol)]
    return min(starts) - fleet.policy.overlap


def _sent_at(order: Order) -> datetime:
    return order.submitted_at or order.created_at


def _write(fleet: Fleet, uow: UnitOfWork, account: Account, seen: Observation) -> None:
    balance = seen.balance
    if balance is None:
        return
    # First of all: whoever judges a close adds what is held now to what has been earned, and what closed is held no more.
    now, marks = fleet.clock.now(), {symbol: mark for symbol, mark in seen.marks.items() if mark > ZERO}
    uow.accounts.save_balance(account.id, balance.wallet, balance.equity, balance.available, now, marks=marks)
    uow.risk.raise_peak(account.id, balance.equity)
    learn(fleet, uow, account, seen.orders, seen.fills)
    learn_fundings(fleet, uow, account, _attributable(uow, account, seen.fundings))
    current = [(uow.orders.get(order.id), item) for order, item in seen.orders]
    if any(order is not None and item.filled_quantity > order.filled_quantity for order, item in current):
        fleet.lacking.add(account.id)
    else:
        fleet.lacking.discard(account.id)


def _attributable(uow: UnitOfWork, account: Account, fundings: Sequence[VenueFunding]) -> list[VenueFunding]:
    """Those whose position can be told: what fell due while an entry may have filled unseen is booked at a later look."""
    if not fundings:
        return []
    entering = {o.intent.instrument for o in live_orders(uow, account) if o.intent.role is OrderRole.ENTRY}
    return [
        item
        for item in fundings
        if item.instrument not in entering
        or uow.positions.held_at(account.id, item.instrument, item.occurred_at) is not None
    ]


def _guard(fleet: Fleet, uow: UnitOfWork, account: Account, seen: Observation) -> int:
    now = fleet.clock.now()
    # What is added below belongs to positions that are open, and no position closes here: one look at the orders will do.
    live = live_orders(uow, account)
    _take_back_entries(uow, [order for order in live if order.intent.role is OrderRole.ENTRY], now)
    positions = uow.positions.open(account.id)
    for position in positions:
        tracked = track(position, seen.marks.get(position.instrument, ZERO))
        if tracked.best_price != position.best_price:
            tracked = save_position(uow, tracked)
        reason = _reason_to_leave(fleet, uow, account, tracked, seen.marks.get(position.instrument, ZERO), now)
        leaves = reason is not None and close_position(fleet, uow, tracked, reason, now) is not None
        if leaves and reason is CloseReason.UNPROTECTED:
            uow.audit.append("unprotected", str(tracked.id), {"since": str(_naked_since(uow, tracked, now))}, now)
            seen.unprotected.append(tracked)
        protect(fleet, uow, tracked, now)
        if reason is None:
            move_stop(fleet, uow, tracked, seen.marks.get(position.instrument, ZERO), now)
    held = {position.id for position in positions}
    for order in live:
        if order.intent.role is not OrderRole.ENTRY and order.intent.position_id not in held:
            closed = uow.positions.get(order.intent.position_id)
            if closed is not None:
                cancel_leftovers(uow, closed, now)
    return len(positions)


def _take_back_entries(uow: UnitOfWork, entries: Iterable[Order], now: datetime) -> None:
    for order in entries:
        signal = uow.signals.get(order.intent.signal_id) if order.intent.signal_id else None
        if halted(uow, order.intent, signal.strategy if signal else None, order.intent.instrument) & _TAKES_BACK:
            request_cancel(uow, order, now)


def _reason_to_leave(
    fleet: Fleet, uow: UnitOfWork, account: Account, position: Position, mark: Decimal, now: datetime
) -> CloseReason | None:
    wish = wish_to_leave(uow, position, mark, now)
    if wish is not None:
        return wish
    naked_since = _naked_since(uow, position, now)
    if naked_since is None or now <= naked_since + fleet.clock.transport(fleet.policy.stop_deadline_s):
        return None
    return CloseReason.UNPROTECTED


def _naked_since(uow: UnitOfWork, position: Position, now: datetime) -> datetime | None:
    """Since when a stop has been wanted that does not rest at the venue; None while the resting ones cover everything.

    A stop that rested and is gone (cancelled at the venue) was cover in its time: the clock starts with its successor.
    """
    stops = [order for order in uow.orders.of_position(position.id) if order.intent.role is OrderRole.STOP]
    resting = [order for order in stops if order.status in WORKING]
    if sum((order.remaining for order in resting), ZERO) >= position.quantity:
        return None
    covered_until = max((order.created_at for order in stops if order.status not in _NEVER_RESTED), default=None)
    wanted = [
        order.created_at
        for order in stops
        if order.status in _NEVER_RESTED
        # One that was only to replace another was not wanted as cover.
        and not (order.status in TERMINAL and order.intent.replaces is not None)
        # What is in doubt has covered nothing yet, however young the stops that rest. What ended without having rested
        # left its part naked until a stop was added afterwards: one that was there already covers another part.
        and (order.status not in TERMINAL or covered_until is None or (order.updated_at or now) > covered_until)
    ]
    return min(wanted, default=None)
