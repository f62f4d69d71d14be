"""A venue that holds accounts on paper: real prices, filters, fees and funding, and nobody's money."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from common.adapters.paper_market import FRESH_S, PaperMarket
from common.domain import matching
from common.domain.errors import OutcomeUnknown, Permanent, Refused, Transient
from common.domain.market import OrderBook
from common.domain.money import ZERO
from common.domain.order import WORKING, OrderIntent, OrderStatus, OrderType
from common.domain.paper import PaperAccount, PaperFill, PaperOrder
from common.domain.position import CloseReason
from common.domain.postings import EntryKind, Movement
from common.domain.tenant import Account
from common.ports.clock import Clock
from common.ports.paper import PaperBook, PaperBooks
from common.ports.venue import VenueBalance, VenueFill, VenueFunding, VenueOrder, VenuePosition

OPENING_WALLET = Decimal(10_000)
_VALIDITY = timedelta(seconds=5)
_VISIBILITY = timedelta(seconds=1)


class PaperVenue:
    """One account on paper, priced by a market that all of them look at; implements ports.venue.Venue, safe among threads.

    Its state is in the paper book. Stops and limits are looked after whenever anybody asks: the candles since the last
    look tell what was touched meanwhile. The market is read before the book is locked, never while it is.
    """

    def __init__(
        self,
        account: Account,
        market: PaperMarket,
        books: PaperBooks,
        clock: Clock,
        opening_wallet: Decimal = OPENING_WALLET,
    ) -> None:
        self._account, self._market, self._books, self._clock = account, market, books, clock
        self._opening_wallet = opening_wallet
        self._settled_at = float("-inf")

    @property
    def validity(self) -> timedelta:
        """How long a placement whose commit was not answered may still come through, in venue time."""
        return self._clock.transport(_VALIDITY.total_seconds())

    @property
    def visibility(self) -> timedelta:
        """How long after that it may not be shown, in venue time."""
        return self._clock.transport(_VISIBILITY.total_seconds())

    def place(self, intent: OrderIntent, submitted_at: datetime) -> VenueOrder:
        """Take `intent` once; raises Refused or OutcomeUnknown. An id that was ever used before is an unknown outcome."""
        if self._clock.now() > submitted_at + self.validity:
            raise Refused("NOT_SENT", f"stamped {submitted_at.isoformat()}, which is older than the window allows")
        try:
            instrument = self._market.instrument(intent.instrument)
            marks = self._marks_of(self._settle())
            seen = self._market.look(instrument)
        except (Transient, Permanent) as error:
            raise Refused("NOT_SENT", f"the market of {intent.instrument} cannot be read: {error}") from None
        matching.check_filters(instrument, intent, seen.mark)
        marks[instrument.symbol] = seen.mark
        try:
            with self._books(self._account.tenant_id) as book:
                account = self._open(book)
                if book.order(account.account_id, intent.client_order_id) is not None:
                    raise OutcomeUnknown(f"an order {intent.client_order_id} exists already")
                matching.check_account(account, intent, seen, marks)
                outcome, order = matching.submit(account, intent, seen, self._clock.now())
                self._keep(book, outcome)
        except Transient as error:
            raise OutcomeUnknown(f"whether {intent.client_order_id} was kept is not known: {error}") from None
        return _order(order)

    def cancel(self, intent: OrderIntent) -> None:
        """Cancel the order; unknown or finished orders are no error."""
        self._settle()
        with self._book() as book:
            account = self._open(book)
            order = book.order(account.account_id, intent.client_order_id)
            if order is not None and order.status in WORKING:
                changed = replace(order, status=OrderStatus.CANCELED, updated_at=self._clock.now())
                self._keep(book, matching.keep(matching.Outcome(account), changed))

    def find(self, intent: OrderIntent) -> VenueOrder | None:
        """The order of `intent`, or None when there is none."""
        self._settle()
        with self._book() as book:
            order = book.order(self._open(book).account_id, intent.client_order_id)
        return None if order is None else _order(order)

    def open_orders(self) -> Sequence[VenueOrder]:
        """All working orders."""
        return [_order(order) for order in self._settle().orders]

    def fills(self, symbol: str, since: datetime) -> Sequence[VenueFill]:
        """All fills of `symbol` since `since`, oldest first, complete."""
        asset = self._settle().asset
        with self._book() as book:
            return [_fill(item, asset) for item in book.fills(self._account.id, symbol, since)]

    def positions(self) -> Sequence[VenuePosition]:
        """All holdings that are not flat."""
        account = self._settle()
        marks = self._marks_of(account)
        return [
            VenuePosition(item.instrument, item.quantity, item.entry_price, marks[item.instrument], None)
            for item in account.positions
        ]

    def balance(self) -> VenueBalance:
        """The account's balance."""
        account = self._settle()
        marks = self._marks_of(account)
        return VenueBalance(
            asset=account.asset,
            wallet=account.wallet,
            equity=account.wallet + matching.unrealised(account, marks),
            available=matching.available(account, marks),
        )

    def fundings(self, since: datetime) -> Sequence[VenueFunding]:
        """All funding payments since `since`, oldest first."""
        asset = self._settle().asset
        with self._book() as book:
            return [
                VenueFunding(str(item.number), item.instrument, item.amount, asset, item.occurred_at)
                for item in book.fundings(self._account.id, since)
            ]

    def statement(self, since: datetime) -> Sequence[Movement]:
        """All funding payments since `since`, oldest first: nothing else moves this wallet but what is traded."""
        return [
            Movement(
                EntryKind.FUNDING, item.income_id, item.instrument, item.amount, item.asset, item.occurred_at, "funding"
            )
            for item in self.fundings(since)
        ]

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the leverage of what is held in `symbol`; new orders bring their own. Idempotent."""
        instrument = self._market.instrument(symbol)
        if not 1 <= leverage <= instrument.max_leverage:
            raise Refused(
                matching.Refusal.LEVERAGE, f"leverage {leverage} is not between 1 and {instrument.max_leverage}"
            )
        with self._book() as book:
            account = self._open(book)
            positions = tuple(
                replace(item, leverage=leverage) if item.instrument == symbol else item for item in account.positions
            )
            book.save(replace(account, positions=positions))

    # --- The account --------------------------------------------------------------------------------------------

    @contextmanager
    def _book(self) -> Iterator[PaperBook]:
        """The book for anything but a placement: what may or may not have been kept is simply worked out again."""
        try:
            with self._books(self._account.tenant_id) as book:
                yield book
        except OutcomeUnknown as unknown:
            raise Transient(str(unknown)) from None

    def _open(self, book: PaperBook) -> PaperAccount:
        account = book.load(self._account.id)
        return account or book.open(self._account.id, self._asset(), self._opening_wallet)

    def _asset(self) -> str:
        settles = sorted({item.settle for item in self._market.instruments().values()})
        return next((asset for asset in ("USDT", "USDC", "USD") if asset in settles), settles[0] if settles else "USDT")

    def _settle(self) -> PaperAccount:
        """The account with everything booked that the market has done to it, up to half a second ago.

        A monitor asks for every order and every holding in a row: only the first question looks at the markets. Order
        books are asked for where something fills, and only then.
        """
        with self._book() as book:
            account = self._open(book)
        if self._clock.monotonic() - self._settled_at <= FRESH_S:
            return account
        since: dict[str, datetime] = {}
        for order in account.orders:
            looked_at = order.updated_at or order.created_at
            since[order.instrument] = min(since.get(order.instrument, looked_at), looked_at)
        concerned = since.keys() | {item.instrument for item in account.positions}
        if not concerned:
            return account
        ended = {symbol: self._last_price(account, symbol) for symbol in concerned if not self._market.lists(symbol)}
        seen = self._market.glance(concerned - ended.keys(), since)
        books: dict[str, OrderBook] = {}
        while True:
            with self._book() as book:
                account = self._open(book)
                now = self._clock.now()
                for symbol, price in sorted(ended.items()):
                    settled = matching.settle(account, symbol, price, now)
                    self._keep(book, settled)
                    account = settled.account
                views = [replace(item, book=books.get(item.instrument.symbol)) for item in seen]
                outcome = matching.advance(account, views, now)
                lacking = {item.instrument for item in outcome.fills} - books.keys()
                if not lacking:
                    if not outcome.is_empty or outcome.account != account:
                        self._keep(book, outcome)
                    break
            books |= {symbol: self._market.book(symbol) for symbol in sorted(lacking)}
        self._settled_at = self._clock.monotonic()
        return outcome.account

    @staticmethod
    def _keep(book: PaperBook, outcome: matching.Outcome) -> None:
        book.save(outcome.account, orders=outcome.orders, fills=outcome.fills, fundings=outcome.fundings)

    def _marks_of(self, account: PaperAccount) -> dict[str, Decimal]:
        held = {item.instrument for item in account.positions}
        return {item.instrument.symbol: item.mark for item in self._market.glance(held)}

    def _last_price(self, account: PaperAccount, symbol: str) -> Decimal:
        """What a listing that has ended was last worth: as we saw it, else what was paid for what is held."""
        seen = self._market.last_mark(symbol)
        if seen is not None:
            return seen
        held = next((item for item in account.positions if item.instrument == symbol), None)
        return held.entry_price if held is not None else ZERO


def _order(order: PaperOrder) -> VenueOrder:
    return VenueOrder(
        client_order_id=order.client_order_id,
        venue_order_id=str(order.number),
        instrument=order.instrument,
        side=order.side,
        status=order.status,
        quantity=order.quantity,
        filled_quantity=order.filled_quantity,
        average_price=order.average_price,
        is_conditional=order.type is OrderType.STOP_MARKET,
        occurred_at=order.updated_at or order.created_at,
    )


def _fill(item: PaperFill, asset: str) -> VenueFill:
    return VenueFill(
        trade_id=str(item.number),
        venue_order_id=str(item.order_number),
        client_order_id=item.client_order_id,
        instrument=item.instrument,
        side=item.side,
        quantity=item.quantity,
        price=item.price,
        fee=item.fee,
        fee_asset=asset,
        is_maker=item.is_maker,
        occurred_at=item.occurred_at,
        forced_by=_forced_by(item.client_order_id),
    )


_FORCED = {matching.SETTLEMENT: CloseReason.DELISTED, matching.LIQUIDATION: CloseReason.LIQUIDATION}


def _forced_by(client_order_id: str) -> CloseReason | None:
    return next((why for prefix, why in _FORCED.items() if client_order_id.startswith(prefix)), None)
