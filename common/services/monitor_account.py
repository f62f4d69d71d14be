"""position.monitor: asks the venue about one account, writes what it tells, and guards every open position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

from common.domain.errors import NotFound
from common.domain.exits import decide_exit, track
from common.domain.market import InstrumentStatus
from common.domain.money import ZERO
from common.domain.order import IN_DOUBT, TERMINAL, WORKING, Order, OrderRole, OrderStatus
from common.domain.parameter_version import digest_of
from common.domain.position import CloseReason, Position
from common.domain.risk.book import HaltMode
from common.domain.tenant import Account
from common.ports.rate_limits import CallClass, calling
from common.ports.venue import Venue, VenueBalance, VenueFill, VenueFunding, VenueOrder
from common.services.close_position import cancel_leftovers, close_position, request_cancel
from common.services.ended_listings import ask_of
from common.services.flatness import note_flatness, witness
from common.services.fleet import Fleet, instrument_of
from common.services.learn import learn, learn_fundings, live_orders, save_position
from common.services.market_view import market_now
from common.services.move_stop import move_stop
from common.services.protect_position import protect
from common.store import UnitOfWork

CLAIMED = "claimed by another monitor"
"""What a visit says that found somebody else visiting."""

_TAKES_BACK = {HaltMode.CANCEL_ENTRIES, HaltMode.FLATTEN}
_REFUSED_EXIT_REST = timedelta(minutes=1)
_NEVER_RESTED = IN_DOUBT | {OrderStatus.INTENDED, OrderStatus.ABANDONED, OrderStatus.NOT_PLACED, OrderStatus.REJECTED}


@dataclass(slots=True)
class Observation:
    """What the venue told about an account in one visit."""

    balance: VenueBalance
    orders: list[tuple[Order, VenueOrder]] = field(default_factory=list)
    fills: list[VenueFill] = field(default_factory=list)
    fundings: Sequence[VenueFunding] = ()
    marks: dict[str, Decimal] = field(default_factory=dict)


def monitor_account(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> str:
    """Visit one account; a second monitor of the same account finds it claimed and does nothing.

    The venue is asked first; then, in the same transaction that holds the claim, everything is written at once. Halts
    in force take back entries (CANCEL_ENTRIES, FLATTEN) and leave positions (FLATTEN); no halt keeps an exit back.
    """
    with calling(CallClass.EXIT, str(tenant_id)), fleet.store.unit_of_work(tenant_id) as uow:
        if not uow.accounts.claim(account_id):
            return CLAIMED
        account = uow.accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        venue = fleet.venue_of(uow, account)
        seen = observe(fleet, uow, account, venue)
        open_there = witness(uow, account, venue)
        uow.risk.lock()
        _write(fleet, uow, account, seen)
        guarded = _guard(fleet, uow, account, seen)
        note_flatness(uow, account, open_there, fleet.clock.now())
        refs = uow.commit()
    fleet.publish(refs)
    return f"{len(seen.orders)} orders, {len(seen.fills)} fills, {guarded} positions"


def observe(fleet: Fleet, uow: UnitOfWork, account: Account, venue: Venue) -> Observation:
    """Ask the venue everything that the account's live orders and open positions depend on."""
    live = [o for o in live_orders(uow, account) if o.status not in IN_DOUBT and o.status is not OrderStatus.INTENDED]
    positions = uow.positions.open(account.id)
    seen = Observation(balance=venue.balance())
    # What was closed between two visits may have paid funding that nobody has asked for.
    lately = uow.positions.closed_since(account.id, _last_visit(fleet, uow, account) - fleet.policy.overlap)
    if not live and not positions and not lately:
        return seen
    shown = {item.client_order_id: item for item in venue.open_orders()}
    for order in live:
        item = shown.get(order.intent.client_order_id) or ask_of(
            uow, account, order.intent.instrument, partial(venue.find, order.intent), None
        )
        if item is not None:
            seen.orders.append((order, item))
    for symbol in sorted({o.intent.instrument for o in live} | {p.instrument for p in positions}):
        since = _since(fleet, uow, account, symbol, live, positions, seen)
        seen.fills.extend(ask_of(uow, account, symbol, partial(venue.fills, symbol, since), []))
        seen.marks[symbol] = ask_of(uow, account, symbol, partial(_mark, fleet, uow, account, symbol), ZERO)
    if positions or lately:
        opened = min(p.opened_at for p in (*positions, *lately) if p.opened_at is not None)
        seen.fundings = venue.fundings(uow.fundings.last_at(account.id) or opened)
    return seen


def _last_visit(fleet: Fleet, uow: UnitOfWork, account: Account) -> datetime:
    balance = uow.accounts.balance(account.id)
    return balance.at if balance is not None else fleet.clock.now()


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


def _mark(fleet: Fleet, uow: UnitOfWork, account: Account, symbol: str) -> Decimal:
    state = market_now(fleet, instrument_of(uow, account.venue, symbol))
    return state.mark or state.last or ZERO


def _write(fleet: Fleet, uow: UnitOfWork, account: Account, seen: Observation) -> None:
    now = fleet.clock.now()
    learn(fleet, uow, account, seen.orders, seen.fills)
    learn_fundings(fleet, uow, account, seen.fundings)
    balance = seen.balance
    uow.accounts.save_balance(account.id, balance.wallet, balance.equity, balance.available, now)
    uow.risk.raise_peak(account.id, balance.equity)


def _guard(fleet: Fleet, uow: UnitOfWork, account: Account, seen: Observation) -> int:
    now = fleet.clock.now()
    guarded = 0
    _take_back_entries(uow, account, now)
    for position in uow.positions.open(account.id):
        guarded += 1
        tracked = track(position, seen.marks.get(position.instrument, ZERO))
        if tracked.best_price != position.best_price:
            tracked = save_position(uow, tracked)
        reason = _reason_to_leave(fleet, uow, account, tracked, seen.marks.get(position.instrument, ZERO), now)
        if reason is not None:
            close_position(fleet, uow, tracked, reason, now)
        protect(fleet, uow, tracked, now)
        if reason is None:
            move_stop(fleet, uow, tracked, seen.marks.get(position.instrument, ZERO), now)
    for order in live_orders(uow, account):
        closed = uow.positions.get(order.intent.position_id)
        if order.intent.role is not OrderRole.ENTRY and closed is not None and not closed.is_open:
            cancel_leftovers(uow, closed, now)
    return guarded


def _take_back_entries(uow: UnitOfWork, account: Account, now: datetime) -> None:
    for order in live_orders(uow, account):
        if order.intent.role is not OrderRole.ENTRY:
            continue
        signal = uow.signals.get(order.intent.signal_id) if order.intent.signal_id else None
        if _halted(uow, account, signal.strategy if signal else None, order.intent.instrument) & _TAKES_BACK:
            request_cancel(uow, order, now)


def _halted(uow: UnitOfWork, account: Account, strategy: str | None, instrument: str) -> set[HaltMode]:
    return {halt.mode for halt in uow.halts.in_force(account.venue, account.tenant_id, strategy, instrument)}


def _reason_to_leave(
    fleet: Fleet, uow: UnitOfWork, account: Account, position: Position, mark: Decimal, now: datetime
) -> CloseReason | None:
    if HaltMode.FLATTEN in _halted(uow, account, position.strategy, position.instrument):
        return CloseReason.HALT
    if _is_delisted(uow, position, now):
        return CloseReason.DELISTED
    decision = decide_exit(position, mark, now=now)
    if decision is not None:
        return decision.reason
    if _strategy_leaves(uow, position):
        return CloseReason.OPPOSITE
    naked_since = _naked_since(uow, position, now)
    if naked_since is None or now <= naked_since + fleet.clock.transport(fleet.policy.stop_deadline_s):
        return None
    uow.audit.append("unprotected", str(position.id), {"since": naked_since.isoformat()}, now)
    return CloseReason.UNPROTECTED


def _strategy_leaves(uow: UnitOfWork, position: Position) -> bool:
    """Whether the strategy, with the parameters that the position was opened with, has said to leave it."""
    if position.opened_at is None:
        return False
    signal = uow.signals.get(position.signal_id) if position.signal_id else None
    digest = digest_of(signal.strategy_version) if signal else ""
    said = uow.leavings.since(
        position.venue, position.instrument, position.strategy, position.side, position.opened_at, digest=digest
    )
    return said is not None


def _is_delisted(uow: UnitOfWork, position: Position, now: datetime) -> bool:
    """Whether the venue takes the market away and has not refused an exit lately: a market that settles takes none."""
    if instrument_of(uow, position.venue, position.instrument).status is not InstrumentStatus.DELISTED:
        return False
    refused = (o for o in uow.orders.of_position(position.id) if o.status is OrderStatus.REJECTED)
    return all(o.intent.role is not OrderRole.EXIT or o.created_at < now - _REFUSED_EXIT_REST for o in refused)


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
