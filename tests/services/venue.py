"""A venue in memory that does what a test's script says: its own ledger, prices we set, candles we draw, fates we name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from common.domain.errors import NotFound, OutcomeUnknown, Refused
from common.domain.market import Candle, Instrument, Level, MarketState, MarkPrice, OrderBook, Timeframe
from common.domain.money import ZERO
from common.domain.order import OrderIntent, OrderSide, OrderStatus, OrderType
from common.domain.postings import EntryKind, Movement
from common.ports.venue import VenueBalance, VenueFill, VenueFunding, VenueOrder, VenuePosition

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
VENUE = "practice"
SOL, ADA = "SOL/USDT:USDT", "ADA/USDT:USDT"
FLAT = Decimal(100)
FEE = Decimal("0.0005")
VALIDITY, HORIZON = timedelta(seconds=10), timedelta(seconds=20)


class StepClock:
    """Venue time that moves only when told; implements ports.clock.Clock."""

    def __init__(self, now: datetime, rate: float = 1.0) -> None:
        self._now, self._start, self.rate = now, now, rate

    def now(self) -> datetime:
        """The instant it was left at."""
        return self._now

    def monotonic(self) -> float:
        """Seconds of life since the start."""
        return (self._now - self._start).total_seconds() / self.rate

    def transport(self, seconds: float) -> timedelta:
        """`seconds` of life in venue time."""
        return timedelta(seconds=seconds * self.rate)

    def advance(self, seconds: float) -> None:
        """Let venue time pass."""
        self._now += timedelta(seconds=seconds)


class Fate(StrEnum):
    """What may happen to a placement."""

    LOST = "the request is lost"
    BEFORE = "an error before the engine"
    AFTER = "a timeout after the engine took it"
    LATE = "the request arrives late"
    REFUSED = "a definite refusal"
    PARTIAL = "a partial fill, the rest rests"
    SILENT_PARTIAL = "a partial fill and no answer"
    REST = "accepted, nothing filled"


@dataclass(slots=True)
class Resting:
    """An order as the venue holds it."""

    intent: OrderIntent
    number: str
    accepted_at: datetime
    status: OrderStatus = OrderStatus.ACCEPTED
    filled: Decimal = ZERO
    is_hidden: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in {OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}

    def told(self) -> VenueOrder:
        """The order in the venue's words."""
        intent = self.intent
        return VenueOrder(
            client_order_id=intent.client_order_id,
            venue_order_id=self.number,
            instrument=intent.instrument,
            side=intent.side,
            status=self.status,
            quantity=intent.quantity,
            filled_quantity=self.filled,
            average_price=FLAT,
            is_conditional=intent.type is OrderType.STOP_MARKET,
            occurred_at=self.accepted_at,
        )


@dataclass(slots=True)
class Ledger:
    """The venue's own book of one account."""

    orders: list[Resting] = field(default_factory=list)
    fills: list[VenueFill] = field(default_factory=list)
    held: dict[str, Decimal] = field(default_factory=dict)
    cash: Decimal = Decimal(100_000)
    entries: dict[str, Decimal] = field(default_factory=dict)
    wallet: Decimal = Decimal(100_000)
    moved: list[Movement] = field(default_factory=list)

    def trade(self, symbol: str, signed: Decimal, price: Decimal) -> Decimal:
        """What an execution realises, in the simplest of ways: the average entry, one net position."""
        held, entry = self.held.get(symbol, ZERO), self.entries.get(symbol, ZERO)
        closing = min(abs(held), abs(signed)) if held * signed < ZERO else ZERO
        left, opening = abs(held) - closing, abs(signed) - closing
        if left + opening:
            self.entries[symbol] = (left * entry + opening * price) / (left + opening)
        self.held[symbol] = held + signed
        return (closing * (price - entry) * (1 if held > ZERO else -1)).quantize(Decimal("1e-8"))


class ScriptedVenue:
    """Public side (ports.venue.MarketData) and ledgers. `closes` of a symbol end with the candle that closes at noon."""

    def __init__(self, clock: StepClock, instruments: Sequence[Instrument]) -> None:
        self._clock = clock
        self.listed = {item.symbol: item for item in instruments}
        self.prices = dict.fromkeys(self.listed, FLAT)
        self.ledgers: dict[UUID, Ledger] = {}
        self.late: list[tuple[datetime, UUID, OrderIntent, datetime]] = []
        self.closes: dict[str, Sequence[float]] = {}
        self.missing: set[datetime] = set()
        self.malformed: set[datetime] = set()
        self.unknown: set[str] = set()
        self.asked: list[tuple[str, datetime]] = []
        self.market_calls = self.mark_calls = 0
        self._number = 0

    @property
    def name(self) -> str:
        """The venue's name in our books."""
        return VENUE

    def instruments(self) -> Sequence[Instrument]:
        """Every instrument."""
        return list(self.listed.values())

    def candles(self, symbol: str, timeframe: Timeframe, since: datetime, limit: int) -> Sequence[Candle]:
        """Flat candles before and after the script."""
        self.asked.append((symbol, since))
        if symbol in self.unknown:
            raise NotFound("symbol", symbol)
        count = int((self._clock.now() - since) / timeframe.duration)
        opened = [since + number * timeframe.duration for number in range(min(count, limit))]
        return [self._candle(symbol, at, timeframe) for at in opened if at not in self.missing]

    def _candle(self, symbol: str, opened: datetime, timeframe: Timeframe) -> Candle:
        script = dict(enumerate(reversed(self.closes.get(symbol, ())), start=1))
        number = round((NOON - opened) / timeframe.duration)
        first, last = (Decimal(repr(float(script.get(at, FLAT)))) for at in (number + 1, number))
        top, bottom = max(first, last) + Decimal("0.5"), min(first, last) - Decimal("0.5")
        if opened in self.malformed:
            top, bottom = bottom, top
        return Candle(opened, opened + timeframe.duration, first, top, bottom, last, Decimal(50))

    def book(self, symbol: str, depth: int) -> OrderBook:
        """A deep book around the price."""
        price, tick = self.prices[symbol], self.listed[symbol].tick_size
        bids = tuple(Level(price - tick * number, Decimal(1000)) for number in range(1, depth + 1))
        asks = tuple(Level(price + tick * number, Decimal(1000)) for number in range(1, depth + 1))
        return OrderBook(bids, asks, self._clock.now())

    def market(self, instrument: Instrument) -> MarketState:
        """Book, last and mark right now."""
        self.market_calls += 1
        price = self.prices[instrument.symbol]
        book = self.book(instrument.symbol, 20)
        return MarketState(instrument, book, last=price, mark=price, quote_at=self._clock.now(), funding_rate=ZERO)

    def mark(self, symbol: str) -> Decimal | None:
        """The price, which is the mark as well."""
        self.mark_calls += 1
        return self.prices[symbol]

    def marks(self, symbols: Sequence[str]) -> dict[str, MarkPrice]:
        """The prices, which are the marks as well, in one question."""
        self.mark_calls += 1
        return {symbol: MarkPrice(self.prices[symbol]) for symbol in symbols if symbol in self.prices}

    def ledger(self, account_id: UUID) -> Ledger:
        """The book of an account, opened at first sight."""
        return self.ledgers.setdefault(account_id, Ledger())

    def arrive(self, account_id: UUID, intent: OrderIntent, sent_at: datetime, share: Decimal = Decimal(1)) -> Resting:
        """A placement reaches the engine, which fills `share` of a market order at once."""
        ledger, now = self.ledger(account_id), self._clock.now()
        if now > sent_at + VALIDITY:
            raise Refused("-1021", "timestamp outside of the window")
        if intent.reduce_only and self._reducible(ledger, intent) <= ZERO:
            raise Refused("-2022", "reduce-only order is rejected")
        order = Resting(intent, self._next(), now)
        ledger.orders.append(order)
        if intent.type is OrderType.MARKET and share > ZERO:
            self.fill(account_id, order, (intent.quantity * share).quantize(Decimal("0.1")))
        return order

    def fill(self, account_id: UUID, order: Resting, quantity: Decimal) -> VenueFill:
        """Execute `quantity` of an order at the price of now."""
        intent, ledger = order.intent, self.ledger(account_id)
        if intent.reduce_only:
            quantity = min(quantity, self._reducible(ledger, intent))
        order.filled += quantity
        order.status = OrderStatus.FILLED if order.filled >= intent.quantity else OrderStatus.PARTIALLY_FILLED
        return self.book_fill(account_id, intent.instrument, intent.side, quantity, order.number)

    def book_fill(self, account_id: UUID, symbol: str, side: OrderSide, quantity: Decimal, number: str) -> VenueFill:
        """Write an execution into the account's book, whoever ordered it."""
        ledger, price = self.ledger(account_id), self.prices[symbol]
        fee = quantity * price * FEE
        fill = VenueFill(
            f"t{self._next()}", number, None, symbol, side, quantity, price, fee, "USDT", False, self._clock.now()
        )
        ledger.fills.append(fill)
        profit = ledger.trade(symbol, quantity * side.sign, price)
        ledger.cash -= quantity * price * side.sign + fee
        for kind, amount in ((EntryKind.REALISED, profit), (EntryKind.FEE, -fee)):
            self._move(ledger, Movement(kind, fill.trade_id, symbol, amount, "USDT", fill.occurred_at, "trade"))
        return fill

    @staticmethod
    def _move(ledger: Ledger, movement: Movement) -> None:
        ledger.wallet += movement.amount
        ledger.moved.append(movement)

    def move(self, account_id: UUID, amount: str, kind: EntryKind = EntryKind.TRANSFER, symbol: str = "") -> Movement:
        """Let the wallet move for a reason other than a trade."""
        ledger, signed = self.ledger(account_id), Decimal(amount)
        moved = Movement(kind, f"m{self._next()}", symbol, signed, "USDT", self._clock.now(), kind.name)
        self._move(ledger, moved)
        ledger.cash += signed
        return moved

    def tick(self) -> None:
        """Late requests arrive, stops trigger."""
        now = self._clock.now()
        due = [item for item in self.late if item[0] <= now]
        self.late = [item for item in self.late if item[0] > now]
        for _, account_id, intent, sent_at in due:
            self.arrive(account_id, intent, sent_at)
        for account_id, ledger in self.ledgers.items():
            for order in [item for item in ledger.orders if item.is_open and self._is_triggered(item.intent)]:
                if self._reducible(ledger, order.intent) <= ZERO:
                    order.status = OrderStatus.EXPIRED
                else:
                    self.fill(account_id, order, order.intent.quantity - order.filled)

    def _is_triggered(self, intent: OrderIntent) -> bool:
        price, trigger = self.prices[intent.instrument], intent.trigger_price
        return trigger is not None and (price - trigger) * intent.side.sign >= ZERO

    @staticmethod
    def _reducible(ledger: Ledger, intent: OrderIntent) -> Decimal:
        return -ledger.held.get(intent.instrument, ZERO) * intent.side.sign

    def _next(self) -> str:
        self._number += 1
        return str(self._number)


class ScriptedDoor:
    """One account's private side (ports.venue.Venue): counts what goes through and fails where we say."""

    validity, visibility = VALIDITY, HORIZON

    def __init__(self, venue: ScriptedVenue, account_id: UUID, clock: StepClock) -> None:
        self._venue, self._id, self._clock = venue, account_id, clock
        self.fates: list[Fate | None] = []
        self.late_by_s = 3.0
        self.fill_beats_cancel = False
        self.calls: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.when: dict[str, Callable[[], None]] = {}
        self.payments: list[VenueFunding] = []
        self.tells = True

    @property
    def ledger(self) -> Ledger:
        """The venue's book of this account."""
        return self._venue.ledger(self._id)

    def _pass(self, name: str) -> None:
        self.calls.append(name)
        self.when.get(name, lambda: None)()
        if name in self.fails:
            raise self.fails[name]

    def place(self, intent: OrderIntent, submitted_at: datetime) -> VenueOrder:
        """Send once; the next fate has its way with request or reply."""
        self._pass("place")
        fate = self.fates.pop(0) if self.fates else None
        if fate is Fate.REFUSED:
            raise Refused("-2019", "margin is insufficient")
        if fate is Fate.LATE:
            arrives_at = self._clock.now() + timedelta(seconds=self.late_by_s)
            self._venue.late.append((arrives_at, self._id, intent, submitted_at))
        if fate in {Fate.LOST, Fate.BEFORE, Fate.LATE}:
            raise OutcomeUnknown(str(fate))
        share = {Fate.PARTIAL: "0.4", Fate.SILENT_PARTIAL: "0.4", Fate.REST: "0"}.get(fate or Fate.AFTER, "1")
        order = self._venue.arrive(self._id, intent, submitted_at, Decimal(share))
        if fate in {Fate.AFTER, Fate.SILENT_PARTIAL}:
            raise OutcomeUnknown(str(fate))
        return order.told()

    def cancel(self, intent: OrderIntent) -> None:
        """Cancel what is open under the id, unless a fill is faster."""
        self._pass("cancel")
        for order in self._of(intent):
            if order.is_open and self.fill_beats_cancel and not intent.reduce_only:
                self._venue.fill(self._id, order, intent.quantity - order.filled)
            elif order.is_open:
                order.status = OrderStatus.CANCELED

    def find(self, intent: OrderIntent) -> VenueOrder | None:
        """The order of that id, unless it is hidden."""
        self._pass("find")
        return next((order.told() for order in self._of(intent) if not order.is_hidden), None)

    def open_orders(self) -> Sequence[VenueOrder]:
        """Every working order that is not hidden."""
        self._pass("open_orders")
        return [order.told() for order in self.ledger.orders if order.is_open and not order.is_hidden]

    def fills(self, symbol: str, since: datetime) -> Sequence[VenueFill]:
        """Executions of `symbol` since `since`, the newest first, as venues like to have it."""
        self._pass("fills")
        return [fill for fill in reversed(self.ledger.fills) if fill.instrument == symbol and fill.occurred_at >= since]

    def positions(self) -> Sequence[VenuePosition]:
        """Holdings that are not flat."""
        self._pass("positions")
        held = sorted(self.ledger.held.items())
        return [VenuePosition(s, q, ZERO, self._venue.prices[s], None) for s, q in held if q != ZERO]

    def balance(self) -> VenueBalance:
        """Wallet and equity."""
        self._pass("balance")
        value = sum((q * self._venue.prices[s] for s, q in self.ledger.held.items()), ZERO)
        equity = self.ledger.cash + value
        return VenueBalance("USDT", self.ledger.wallet, equity, equity)

    def fundings(self, since: datetime) -> Sequence[VenueFunding]:
        """What we paid in."""
        self._pass("fundings")
        return [item for item in self.payments if item.occurred_at >= since]

    def statement(self, since: datetime) -> Sequence[Movement]:
        """What moved the wallet, unless this venue keeps no list."""
        self._pass("statement")
        return [item for item in self.ledger.moved if self.tells and item.occurred_at >= since]

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Nothing but a door that may fail."""
        self._pass("set_leverage")

    def _of(self, intent: OrderIntent) -> list[Resting]:
        return [order for order in self.ledger.orders if order.intent.client_order_id == intent.client_order_id]
