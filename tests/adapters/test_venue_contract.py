"""What every venue must do, run on paper and on the practice venue through ccxt."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from common.adapters.ccxt_venue import CcxtMarketData, CcxtVenue, Connection, capability
from common.adapters.clock import FollowedClock
from common.adapters.paper import PaperVenue
from common.adapters.paper_market import PaperMarket
from common.domain.errors import NotFound, OutcomeUnknown, Refused
from common.domain.market import Instrument
from common.domain.money import floor_to
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderStatus, OrderType
from common.domain.postings import EntryKind
from common.domain.risk.book import Environment
from common.domain.tenant import Account
from common.ports.venue import Credentials, Venue, VenueOrder
from tests.adapters.paper_books import MemoryBooks
from tests.simulator_process import SimulatorProcess, start

SYMBOL = "BTC/USDT:USDT"
SPEED = 600
Found = TypeVar("Found")
_numbers = itertools.count(1)


def eventually(question: Callable[[], Found | None], seconds: float = 30) -> Found:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"no answer within {seconds} s")


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorProcess]:
    process = start(speed=SPEED, symbols="BTCUSDT")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def market_data(world: SimulatorProcess) -> CcxtMarketData:
    clock = FollowedClock(world.url)
    return CcxtMarketData(Connection(capability("binanceusdm"), "simulator", world.url, is_paced=False), clock)


@dataclass(slots=True)
class House:
    """An account at a venue, its market, and a short way to write intents."""

    venue: Venue
    market_data: CcxtMarketData
    instrument: Instrument
    clock: FollowedClock
    account_id: UUID = field(default_factory=uuid4)

    @property
    def mark(self) -> Decimal:
        found = self.market_data.market(self.instrument).mark
        assert found is not None
        return found

    def near(self, ratio: str) -> Decimal:
        """A price on the grid, `ratio` times the mark."""
        return floor_to(self.mark * Decimal(ratio), self.instrument.tick_size)

    def intent(self, **changes: Any) -> OrderIntent:
        number = next(_numbers)
        fields: dict[str, Any] = {
            "order_id": uuid4(), "tenant_id": UUID(int=2), "account_id": self.account_id, "venue": "simulator",
            "instrument": SYMBOL, "role": OrderRole.ENTRY, "side": OrderSide.BUY, "type": OrderType.MARKET,
            "quantity": Decimal("0.020"), "price": self.near("1"), "trigger_price": None,
            "client_order_id": f"twe{number:012d}{uuid4().hex[:12]}", "signal_id": None, "position_id": uuid4(),
            "leverage": 5, "halt_epoch": 0, "expires_at": self.clock.now() + timedelta(minutes=5),
        }  # fmt: skip
        return OrderIntent(**(fields | changes))

    def resting(self, **changes: Any) -> OrderIntent:
        return self.intent(type=OrderType.LIMIT, price=self.near("0.97"), **changes)

    def exit(self, **changes: Any) -> OrderIntent:
        return self.intent(role=OrderRole.EXIT, side=OrderSide.SELL, **changes)

    def stop(self, ratio: str, **changes: Any) -> OrderIntent:
        return self.intent(
            role=OrderRole.STOP,
            side=OrderSide.SELL,
            type=OrderType.STOP_MARKET,
            trigger_price=self.near(ratio),
            **changes,
        )

    def place(self, intent: OrderIntent) -> VenueOrder:
        return self.venue.place(intent, self.clock.now())

    def enter(self) -> OrderIntent:
        """A filled entry."""
        intent = self.intent()
        self.place(intent)
        eventually(self.venue.positions)
        return intent

    def filled(self, intent: OrderIntent) -> VenueOrder | None:
        """The order of `intent` once it is filled."""
        found = self.venue.find(intent)
        return found if found is not None and found.status is OrderStatus.FILLED else None

    def held(self) -> Decimal:
        return sum((item.quantity for item in self.venue.positions() if item.instrument == SYMBOL), Decimal(0))


def on_paper(world: SimulatorProcess, market_data: CcxtMarketData, clock: FollowedClock, account_id: UUID) -> Venue:
    account = Account(account_id, UUID(int=2), "main", "simulator", Environment.PAPER, "standard")
    return PaperVenue(account, PaperMarket(market_data, clock), MemoryBooks(), clock)


def through_ccxt(world: SimulatorProcess, market_data: CcxtMarketData, clock: FollowedClock, account_id: UUID) -> Venue:
    key = account_id.hex
    world.open_account(key, "secret-of-this-account")
    link = Connection(capability("binanceusdm"), "simulator", world.url, is_paced=False)
    return CcxtVenue(link, clock, Credentials(key, "secret-of-this-account", {}))


@pytest.fixture(params=[on_paper, through_ccxt])
def house(request: pytest.FixtureRequest, world: SimulatorProcess, market_data: CcxtMarketData) -> House:
    clock, account_id = FollowedClock(world.url), uuid4()
    venue = request.param(world, market_data, clock, account_id)
    instrument = next(item for item in market_data.instruments() if item.symbol == SYMBOL)
    made = House(venue, market_data, instrument, clock, account_id)
    venue.set_leverage(SYMBOL, 5)
    return made


def epoch(house: House) -> datetime:
    return house.clock.now() - timedelta(days=2)


def test_a_market_entry_fills_and_everything_agrees_about_it(house: House) -> None:
    intent = house.intent()
    acknowledged = house.place(intent)
    found = eventually(lambda: house.filled(intent))
    fills = house.venue.fills(SYMBOL, epoch(house))
    (position,) = house.venue.positions()
    assert acknowledged.client_order_id == found.client_order_id == intent.client_order_id
    assert acknowledged.venue_order_id == found.venue_order_id
    assert sum(fill.quantity for fill in fills) == found.filled_quantity == position.quantity == intent.quantity
    assert {fill.client_order_id for fill in fills} == {intent.client_order_id}
    assert {fill.venue_order_id for fill in fills} == {found.venue_order_id}
    cost = sum(fill.quantity * fill.price for fill in fills)
    assert abs(found.average_price - cost / intent.quantity) <= house.instrument.tick_size
    assert all(fill.fee > 0 and fill.fee_asset == "USDT" and not fill.is_maker for fill in fills)


def test_fees_leave_the_wallet_and_margin_leaves_what_is_available(house: House) -> None:
    before = house.venue.balance()
    house.enter()
    fees = sum(fill.fee for fill in house.venue.fills(SYMBOL, epoch(house)))
    after = house.venue.balance()
    assert (before.asset, before.wallet, before.available) == ("USDT", Decimal(10000), Decimal(10000))
    assert after.wallet == before.wallet - fees
    assert after.available < before.available - fees


def test_a_resting_order_is_listed_found_and_cancelled_once_and_again(house: House) -> None:
    intent = house.resting()
    placed = house.place(intent)
    assert placed.status is OrderStatus.ACCEPTED
    (listed,) = house.venue.open_orders()
    assert (listed.client_order_id, listed.is_conditional, listed.quantity) == (
        intent.client_order_id, False, intent.quantity,
    )  # fmt: skip
    house.venue.cancel(intent)
    found = house.venue.find(intent)
    assert found is not None
    assert found.status is OrderStatus.CANCELED
    assert list(house.venue.open_orders()) == []
    house.venue.cancel(intent)


def test_an_order_that_never_was_is_not_found_and_its_cancellation_is_no_error(house: House) -> None:
    for intent in (house.resting(), house.stop("0.9")):
        assert house.venue.find(intent) is None
        house.venue.cancel(intent)


def test_the_same_id_while_it_works_is_an_unknown_outcome_and_no_second_order(house: House) -> None:
    intent = house.resting()
    house.place(intent)
    with pytest.raises(OutcomeUnknown):
        house.place(intent)
    assert len(house.venue.open_orders()) == 1


def test_nothing_to_reduce_is_a_refusal(house: House) -> None:
    with pytest.raises(Refused):
        house.place(house.exit())
    assert house.held() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal("0.0005")},
        {"quantity": Decimal("0.02005")},
        {"quantity": Decimal("0.001"), "price": Decimal(1)},
        {"quantity": Decimal(90)},
    ],
    ids=["below the smallest", "off the grid", "below the smallest notional", "beyond the margin"],
)
def test_what_filters_or_margin_do_not_allow_is_refused(house: House, changes: dict[str, Any]) -> None:
    small = {"type": OrderType.LIMIT, "price": house.near("0.97")} if "price" in changes else {}
    intent = house.intent(**(changes | small))
    with pytest.raises(Refused):
        house.place(intent)
    assert house.venue.find(intent) is None
    assert house.held() == 0


def test_an_exit_never_turns_a_position_round(house: House) -> None:
    house.enter()
    house.place(house.exit(quantity=Decimal("0.050")))
    eventually(lambda: house.held() == 0)
    assert sum(f.quantity * f.side.sign for f in house.venue.fills(SYMBOL, epoch(house))) == 0


def test_a_short_is_a_negative_position_that_a_buy_closes(house: House) -> None:
    house.place(house.intent(side=OrderSide.SELL))
    eventually(lambda: house.held() == Decimal("-0.020"))
    house.place(house.intent(role=OrderRole.EXIT, side=OrderSide.BUY))
    eventually(lambda: house.held() == 0)


def test_a_protective_stop_rests_is_listed_as_conditional_and_can_be_cancelled(house: House) -> None:
    house.enter()
    stop = house.stop("0.9")
    placed = house.place(stop)
    assert (placed.status, placed.is_conditional) == (OrderStatus.ACCEPTED, True)
    (listed,) = [order for order in house.venue.open_orders() if order.is_conditional]
    assert (listed.client_order_id, listed.status) == (stop.client_order_id, OrderStatus.ACCEPTED)
    house.venue.cancel(stop)
    found = house.venue.find(stop)
    assert found is not None
    assert found.status is OrderStatus.CANCELED
    assert found.filled_quantity == 0


def test_a_stop_on_the_wrong_side_of_the_mark_is_refused(house: House) -> None:
    house.enter()
    with pytest.raises(Refused):
        house.place(house.stop("1.02"))


def test_a_touched_stop_closes_the_position_under_our_own_id(house: House) -> None:
    def touched() -> OrderIntent | None:
        stop = house.stop("0.9999")
        try:
            house.place(stop)
        except Refused:
            return None  # The market went through it before it arrived.
        return stop

    house.enter()
    stop = eventually(touched)
    found = eventually(lambda: house.filled(stop), 60)
    closing = [f for f in house.venue.fills(SYMBOL, epoch(house)) if f.client_order_id == stop.client_order_id]
    assert house.held() == 0
    assert found.filled_quantity == stop.quantity == sum(fill.quantity for fill in closing)
    assert {fill.venue_order_id for fill in closing} == {found.venue_order_id}
    assert [order for order in house.venue.open_orders() if order.is_conditional] == []


def test_the_mark_by_itself_is_the_mark_of_the_whole_market(market_data: CcxtMarketData) -> None:
    (bitcoin,) = [item for item in market_data.instruments() if item.symbol == SYMBOL]
    whole, alone = market_data.market(bitcoin).mark, market_data.mark(SYMBOL)
    assert whole is not None
    assert alone is not None
    assert abs(alone - whole) < whole / 100
    with pytest.raises(NotFound, match="instrument"):
        market_data.mark("NOPE/USDT:USDT")


def test_a_marketable_limit_order_fills_no_worse_than_its_price(house: House) -> None:
    intent = house.intent(type=OrderType.LIMIT, price=house.near("1.01"))
    house.place(intent)
    found = eventually(lambda: house.filled(intent))
    assert found.average_price <= intent.price


def test_leverage_can_be_set_twice_and_not_beyond_what_the_venue_grants(house: House) -> None:
    house.venue.set_leverage(SYMBOL, 3)
    house.venue.set_leverage(SYMBOL, 3)
    with pytest.raises(Refused):
        house.venue.set_leverage(SYMBOL, 1000)


def test_fills_are_asked_for_from_an_instant_on(house: House) -> None:
    house.enter()
    assert house.venue.fills(SYMBOL, epoch(house))
    assert list(house.venue.fills(SYMBOL, house.clock.now() + timedelta(hours=1))) == []


def test_a_new_account_has_no_orders_positions_fills_or_fundings(house: House) -> None:
    venue = house.venue
    assert [list(venue.open_orders()), list(venue.positions()), list(venue.fills(SYMBOL, epoch(house)))] == [[], [], []]
    assert list(venue.fundings(epoch(house))) == []


def test_the_statement_tells_what_fundings_tells_by_the_same_ids(house: House) -> None:
    house.enter()
    paid = eventually(lambda: house.venue.fundings(epoch(house)), 60)
    told = [line for line in house.venue.statement(epoch(house)) if line.kind is EntryKind.FUNDING]
    assert {item.income_id for item in paid} <= {line.reference for line in told}
    assert [line.amount for line in told][: len(paid)] == [item.amount for item in paid]


def test_a_wallet_is_its_opening_and_what_moved_it_since(house: House) -> None:
    opening = house.venue.balance().wallet
    began = house.clock.now()
    house.enter()
    fills = house.venue.fills(SYMBOL, began - timedelta(minutes=5))
    moved = sum((line.amount for line in house.venue.statement(began) if line.kind is EntryKind.FUNDING), Decimal(0))
    assert house.venue.balance().wallet == opening - sum(fill.fee for fill in fills) + moved


def test_window_and_horizon_are_known_and_stretched_by_the_rate(house: House) -> None:
    assert house.venue.validity >= timedelta(seconds=5 * SPEED)
    assert house.venue.visibility >= timedelta(seconds=SPEED)
