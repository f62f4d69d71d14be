"""How orders meet a market without a venue: filters, fills from a book, stops and limits from candles, margin, funding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from common.domain.errors import Refused
from common.domain.market import Candle, Instrument, InstrumentStatus, Level, OrderBook
from common.domain.money import BPS, ZERO, booked, is_on_grid
from common.domain.order import WORKING, OrderIntent, OrderSide, OrderStatus, OrderType
from common.domain.paper import PaperAccount, PaperFill, PaperFunding, PaperOrder, PaperPosition

FUNDING_EVERY = timedelta(hours=8)
_FUNDINGS_MAX = 90  # A month of them; an account that nobody looked at for longer is not billed for more.
_HALF = Decimal("0.5")

SETTLEMENT, LIQUIDATION = "settlement-", "liquidation-"
"""How the ids of orders begin that the paper venue places by itself: when a listing has ended, when margin has."""


class Refusal(StrEnum):
    """Why the paper venue does not take an order, as a real one would say it with a code."""

    NOT_TRADING = "NOT_TRADING"
    PRECISION = "PRECISION"
    QUANTITY = "QUANTITY"
    NOTIONAL = "NOTIONAL"
    PRICE = "PRICE"
    LEVERAGE = "LEVERAGE"
    WOULD_TRIGGER = "WOULD_TRIGGER"
    REDUCE_ONLY = "REDUCE_ONLY"
    MARGIN = "MARGIN"


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one instrument: the mark now, the book, and the whole candles since the last look, oldest first."""

    instrument: Instrument
    mark: Decimal
    book: OrderBook | None = None
    candles: tuple[Candle, ...] = ()
    funding_rate: Decimal | None = None
    next_funding_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """An account after something happened, and what is to be kept of it; `orders` holds each changed order once."""

    account: PaperAccount
    orders: tuple[PaperOrder, ...] = ()
    fills: tuple[PaperFill, ...] = ()
    fundings: tuple[PaperFunding, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (self.orders or self.fills or self.fundings)


def held(account: PaperAccount, instrument: str) -> Decimal:
    """Signed holding of `instrument`, negative for short."""
    return sum((item.quantity for item in account.positions if item.instrument == instrument), ZERO)


def reducible(account: PaperAccount, instrument: str, side: OrderSide) -> Decimal:
    """How much an order of `side` can take off the holding; zero when it would open or add."""
    return max(ZERO, -held(account, instrument) * side.sign)


def unrealised(account: PaperAccount, marks: dict[str, Decimal]) -> Decimal:
    """Profit of all holdings at `marks`, before closing costs; a holding without a mark counts as at its entry."""
    return sum(
        (
            (marks.get(item.instrument, item.entry_price) - item.entry_price) * item.quantity
            for item in account.positions
        ),
        ZERO,
    )


def margin_used(account: PaperAccount, marks: dict[str, Decimal]) -> Decimal:
    """Margin under holdings at `marks` and under working orders that may open, at their price."""
    under_positions = sum(
        (
            abs(item.quantity) * marks.get(item.instrument, item.entry_price) / item.leverage
            for item in account.positions
        ),
        ZERO,
    )
    under_orders = sum(
        (
            (order.quantity - order.filled_quantity) * order.price / order.leverage
            for order in account.orders
            if not order.reduce_only
        ),
        ZERO,
    )
    return under_positions + under_orders


def available(account: PaperAccount, marks: dict[str, Decimal]) -> Decimal:
    """What is free as margin for new orders: wallet and unrealised profit less the margin used, never negative."""
    return max(ZERO, account.wallet + unrealised(account, marks) - margin_used(account, marks))


def check_filters(instrument: Instrument, intent: OrderIntent, reference: Decimal) -> None:
    """Raise Refused when a real venue's filters would not let `intent` pass; `reference` prices a market order."""
    if instrument.status is not InstrumentStatus.TRADING and not intent.reduce_only:
        raise Refused(Refusal.NOT_TRADING, f"{instrument.symbol} is {instrument.status}")
    if not is_on_grid(intent.quantity, instrument.step_size):
        raise Refused(Refusal.PRECISION, f"quantity {intent.quantity} is no multiple of {instrument.step_size}")
    if not instrument.min_quantity <= intent.quantity <= instrument.max_quantity:
        raise Refused(
            Refusal.QUANTITY,
            f"quantity {intent.quantity} is not between {instrument.min_quantity} and {instrument.max_quantity}",
        )
    for name, price in (("price", intent.price), ("trigger price", intent.trigger_price)):
        matters = intent.type is OrderType.LIMIT if name == "price" else intent.type is OrderType.STOP_MARKET
        if matters and (price is None or price <= ZERO or not is_on_grid(price, instrument.tick_size)):
            raise Refused(Refusal.PRICE, f"{name} {price} is no multiple of {instrument.tick_size} above zero")
    priced = intent.price if intent.type is OrderType.LIMIT else reference
    if not intent.reduce_only and intent.quantity * priced < instrument.min_notional:
        raise Refused(Refusal.NOTIONAL, f"notional {intent.quantity * priced} is below {instrument.min_notional}")
    if not 1 <= intent.leverage <= instrument.max_leverage:
        raise Refused(Refusal.LEVERAGE, f"leverage {intent.leverage} is not between 1 and {instrument.max_leverage}")


def check_account(account: PaperAccount, intent: OrderIntent, seen: Observation, marks: dict[str, Decimal]) -> None:
    """Raise Refused when the account cannot bear `intent`: nothing to reduce, a stop already touched, too little margin."""
    if intent.reduce_only and not reducible(account, intent.instrument, intent.side):
        raise Refused(Refusal.REDUCE_ONLY, f"there is nothing to reduce in {intent.instrument}")
    trigger = intent.trigger_price if intent.type is OrderType.STOP_MARKET else None
    if trigger is not None and is_triggered(intent.side, trigger, seen.mark, seen.mark):
        raise Refused(Refusal.WOULD_TRIGGER, f"trigger {trigger} is touched at mark {seen.mark} already")
    if intent.reduce_only:
        return
    price = intent.price if intent.type is OrderType.LIMIT else seen.mark
    fee = intent.quantity * price * seen.instrument.taker_fee
    # What closes an opposite holding frees margin instead of taking some.
    opening = max(ZERO, intent.quantity - reducible(account, intent.instrument, intent.side))
    needed = opening * price / intent.leverage + fee
    free = available(account, marks)
    if needed > free:
        raise Refused(Refusal.MARGIN, f"margin {needed} is more than the {free} available")


def is_triggered(side: OrderSide, trigger: Decimal, low: Decimal, high: Decimal) -> bool:
    """Whether a market that went from `low` to `high` has touched a stop: sells rest below it, buys above."""
    return low <= trigger if side is OrderSide.SELL else high >= trigger


def stop_price(side: OrderSide, trigger: Decimal, opened: Decimal) -> Decimal:
    """Where a stop is taken out: at its trigger, or at the opening of a candle that gapped past it."""
    return min(trigger, opened) if side is OrderSide.SELL else max(trigger, opened)


def is_through(side: OrderSide, limit: Decimal, low: Decimal, high: Decimal) -> bool:
    """Whether a resting limit order has surely filled: the market went beyond its price, not merely to it."""
    return low < limit if side is OrderSide.BUY else high > limit


def slipped(side: OrderSide, price: Decimal, book: OrderBook | None) -> Decimal:
    """`price` worsened by half the spread of `book`; unchanged while a side of it is empty."""
    spread = None if book is None else book.spread_bps
    return price if spread is None else price * (1 + side.sign * spread * _HALF / BPS)


def take(levels: Sequence[Level], quantity: Decimal, side: OrderSide, limit: Decimal | None) -> list[Level]:
    """What an order that takes `levels` in order gets, level by level, up to `quantity` and no worse than `limit`."""
    taken: list[Level] = []
    left = quantity
    for level in levels:
        if left <= ZERO or (limit is not None and (level.price - limit) * side.sign > ZERO):
            break
        size = min(left, level.quantity)
        taken.append(Level(level.price, size))
        left -= size
    return taken


def fill(
    outcome: Outcome, order: PaperOrder, at: Level, fee_rate: Decimal, *, is_maker: bool, now: datetime
) -> Outcome:
    """`outcome` after `order` was executed at `at.price` for `at.quantity`: wallet, holding, order and one new fill."""
    account = outcome.account
    # Venues book to eight decimals; so does paper, or averages would drag endless digits through the ledger.
    fee = booked(at.quantity * at.price * fee_rate)
    position, realised = _after(account, order, at)
    realised = booked(realised)
    total = order.filled_quantity + at.quantity
    average = (order.average_price * order.filled_quantity + at.price * at.quantity) / total
    is_done = total >= order.quantity
    changed = replace(
        order,
        filled_quantity=total,
        average_price=average,
        status=OrderStatus.FILLED if is_done else OrderStatus.PARTIALLY_FILLED,
        updated_at=now,
    )
    executed = PaperFill(
        number=account.next_number, order_number=order.number, client_order_id=order.client_order_id,
        instrument=order.instrument, side=order.side, quantity=at.quantity, price=at.price, fee=fee,
        is_maker=is_maker, occurred_at=now,
    )  # fmt: skip
    others = tuple(item for item in account.positions if item.instrument != order.instrument)
    moved = replace(
        account,
        wallet=account.wallet + realised - fee,
        next_number=account.next_number + 1,
        positions=others + ((position,) if position.quantity else ()),
    )
    return keep(replace(outcome, account=moved, fills=(*outcome.fills, executed)), changed)


def _after(account: PaperAccount, order: PaperOrder, at: Level) -> tuple[PaperPosition, Decimal]:
    """(holding after the execution, profit it realised): the part that closes is paid out, the rest opens or adds."""
    before = next((item for item in account.positions if item.instrument == order.instrument), None)
    if before is None:
        return PaperPosition(order.instrument, at.quantity * order.side.sign, at.price, order.leverage), ZERO
    signed = at.quantity * order.side.sign
    if before.quantity * signed > ZERO:
        size = before.quantity + signed
        entry = (before.entry_price * before.quantity + at.price * signed) / size
        return replace(before, quantity=size, entry_price=entry, leverage=order.leverage), ZERO
    closing = min(abs(before.quantity), at.quantity) * (1 if before.quantity > ZERO else -1)
    realised = (at.price - before.entry_price) * closing
    left = before.quantity + signed
    if left * before.quantity < ZERO:
        return replace(before, quantity=left, entry_price=at.price, leverage=order.leverage, funded_at=None), realised
    return replace(before, quantity=left), realised


def keep(outcome: Outcome, order: PaperOrder) -> Outcome:
    """`outcome` with `order` among the changed ones, and among the account's while it works."""
    others = tuple(item for item in outcome.account.orders if item.number != order.number)
    working = tuple(sorted((*others, order), key=lambda item: item.number)) if order.status in WORKING else others
    changed = tuple(item for item in outcome.orders if item.number != order.number)
    return replace(outcome, account=replace(outcome.account, orders=working), orders=(*changed, order))


def settle(account: PaperAccount, instrument: str, price: Decimal, now: datetime) -> Outcome:
    """The account after the listing of `instrument` has ended: what rests is cancelled, what is held closed at `price`.

    As at a real venue nobody is asked, and the order that closes bears an id of the venue's own (SETTLEMENT).
    """
    outcome = Outcome(account)
    for order in account.orders:
        if order.instrument == instrument:
            outcome = keep(outcome, replace(order, status=OrderStatus.CANCELED, updated_at=now))
    held = next((item for item in account.positions if item.instrument == instrument), None)
    if held is None:
        return outcome
    number = account.next_number
    closing = PaperOrder(
        number=number, client_order_id=f"{SETTLEMENT}{account.account_id.hex[:12]}-{number}", instrument=instrument,
        side=OrderSide.SELL if held.quantity > ZERO else OrderSide.BUY, type=OrderType.MARKET,
        quantity=abs(held.quantity), price=price, trigger_price=None, reduce_only=True, leverage=held.leverage,
        status=OrderStatus.ACCEPTED, created_at=now, updated_at=now,
    )  # fmt: skip
    taken = replace(outcome, account=replace(outcome.account, next_number=number + 1))
    return fill(taken, closing, Level(price, abs(held.quantity)), ZERO, is_maker=False, now=now)


def submit(account: PaperAccount, intent: OrderIntent, seen: Observation, now: datetime) -> tuple[Outcome, PaperOrder]:
    """The account after it took `intent`, and the order; a market order's remainder expires, a limit order's rests.

    The caller has checked filters and account.
    """
    order = PaperOrder(
        number=account.next_number, client_order_id=intent.client_order_id, instrument=intent.instrument,
        side=intent.side, type=intent.type, quantity=intent.quantity, price=intent.price,
        trigger_price=intent.trigger_price, reduce_only=intent.reduce_only, leverage=intent.leverage,
        status=OrderStatus.ACCEPTED, created_at=now, updated_at=now,
    )  # fmt: skip
    outcome = keep(Outcome(replace(account, next_number=account.next_number + 1)), order)
    if intent.type is OrderType.STOP_MARKET:
        return outcome, order
    limit = intent.price if intent.type is OrderType.LIMIT else None
    outcome, order = _sweep(outcome, order, seen, limit, now)
    if intent.type is OrderType.MARKET and order.status in WORKING:
        order = replace(order, status=OrderStatus.EXPIRED)
        outcome = keep(outcome, order)
    return outcome, order


def _sweep(
    outcome: Outcome, order: PaperOrder, seen: Observation, limit: Decimal | None, now: datetime
) -> tuple[Outcome, PaperOrder]:
    """Take what the book offers, no more than a reduce-only order may."""
    book = seen.book
    levels: Iterable[Level] = () if book is None else (book.asks if order.side is OrderSide.BUY else book.bids)
    wanted = order.quantity
    if order.reduce_only:
        wanted = min(wanted, reducible(outcome.account, order.instrument, order.side))
    for level in take(tuple(levels), wanted, order.side, limit):
        outcome = fill(outcome, order, level, seen.instrument.taker_fee, is_maker=False, now=now)
        order = outcome.orders[-1]
    return outcome, order


def advance(account: PaperAccount, seen: Iterable[Observation], now: datetime) -> Outcome:
    """The account as the market between the last look and `now` has left it.

    Per instrument the whole candles since an order's last look are walked in order, then the mark of now; within a
    candle stops go before limits, which is the worse of the two orders of events. Fills bear the time of this look,
    for that is when the venue tells of them.
    """
    outcome = Outcome(account)
    views = sorted(seen, key=lambda item: item.instrument.symbol)
    for view in views:
        outcome = _fund(outcome, view, now)
        for candle in view.candles:
            outcome = _walk(outcome, view, candle, now)
        outcome = _touch(outcome, view, now)
    return _liquidate(outcome, views, now)


def _liquidate(outcome: Outcome, views: Sequence[Observation], now: datetime) -> Outcome:
    """Close every holding at its mark when the account is worth no more than the maintenance margin of what it holds."""
    marks = {view.instrument.symbol: view.mark for view in views}
    account = outcome.account
    maintenance = sum(
        (abs(held(account, view.instrument.symbol)) * view.mark * view.instrument.maintenance_margin for view in views),
        ZERO,
    )
    if not maintenance or account.wallet + unrealised(account, marks) > maintenance:
        return outcome
    for order in account.orders:
        outcome = keep(outcome, replace(order, status=OrderStatus.CANCELED, updated_at=now))
    for view in views:
        size = held(outcome.account, view.instrument.symbol)
        if size:
            outcome = _close_out(outcome, view, size, now)
    return outcome


def _close_out(outcome: Outcome, view: Observation, size: Decimal, now: datetime) -> Outcome:
    account = outcome.account
    side = OrderSide.SELL if size > ZERO else OrderSide.BUY
    order = PaperOrder(
        number=account.next_number, client_order_id=f"{LIQUIDATION}{account.next_number}",
        instrument=view.instrument.symbol, side=side, type=OrderType.MARKET, quantity=abs(size), price=view.mark,
        trigger_price=None, reduce_only=True, leverage=1, status=OrderStatus.ACCEPTED, created_at=now, updated_at=now,
    )  # fmt: skip
    outcome = keep(replace(outcome, account=replace(account, next_number=account.next_number + 1)), order)
    return fill(outcome, order, Level(view.mark, abs(size)), view.instrument.taker_fee, is_maker=False, now=now)


def _walk(outcome: Outcome, view: Observation, candle: Candle, now: datetime) -> Outcome:
    """One whole candle: only orders that were looked at before it opened may be touched by it."""
    for order in _working(outcome.account, view.instrument.symbol):
        if (order.updated_at or order.created_at) > candle.opened_at:
            continue
        if order.type is OrderType.STOP_MARKET and order.trigger_price is not None:
            if is_triggered(order.side, order.trigger_price, candle.low, candle.high):
                price = stop_price(order.side, order.trigger_price, candle.open)
                outcome = _stop_out(outcome, order, view, price, now)
                continue
        elif is_through(order.side, order.price, candle.low, candle.high):
            outcome = _rest_filled(outcome, order, view, now)
            continue
        outcome = keep(outcome, replace(order, updated_at=candle.closed_at))
    return outcome


def _touch(outcome: Outcome, view: Observation, now: datetime) -> Outcome:
    """The mark of now, which no whole candle shows yet."""
    for order in _working(outcome.account, view.instrument.symbol):
        if order.type is OrderType.STOP_MARKET and order.trigger_price is not None:
            if is_triggered(order.side, order.trigger_price, view.mark, view.mark):
                price = stop_price(order.side, order.trigger_price, view.mark)
                outcome = _stop_out(outcome, order, view, price, now)
        elif is_through(order.side, order.price, view.mark, view.mark):
            outcome = _rest_filled(outcome, order, view, now)
    return outcome


def _working(account: PaperAccount, instrument: str) -> list[PaperOrder]:
    """Stops first, then by age."""
    found = [order for order in account.orders if order.instrument == instrument]
    return sorted(found, key=lambda order: (order.type is not OrderType.STOP_MARKET, order.number))


def _stop_out(outcome: Outcome, order: PaperOrder, view: Observation, price: Decimal, now: datetime) -> Outcome:
    """A triggered stop takes the market; one that has nothing left to reduce expires."""
    wanted = order.quantity
    if order.reduce_only:
        wanted = min(wanted, reducible(outcome.account, order.instrument, order.side))
    if wanted <= ZERO:
        return keep(outcome, replace(order, status=OrderStatus.EXPIRED, updated_at=now))
    at = Level(slipped(order.side, price, view.book), wanted)
    outcome = fill(outcome, order, at, view.instrument.taker_fee, is_maker=False, now=now)
    done = outcome.orders[-1]
    return keep(outcome, replace(done, status=OrderStatus.EXPIRED)) if done.status in WORKING else outcome


def _rest_filled(outcome: Outcome, order: PaperOrder, view: Observation, now: datetime) -> Outcome:
    """A resting order is filled whole at its own price, as far as a reduce-only order may be."""
    wanted = order.quantity - order.filled_quantity
    if order.reduce_only:
        wanted = min(wanted, reducible(outcome.account, order.instrument, order.side))
    if wanted <= ZERO:
        return keep(outcome, replace(order, status=OrderStatus.EXPIRED, updated_at=now))
    return fill(outcome, order, Level(order.price, wanted), view.instrument.maker_fee, is_maker=True, now=now)


def _fund(outcome: Outcome, view: Observation, now: datetime) -> Outcome:
    """Book every funding time that has passed since the holding was last funded, at the rate and mark of now."""
    account = outcome.account
    position = next((item for item in account.positions if item.instrument == view.instrument.symbol), None)
    if position is None or view.funding_rate is None or view.next_funding_at is None:
        return outcome
    if position.funded_at is None:  # From here on: what came before it was opened, or before we knew, is not billed.
        return _replace_position(outcome, replace(position, funded_at=now))
    due = view.next_funding_at
    while due > now:
        due -= FUNDING_EVERY
    times: list[datetime] = []
    while due > position.funded_at and len(times) < _FUNDINGS_MAX:
        times.append(due)
        due -= FUNDING_EVERY
    for when in reversed(times):
        amount = booked(-position.quantity * view.mark * view.funding_rate)
        paid = PaperFunding(outcome.account.next_number, position.instrument, amount, when)
        wallet = replace(
            outcome.account, wallet=outcome.account.wallet + amount, next_number=outcome.account.next_number + 1
        )
        outcome = replace(outcome, account=wallet, fundings=(*outcome.fundings, paid))
        outcome = _replace_position(outcome, replace(position, funded_at=when))
    return outcome


def _replace_position(outcome: Outcome, position: PaperPosition) -> Outcome:
    positions = tuple(
        position if item.instrument == position.instrument else item for item in outcome.account.positions
    )
    return replace(outcome, account=replace(outcome.account, positions=positions))
