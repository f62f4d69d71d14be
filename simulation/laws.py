"""The laws that hold at every step, asked of the commits and of the venue, never of the services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from common.domain.exits import stop_price_now
from common.domain.money import ZERO, is_on_grid
from common.domain.order import LIVE, TERMINAL, WORKING, Order, OrderIntent, OrderRole, OrderStatus
from common.domain.position import CloseReason, Position
from common.domain.risk.book import HaltScope
from common.domain.risk.limits import Limits
from common.domain.tenant import Account
from simulation.hub import Hub
from simulation.record import Change, HaltSpan, Record
from simulation.strategy import NAME
from simulation.venue import START_BALANCE, Resting, VirtualVenue, Watch

NAKED_MOST = timedelta(seconds=10)
"""A position without full cover is left at the first visit after this."""

CLOCKS_APART = timedelta(seconds=8)
"""Processes read the clock a little wrongly, and a visit may be held up in its middle."""

DEFECT = "DEFECT"
"""What is broken when a service raises what it should not."""

ROUNDING = Decimal("1.03")
"""Between the price risk reckoned with and the price that was paid lie a few seconds."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that did not hold: which, for whom, and how it shows."""

    law: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.law}: {self.subject}: {self.detail}"


@dataclass(slots=True)
class Laws(Watch):
    """Watches commits and the venue; what does not hold is remembered in `violations`."""

    hub: Hub
    venue: VirtualVenue
    record: Record = field(default_factory=Record)
    accounts: dict[UUID, Account] = field(default_factory=dict)
    limits: Mapping[UUID, Limits] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    sendings: Counter[str] = field(default_factory=Counter)
    acceptances: Counter[tuple[UUID, str]] = field(default_factory=Counter)
    naked: dict[UUID, datetime] = field(default_factory=dict)

    def broken(self, law: str, subject: object, detail: str) -> None:
        """`law` does not hold for `subject`."""
        self.hub.note(f"VIOLATION {law}: {subject}: {detail}")
        self.violations.append(Violation(law, str(subject), detail))

    # Commits ---------------------------------------------------------------------------------------------------------

    def committed(self, changes: list[Change]) -> None:
        """A transaction was kept: I4 for what it wrote off, I6 and I8 for what it intended, I13 for what it released, I8 for what is uncovered."""
        before = dict(self.record.reserved)
        known = {order.id: order.status for order in self.record.orders.values()}
        self.record.apply(changes)
        for order_id in before.keys() - self.record.reserved.keys():
            self._released(order_id)
        for name, arguments in changes:
            if name == "order":
                self._moved(arguments[0], known.get(arguments[0].id))
        for position_id in {item for change in changes for item in _positions_of(change)}:
            self._note_cover(position_id)
        for name, arguments in changes:
            if name == "balance":
                self._visited(arguments[0])
        if changes:
            self.hub.note(f"commit {self.record.number}: " + ", ".join(_told(change) for change in changes))

    def _moved(self, order: Order, before: OrderStatus | None) -> None:
        if before is None:
            self._intended(order)
        elif order.status is OrderStatus.NOT_PLACED and before is not OrderStatus.NOT_PLACED:
            self._written_off(order.intent)

    def _written_off(self, intent: OrderIntent) -> None:
        orders = self.venue.account(intent.account_id).orders
        if any(item.intent.client_order_id == intent.client_order_id for item in orders):
            self.broken("I4", intent.client_order_id, "it was written off as not placed, and the venue has it")
        elif any(item.intent == intent and self.venue.is_in_time(item) for item in self.venue.in_flight):
            self.broken("I4", intent.client_order_id, "it was written off as not placed, and it is on its way in time")

    def _released(self, order_id: UUID) -> None:
        order = self.record.orders.get(order_id)
        if order is not None and order.status not in TERMINAL:
            self.broken("I13", order.intent.client_order_id, f"its reservation was released while it is {order.status}")

    def _note_cover(self, position_id: UUID) -> None:
        position = self.record.positions.get(position_id)
        if position is None:
            return
        resting = [o for o in self._of(position_id, OrderRole.STOP) if o.status in WORKING]
        if sum((o.remaining for o in resting), ZERO) >= position.quantity:
            self.naked.pop(position_id, None)
        else:
            self.naked.setdefault(position_id, self.hub.clock.now())

    def _of(self, position_id: UUID, role: OrderRole) -> list[Order]:
        return [o for o in self.record.orders.values() if o.intent.position_id == position_id and o.intent.role is role]

    def _visited(self, account_id: UUID) -> None:
        now = self.hub.clock.now()
        for position_id, since in self.naked.items():
            position = self.record.positions[position_id]
            if position.account_id != account_id or now <= since + NAKED_MOST + CLOCKS_APART:
                continue
            if not any(o.status in LIVE for o in self._of(position_id, OrderRole.EXIT)):
                detail = f"it is not covered since {since}, was visited, and nobody leaves it"
                self.broken("I8", f"position {position_id}", detail)

    def _intended(self, order: Order) -> None:
        if order.intent.role is OrderRole.ENTRY:
            if order.id not in self.record.reserved:
                self.broken("I13", order.intent.client_order_id, "it was approved without a reservation")
            self._may_enter(order)
        elif order.intent.role is OrderRole.STOP:
            self._stands_right(order.intent)

    def _stands_right(self, intent: OrderIntent) -> None:
        position, trigger = self.record.positions.get(intent.position_id), intent.trigger_price
        if position is None or trigger is None:
            self.broken("I8", intent.client_order_id, "it is a stop without a position or without a price")
            return
        sign, tick = position.side.sign, self.venue.instrument(intent.instrument).tick_size
        loosest, tightest = position.exits.stop, stop_price_now(position)
        if (trigger - loosest) * sign < -tick or (trigger - tightest) * sign > tick:
            detail = f"its stop is meant for {trigger}, which is not between {loosest} and {tightest}"
            self.broken("I8", f"position {position.id}", detail)

    def _may_enter(self, order: Order) -> None:
        intent, now = order.intent, self.hub.clock.now()
        limits = self.limits[intent.account_id]
        if (intent.account_id, intent.instrument) in self.record.quarantined:
            self.broken("I6", intent.client_order_id, f"it was approved on {intent.instrument}, which is quarantined")
        if not self.record.reconciled.get(intent.account_id, False):
            self.broken("I6", intent.client_order_id, "it was approved before the account's book was compared")
        held = [p for p in self.record.positions.values() if p.account_id == intent.account_id and p.is_open]
        entries = [o for o in self._live(intent.account_id) if o.intent.role is OrderRole.ENTRY]
        self._count(order, held, entries, limits)
        used = sum((p.quantity * p.entry_price for p in held), ZERO)
        used += sum((o.remaining * o.intent.price for o in entries), ZERO)
        equity = self.record.equity.get(intent.account_id, ZERO)
        if limits.exposure_max is not None and used > limits.exposure_max * equity * ROUNDING:
            self.broken("I6", intent.client_order_id, f"exposure {used} of {limits.exposure_max} x {equity}")
        self._hurries(order, limits)
        self._rests(order, limits, now)

    def _hurries(self, order: Order, limits: Limits) -> None:
        # Two seconds less than the minute, for clocks that are wrong.
        ended = order.created_at
        begun, account_id = ended - timedelta(seconds=58), order.intent.account_id
        lately = [
            o
            for o in self.record.orders.values()
            if o.intent.account_id == account_id and begun < o.created_at <= ended
        ]
        if limits.orders_per_minute_max is not None and len(lately) > limits.orders_per_minute_max:
            detail = f"{len(lately)} orders within a minute, {limits.orders_per_minute_max} are allowed"
            self.broken("I6", order.intent.client_order_id, detail)

    def _live(self, account_id: UUID) -> list[Order]:
        return [o for o in self.record.orders.values() if o.intent.account_id == account_id and o.status in LIVE]

    def _count(self, order: Order, held: list[Position], entries: list[Order], limits: Limits) -> None:
        sides = {(p.instrument, p.side.sign) for p in held} | {
            (o.intent.instrument, o.intent.side.sign) for o in entries if o.remaining > ZERO
        }
        if limits.position_count_max is not None and len(sides) > limits.position_count_max:
            detail = f"{len(sides)} positions held or on their way, {limits.position_count_max} are allowed"
            self.broken("I6", order.intent.client_order_id, detail)
        twice = [o for o in entries if o.intent.instrument == order.intent.instrument and o.remaining > ZERO]
        twice_held = [p for p in held if p.instrument == order.intent.instrument]
        parts = {o.intent.position_id for o in twice} | {p.id for p in twice_held}
        if len(parts) > (limits.positions_per_symbol_max or 99):
            self.broken("I6", order.intent.client_order_id, f"{len(parts)} positions in {order.intent.instrument}")

    def _rests(self, order: Order, limits: Limits, now: datetime) -> None:
        account_id, name = order.intent.account_id, order.intent.client_order_id
        closed = [p for p in self.record.positions.values() if p.account_id == account_id and p.closed_at is not None]
        # What closed in one instant has no order; that of the ids is the one agreed on.
        closed.sort(key=lambda p: (p.closed_at or now, -p.id.int))
        loss = -sum((p.net_profit for p in closed), ZERO)
        if limits.daily_loss_max is not None and loss > limits.daily_loss_max * START_BALANCE * ROUNDING:
            self.broken("I6", name, f"the day's loss is {loss} of {limits.daily_loss_max} x {START_BALANCE}")
        streak = 0
        for position in reversed(closed):
            if position.net_profit >= ZERO:
                break
            streak += 1
        if limits.consecutive_losses_max is not None and streak >= limits.consecutive_losses_max:
            self.broken("I6", name, f"{streak} losses in a row, {limits.consecutive_losses_max} are allowed")
        rest = limits.symbol_cooldown_min or timedelta(0)
        for position in closed:
            stopped = position.close_reason is CloseReason.STOP and position.net_profit < ZERO
            if stopped and position.instrument == order.intent.instrument and self._ended_within(position, rest, now):
                self.broken("I6", name, f"{position.instrument} rests {rest} after a stop-out")

    def _ended_within(self, position: Position, rest: timedelta, now: datetime) -> bool:
        # Two seconds for clocks that are wrong; the rest is counted from when we learnt of the stop-out.
        ended = position.closed_at
        return ended is not None and now < ended + rest - timedelta(seconds=2)

    # The venue -------------------------------------------------------------------------------------------------------

    def sent(self, account_id: UUID, intent: OrderIntent, submitted_at: datetime) -> None:
        """A placement has left: I2 and I16 (once), I3 (its intent is committed as it was sent), I11."""
        name = intent.client_order_id
        self.sendings[name] += 1
        self.hub.note(f"sent {intent.role} {name} {intent.side} {intent.quantity} {intent.instrument}")
        if self.sendings[name] > 1:
            self.broken("I2", name, f"it was sent {self.sendings[name]} times")
        order = self.record.order(name)
        if order is None or order.status is not OrderStatus.SUBMITTING:
            state = "not" if order is None else f"as {order.status}"
            self.broken("I3", name, f"it was sent while its intent is {state} committed")
        elif order.intent != intent:
            self.broken("I3", name, "what was sent is not what was committed")
        elif order.submitted_at != submitted_at:
            self.broken("I3", name, f"its stamp is {submitted_at}, committed was {order.submitted_at}")
        self._is_sound(intent, submitted_at)
        self._is_on_grid(intent)
        account = self.accounts.get(account_id)
        if account is None or (account.id, account.tenant_id) != (intent.account_id, intent.tenant_id):
            self.broken("I11", name, "it was sent through somebody else's account")

    def _is_on_grid(self, intent: OrderIntent) -> None:
        grid = self.venue.instrument(intent.instrument)
        prices = [intent.trigger_price] if intent.trigger_price is not None else []
        if not is_on_grid(intent.quantity, grid.step_size) or not all(is_on_grid(p, grid.tick_size) for p in prices):
            self.broken("GRID", intent.client_order_id, f"{intent.quantity} at {prices} is not on the venue's grid")
        is_dust = intent.quantity < grid.min_quantity or intent.quantity * intent.price < grid.min_notional
        if intent.role is OrderRole.ENTRY and is_dust:
            self.broken("GRID", intent.client_order_id, f"an entry of {intent.quantity} is less than the venue takes")

    def _is_sound(self, intent: OrderIntent, submitted_at: datetime) -> None:
        if intent.role is OrderRole.ENTRY:
            if submitted_at >= intent.expires_at:
                self.broken(
                    "I1", intent.client_order_id, f"it expired at {intent.expires_at} and left at {submitted_at}"
                )
            return
        position = self.record.positions.get(intent.position_id)
        if not intent.reduce_only or position is None or intent.side.sign == position.side.sign:
            self.broken(
                "I8", intent.client_order_id, f"a {intent.role} that does not only reduce its position was sent"
            )

    def accepted(self, account_id: UUID, order: Resting) -> None:
        """The engine took an order: I2, I6 and I9 at the venue."""
        intent = order.intent
        if account_id not in self.accounts:
            return
        self.hub.note(f"accepted {intent.role} {intent.client_order_id}")
        self.acceptances[account_id, intent.client_order_id] += 1
        if self.acceptances[account_id, intent.client_order_id] > 1:
            self.broken("I2", intent.client_order_id, "the venue holds it twice")
        if intent.role is OrderRole.ENTRY and intent.position_id.int:
            self._not_halted(intent)
            self._room_at_venue(account_id, intent)

    def cancelled(self, account_id: UUID, order: Resting) -> None:
        """The engine cancelled an order: I8, a position that was held all the time keeps its cover."""
        intent = order.intent
        position = self.record.positions.get(intent.position_id)
        if intent.role is not OrderRole.STOP or position is None or not position.is_open:
            return
        if position.id in self.record.closed_at:
            return  # It was closed once and opened again by a late fill: its old stops were cancelled for that.
        resting = [o for o in self.venue.account(account_id).orders if o.is_open and o.intent.role is OrderRole.STOP]
        covered = sum((o.intent.quantity - o.filled for o in resting if o.intent.position_id == position.id), ZERO)
        if covered < min(position.quantity, abs(self.venue.account(account_id).held.get(intent.instrument, ZERO))):
            self.broken(
                "I8", intent.client_order_id, f"it was cancelled and left {covered} of {position.quantity} covered"
            )

    def _not_halted(self, intent: OrderIntent) -> None:
        submitted = self.record.submitted.get(intent.client_order_id, self.record.number + 1)
        for span in self.record.halts:
            if span.held_at(submitted) and self.covers(span, intent.tenant_id, intent.instrument):
                detail = f"submitted by commit {submitted}, halted ({span.scope} {span.subject}) by commit {span.since}"
                self.broken("I9", intent.client_order_id, detail)

    def covers(self, span: HaltSpan, tenant_id: UUID, instrument: str) -> bool:
        """Whether a halt covers what this tenant does on this instrument."""
        subjects = {
            HaltScope.PLATFORM: span.subject,
            HaltScope.VENUE: self.venue.name,
            HaltScope.TENANT: str(tenant_id),
            HaltScope.STRATEGY: NAME,
            HaltScope.INSTRUMENT: instrument,
        }
        return subjects[span.scope] == span.subject

    def _room_at_venue(self, account_id: UUID, intent: OrderIntent) -> None:
        limits, account = self.limits[account_id], self.venue.account(account_id)
        entries = [
            o for o in account.orders if o.is_open and o.intent.role is OrderRole.ENTRY and o.intent.position_id.int
        ]
        symbols = {s for s, quantity in account.held.items() if quantity != ZERO} | {
            o.intent.instrument for o in entries
        }
        if limits.position_count_max is not None and len(symbols) > limits.position_count_max:
            detail = f"the venue holds {len(symbols)} positions and entries, {limits.position_count_max} are allowed"
            self.broken("I6", intent.client_order_id, detail)
        used = sum((abs(q) * self.venue.price(s) for s, q in account.held.items()), ZERO)
        used += sum(((o.intent.quantity - o.filled) * o.intent.price for o in entries), ZERO)
        equity = self.venue.equity(account_id)
        if limits.exposure_max is not None and used > limits.exposure_max * equity * ROUNDING * ROUNDING:
            self.broken("I6", intent.client_order_id, f"the venue holds {used} of {limits.exposure_max} x {equity}")


def _positions_of(change: Change) -> tuple[UUID, ...]:
    name, arguments = change
    if name == "order":
        return (arguments[0].intent.position_id,)
    return (arguments[0].id,) if name == "position" else ()


def _told(change: Change) -> str:
    name, arguments = change
    if name == "order":
        order: Order = arguments[0]
        return f"{order.intent.role} {order.intent.client_order_id} {order.status} {order.filled_quantity}"
    if name == "position":
        position: Position = arguments[0]
        return f"position {str(position.id)[:8]} {position.side} {position.quantity} {position.close_reason or ''}"
    return f"{name} {' '.join(str(item) for item in arguments[:2])}"
