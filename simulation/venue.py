"""A venue in memory with its own ledger, its own memory of ids, and replies that may be late, lost or hidden."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from common.domain.errors import OutcomeUnknown, Refused
from common.domain.market import Candle, Instrument, Level, MarketState, OrderBook, Timeframe
from common.domain.order import OrderIntent, OrderSide, OrderStatus, OrderType
from common.ports.venue import VenueBalance, VenueFill, VenueFunding, VenueOrder, VenuePosition
from simulation.clock import VirtualClock

ZERO = Decimal(0)
FEE = Decimal("0.0005")
START_BALANCE = Decimal(100_000)


class Uniqueness(StrEnum):
    """How long a venue remembers client order ids."""

    FOREVER = "forever"
    WHILE_OPEN = "while_open"
    NEVER = "never"


class PlaceFault(StrEnum):
    """What may happen to a placement on its way."""

    NONE = "none"
    LOST = "lost"
    ERROR_BEFORE = "error_before_accept"
    ERROR_AFTER = "error_after_accept"
    TIMEOUT_AFTER = "timeout_after_accept"
    LATE = "late_request"
    REFUSED = "refused"
    PARTIAL = "partial_fill_then_silence"


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
    completes_at: datetime | None = None

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
    visible_at: datetime


@dataclass(slots=True)
class VirtualAccount:
    """The venue's own ledger of one account."""

    orders: list[Resting] = field(default_factory=list)
    fills: list[Booked] = field(default_factory=list)
    held: dict[str, Decimal] = field(default_factory=dict)
    cost: dict[str, Decimal] = field(default_factory=dict)
    wallet: Decimal = START_BALANCE


@dataclass(slots=True)
class InFlight:
    """A request that has left and not arrived."""

    arrives_at: datetime
    account_id: UUID
    intent: OrderIntent
    submitted_at: datetime


class VirtualVenue:
    """Public side (ports.venue.MarketData) and ledger; `account` gives the private side of one account.

    `horizon` bounds how long an accepted order or a fill may stay invisible; `validity` is the window of a request.
    """

    def __init__(
        self,
        name: str,
        clock: VirtualClock,
        rng: random.Random,
        instruments: Sequence[Instrument],
        uniqueness: Uniqueness,
        *,
        validity_s: float = 10.0,
        horizon_s: float = 20.0,
    ) -> None:
        self._name, self._clock, self._rng = name, clock, rng
        self._instruments = {item.symbol: item for item in instruments}
        self.uniqueness = uniqueness
        self.validity, self.horizon = timedelta(seconds=validity_s), timedelta(seconds=horizon_s)
        self.prices = {item.symbol: Decimal(100) for item in instruments}
        self.accounts: dict[UUID, VirtualAccount] = {}
        self.in_flight: list[InFlight] = []
        self.lag_chance = 0.0
        self._number = 0

    @property
    def name(self) -> str:
        """The venue's name in our books."""
        return self._name

    def instruments(self) -> Sequence[Instrument]:
        """Every instrument."""
        return list(self._instruments.values())

    def candles(self, symbol: str, timeframe: Timeframe, since: datetime, limit: int) -> Sequence[Candle]:
        """Closed candles that follow from symbol and time alone, so that asking twice gives the same."""
        opened = timeframe.floor(since)
        closed: list[Candle] = []
        if opened < since:
            opened += timeframe.duration
        while len(closed) < limit and opened + timeframe.duration <= self._clock.now():
            closed.append(_candle(symbol, opened, timeframe))
            opened += timeframe.duration
        return closed

    def book(self, symbol: str, depth: int) -> OrderBook:
        """A deep book, one basis point wide, around the price."""
        price = self.prices[symbol]
        tick = self._instruments[symbol].tick_size
        bids = tuple(Level(price - tick * (n + 1), Decimal(1_000)) for n in range(depth))
        asks = tuple(Level(price + tick * (n + 1), Decimal(1_000)) for n in range(depth))
        return OrderBook(bids, asks, self._clock.now())

    def market(self, instrument: Instrument) -> MarketState:
        """Book, last and mark right now."""
        price = self.prices[instrument.symbol]
        book = self.book(instrument.symbol, 20)
        return MarketState(instrument, book, last=price, mark=price, quote_at=self._clock.now(), funding_rate=ZERO)

    def account(self, account_id: UUID) -> VirtualAccount:
        """The ledger of an account, opened at first sight."""
        return self.accounts.setdefault(account_id, VirtualAccount())

    def arrive(self, account_id: UUID, intent: OrderIntent, submitted_at: datetime, share: Decimal) -> Resting:
        """A placement reaches the matching engine; raises Refused as the engine would."""
        account = self.account(account_id)
        if self._clock.now() > submitted_at + self.validity:
            raise Refused("-1021", "timestamp outside of the window")
        if self._knows(account, intent.client_order_id):
            raise Refused("-4116", "duplicate client order id")
        if intent.reduce_only and self._reducible(account, intent) <= ZERO:
            raise Refused("-2022", "reduce-only order is rejected")
        self._number += 1
        now = self._clock.now()
        order = Resting(intent, str(self._number), now, self._visible(now), OrderStatus.ACCEPTED)
        account.orders.append(order)
        if intent.type is OrderType.MARKET:
            self._execute(account, order, intent.quantity * share)
            if order.status is not OrderStatus.FILLED:
                order.completes_at = now + timedelta(seconds=self._rng.uniform(0.5, 5.0))
        return order

    def _knows(self, account: VirtualAccount, client_order_id: str) -> bool:
        same = [o for o in account.orders if o.intent.client_order_id == client_order_id]
        if self.uniqueness is Uniqueness.FOREVER:
            return bool(same)
        if self.uniqueness is Uniqueness.WHILE_OPEN:
            return any(_is_open(o) for o in same)
        return False

    def _visible(self, now: datetime) -> datetime:
        if self._rng.random() >= self.lag_chance:
            return now
        return now + self.horizon * self._rng.random()

    def _reducible(self, account: VirtualAccount, intent: OrderIntent) -> Decimal:
        held = account.held.get(intent.instrument, ZERO)
        return -held * intent.side.sign

    def _execute(self, account: VirtualAccount, order: Resting, quantity: Decimal) -> None:
        intent = order.intent
        step = self._instruments[intent.instrument].step_size
        quantity = min((quantity / step).to_integral_value() * step, intent.quantity - order.filled)
        if intent.reduce_only:
            quantity = min(quantity, max(self._reducible(account, intent), ZERO))
        if quantity > ZERO:
            self._book(account, order, quantity)
        if order.filled >= intent.quantity:
            order.status = OrderStatus.FILLED
        elif intent.reduce_only and self._reducible(account, intent) <= ZERO:
            # Nothing is left to reduce: the venue expires the rest.
            order.status = OrderStatus.EXPIRED
        elif order.filled > ZERO:
            order.status = OrderStatus.PARTIALLY_FILLED

    def _book(self, account: VirtualAccount, order: Resting, quantity: Decimal) -> None:
        intent, price, now = order.intent, self.prices[order.intent.instrument], self._clock.now()
        self._number += 1
        fee = quantity * price * FEE
        fill = VenueFill(
            trade_id=f"t{self._number}",
            venue_order_id=order.venue_order_id,
            client_order_id=None,
            instrument=intent.instrument,
            side=intent.side,
            quantity=quantity,
            price=price,
            fee=fee,
            fee_asset="USDT",
            is_maker=False,
            occurred_at=now,
        )
        account.fills.append(Booked(fill, self._visible(now)))
        order.filled += quantity
        order.cost += quantity * price
        account.held[intent.instrument] = account.held.get(intent.instrument, ZERO) + quantity * intent.side.sign
        account.wallet -= quantity * price * intent.side.sign + fee

    def tick(self, moves: dict[str, Decimal] | None = None) -> None:
        """Let what is due happen: prices move, late requests arrive, partial fills complete, stops trigger."""
        for symbol, change in (moves or {}).items():
            tick = self._instruments[symbol].tick_size
            moved = self.prices[symbol] * (1 + change)
            self.prices[symbol] = max((moved / tick).to_integral_value() * tick, tick * 100)
        now = self._clock.now()
        due = [request for request in self.in_flight if request.arrives_at <= now]
        self.in_flight = [request for request in self.in_flight if request.arrives_at > now]
        for request in due:
            try:
                self.arrive(request.account_id, request.intent, request.submitted_at, Decimal(1))
            except Refused:
                continue  # Nobody waits for the answer any more.
        for account in self.accounts.values():
            for order in list(account.orders):
                self._progress(account, order, now)

    def _progress(self, account: VirtualAccount, order: Resting, now: datetime) -> None:
        if not _is_open(order):
            return
        if order.completes_at is not None and order.completes_at <= now:
            self._execute(account, order, order.intent.quantity)
        elif order.intent.type is OrderType.STOP_MARKET and self._triggered(order):
            self._execute(account, order, order.intent.quantity)
            if _is_open(order):
                order.status = OrderStatus.EXPIRED

    def finish(self, account_id: UUID, order: Resting) -> None:
        """Fill what is left of `order` at once."""
        self._execute(self.account(account_id), order, order.intent.quantity)

    def _triggered(self, order: Resting) -> bool:
        price, trigger = self.prices[order.intent.instrument], order.intent.trigger_price
        if trigger is None:
            return False
        return price <= trigger if order.intent.side is OrderSide.SELL else price >= trigger


def _is_open(order: Resting) -> bool:
    return order.status in {OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}


def _candle(symbol: str, opened: datetime, timeframe: Timeframe) -> Candle:
    dice = random.Random(f"{symbol}|{opened.isoformat()}")  # noqa: S311 - a market, not a secret
    prices = sorted(Decimal(round(100 + dice.uniform(-2, 2), 2)).quantize(Decimal("0.01")) for _ in range(4))
    first, last = (prices[1], prices[2]) if dice.random() < 0.5 else (prices[2], prices[1])
    return Candle(opened, opened + timeframe.duration, first, prices[3], prices[0], last, Decimal(dice.randint(1, 99)))


class AccountDoor:
    """One account's private side (ports.venue.Venue), with a fault drawn at every placement."""

    def __init__(self, venue: VirtualVenue, account_id: UUID, draw: FaultDraw, clock: VirtualClock) -> None:
        self._venue, self._id, self._draw, self._clock = venue, account_id, draw, clock

    @property
    def validity(self) -> timedelta:
        """Window of a request."""
        return self._venue.validity

    @property
    def visibility(self) -> timedelta:
        """How long the venue may hide what it holds."""
        return self._venue.horizon

    def place(self, intent: OrderIntent, submitted_at: datetime) -> VenueOrder:
        """Send once, and let the drawn fault have its way with the request or its reply."""
        fault = self._draw.place()
        if fault is PlaceFault.LOST:
            raise OutcomeUnknown("the connection was lost")
        if fault is PlaceFault.ERROR_BEFORE:
            raise OutcomeUnknown("503 before the engine was reached")
        if fault is PlaceFault.REFUSED:
            raise Refused("-2019", "margin is insufficient")
        if fault is PlaceFault.LATE:
            late = self._clock.now() + timedelta(seconds=self._draw.delay_s())
            self._venue.in_flight.append(InFlight(late, self._id, intent, submitted_at))
            raise OutcomeUnknown("no answer in time")
        share = Decimal("0.4") if fault is PlaceFault.PARTIAL else Decimal(1)
        try:
            order = self._venue.arrive(self._id, intent, submitted_at, share)
        except Refused as refusal:
            if refusal.code in {"-4116", "-1021"}:
                raise OutcomeUnknown(str(refusal)) from None
            raise
        if fault in {PlaceFault.ERROR_AFTER, PlaceFault.TIMEOUT_AFTER}:
            raise OutcomeUnknown(f"{fault} of an accepted order")
        return order.told()

    def cancel(self, intent: OrderIntent) -> None:
        """Cancel what is open under the id; what is not open is no error. A fill may be faster."""
        for order in self._venue.account(self._id).orders:
            if order.intent.client_order_id == intent.client_order_id and _is_open(order):
                if self._draw.cancel_loses_race():
                    self._venue.finish(self._id, order)
                else:
                    order.status = OrderStatus.CANCELED

    def find(self, intent: OrderIntent) -> VenueOrder | None:
        """The newest visible order of that id."""
        now = self._clock.now()
        for order in reversed(self._venue.account(self._id).orders):
            if order.intent.client_order_id == intent.client_order_id and order.visible_at <= now:
                return order.told()
        return None

    def open_orders(self) -> Sequence[VenueOrder]:
        """Every visible working order."""
        now = self._clock.now()
        orders = self._venue.account(self._id).orders
        return [order.told() for order in orders if _is_open(order) and order.visible_at <= now]

    def fills(self, symbol: str, since: datetime) -> Sequence[VenueFill]:
        """Every visible fill of `symbol` since `since`, in an order of the venue's own."""
        now = self._clock.now()
        booked = self._venue.account(self._id).fills
        seen = [b.fill for b in booked if b.fill.instrument == symbol and b.fill.occurred_at >= since]
        visible = {b.fill.trade_id for b in booked if b.visible_at <= now}
        return self._draw.shuffled([fill for fill in seen if fill.trade_id in visible])

    def positions(self) -> Sequence[VenuePosition]:
        """Every holding that is not flat."""
        held = self._venue.account(self._id).held
        return [
            VenuePosition(symbol, quantity, ZERO, self._venue.prices[symbol], None)
            for symbol, quantity in sorted(held.items())
            if quantity != ZERO
        ]

    def balance(self) -> VenueBalance:
        """Wallet and equity from the venue's own ledger."""
        account = self._venue.account(self._id)
        value = sum((q * self._venue.prices[s] for s, q in account.held.items()), ZERO)
        equity = account.wallet + value
        return VenueBalance("USDT", equity, equity, equity)

    def fundings(self, since: datetime) -> Sequence[VenueFunding]:
        """This venue charges no funding."""
        return []

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Leverage does not matter here, but the call is a door that may fail."""


class FaultDraw:
    """The dice behind every door of the venue; chances are set per seed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.place_chance = 0.0
        self.race_chance = 0.0
        self.placed: dict[PlaceFault, int] = {}

    def place(self) -> PlaceFault:
        """The fate of one placement."""
        if self.rng.random() >= self.place_chance:
            return PlaceFault.NONE
        fault = self.rng.choice([f for f in PlaceFault if f is not PlaceFault.NONE])
        self.placed[fault] = self.placed.get(fault, 0) + 1
        return fault

    def delay_s(self) -> float:
        """How late a late request arrives."""
        return self.rng.uniform(0.5, 15.0)

    def cancel_loses_race(self) -> bool:
        """Whether a fill is faster than the cancel."""
        return self.rng.random() < self.race_chance

    def shuffled(self, fills: list[VenueFill]) -> list[VenueFill]:
        """Fills in no particular order."""
        self.rng.shuffle(fills)
        return fills
