"""The bench a venue is probed on: one account, one instrument, verbs for orders, and answers with their evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from common.domain.capability import CaseOutcome
from common.domain.errors import OutcomeUnknown, Permanent, Refused, Transient
from common.domain.market import Instrument
from common.domain.money import ceil_to, floor_to
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderType
from common.ports.clock import Clock
from common.ports.ids import Ids
from common.ports.venue import MarketData, Venue, VenueOrder

Found = TypeVar("Found")

PREFIX = "probe"
NOBODY = UUID(int=0)
PATIENCE_S = 5.0
LOOKS_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class IdRules:
    """How the adapter writes our ids on this venue's wire; `length_max` None = ids are hashed, any length will do."""

    on_wire: Callable[[str], str]
    length_max: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one case came to."""

    outcome: CaseOutcome
    text: str


Scenario = Iterator[Seen]
"""Yields one Seen per case it was declared with, in that order."""


def expect(is_so: bool, text: object) -> Seen:
    """PASSED when `is_so`."""
    return Seen(CaseOutcome.PASSED if is_so else CaseOutcome.FAILED, str(text))


def not_offered(text: str) -> Seen:
    """The venue has no such thing, and nothing of ours relies on it."""
    return Seen(CaseOutcome.NOT_OFFERED, text)


@dataclass(slots=True)
class Lab:
    """Everything a scenario may touch. `findings` collects what differs from venue to venue."""

    venue: Venue
    market: MarketData
    instrument: Instrument
    clock: Clock
    ids: Ids
    id_rules: IdRules
    wait: Callable[[float], None]
    began: datetime
    findings: dict[str, str] = field(default_factory=dict)
    placed: list[OrderIntent] = field(default_factory=list)

    def new_id(self) -> str:
        """A client order id of our making that was never used."""
        return f"{PREFIX}{self.ids.new().hex[:24]}"

    def mark(self) -> Decimal:
        """The price of now."""
        state = self.market.market(self.instrument)
        price = state.mark or state.last
        if price is None:
            raise Transient("the venue shows no price")
        return price

    def quantity(self) -> Decimal:
        """The smallest order the venue takes, with room for the price to move."""
        least = max(self.instrument.min_quantity, self.instrument.min_notional * Decimal("1.5") / self.mark())
        return ceil_to(least, self.instrument.step_size)

    def intent(self, **changes: Any) -> OrderIntent:
        """A market buy of the smallest quantity, changed as told."""
        intent = OrderIntent(
            order_id=self.ids.new(),
            tenant_id=NOBODY,
            account_id=NOBODY,
            venue=self.market.name,
            instrument=self.instrument.symbol,
            role=OrderRole.ENTRY,
            side=OrderSide.BUY,
            type=OrderType.MARKET,
            quantity=self.quantity(),
            price=floor_to(self.mark(), self.instrument.tick_size),
            trigger_price=None,
            client_order_id=self.new_id(),
            signal_id=None,
            position_id=NOBODY,
            leverage=1,
            halt_epoch=0,
            expires_at=self.clock.now() + timedelta(days=1),
        )
        return replace(intent, **changes)

    def resting(self, **changes: Any) -> OrderIntent:
        """A limit buy so far below the price that it rests."""
        price = floor_to(self.mark() * Decimal("0.9"), self.instrument.tick_size)
        least = ceil_to(self.instrument.min_notional * Decimal("1.5") / price, self.instrument.step_size)
        quantity = max(least, self.instrument.min_quantity)
        return self.intent(**({"type": OrderType.LIMIT, "price": price, "quantity": quantity} | changes))

    def stop(self, ratio: str = "0.8", **changes: Any) -> OrderIntent:
        """A reduce-only stop for a long position, triggered far below the price."""
        trigger = floor_to(self.mark() * Decimal(ratio), self.instrument.tick_size)
        fields = {"role": OrderRole.STOP, "side": OrderSide.SELL, "type": OrderType.STOP_MARKET}
        return self.intent(**(fields | {"trigger_price": trigger, "price": trigger} | changes))

    def place(self, intent: OrderIntent, submitted_at: datetime | None = None) -> VenueOrder:
        """Send it, and remember that it is to be cleared away."""
        self.placed.append(intent)
        return self.venue.place(intent, submitted_at or self.clock.now())

    def attempt(self, intent: OrderIntent, submitted_at: datetime | None = None) -> str:
        """What a placement came to: `accepted`, `refused CODE`, or `unknown` with the text."""
        try:
            self.place(intent, submitted_at)
        except Refused as refusal:
            return f"refused {refusal.code}"
        except OutcomeUnknown as unknown:
            return f"unknown: {unknown}"
        return "accepted"

    def eventually(self, question: Callable[[], Found | None]) -> Found | None:
        """The first answer there is, asked again while there is patience."""
        until = self.clock.monotonic() + PATIENCE_S
        while True:
            found = question()
            if found or self.clock.monotonic() >= until:
                return found
            self.wait(LOOKS_EVERY_S)

    def find(self, intent: OrderIntent) -> VenueOrder | None:
        """The order, as soon as the venue shows it."""
        return self.eventually(lambda: self.venue.find(intent))

    def listed(self, intent: OrderIntent) -> list[VenueOrder]:
        """Open orders of the account that bear the intent's id as it is on the wire."""
        wanted = self.id_rules.on_wire(intent.client_order_id)
        return [item for item in self.venue.open_orders() if item.client_order_id == wanted]

    def held(self) -> Decimal:
        """What the account holds of the instrument, signed."""
        return sum(
            (item.quantity for item in self.venue.positions() if item.instrument == self.instrument.symbol), Decimal(0)
        )

    def clear_away(self) -> None:
        """Cancel what was placed and leave what is held; a probe leaves the account as it found it."""
        for intent in self.placed:
            try:
                self.venue.cancel(intent)
            except (Permanent, Transient):
                continue  # What cannot be cancelled is found by the last case, which looks at the account itself.
        for _ in range(3):
            held = self.held()
            if not held:
                return
            side = OrderSide.SELL if held > 0 else OrderSide.BUY
            self.attempt(self.intent(role=OrderRole.EXIT, side=side, quantity=abs(held)))
            self.eventually(lambda: None if self.held() else "flat")
