"""position.monitor: asks the venue about one account, writes what it tells, and guards every open position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from common.domain.errors import NotFound
from common.domain.exits import decide_exit, track
from common.domain.money import ZERO
from common.domain.order import IN_DOUBT, Order, OrderRole, OrderStatus
from common.domain.position import CloseReason, Position
from common.domain.tenant import Account
from common.ports.venue import Venue, VenueBalance, VenueFill, VenueFunding, VenueOrder
from common.services.close_position import cancel_leftovers, close_position
from common.services.fleet import Fleet, instrument_of
from common.services.learn import learn, learn_fundings, live_orders, save_position
from common.services.market_view import market_now
from common.services.protect_position import protect, stops_of
from common.store import UnitOfWork


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

    The venue is asked first; then, in the same transaction that holds the claim, everything is written at once.
    """
    with fleet.store.unit_of_work(tenant_id) as uow:
        if not uow.accounts.claim(account_id):
            return "claimed by another monitor"
        account = uow.accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        venue = fleet.venue_of(uow, account)
        seen = observe(fleet, uow, account, venue)
        uow.risk.lock()
        _write(fleet, uow, account, seen)
        guarded = _guard(fleet, uow, account, seen)
        refs = uow.commit()
    fleet.publish(refs)
    return f"{len(seen.orders)} orders, {len(seen.fills)} fills, {guarded} positions"


def observe(fleet: Fleet, uow: UnitOfWork, account: Account, venue: Venue) -> Observation:
    """Ask the venue everything that the account's live orders and open positions depend on."""
    live = [o for o in live_orders(uow, account) if o.status not in IN_DOUBT and o.status is not OrderStatus.INTENDED]
    positions = uow.positions.open(account.id)
    seen = Observation(balance=venue.balance())
    if not live and not positions:
        return seen
    shown = {item.client_order_id: item for item in venue.open_orders()}
    for order in live:
        item = shown.get(order.intent.client_order_id) or venue.find(order.intent)
        if item is not None:
            seen.orders.append((order, item))
    for symbol in sorted({o.intent.instrument for o in live} | {p.instrument for p in positions}):
        seen.fills.extend(venue.fills(symbol, _since(fleet, uow, account, symbol, live, positions)))
        seen.marks[symbol] = _mark(fleet, uow, account, symbol)
    if positions:
        opened = min(p.opened_at for p in positions if p.opened_at is not None)
        seen.fundings = venue.fundings(uow.fundings.last_at(account.id) or opened)
    return seen


def _since(
    fleet: Fleet, uow: UnitOfWork, account: Account, symbol: str, live: list[Order], positions: list[Position]
) -> datetime:
    last = uow.fills.last_at(account.id, symbol)
    starts = [o.submitted_at or o.created_at for o in live if o.intent.instrument == symbol]
    starts += [p.opened_at for p in positions if p.instrument == symbol and p.opened_at is not None]
    return (last if last is not None else min(starts)) - fleet.policy.overlap


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
    for position in uow.positions.open(account.id):
        guarded += 1
        mark = seen.marks.get(position.instrument, ZERO)
        if mark <= ZERO:
            continue
        tracked = track(position, mark)
        if tracked.best_price != position.best_price:
            tracked = save_position(uow, tracked)
        decision = decide_exit(tracked, mark, now=now)
        if decision is not None:
            close_position(fleet, uow, tracked, decision.reason, now)
        elif _is_naked(fleet, uow, tracked, now):
            uow.audit.append("unprotected", str(tracked.id), {"since": str(tracked.opened_at)}, now)
            close_position(fleet, uow, tracked, CloseReason.UNPROTECTED, now)
        protect(fleet, uow, tracked, now)
    for order in live_orders(uow, account):
        closed = uow.positions.get(order.intent.position_id)
        if order.intent.role is not OrderRole.ENTRY and closed is not None and not closed.is_open:
            cancel_leftovers(uow, closed, now)
    return guarded


def _is_naked(fleet: Fleet, uow: UnitOfWork, position: Position, now: datetime) -> bool:
    resting = [o for o in stops_of(uow, position) if o.status in {OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}]
    deadline = fleet.clock.transport(fleet.policy.stop_deadline_s)
    return not resting and position.opened_at is not None and now > position.opened_at + deadline
