"""Writes what the venue tells into the ledger: states of orders, fills, funding, and the positions they add up to."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from common.domain.codec import decode, encode
from common.domain.decision import decision_id
from common.domain.errors import NotFound, Transient
from common.domain.fill import Fill, Funding, filled, status_after
from common.domain.money import ZERO
from common.domain.order import ADOPTIONS, AT_VENUE, LIVE, TERMINAL, Order, OrderRole, OrderStatus
from common.domain.position import FORCED, CloseReason, Position, fold
from common.domain.signal import ExitPlan, Side
from common.domain.tenant import Account
from common.ports.venue import VenueFill, VenueFunding, VenueOrder
from common.services.close_position import cancel_leftovers
from common.services.fleet import Fleet, instrument_of
from common.services.forced_close import forced_order
from common.services.protect_position import protect
from common.services.trip_breaker import trip_breaker
from common.store import UnitOfWork

log = logging.getLogger(__name__)


def keep(uow: UnitOfWork, before: Order, after: Order, now: datetime, *, lingering: timedelta = timedelta(0)) -> Order:
    """Save `after`, release what it reserved once it is terminal, and tell the audit trail of a change of state.

    An entry that was taken back may have filled before that and the venue not have told yet: what it reserved counts for
    `lingering` more. Raises Transient when somebody changed the order meanwhile: the whole attempt is rolled back and made again.
    """
    told = after.reason
    if after.intent.role is OrderRole.EXIT:
        # The reason of an exit says why the position is left; what happened on the way there is in the audit trail.
        after = replace(after, reason=before.reason)
    if after.acknowledged_at is None and after.status in AT_VENUE:
        after = replace(after, acknowledged_at=now)
    if not uow.orders.save(after):
        raise Transient(f"order {after.id} was changed by another worker")
    if after.status in TERMINAL and after.intent.role is OrderRole.ENTRY:
        _release(uow, before, after, now, lingering)
    if after.status is not before.status:
        payload = {"from": before.status.value, "to": after.status.value, "reason": told}
        payload["client_order_id"] = after.intent.client_order_id
        uow.audit.append("order", str(after.id), payload, now)
    return after


def _release(uow: UnitOfWork, before: Order, after: Order, now: datetime, lingering: timedelta) -> None:
    if after.status is not OrderStatus.CANCELED or after.filled_quantity >= after.intent.quantity:
        uow.risk.release_reservation(after.id)
    elif before.status not in TERMINAL:
        uow.risk.let_lapse(after.id, now + lingering)


def learn_order(fleet: Fleet, uow: UnitOfWork, order: Order, seen: VenueOrder) -> Order:
    """`order` as the venue shows it. It ends only once our fills account for all that the venue says was filled."""
    now = fleet.clock.now()
    status = seen.status
    if status in TERMINAL and seen.filled_quantity > order.filled_quantity:
        status = OrderStatus.ACCEPTED
    if status is OrderStatus.ACCEPTED and (
        order.filled_quantity > ZERO or order.status is OrderStatus.PARTIALLY_FILLED
    ):
        status = OrderStatus.PARTIALLY_FILLED
    if order.status in TERMINAL and status not in ADOPTIONS.get(order.status, frozenset()):
        status = order.status
    if status is order.status and seen.venue_order_id == order.venue_order_id:
        return order
    after = order.move(status, adopt=True, venue_order_id=seen.venue_order_id, updated_at=now)
    return keep(uow, order, after, now, lingering=fleet.clock.transport(fleet.policy.late_fill_s))


def learn(
    fleet: Fleet,
    uow: UnitOfWork,
    account: Account,
    seen: Sequence[tuple[Order, VenueOrder]],
    fills: Sequence[VenueFill],
) -> list[VenueFill]:
    """Orders as the venue shows them with all of `fills`: states, then fills, then the states that fills had to prove.

    Returns the fills that belong to no order of ours.
    """
    for order, item in seen:
        learn_order(fleet, uow, _current(uow, order), item)
    strangers = learn_fills(fleet, uow, account, fills)
    for order, item in seen:
        learn_order(fleet, uow, _current(uow, order), item)
    return strangers


def _current(uow: UnitOfWork, order: Order) -> Order:
    current = uow.orders.get(order.id)
    if current is None:
        raise NotFound("order", order.id)
    return current


def learn_fills(fleet: Fleet, uow: UnitOfWork, account: Account, seen: Sequence[VenueFill]) -> list[VenueFill]:
    """Book the fills that belong to our orders, once each, and refold what they touch; returns those of nobody's."""
    touched: dict[UUID, Order] = {}
    strangers: list[VenueFill] = []
    for item in seen:
        order = _owner(uow, account, item)
        if order is None:
            strangers.append(item)
        elif uow.fills.add(_fill(account, order, item)):
            touched[order.id] = order
            uow.audit.append("fill", str(order.id), encode(item), fleet.clock.now())
    for order in touched.values():
        _refold_order(uow, order, fleet.clock.now())
    for position in dict.fromkeys(order.intent.position_id for order in touched.values()):
        refold_position(fleet, uow, account, position)
    return [item for item in strangers if not learn_forced(fleet, uow, account, item)]


def learn_forced(fleet: Fleet, uow: UnitOfWork, account: Account, item: VenueFill) -> bool:
    """Book a fill by which the venue itself reduced a position of ours; False where it did not, or there is none.

    The venue's order enters the ledger beside ours, ended already: it was neither intended nor sent by us.
    """
    now = fleet.clock.now()
    # Several fills of one order of the venue's may come at once: the first of them has brought it into the ledger.
    order = _owner(uow, account, item)
    if order is None:
        order = forced_order(uow, account, item, now)
        if order is None:
            return False
        uow.orders.add(order)
    uow.fills.add(_fill(account, order, item))
    payload = {"reason": order.reason, "fill": encode(item)}
    uow.audit.append("forced_close", str(order.intent.position_id), payload, now)
    log.error(
        "%s closed %s %s of account %s by itself: %s",
        account.venue,
        item.quantity,
        item.instrument,
        account.id,
        order.reason,
    )
    _refold_order(uow, order, now)
    refold_position(fleet, uow, account, order.intent.position_id)
    return True


def _owner(uow: UnitOfWork, account: Account, item: VenueFill) -> Order | None:
    order = uow.orders.by_client_id(item.client_order_id) if item.client_order_id else None
    if order is not None and order.intent.account_id == account.id and order.intent.instrument != item.instrument:
        # Trades are told apart by market and number: under another name it would be booked once more.
        raise Transient(f"trade {item.trade_id} of order {order.id} is told as one of {item.instrument}")
    if order is None:
        order = uow.orders.by_venue_id(account.id, item.venue_order_id)
        if order is not None and order.intent.instrument != item.instrument:
            return None  # Venues number the orders of each market by themselves.
    return order if order is not None and order.intent.account_id == account.id else None


def _fill(account: Account, order: Order, item: VenueFill) -> Fill:
    return Fill(
        tenant_id=account.tenant_id,
        account_id=account.id,
        venue=account.venue,
        trade_id=item.trade_id,
        order_id=order.id,
        position_id=order.intent.position_id,
        instrument=item.instrument,
        side=item.side,
        quantity=item.quantity,
        price=item.price,
        fee=item.fee,
        fee_asset=item.fee_asset,
        is_maker=item.is_maker,
        occurred_at=item.occurred_at,
    )


def _refold_order(uow: UnitOfWork, order: Order, now: datetime) -> None:
    quantity, average = filled(uow.fills.of_order(order.id))
    if order.submitted_at is None and order.reason in FORCED:
        # An order of the venue's own is as large as its fills: nobody has told us how much it was for.
        order = replace(order, intent=replace(order.intent, quantity=quantity))
    status = status_after(order, quantity)
    after = order.move(status, adopt=True, filled_quantity=quantity, average_price=average, updated_at=now)
    keep(uow, order, after, now)


def refold_position(fleet: Fleet, uow: UnitOfWork, account: Account, position_id: UUID) -> Position | None:
    """The position as all its fills and fundings make it, saved; protected when open, wound up when just closed."""
    fills = uow.fills.of_position(position_id)
    if not fills:
        return None
    known = uow.positions.get(position_id)
    before = known or _opened_by(uow, account, position_id)
    after = fold(before, fills, uow.fundings.of_position(position_id))
    tick = instrument_of(uow, account.venue, after.instrument).tick_size
    after = replace(after, exits=after.exits.drawn_from(after.entry_price, after.side, tick))
    now = fleet.clock.now()
    _take_out(uow, account, before, after, max(fill.occurred_at for fill in fills))
    if after.is_open:
        after = _save(uow, known, after)
        if known is None:
            uow.audit.append("position_opened", str(after.id), encode(after), now)
        protect(fleet, uow, after, now)
    else:
        after = _save(uow, known, _with_reason(uow, after))
        if before.closed_at is None:
            uow.audit.append("position_closed", str(after.id), encode(after), now)
            trip_breaker(uow, account, after, now)
        cancel_leftovers(uow, after, now)
    return after


def _take_out(uow: UnitOfWork, account: Account, before: Position, after: Position, filled_at: datetime) -> None:
    """Take what was earned since the balance was told out of its unrealised profit, where it would be counted once more.

    A balance that was told in this transaction, or after `filled_at`, knows of it.
    """
    kept = None if uow.accounts.is_told(account.id) else uow.accounts.balance(account.id)
    if kept is None or filled_at < kept.at:
        return
    earned = after.net_profit - before.net_profit
    # What was entered after the balance was told has earned nothing in it.
    mark = kept.marks.get(after.instrument)
    gone = ZERO if mark is None else before.unrealised(mark) - after.unrealised(mark)
    uow.accounts.correct_balance(account.id, kept.wallet + earned, kept.equity + earned - gone)


def _opened_by(uow: UnitOfWork, account: Account, position_id: UUID) -> Position:
    entry = next((o for o in uow.orders.of_position(position_id) if o.intent.role is OrderRole.ENTRY), None)
    signal = uow.signals.get(entry.intent.signal_id) if entry and entry.intent.signal_id else None
    if entry is None or signal is None:
        raise NotFound("entry order of position", position_id)
    decision = uow.decisions.get(decision_id(account.tenant_id, account.id, signal.id))
    proposed = decision.inputs.get("proposal") if decision else None
    return Position(
        id=position_id,
        tenant_id=account.tenant_id,
        account_id=account.id,
        venue=account.venue,
        instrument=entry.intent.instrument,
        side=Side(signal.side),
        strategy=signal.strategy,
        signal_id=signal.id,
        leverage=entry.intent.leverage,
        exits=decode(ExitPlan, proposed["exits"]) if proposed else signal.exits,
    )


def _save(uow: UnitOfWork, known: Position | None, after: Position) -> Position:
    if known is None:
        uow.positions.add(after)
        return after
    return save_position(uow, after)


def save_position(uow: UnitOfWork, position: Position) -> Position:
    """Save the next version of `position`; raises Transient when somebody was faster."""
    after = replace(position, version=position.version + 1)
    if not uow.positions.save(after):
        raise Transient(f"position {position.id} was changed by another worker")
    return after


def _with_reason(uow: UnitOfWork, position: Position) -> Position:
    closers = [o for o in uow.orders.of_position(position.id) if not o.intent.role.increases_risk]
    last = max((o for o in closers if o.filled_quantity > ZERO), key=lambda o: o.updated_at or o.created_at)
    reason = _stopped(position, last) if last.intent.role is OrderRole.STOP else CloseReason(last.reason)
    return replace(position, close_reason=position.close_reason or reason)


def _stopped(position: Position, stop: Order) -> CloseReason:
    """Why a stop at the venue closed: one that had followed the price took what the price had earned."""
    trigger = stop.intent.trigger_price
    is_earned = trigger is not None and (trigger - position.exits.stop) * position.side.sign > ZERO
    return CloseReason.TRAILING if is_earned else CloseReason.STOP


def learn_fundings(fleet: Fleet, uow: UnitOfWork, account: Account, seen: Iterable[VenueFunding]) -> None:
    """Book funding payments, once each, to the position that was held when they fell due."""
    touched: set[UUID] = set()
    for item in seen:
        position = uow.positions.held_at(account.id, item.instrument, item.occurred_at)
        funding = Funding(
            tenant_id=account.tenant_id,
            account_id=account.id,
            venue=account.venue,
            income_id=item.income_id,
            instrument=item.instrument,
            position_id=position.id if position else None,
            amount=item.amount,
            asset=item.asset,
            occurred_at=item.occurred_at,
        )
        if uow.fundings.add(funding) and position is not None:
            touched.add(position.id)
    for position_id in sorted(touched):
        refold_position(fleet, uow, account, position_id)


def live_orders(uow: UnitOfWork, account: Account) -> list[Order]:
    """Orders of the account that may still change."""
    return [order for order in uow.orders.live(account.id) if order.status in LIVE]
