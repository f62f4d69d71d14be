"""The virtual venue lies in the ways real venues do, and its candles tell of the very prices it trades at."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from common.domain.errors import OutcomeUnknown, Refused
from common.domain.market import Timeframe
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderStatus, OrderType
from simulation.clock import START, VirtualClock
from simulation.venue import AccountDoor, Character, FaultDraw, PlaceFault, Uniqueness, VirtualVenue
from simulation.world import SYMBOLS, instrument

ACCOUNT = UUID(int=7)
SYMBOL = SYMBOLS[0]


class Fate(FaultDraw):
    """Dice that fall as they are told."""

    def __init__(self, fault: PlaceFault | None = None) -> None:
        self.fault = fault

    def place(self) -> PlaceFault | None:
        return self.fault


def open_venue(
    uniqueness: Uniqueness = Uniqueness.NEVER, fault: PlaceFault | None = None
) -> tuple[VirtualVenue, AccountDoor]:
    """A venue and one account at it."""
    clock = VirtualClock()
    character = Character(uniqueness)
    venue = VirtualVenue("venue", clock, random.Random(1), [instrument("venue", SYMBOL)], character, seed=1)
    return venue, AccountDoor(venue, ACCOUNT, Fate(fault), clock)


def entry(role: OrderRole = OrderRole.ENTRY, **changes: object) -> OrderIntent:
    """A market order for one unit."""
    wanted: dict[str, object] = {
        "order_id": UUID(int=1),
        "tenant_id": UUID(int=2),
        "account_id": ACCOUNT,
        "venue": "venue",
        "instrument": SYMBOL,
        "role": role,
        "side": OrderSide.BUY,
        "type": OrderType.MARKET,
        "quantity": Decimal(1),
        "price": Decimal(100),
        "trigger_price": None,
        "client_order_id": "twe1",
        "signal_id": None,
        "position_id": UUID(int=3),
        "leverage": 1,
        "halt_epoch": 0,
        "expires_at": START + timedelta(days=1),
    }
    return OrderIntent(**(wanted | changes))


@pytest.mark.parametrize(
    ("uniqueness", "orders"), [(Uniqueness.FOREVER, 1), (Uniqueness.WHILE_OPEN, 2), (Uniqueness.NEVER, 2)]
)
def test_a_market_order_that_filled_may_be_placed_again_unless_ids_are_kept_for_ever(
    uniqueness: Uniqueness, orders: int
) -> None:
    venue, door = open_venue(uniqueness)
    door.place(entry(), START)
    with suppress(OutcomeUnknown):
        door.place(entry(), START)
    assert len(venue.account(ACCOUNT).orders) == orders


def test_an_error_after_acceptance_leaves_an_order_at_the_venue() -> None:
    venue, door = open_venue(fault=PlaceFault.ERROR_AFTER)
    with pytest.raises(OutcomeUnknown):
        door.place(entry(), START)
    assert venue.account(ACCOUNT).orders[0].status is OrderStatus.FILLED


def test_a_request_is_void_after_its_window() -> None:
    venue, door = open_venue()
    with pytest.raises(OutcomeUnknown, match="-1021"):
        door.place(entry(), START - venue.character.validity - timedelta(seconds=1))
    assert venue.account(ACCOUNT).orders == []


def test_what_only_reduces_is_refused_where_nothing_is_held() -> None:
    _, door = open_venue()
    with pytest.raises(Refused, match="-2022"):
        door.place(entry(OrderRole.EXIT, side=OrderSide.SELL), START)


def test_cash_is_what_fills_left_of_it() -> None:
    venue, door = open_venue()
    door.place(entry(), START)
    door.place(entry(OrderRole.EXIT, side=OrderSide.SELL, client_order_id="twx1"), START)
    fills = door.fills(SYMBOL, START)
    flow = sum(fill.quantity * fill.price * fill.side.sign + fill.fee for fill in fills)
    assert venue.account(ACCOUNT).cash == Decimal(100_000) - flow


def test_a_candle_spans_the_prices_that_were_traded_at() -> None:
    venue, _ = open_venue()
    prices = [venue.price(SYMBOL, START + timedelta(seconds=5 * n)) for n in range(12)]
    candle = venue.candle(SYMBOL, Timeframe.parse("1m"), START)
    assert (candle.open, candle.high, candle.low, candle.close) == (prices[0], max(prices), min(prices), prices[-1])
