"""The venue port: orders, fills, positions and balances of one account, and the market they happen in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from common.domain.market import Candle, Instrument, MarketState, MarkPrice, OrderBook, Timeframe
from common.domain.order import OrderIntent, OrderSide, OrderStatus
from common.domain.position import CloseReason
from common.domain.postings import Movement


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of one account, in the clear; they live in the execution and position workers' memory only."""

    key: str
    secret: str
    extra: Mapping[str, str]

    def __repr__(self) -> str:
        return "Credentials(…)"


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue tells it; quantities in base units."""

    client_order_id: str
    venue_order_id: str
    instrument: str
    side: OrderSide
    status: OrderStatus
    quantity: Decimal
    filled_quantity: Decimal
    average_price: Decimal
    is_conditional: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class VenueFill:
    """An execution as the venue tells it; `fee` is what was paid in `fee_asset`.

    `forced_by` says that the venue closed by itself and why: liquidation, deleveraging, delisting.
    """

    trade_id: str
    venue_order_id: str
    client_order_id: str | None
    instrument: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    occurred_at: datetime
    forced_by: CloseReason | None = None


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """A holding as the venue tells it; `quantity` is signed, negative for short."""

    instrument: str
    quantity: Decimal
    entry_price: Decimal
    mark: Decimal
    liquidation_price: Decimal | None


@dataclass(frozen=True, slots=True)
class VenueBalance:
    """The account in its settle asset: `wallet` without and `equity` with unrealised profit, `available` for margin."""

    asset: str
    wallet: Decimal
    equity: Decimal
    available: Decimal


@dataclass(frozen=True, slots=True)
class VenueFunding:
    """A funding payment as the venue tells it; negative when paid."""

    income_id: str
    instrument: str
    amount: Decimal
    asset: str
    occurred_at: datetime


class MarketData(Protocol):
    """The public side of a venue; every call may raise Transient, or Permanent for what does not exist."""

    @property
    def name(self) -> str:
        """The venue's name in our books."""
        ...

    def instruments(self) -> Sequence[Instrument]:
        """Every instrument, with grid and filters as of now."""
        ...

    def candles(self, symbol: str, timeframe: Timeframe, since: datetime, limit: int) -> Sequence[Candle]:
        """Closed candles from `since` on, oldest first, at most `limit`; the forming one is left out.

        Fewer than `limit` are all there are within `limit` candles' time of `since`.
        """
        ...

    def book(self, symbol: str, depth: int) -> OrderBook:
        """The order book, `depth` levels a side."""
        ...

    def market(self, instrument: Instrument) -> MarketState:
        """Book, last, mark and funding of `instrument` right now."""
        ...

    def mark(self, symbol: str) -> Decimal | None:
        """The mark price of `symbol` (the last price where the venue has no marks), the cheapest question there is."""
        ...

    def marks(self, symbols: Sequence[str]) -> Mapping[str, MarkPrice]:
        """Marks and coming funding of `symbols` in one question; those it does not tell that way are left out."""
        ...


class Venue(Protocol):
    """One account's private side of a venue.

    Reads raise Transient (ask again) or Permanent. `place` raises Refused for a definite refusal and OutcomeUnknown
    for everything else that is not an acknowledgement. No call is ever retried inside the adapter.
    """

    @property
    def validity(self) -> timedelta:
        """How long after its timestamp the venue may still accept a placement, in venue time."""
        ...

    @property
    def visibility(self) -> timedelta:
        """How long after that the venue may still not show an order it holds, in venue time."""
        ...

    def place(self, intent: OrderIntent, submitted_at: datetime) -> VenueOrder:
        """Send `intent` once, stamped `submitted_at` so that it is void `validity` later; Refused or OutcomeUnknown."""
        ...

    def cancel(self, intent: OrderIntent) -> None:
        """Ask for the order's cancellation; its end is learnt by asking. Unknown or finished orders are no error."""
        ...

    def find(self, intent: OrderIntent) -> VenueOrder | None:
        """The order of `intent` by its client order id, or None when the venue does not show it now.

        For a triggered conditional order `venue_order_id` is the id of the order it became, which its fills carry.
        """
        ...

    def open_orders(self) -> Sequence[VenueOrder]:
        """All working orders of the account, conditional ones included, whoever placed them."""
        ...

    def fills(self, symbol: str, since: datetime) -> Sequence[VenueFill]:
        """All fills of `symbol` since `since`, oldest first, complete."""
        ...

    def positions(self) -> Sequence[VenuePosition]:
        """All holdings that are not flat."""
        ...

    def balance(self) -> VenueBalance:
        """The account's balance in its settle asset."""
        ...

    def fundings(self, since: datetime) -> Sequence[VenueFunding]:
        """All funding payments since `since`, oldest first."""
        ...

    def statement(self, since: datetime) -> Sequence[Movement]:
        """Every movement of the wallet since `since` of the kinds the venue tells of, oldest first, complete.

        Fundings bear the ids that `fundings` gives them, fees and profits the ids of their trades. Empty where the venue
        keeps no such list.
        """
        ...

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the leverage of `symbol`; idempotent."""
        ...
