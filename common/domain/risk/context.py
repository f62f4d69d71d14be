"""What the judges look at: a proposal and everything it is judged by, with what several rules measure worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from common.domain.advice import Advice
from common.domain.market import Level, MarketState, OrderBook, walk
from common.domain.money import ZERO, bps
from common.domain.order import OrderSide
from common.domain.risk.book import Book, Exposure
from common.domain.risk.caps import Cap, Terms, caps_of, own_exposures, terms_of
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Level as RiskLevel
from common.domain.risk.verdict import Rule, Veto
from common.domain.signal import ExitPlan, Signal
from common.domain.sizing import smallest_order, takes

NO_DEPTH_BPS = Decimal(1000)
"""Slippage counted when the book cannot fill the order (B, seeds 1.2)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An entry as sizing would make it, before the judges; prices and quantity on the venue's grid.

    `quantity` in base units, 0 when nothing fits; `price` the average expected on walking the book; `budget` what may be
    lost at the stop (settle asset); `capped_by` the limit that made it smaller than the budget alone would.
    """

    tenant_id: UUID
    account_id: UUID
    signal_id: UUID
    side: OrderSide
    quantity: Decimal
    price: Decimal
    leverage: int
    exits: ExitPlan
    budget: Decimal
    capped_by: Rule | None
    order_prefix: str
    proposed_at: datetime


@dataclass(frozen=True, slots=True)
class Measure:
    """What one rule measured, what it allows, in `unit`, and whether the line is crossed."""

    measured: Decimal
    limit: Decimal
    unit: str
    is_crossed: bool
    detail: str = ""

    def veto(self, level: RiskLevel, rule: Rule) -> Veto:
        """The refusal of `rule` with these numbers."""
        return Veto(level, rule, _plain(self.measured), _plain(self.limit), self.unit, self.detail)


def _plain(number: Decimal) -> Decimal:
    # What is kept knows no negative zero, and a replay must give the very same numbers.
    return number.copy_abs() if number.is_zero() else number


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a rule may look at; build it with `context_of`.

    `quantity` is the proposal's, or the smallest order where the proposal is smaller, so that a limit without room is
    named by its own veto. `orders` is None unless the quote is usable. `transit` is added to every age that is allowed:
    the venue time a request takes when the venue's clock runs faster than life. `flaws` are numbers that are none.
    """

    proposal: Proposal
    signal: Signal
    advice: Advice | None
    market: MarketState
    book: Book
    limits: Limits
    now: datetime
    transit: timedelta
    orders: OrderBook | None
    quantity: Decimal
    terms: Terms | None
    caps: Mapping[Rule, Cap]
    exposures: tuple[Exposure, ...]
    flaws: tuple[str, ...]

    @property
    def slippage_bps(self) -> Decimal | None:
        """Average price of walking the book against the middle, in bps against us; None without a usable quote."""
        if self.orders is None or self.orders.mid is None:
            return None
        levels = takes(self.orders, self.signal.side)
        average, obtained = walk(levels, self.quantity)
        if obtained < self.quantity:
            return NO_DEPTH_BPS
        price = average if obtained else levels[0].price
        return bps(price - self.orders.mid, self.orders.mid) * self.signal.side.sign


Check = Callable[[Context], Measure | None]
"""A rule: what it measured, or None when its limit is not set or it has nothing to measure."""


def usable_orders(market: MarketState) -> OrderBook | None:
    """The market's book when both sides are quoted, uncrossed and every number is a finite one above zero."""
    orders = market.book
    if orders is None or not orders.bids or not orders.asks or not _are_sound((*orders.bids, *orders.asks)):
        return None
    return orders if orders.bids[0].price < orders.asks[0].price else None


def _are_sound(levels: tuple[Level, ...]) -> bool:
    return all(
        level.price.is_finite() and level.quantity.is_finite() and level.price > ZERO and level.quantity > ZERO
        for level in levels
    )


def known(value: Decimal | None) -> Decimal | None:
    """`value` when it is a finite number; a number that is none is as good as unknown."""
    return value if value is not None and value.is_finite() else None


def flaws_of(signal: Signal, market: MarketState, book: Book) -> tuple[str, ...]:
    """Names of the numbers that cannot be true: not finite, or not above zero where they must be."""
    return tuple(
        name
        for name, value, must_be_positive in _numbers(signal, market, book)
        if value is not None and (not value.is_finite() or (must_be_positive and value <= ZERO))
    )


def _numbers(signal: Signal, market: MarketState, book: Book) -> Iterator[tuple[str, Decimal | None, bool]]:
    exits, instrument, record = signal.exits, market.instrument, book.record
    yield from (("signal.price", signal.price, True), ("signal.confidence", signal.confidence, False))
    yield from (("exits.stop", exits.stop, True), ("exits.target", exits.target, True))
    yield from (("trail_distance", exits.trail_distance, True), ("trail_activation", exits.trail_activation, False))
    yield from (("stop_fraction", exits.stop_fraction, True), ("target_fraction", exits.target_fraction, True))
    yield from (("tick_size", instrument.tick_size, True), ("step_size", instrument.step_size, True))
    yield from (("min_quantity", instrument.min_quantity, False), ("max_quantity", instrument.max_quantity, False))
    yield from (("min_notional", instrument.min_notional, False), ("taker_fee", instrument.taker_fee, False))
    yield from (("maintenance_margin", instrument.maintenance_margin, False), ("equity", book.equity, False))
    yield from (("available", book.available, False), ("day_profit", record.day_profit, False))
    yield from (("day_start_equity", record.day_start_equity, False), ("peak_equity", record.peak_equity, False))
    yield from (("win_rate", record.win_rate, False), ("sharpe", record.sharpe, False))
    for exposure in book.exposures:
        yield from (("exposure.notional", exposure.notional, False), ("exposure.margin", exposure.margin, False))
        yield from (("exposure.quantity", exposure.quantity, False), ("exposure.risk", exposure.risk, False))


def context_of(
    proposal: Proposal,
    signal: Signal,
    advice: Advice | None,
    market: MarketState,
    book: Book,
    limits: Limits,
    *,
    now: datetime,
    transit: timedelta = timedelta(0),
) -> Context:
    """The context of judging `proposal`; never raises for numbers that are none, it lists them as flaws."""
    flaws = (*flaws_of(signal, market, book), *_flaws_of_proposal(proposal))
    quantity, terms, caps = ZERO, None, {}
    if not flaws:
        instrument = market.instrument
        quantity = max(proposal.quantity, smallest_order(instrument, proposal.price, limits))
        terms = terms_of(instrument, signal.strategy, proposal.price, proposal.exits.stop, proposal.leverage, limits)
        caps = dict(caps_of(book, limits, terms))
    return Context(
        proposal=proposal,
        signal=signal,
        advice=advice,
        market=market,
        book=book,
        limits=limits,
        now=now,
        transit=transit,
        orders=usable_orders(market),
        quantity=quantity,
        terms=terms,
        caps=caps,
        exposures=own_exposures(book),
        flaws=flaws,
    )


def _flaws_of_proposal(proposal: Proposal) -> tuple[str, ...]:
    numbers = {
        "proposal.price": (proposal.price, True),
        "proposal.quantity": (proposal.quantity, False),
        "proposal.stop": (proposal.exits.stop, True),
        "proposal.target": (proposal.exits.target, True),
        "proposal.leverage": (Decimal(proposal.leverage), True),
    }
    return tuple(
        name
        for name, (value, is_price) in numbers.items()
        if value is not None and (not value.is_finite() or value < ZERO or (is_price and value == ZERO))
    )


def at_most(measured: Decimal | int | None, limit: Decimal | int | None, unit: str, detail: str = "") -> Measure | None:
    """A line that `measured` may touch but not pass; None when either side is not there."""
    if measured is None or limit is None:
        return None
    return Measure(Decimal(measured), Decimal(limit), unit, measured > limit, detail)


def at_least(
    measured: Decimal | int | None, limit: Decimal | int | None, unit: str, detail: str = ""
) -> Measure | None:
    """A line that `measured` must reach; None when either side is not there."""
    if measured is None or limit is None:
        return None
    return Measure(Decimal(measured), Decimal(limit), unit, measured < limit, detail)


def state(is_bad: bool, unit: str, detail: str = "") -> Measure:
    """A rule about a state: measures 1 against 0 when it is bad."""
    return Measure(Decimal(int(is_bad)), ZERO, unit, is_bad, detail if is_bad else "")


def blind(unit: str) -> Measure:
    """A safety input is unknown: the entry fails closed."""
    return Measure(Decimal(1), ZERO, unit, True, "unknown, and an entry without it fails closed")


def seconds(duration: timedelta) -> Decimal:
    """`duration` in exact seconds."""
    return Decimal(duration // timedelta(microseconds=1)) / 1_000_000
