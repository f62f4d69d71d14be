"""The real client against a venue that misbehaves: every doubt is an unknown outcome, and asking settles it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from common.adapters.ccxt_venue import CcxtMarketData, CcxtVenue, Connection, capability
from common.adapters.clock import FollowedClock
from common.domain.errors import OutcomeUnknown, Permanent, Refused, Transient
from common.domain.order import OrderIntent, OrderStatus
from common.ports.venue import Credentials
from tests.adapters.test_venue_contract import SYMBOL, House, eventually
from tests.simulator_process import SimulatorProcess, start

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorProcess]:
    process = start(speed=3600, symbols="BTCUSDT")
    yield process
    process.stop()


@pytest.fixture
def house(world: SimulatorProcess) -> Iterator[House]:
    key, clock = f"faults{next(_numbers)}x{uuid4().hex}", FollowedClock(world.url)
    world.open_account(key, "secret-of-this-account")
    link = Connection(capability("binanceusdm"), "simulator", world.url, 2.0, 1.0, is_paced=False)
    market_data = CcxtMarketData(link, clock)
    instrument = next(item for item in market_data.instruments() if item.symbol == SYMBOL)
    venue = CcxtVenue(link, clock, Credentials(key, "secret-of-this-account", {}))
    venue.balance()
    yield House(venue, market_data, instrument, clock)
    world.heal()


def place(house: House, intent: OrderIntent) -> Any:
    return house.venue.place(intent, house.clock.now())


LOST_ANSWERS: dict[str, dict[str, Any]] = {
    "cut": {"site": "rest.after_accept", "kind": "reset"},
    "silence": {"site": "rest.after_accept", "kind": "hang"},
    "server error": {"site": "rest.after_accept", "kind": "http", "params": {"answer": "unknown"}},
    "gateway": {"site": "rest.after_accept", "kind": "http", "params": {"answer": "bad_gateway"}},
    "matching engine's timeout": {"site": "rest.after_accept", "kind": "http", "params": {"answer": "timeout"}},
    "garbled": {"site": "rest.reply", "kind": "garble"},
    "empty": {"site": "rest.reply", "kind": "empty"},
    "another order": {"site": "rest.reply", "kind": "other_order"},
}
NEVER_ARRIVED: dict[str, dict[str, Any]] = {
    "cut": {"site": "rest.before_accept", "kind": "reset"},
    "server error": {"site": "rest.before_accept", "kind": "http", "params": {"answer": "unavailable"}},
}


@pytest.mark.parametrize("fault", LOST_ANSWERS.values(), ids=LOST_ANSWERS.keys())
def test_an_order_whose_acknowledgement_was_lost_is_found_by_its_id_and_filled_once(
    world: SimulatorProcess, house: House, fault: dict[str, Any]
) -> None:
    intent = house.intent()
    world.fault(**fault, match={"method": "POST"})
    with pytest.raises(OutcomeUnknown):
        place(house, intent)
    world.heal()
    found = eventually(lambda: house.filled(intent))
    assert found.filled_quantity == intent.quantity
    assert house.held() == intent.quantity


@pytest.mark.parametrize("fault", NEVER_ARRIVED.values(), ids=NEVER_ARRIVED.keys())
def test_an_order_that_never_arrived_is_an_unknown_outcome_too_and_is_not_found(
    world: SimulatorProcess, house: House, fault: dict[str, Any]
) -> None:
    intent = house.intent()
    world.fault(**fault, match={"method": "POST"})
    with pytest.raises(OutcomeUnknown):
        place(house, intent)
    world.heal()
    assert house.venue.find(intent) is None
    assert list(house.venue.fills(SYMBOL, house.clock.now() - timedelta(days=1))) == []


def test_reads_of_a_venue_that_is_ill_are_transient_and_well_again_afterwards(
    world: SimulatorProcess, house: House
) -> None:
    world.fault("rest.before_accept", "http", params={"answer": "server_error"}, count=1)
    with pytest.raises(Transient):
        house.venue.balance()
    assert house.venue.balance().wallet == Decimal(10000)


def test_a_stamp_that_is_too_old_is_a_definite_refusal(house: House) -> None:
    stale = house.clock.now() - house.venue.validity - timedelta(minutes=5)
    with pytest.raises(Refused) as caught:
        house.venue.place(house.intent(), stale)
    assert caught.value.code == "-1021"


def test_wrong_keys_are_a_refusal_to_place_and_permanent_to_read(world: SimulatorProcess, house: House) -> None:
    link = Connection(capability("binanceusdm"), "simulator", world.url, is_paced=False)
    stranger = CcxtVenue(link, house.clock, Credentials("nobody-knows-this-key", "secret", {}))
    with pytest.raises(Refused):
        stranger.place(house.intent(), house.clock.now())
    with pytest.raises(Permanent):
        stranger.balance()


def test_many_threads_share_an_account_without_mixing_answers(house: House) -> None:
    intents = [house.resting(quantity=Decimal("0.010")) for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda intent: place(house, intent), intents))
        found = list(pool.map(house.venue.find, intents))
    assert [order.client_order_id for order in placed] == [intent.client_order_id for intent in intents]
    assert [order.client_order_id for order in found if order] == [intent.client_order_id for intent in intents]
    assert len(house.venue.open_orders()) == 24


def test_funding_is_read_as_the_venue_booked_it(world: SimulatorProcess, house: House) -> None:
    intent = house.intent()
    place(house, intent)
    since = house.clock.now() - timedelta(days=1)
    paid = eventually(lambda: house.venue.fundings(since), 30)
    assert {item.instrument for item in paid} == {SYMBOL}
    assert all(item.asset == "USDT" and item.amount for item in paid)
    (order,) = [order for order in [house.venue.find(intent)] if order]
    assert order.status is OrderStatus.FILLED


def test_the_clocks_agree(house: House) -> None:
    venue = house.venue
    assert isinstance(venue, CcxtVenue)
    assert abs(venue.clock_offset()) < venue._stretched(timedelta(seconds=1))
