"""What visits cost of a venue's rate limit, by the practice venue's own counting: it weighs requests as Binance does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from common.adapters.ccxt_venue import CcxtMarketData, CcxtVenue, Connection, capability
from common.adapters.clock import FollowedClock
from common.domain.risk.book import Environment
from common.domain.signal import Side
from common.domain.tenant import Account
from common.ports.venue import Credentials, Venue
from common.services.fleet import Fleet
from common.services.monitor_account import visit_account
from common.services.tenants import create_tenant, open_account, refresh_instruments
from tests.services.test_simulator_books import VENUE, Books
from tests.services.venue import StepClock
from tests.services.world import World
from tests.simulator_process import SimulatorProcess, start

SIZES = {"BTC/USDT:USDT": "0.01", "ETH/USDT:USDT": "0.2", "SOL/USDT:USDT": "3"}
CAP = 2400
VISITS_PER_MINUTE = 30
LOOKS, MARKS = 82, 90
"""Of an account with three positions in a minute: four looks and one question for funding; its three marks every two seconds."""


class Counting:
    """Implements adapters.ccxt_venue.Pace: nobody waits, and the venue's count of what was used is added up."""

    held_s = 0.0

    def __init__(self) -> None:
        self.used = self._last = 0.0

    def admit(self, weight: float, seconds: float, *, is_order: bool) -> None:
        """Nobody waits."""

    def learn(self, used: float) -> None:
        """The venue's count of its minute, which may have begun anew."""
        self.used += used - self._last if used >= self._last else used
        self._last = used

    def hold(self, seconds: float) -> None:
        """Never: there is room for everybody here."""


@pytest.fixture
def practice() -> Iterator[SimulatorProcess]:
    process = start(speed=1, symbols="BTCUSDT,ETHUSDT,SOLUSDT")
    yield process
    process.stop()


def settle(world: World, practice: SimulatorProcess, count: int, counting: Counting) -> list[Books]:
    """`count` tenants with an account and three positions each, whose stops rest at the venue."""
    clock = FollowedClock(practice.url)
    link = Connection(capability("binanceusdm"), VENUE, practice.url, is_paced=False)
    doors: dict[Any, Venue] = {}

    def open_venue(account: Account, credentials: Credentials | None) -> Venue:
        keys = Credentials(f"key-of-{account.tenant_id}", "secret", {})
        return doors.setdefault(account.id, CcxtVenue(link, clock, keys, counting))

    market = CcxtMarketData(link, clock, counting)
    fleet = replace(world.fleet, clock=clock, market_data={VENUE: market}, open_venue=open_venue)
    refresh_instruments(fleet, VENUE)
    houses = []
    for number in range(count):
        tenant = create_tenant(fleet, f"thrifty-{number}")
        practice.open_account(f"key-of-{tenant.id}", "secret")
        account = open_account(
            fleet, tenant.id, name="main", venue=VENUE, environment=Environment.PAPER, profile="standard"
        )
        books = Books(fleet, practice, tenant, account, world.bus, count=100 * number)
        for symbol, size in SIZES.items():
            books.enter(world, symbol, Side.LONG, size)
        books.work()
        houses.append(books)
    return houses


def minute_of(fleet: Fleet, clock: StepClock, houses: list[Books], counting: Counting) -> float:
    """The weight of a minute's visits of `houses`, all of which were looked at when it begins."""
    for _ in range(VISITS_PER_MINUTE):
        for books in houses:
            visit_account(fleet, books.tenant.id, books.account.id)
        if clock.monotonic() == 0:
            counting.used = 0.0
        clock.advance(60 / VISITS_PER_MINUTE)
    return counting.used


def test_ten_accounts_with_three_positions_each_are_visited_for_half_of_what_the_venue_grants(
    world: World, practice: SimulatorProcess
) -> None:
    counting = Counting()
    houses = settle(world, practice, 2, counting)
    for books in houses:
        assert len(positions(books)) == len(SIZES)
    used = []
    for count in (1, 2):
        # The fleet's clock is led, so that a minute takes no minute; the venue's own goes on by itself.
        now = houses[0].fleet.clock.now()
        clock = StepClock(now.replace(second=30, microsecond=0) + timedelta(minutes=5 * count))
        used.append(minute_of(replace(houses[0].fleet, clock=clock), clock, houses[:count], counting))
    one, both = used
    assert MARKS < one <= LOOKS + MARKS
    # Who holds the same markets shares their marks, so that the second account costs its looks alone.
    assert both - one <= LOOKS
    assert CAP / 2 >= 10 * LOOKS + MARKS


def positions(books: Books) -> list[Any]:
    with books.fleet.store.unit_of_work(books.tenant.id) as uow:
        return uow.positions.open(books.account.id)
