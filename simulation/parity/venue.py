"""A venue that replays candles and fills as the backtest assumes: at the next open, at the stop, at the target."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from common.domain.backtest import Assumptions, BacktestMarket
from common.domain.market import EPOCH, Candle, Instrument, MarketState, OrderBook, Timeframe
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderType
from common.domain.signal import Side
from common.domain.strategies.base import exact
from common.ports.venue import VenueBalance, VenueFill
from simulation.clock import VirtualClock
from simulation.venue import (
    ZERO,
    AccountDoor,
    Booked,
    Character,
    FaultDraw,
    Resting,
    Uniqueness,
    VirtualAccount,
    VirtualVenue,
)

_MS = timedelta(milliseconds=1)


class CandleDoor(AccountDoor):
    """The one account's private side, whose balance counts as a futures venue's does."""

    def __init__(self, venue: CandleVenue, account_id: UUID, equity: Decimal, clock: VirtualClock) -> None:
        super().__init__(venue, account_id, FaultDraw(), clock)
        self._candles = venue
        venue.account(account_id).cash = equity

    def balance(self) -> VenueBalance:
        """Equity, what of it is booked, and what is free: margin is counted at the entry price, unlevered."""
        venue = self._candles
        held = {symbol: quantity for symbol, quantity in venue.account(self.account_id).held.items() if quantity}
        # What was entered at this very moment has neither won nor lost.
        marks = {s: venue.entries[s] if venue.entered_at[s] == self._clock.now() else venue.prices[s] for s in held}
        equity = venue.account(self.account_id).cash + sum((marks[s] * q for s, q in held.items()), ZERO)
        unrealised = sum(((marks[s] - venue.entries[s]) * q for s, q in held.items()), ZERO)
        margin = sum((abs(q) * venue.entries[s] / venue.leverage.get(s, 1) for s, q in held.items()), ZERO)
        return VenueBalance("USDT", equity - unrealised, equity, equity - margin)


class CandleVenue(VirtualVenue):
    """Every instrument of `markets` at the bar that the driver has reached; it knows no more than has happened."""

    def __init__(self, clock: VirtualClock, markets: Sequence[BacktestMarket], assumptions: Assumptions) -> None:
        name = markets[0].instrument.venue
        listed = [market.instrument for market in markets]
        calm = Character(Uniqueness.FOREVER, validity=timedelta(minutes=10), horizon=timedelta(0))
        super().__init__(name, clock, random.Random(0), listed, calm, seed=0)
        self.markets = {market.instrument.symbol: market for market in markets}
        self.assumptions = assumptions
        self.bar: dict[str, int] = {}
        self.prices: dict[str, Decimal] = {}
        self.references: dict[str, Decimal] = {}
        self.entries: dict[str, Decimal] = {}
        self.leverage: dict[str, int] = {}
        self.entered_at: dict[str, datetime] = {}

    def close_bar(self, symbol: str, bar: int) -> None:
        """`bar` has closed: the price is its close, and orders fill at the open that follows at once."""
        columns = self.markets[symbol].columns
        self.bar[symbol] = bar
        self.prices[symbol] = exact(columns.close[bar])
        self.references[symbol] = exact(columns.open[bar + 1])

    def move(self, symbol: str, price: Decimal) -> None:
        """Within the bar after the closed one the price has come to `price`, and orders fill there."""
        self.prices[symbol] = self.references[symbol] = price

    def price(self, symbol: str, at: datetime | None = None) -> Decimal:
        """The price now."""
        return self.prices[symbol]

    def candles(self, symbol: str, timeframe: Timeframe, since: datetime, limit: int) -> Sequence[Candle]:
        """Closed candles from `since` on."""
        columns, duration = self.markets[symbol].columns, timeframe.duration
        first = int(columns.opened_at.searchsorted((since - EPOCH) // _MS))
        found = []
        for place in range(first, min(first + limit, self.bar[symbol] + 1)):
            opened = self.markets[symbol].opened_at(place)
            prices = (exact(getattr(columns, name)[place]) for name in ("open", "high", "low", "close", "volume"))
            found.append(Candle(opened, opened + duration, *prices))
        return found

    def book(self, symbol: str, depth: int) -> OrderBook:
        """The book that the backtest assumes at the close."""
        return self.markets[symbol].book(self.bar[symbol], self.assumptions)

    def market(self, instrument: Instrument) -> MarketState:
        """Book, last and mark right now."""
        price = self.prices[instrument.symbol]
        return MarketState(instrument, self.book(instrument.symbol, 5), price, price, self._clock.now())

    def _execute(self, account: VirtualAccount, order: Resting, quantity: Decimal) -> None:
        # Conditional orders fill at their trigger, or where the bar opened beyond it.
        intent = order.intent
        if intent.type is OrderType.STOP_MARKET and intent.trigger_price is not None:
            market, following = self.markets[intent.instrument], self.bar[intent.instrument] + 1
            opening = exact(market.columns.open[following])
            worse = min if intent.side is OrderSide.SELL else max
            self.references[intent.instrument] = worse(intent.trigger_price, opening)
        super()._execute(account, order, quantity)

    def _book(self, account: VirtualAccount, order: Resting, quantity: Decimal) -> None:
        intent, market = order.intent, self.markets[order.intent.instrument]
        opens = intent.role is OrderRole.ENTRY
        side = Side.LONG if (intent.side is OrderSide.BUY) is opens else Side.SHORT
        reference = self.references[intent.instrument]
        price = market.fill_price(self.bar[intent.instrument] + 1, reference, side, opens, self.assumptions)
        fee = quantity * price * market.instrument.taker_fee
        fill = VenueFill(
            trade_id=self._next("t"),
            venue_order_id=order.venue_order_id,
            client_order_id=intent.client_order_id,
            instrument=intent.instrument,
            side=intent.side,
            quantity=quantity,
            price=price,
            fee=fee,
            fee_asset=market.instrument.settle,
            is_maker=False,
            occurred_at=self._clock.now(),
        )
        account.fills.append(Booked(fill, intent.client_order_id, self._clock.now()))
        if opens:
            self.entries[intent.instrument], self.leverage[intent.instrument] = price, intent.leverage
            self.entered_at[intent.instrument] = self._clock.now()
        order.filled += quantity
        order.cost += quantity * price
        account.held[intent.instrument] = account.held.get(intent.instrument, Decimal(0)) + quantity * intent.side.sign
        account.cash -= quantity * price * intent.side.sign + fee

    def is_met(self, intent: OrderIntent) -> bool:
        """Whether the bar after the closed one meets the trigger of `intent`."""
        columns, following = self.markets[intent.instrument].columns, self.bar[intent.instrument] + 1
        if intent.trigger_price is None:
            return False
        if intent.side is OrderSide.SELL:
            return exact(columns.low[following]) <= intent.trigger_price
        return exact(columns.high[following]) >= intent.trigger_price
