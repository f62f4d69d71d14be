"""execution.place: the intent is committed first, then the wire, then the outcome; nothing is ever sent twice."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from common.domain.errors import NotFound, NotNow, OutcomeUnknown, Refused, Transient
from common.domain.job import Job, Stage
from common.domain.order import IN_DOUBT, Order, OrderRole, OrderStatus
from common.domain.position import CloseReason
from common.domain.risk.book import Environment, TradingState
from common.domain.tenant import Account
from common.ports.venue import Venue, VenueOrder
from common.services.close_position import close_position
from common.services.fleet import Fleet
from common.services.learn import keep, learn
from common.store import UnitOfWork


def place_order(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
    """Send the order of the job once, unless a halt, its expiry or an earlier attempt says otherwise.

    An order found SUBMITTING or UNKNOWN was tried by somebody who did not live to tell: it is asked about, not sent.
    """
    order, account = subject(uow, job)
    if order.status in IN_DOUBT:
        request_settlement(fleet, uow, order, job.id)
        return f"found {order.status}: asking the venue"
    if order.status is not OrderStatus.INTENDED:
        return f"nothing to send: {order.status}"
    venue = fleet.venue_of(uow, account)
    if order.intent.role is OrderRole.ENTRY:
        venue.set_leverage(order.intent.instrument, order.intent.leverage)
    order = _submit(fleet, account, venue, order)
    if order.status is not OrderStatus.SUBMITTING:
        return f"{order.status}: {order.reason}"
    return _send(fleet, uow, job, account, venue, order)


def subject(uow: UnitOfWork, job: Job) -> tuple[Order, Account]:
    """The order a job names, and its account."""
    order = uow.orders.get(UUID(job.payload["order_id"]))
    if order is None:
        raise NotFound("order", job.payload["order_id"])
    account = uow.accounts.get(order.intent.account_id)
    if account is None:
        raise NotFound("account", order.intent.account_id)
    return order, account


def _submit(fleet: Fleet, account: Account, venue: Venue, order: Order) -> Order:
    """Commit SUBMITTING with the validity window, or ABANDONED; the halt epoch is read in this very transaction."""
    with fleet.store.unit_of_work(account.tenant_id) as uow:
        uow.risk.lock()
        uow.halts.epoch_for_share()
        now = fleet.clock.now()
        why_not = _objection(fleet, uow, account, order, now)
        if why_not:
            after = order.move(OrderStatus.ABANDONED, reason=why_not, updated_at=now)
        else:
            after = order.move(
                OrderStatus.SUBMITTING, submitted_at=now, valid_until=now + venue.validity, updated_at=now
            )
        keep(uow, order, after, now)
        uow.commit()
    return after


def _objection(fleet: Fleet, uow: UnitOfWork, account: Account, order: Order, now: datetime) -> str:
    """Why the order must not leave, empty when it may. Nothing keeps back an order that closes a position."""
    if not order.intent.role.increases_risk:
        return ""
    if account.environment is Environment.LIVE:
        book = uow.risk.lock_book(account.id, now)
        if not (fleet.policy.live_trading and book.live_allowed):
            return "live trading is not enabled by platform, tenant and account alike"
        if not uow.capability_records.is_passing(account.venue):
            return f"no probe of {account.venue} has passed: see `tradewinds venue probe`"
    tenant = uow.tenants.get(account.tenant_id)
    if tenant is not None and tenant.state is not TradingState.ACTIVE:
        return f"the tenant is {tenant.state}"
    if now >= order.intent.expires_at:
        return f"expired at {order.intent.expires_at.isoformat()}"
    signal = uow.signals.get(order.intent.signal_id) if order.intent.signal_id else None
    strategy = signal.strategy if signal else ""
    covers = (account.venue, account.tenant_id, strategy, order.intent.instrument)
    # A halt kills what was approved before it, even when it has been lifted since: nobody looked at that again.
    halts = [*uow.halts.in_force(*covers), *uow.halts.imposed_since(order.intent.halt_epoch, *covers)]
    if halts:
        return f"halted: {halts[0].scope} {halts[0].subject} {halts[0].reason}".strip()
    return ""


def _send(fleet: Fleet, uow: UnitOfWork, job: Job, account: Account, venue: Venue, order: Order) -> str:
    submitted_at = order.submitted_at or fleet.clock.now()
    try:
        seen = venue.place(order.intent, submitted_at)
    except Refused as refusal:
        return _refused(fleet, uow, order, refusal)
    except OutcomeUnknown as error:
        uow.risk.lock()
        now = fleet.clock.now()
        keep(uow, order, order.move(OrderStatus.UNKNOWN, reason=str(error)[:200], updated_at=now), now)
        request_settlement(fleet, uow, order, job.id)
        return "outcome unknown: asking the venue"
    return _acknowledged(fleet, uow, job, account, venue, order, seen)


def _refused(fleet: Fleet, uow: UnitOfWork, order: Order, refusal: Refused) -> str:
    uow.risk.lock()
    now = fleet.clock.now()
    keep(uow, order, order.move(OrderStatus.REJECTED, reason=str(refusal)[:200], updated_at=now), now)
    if isinstance(refusal, NotNow):
        # What closes a position is asked for again at the next visit, as a new order; an entry's moment is over.
        return f"not taken now: {refusal.code}"
    position = uow.positions.get(order.intent.position_id)
    is_needed = order.intent.role is OrderRole.STOP and order.intent.replaces is None
    if is_needed and position is not None and position.is_open:
        # The price is beyond the stop already, or the venue will not hold it: a naked position is left at once. One that
        # was to replace another leaves that one where it rests.
        close_position(fleet, uow, position, CloseReason.STOP, now)
    return f"rejected by the venue: {refusal.code}"


def give_up_placement(fleet: Fleet, uow: UnitOfWork, job: Job, reason: str) -> None:
    """The placement cannot go on: an intent that never left is abandoned, one that may have left is asked about."""
    order, _ = subject(uow, job)
    now = fleet.clock.now()
    if order.status is OrderStatus.INTENDED:
        keep(uow, order, order.move(OrderStatus.ABANDONED, reason=reason[:200], updated_at=now), now)
    elif order.status in IN_DOUBT:
        request_settlement(fleet, uow, order, job.id)


def _acknowledged(
    fleet: Fleet, uow: UnitOfWork, job: Job, account: Account, venue: Venue, order: Order, seen: VenueOrder
) -> str:
    fills = []
    missed = ""
    if seen.filled_quantity > 0:
        try:
            since = (order.submitted_at or seen.occurred_at) - fleet.policy.overlap
            fills = list(venue.fills(order.intent.instrument, since))
        except Transient as error:
            missed = f"; its fills are still to be asked for: {error}"
    uow.risk.lock()
    learn(fleet, uow, account, [(order, seen)], fills)
    return f"{seen.status}, {seen.filled_quantity} filled{missed}"


def request_settlement(fleet: Fleet, uow: UnitOfWork, order: Order, cause: UUID | None) -> None:
    """Add the one job that asks the venue what became of `order`."""
    now = fleet.clock.now()
    uow.jobs.add(
        Stage.SETTLE,
        f"settle:{order.intent.client_order_id}",
        tenant_id=order.intent.tenant_id,
        payload={"order_id": str(order.id)},
        now=now,
        available_at=now + fleet.clock.transport(fleet.policy.settle_first_s),
        correlation_id=order.intent.signal_id or order.intent.position_id,
        causation_id=cause,
    )
