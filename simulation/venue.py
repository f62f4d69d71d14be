"""A venue in memory with its own ledger, its own memory of ids, and answers that may be late, lost or hidden."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from common.domain.errors import OutcomeUnknown, Refused
from common.domain.market import Candle, Instrument, Level, MarketState, MarkPrice, OrderBook, Timeframe
from common.domain.money import round_to
from common.domain.order import OrderIntent, OrderSide, OrderStatus, OrderType
from common.domain.postings import Movement
from common.ports.venue import VenueBalance, VenueFill, VenueFunding, VenueOrder, VenuePosition
from simulation.clock import START, VirtualClock

ZERO = Decimal(0)
FEE = Decimal("0.0005")
START_BALANCE = Decimal(100_000)
POINT = timedelta(seconds=5)
"""Prices stand still for so long."""

FUNDING_EVERY = timedelta(seconds=60)
"""How often holders of the one side pay those of the other here."""

FUNDING_RATE = Decimal("0.0001")

_ORIGIN = START - timedelta(hours=2)
_STEP_MOST = 25
"""Largest move of a price from point to point, in basis points."""


class Uniqueness(StrEnum):
    """How long a venue remembers client order ids."""

    FOREVER = "forever"
    WHILE_OPEN = "while_open"
    NEVER = "never"


class PlaceFault(StrEnum):
    """What may happen to a placement on its way."""

    LOST = "lost"
    ERROR_BEFORE = "error_before_accept"
    ERROR_AFTER = "error_after_accept"
    TIMEOUT_AFTER = "timeout_after_accept"
    LATE = "late_request"
    REFUSED = "refused"
    REFUSED_LATER = "accepted_then_refused"
    PARTIAL = "partial_fill_then_silence"


@dataclass(frozen=True, slots=True)
class Character:
    """What one venue is like; drawn per seed."""

    uniqueness: Uniqueness
    tells_client_ids: bool = True
    renames_triggered: bool = False
    validity: timedelta = timedelta(seconds=10)
    horizon: timedelta = timedelta(seconds=20)
    clock_tolerance: timedelta = timedelta(seconds=2)

    @classmethod
    def drawn(cls, rng: random.Random) -> Character:
        """Some venue or other."""
        return cls(rng.choice(list(Uniqueness)), rng.random() < 0.5, rng.random() < 0.5)


@dataclass(slots=True)
class Resting:
    """An order as the venue really holds it."""

    intent: OrderIntent
    venue_order_id: str
    accepted_at: datetime
    visible_at: datetime
    status: OrderStatus
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    changes_at: datetime | None = None
    changes_to: OrderStatus = OrderStatus.FILLED

    @property
    def is_open(self) -> bool:
        """Whether it may still execute."""
        return self.status in {OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}

    def told(self) -> VenueOrder:
        """The order in the venue's words."""
        return VenueOrder(
            client_order_id=self.intent.client_order_id,
            venue_order_id=self.venue_order_id,
            instrument=self.intent.instrument,
            side=self.intent.side,
            status=self.status,
            quantity=self.intent.quantity,
            filled_quantity=self.filled,
            average_price=self.cost / self.filled if self.filled else ZERO,
            is_conditional=self.intent.type is OrderType.STOP_MARKET,
            occurred_at=self.accepted_at,
        )


@dataclass(slots=True)
class Booked:
    """A fill as the venue really booked it."""

    fill: VenueFill
    client_order_id: str
    visible_at: datetime


@dataclass(slots=True)
class VirtualAccount:
    """The venue's own ledger of one account; `cash` is what would be left if all that is held were worth nothing.

    `cost` is what was paid for what is held of a market, negative where it was sold.
    """

    orders: list[Resting] = field(default_factory=list)
    fills: list[Booked] = field(default_factory=list)
    fundings: list[VenueFunding] = field(default_factory=list)
    held: dict[str, Decimal] = field(default_factory=dict)
    cost: dict[str, Decimal] = field(default_factory=dict)
    cash: Decimal = START_BALANCE

    @property
    def wallet(self) -> Decimal:
        """What the account has earned, without the profit of what is held."""
        return self.cash + sum(self.cost.values(), ZERO)

    def take(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        """Add `quantity`, negative when sold, to what is held at `price`."""
        held = self.held.get(symbol, ZERO)
        left = held + quantity
        cost = self.cost.get(symbol, ZERO)
        if held * quantity >= ZERO:
            self.cost[symbol] = cost + quantity * price
        else:
            self.cost[symbol] = left * price if held * left < ZERO else cost * left / held
        self.held[symbol] = left
        self.cash -= quantity * price


@dataclass(slots=True)
class InFlight:
    """A request that has left and not arrived."""

    arrives_at: datetime
    account_id: UUID
    intent: OrderIntent
    submitted_at: datetime


class Watch:
    """Who looks over the venue's shoulder; the laws of the simulation do."""

    def sent(self, account_id: UUID, intent: OrderIntent, submitted_at: datetime) -> None:
        """A placement has left a worker."""

    def accepted(self, account_id: UUID, order: Resting) -> None:
        """The engine has taken an order."""

    def cancelled(self, account_id: UUID, order: Resting) -> None:
        """The engine has cancelled an order because it was asked to."""


class VirtualVenue:
    """Public side (ports.venue.MarketData) and ledger.

    `lag` is the chance that something stays hidden for a while; what is filled in part stays so for at most one of
    `partial_s_most` seconds.
    """

    def __init__(
        self,
        name: str,
        clock: VirtualClock,
        rng: random.Random,
        instruments: Sequence[Instrument],
        character: Character,
        seed: int,
    ) -> None:
        self._name, self._clock, self.rng = name, clock, rng
        self._instruments = {item.symbol: item for item in instruments}
        self._paths = {
            item.symbol: (random.Random(f"path|{seed}|{item.symbol}"), [Decimal(100)]) for item in instruments
        }
        self._candles: dict[tuple[str, Timeframe, datetime], Candle] = {}
        self.character = character
        self.accounts: dict[UUID, VirtualAccount] = {}
        self.in_flight: list[InFlight] = []
        self.lag = 0.0
        self.partial_s_most: tuple[float, ...] = (8.0, 40.0)
        self.frozen_at: datetime | None = None
        self.watch = Watch()
        self._number = 0
        self._funded_at = clock.now()

    @property
    def name(self) -> str:
        """The venue's name in our books."""
        return self._name

    def instruments(self) -> Sequence[Instrument]:
        """Every instrument."""
        return list(self._instruments.values())

    def instrument(self, symbol: str) -> Instrument:
        """The market of that name."""
        return self._instruments[symbol]

    def price(self, symbol: str, at: datetime | None = None) -> Decimal:
        """The one price of `symbol`: it follows from seed, symbol and time."""
        instant = at or min(self._clock.now(), self.frozen_at or self._clock.now())
        number = max((instant - _ORIGIN) // POINT, 0)
        rng, path = self._paths[symbol]
        while len(path) <= number:
            move = Decimal(rng.randint(-_STEP_MOST, _STEP_MOST)) / 10_000
            path.append(max(round_to(path[-1] * (1 + move), self._instruments[symbol].tick_size), Decimal(10)))
        return path[number]

    def candles(self, symbol: str, timeframe: Timeframe, since: datetime, limit: int) -> Sequence[Candle]:
        """Closed candles of the price's path."""
        opened = timeframe.floor(since)
        closed: list[Candle] = []
        if opened < since:
            opened += timeframe.duration
        while len(closed) < limit and opened + timeframe.duration <= self._clock.now():
            closed.append(self.candle(symbol, timeframe, opened))
            opened += timeframe.duration
        return closed

    def candle(self, symbol: str, timeframe: Timeframe, opened: datetime) -> Candle:
        """The candle that opened at `opened`, which every scan asks for anew; its prices follow from seed and time."""
        known = self._candles.get((symbol, timeframe, opened))
        if known is None:
            points = [self.price(symbol, opened + POINT * n) for n in range(timeframe.duration // POINT)]
            volume = Decimal(50 + int(points[0] * 100) % 40)
            closed_at = opened + timeframe.duration
            known = Candle(opened, closed_at, points[0], max(points), min(points), points[-1], volume)
            self._candles[symbol, timeframe, opened] = known
        return known

    def book(self, symbol: str, depth: int) -> OrderBook:
        """A deep book around the price."""
        price, tick = self.price(symbol), self._instruments[symbol].tick_size
        bids = tuple(Level(price - tick * (n + 1), Decimal(1_000)) for n in range(depth))
        asks = tuple(Level(price + tick * (n + 1), Decimal(1_000)) for n in range(depth))
        return OrderBook(bids, asks, self._clock.now())

    def market(self, instrument: Instrument) -> MarketState:
        """Book, last and mark right now."""
        price, book = self.price(instrument.symbol), self.book(instrument.symbol, 5)
        return MarketState(instrument, book, last=price, mark=price, quote_at=self._clock.now(), funding_rate=ZERO)

    def mark(self, symbol: str) -> Decimal | None:
        """The one price."""
        return self.price(symbol)

    def marks(self, symbols: Sequence[str]) -> dict[str, MarkPrice]:
        """The one price of each, without funding."""
        return {symbol: MarkPrice(self.price(symbol)) for symbol in symbols if symbol in self._instruments}

    @property
    def is_moving(self) -> bool:
        """Whether something will happen by itself: a request on its way, an order that is not done."""
        orders = (order for account in self.accounts.values() for order in account.orders)
        return bool(self.in_flight) or any(order.is_open and order.changes_at is not None for order in orders)

    def account(self, account_id: UUID) -> VirtualAccount:
        """The ledger of an account, opened at first sight."""
        return self.accounts.setdefault(account_id, VirtualAccount())

    def equity(self, account_id: UUID) -> Decimal:
        """Cash and what is held at the price of now."""
        account = self.account(account_id)
        return account.cash + sum((q * self.price(s) for s, q in account.held.items()), ZERO)

    def arrive(self, account_id: UUID, intent: OrderIntent, submitted_at: datetime, share: Decimal) -> Resting:
        """A placement reaches the matching engine; raises Refused as the engine would."""
        account, now = self.account(account_id), self._clock.now()
        if not submitted_at - self.character.clock_tolerance <= now <= submitted_at + self.character.validity:
            raise Refused("-1021", "timestamp outside of the window")
        if self._knows(account, intent.client_order_id):
            raise Refused("-4116", "duplicate client order id")
        if intent.reduce_only and reducible(account, intent) <= ZERO:
            raise Refused("-2022", "reduce-only order is rejected")
        if intent.type is OrderType.STOP_MARKET and self._is_triggered(intent):
            raise Refused("-2021", "order would immediately trigger")
        order = Resting(intent, self._next("o"), now, self._visible(now), OrderStatus.ACCEPTED)
        account.orders.append(order)
        self.watch.accepted(account_id, order)
        if intent.type is OrderType.MARKET:
            self._execute(account, order, intent.quantity * share)
            if order.is_open:
                order.changes_at = now + timedelta(seconds=self.rng.uniform(0.5, self.rng.choice(self.partial_s_most)))
                order.changes_to = self.rng.choice((OrderStatus.FILLED, OrderStatus.FILLED, OrderStatus.EXPIRED))
        return order

    def _next(self, letter: str) -> str:
        self._number += 1
        return f"{letter}{self._number}"

    def _knows(self, account: VirtualAccount, client_order_id: str) -> bool:
        same = [order for order in account.orders if order.intent.client_order_id == client_order_id]
        if self.character.uniqueness is Uniqueness.FOREVER:
            return bool(same)
        return self.character.uniqueness is Uniqueness.WHILE_OPEN and any(order.is_open for order in same)

    def _visible(self, now: datetime) -> datetime:
        if self.rng.random() >= self.lag:
            return now
        # The horizon of the capability record is longer than the longest lag by a margin for clocks that are wrong.
        return now + self.character.horizon * 0.75 * self.rng.random()

    def _execute(self, account: VirtualAccount, order: Resting, quantity: Decimal) -> None:
        intent = order.intent
        quantity = min(
            round_to(quantity, self._instruments[intent.instrument].step_size), intent.quantity - order.filled
        )
        if intent.reduce_only:
            quantity = min(quantity, max(reducible(account, intent), ZERO))
        if quantity > ZERO:
            self._book(account, order, quantity)
        if order.filled >= intent.quantity:
            order.status = OrderStatus.FILLED
        elif intent.reduce_only and reducible(account, intent) <= ZERO:
            # Nothing is left to reduce: the venue expires the rest.
            order.status = OrderStatus.EXPIRED
        elif order.filled > ZERO:
            order.status = OrderStatus.PARTIALLY_FILLED

    def _book(self, account: VirtualAccount, order: Resting, quantity: Decimal) -> None:
        intent, price, now = order.intent, self.price(order.intent.instrument), self._clock.now()
        fee = quantity * price * FEE
        fill = VenueFill(
            trade_id=self._next("t"),
            venue_order_id=order.venue_order_id,
            client_order_id=intent.client_order_id if self.character.tells_client_ids else None,
            instrument=intent.instrument,
            side=intent.side,
            quantity=quantity,
            price=price,
            fee=fee,
            fee_asset="USDT",
            is_maker=False,
            occurred_at=now,
        )
        account.fills.append(Booked(fill, intent.client_order_id, self._visible(now)))
        order.filled += quantity
        order.cost += quantity * price
        account.take(intent.instrument, quantity * intent.side.sign, price)
        account.cash -= fee

    def tick(self) -> None:
        """Let what is due happen: late requests arrive, partial fills complete, stops trigger, funding is paid."""
        now = self._clock.now()
        self._fund(now)
        due = [request for request in self.in_flight if request.arrives_at <= now]
        self.in_flight = [request for request in self.in_flight if request.arrives_at > now]
        for request in due:
            try:
                self.arrive(request.account_id, request.intent, request.submitted_at, Decimal(1))
            except Refused:
                continue  # Nobody waits for the answer any more.
        for account in self.accounts.values():
            for order in [order for order in account.orders if order.is_open]:
                self._progress(account, order, now)

    def is_in_time(self, request: InFlight) -> bool:
        """Whether `request` will arrive before its window has closed."""
        return request.arrives_at <= request.submitted_at + self.character.validity

    def _fund(self, now: datetime) -> None:
        if now < self._funded_at + FUNDING_EVERY or self.frozen_at is not None:
            return
        self._funded_at = now
        for account in self.accounts.values():
            for symbol, quantity in account.held.items():
                amount = -quantity * self.price(symbol) * FUNDING_RATE
                if amount != ZERO:
                    account.fundings.append(VenueFunding(self._next("f"), symbol, amount, "USDT", now))
                    account.cash += amount

    def _progress(self, account: VirtualAccount, order: Resting, now: datetime) -> None:
        if order.changes_at is not None and order.changes_at <= now:
            if order.changes_to is OrderStatus.FILLED:
                self._execute(account, order, order.intent.quantity)
            else:
                order.status = order.changes_to
        elif order.intent.type is OrderType.STOP_MARKET and self._is_triggered(order.intent):
            if self.character.renames_triggered:
                order.venue_order_id = self._next("c")
            self._execute(account, order, order.intent.quantity)
            if order.is_open:
                order.status = OrderStatus.EXPIRED

    def finish(self, account_id: UUID, order: Resting) -> None:
        """Fill what is left of `order` at once."""
        self._execute(self.account(account_id), order, order.intent.quantity)

    def _is_triggered(self, intent: OrderIntent) -> bool:
        price, trigger = self.price(intent.instrument), intent.trigger_price
        if trigger is None:
            return False
        return price <= trigger if intent.side is OrderSide.SELL else price >= trigger


def reducible(account: VirtualAccount, intent: OrderIntent) -> Decimal:
    """How much of what is held `intent` could close; negative where it would add."""
    return -account.held.get(intent.instrument, ZERO) * intent.side.sign


class FaultDraw:
    """The dice behind every door of the venue."""

    def place(self) -> PlaceFault | None:
        """The fate of one placement; None = all is well."""
        return None

    def cancel_loses_race(self) -> bool:
        """Whether a fill is faster than the cancel."""
        return False


class AccountDoor:
    """One account's private side (ports.venue.Venue), with a fault drawn at every placement."""

    def __init__(self, venue: VirtualVenue, account_id: UUID, draw: FaultDraw, clock: VirtualClock) -> None:
        self._venue, self.account_id, self._draw, self._clock = venue, account_id, draw, clock

    @property
    def validity(self) -> timedelta:
        """Window of a request."""
        return self._venue.character.validity

    @property
    def visibility(self) -> timedelta:
        """How long the venue may hide what it holds."""
        return self._venue.character.horizon

    def place(self, intent: OrderIntent, submitted_at: datetime) -> VenueOrder:
        """Send once, and let the drawn fault have its way with the request or its reply."""
        self._venue.watch.sent(self.account_id, intent, submitted_at)
        fault = self._draw.place()
        if fault is PlaceFault.LOST:
            raise OutcomeUnknown("the connection was lost")
        if fault is PlaceFault.ERROR_BEFORE:
            raise OutcomeUnknown("503 before the engine was reached")
        if fault is PlaceFault.REFUSED:
            raise Refused("-2019", "margin is insufficient")
        if fault is PlaceFault.LATE:
            late = self._clock.now() + timedelta(seconds=self._venue.rng.uniform(0.5, 14.0))
            self._venue.in_flight.append(InFlight(late, self.account_id, intent, submitted_at))
            raise OutcomeUnknown("no answer in time")
        order = self._arrive(intent, submitted_at, fault)
        if fault in {PlaceFault.ERROR_AFTER, PlaceFault.TIMEOUT_AFTER}:
            raise OutcomeUnknown(f"{fault}")
        return order.told()

    def _arrive(self, intent: OrderIntent, submitted_at: datetime, fault: PlaceFault | None) -> Resting:
        shares = {PlaceFault.PARTIAL: Decimal("0.4"), PlaceFault.REFUSED_LATER: ZERO}
        try:
            order = self._venue.arrive(self.account_id, intent, submitted_at, shares.get(fault, Decimal(1)))  # type: ignore[arg-type]
        except Refused as refusal:
            if refusal.code in {"-4116", "-1021"}:
                # Either proves that something of ours arrived earlier or says nothing: no definite refusal.
                raise OutcomeUnknown(str(refusal)) from None
            raise
        if fault is PlaceFault.REFUSED_LATER and order.is_open:
            order.changes_at = self._clock.now() + timedelta(seconds=self._venue.rng.uniform(0.1, 4.0))
            order.changes_to = OrderStatus.REJECTED
        return order

    def cancel(self, intent: OrderIntent) -> None:
        """Cancel what is open under the id; what is not open is no error. A fill may be faster."""
        for order in self._venue.account(self.account_id).orders:
            if order.intent.client_order_id == intent.client_order_id and order.is_open:
                if self._draw.cancel_loses_race():
                    self._venue.finish(self.account_id, order)
                if order.is_open:
                    order.status = OrderStatus.CANCELED
                    self._venue.watch.cancelled(self.account_id, order)

    def find(self, intent: OrderIntent) -> VenueOrder | None:
        """The newest visible order of that id."""
        now = self._clock.now()
        for order in reversed(self._venue.account(self.account_id).orders):
            if order.intent.client_order_id == intent.client_order_id and order.visible_at <= now:
                return order.told()
        return None

    def open_orders(self) -> Sequence[VenueOrder]:
        """Every visible working order."""
        now = self._clock.now()
        orders = self._venue.account(self.account_id).orders
        return [order.told() for order in orders if order.is_open and order.visible_at <= now]

    def fills(self, symbol: str, since: datetime) -> Sequence[VenueFill]:
        """Every visible fill of `symbol` since `since`, in an order of the venue's own."""
        now = self._clock.now()
        booked = self._venue.account(self.account_id).fills
        seen = [
            item.fill
            for item in booked
            if item.fill.instrument == symbol and item.fill.occurred_at >= since and item.visible_at <= now
        ]
        self._venue.rng.shuffle(seen)
        return seen

    def positions(self) -> Sequence[VenuePosition]:
        """Every holding that is not flat."""
        held = self._venue.account(self.account_id).held
        return [
            VenuePosition(symbol, quantity, ZERO, self._venue.price(symbol), None)
            for symbol, quantity in sorted(held.items())
            if quantity != ZERO
        ]

    def balance(self) -> VenueBalance:
        """Wallet and equity from the venue's own ledger."""
        equity = self._venue.equity(self.account_id)
        return VenueBalance("USDT", self._venue.account(self.account_id).wallet, equity, equity)

    def fundings(self, since: datetime) -> Sequence[VenueFunding]:
        """Every payment since `since`."""
        return [item for item in self._venue.account(self.account_id).fundings if item.occurred_at >= since]

    def statement(self, since: datetime) -> Sequence[Movement]:
        """This venue keeps no list of what moved the wallet."""
        return []

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Leverage does not matter here, but the call is a door that may fail."""
