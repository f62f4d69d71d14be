"""The ledger against the practice venue's own statement: fees, funding, profit and wallet, each to the last digit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from common.adapters.ccxt_venue import CcxtMarketData, CcxtVenue, Connection, capability
from common.adapters.clock import FollowedClock
from common.domain.money import floor_to, round_to
from common.domain.order import Order, OrderIntent, OrderRole, OrderStatus, OrderType, client_order_id, side_of
from common.domain.position import CloseReason, Position, position_id
from common.domain.postings import Entry, EntryKind, FlowKind
from common.domain.risk.book import Environment
from common.domain.signal import ExitPlan, Side, signal_id
from common.domain.tenant import Account, Tenant
from common.ports.venue import Credentials
from common.services.account_book import book_of
from common.services.close_position import close_position
from common.services.evaluate_risk import request_placement
from common.services.fleet import Fleet, instrument_of
from common.services.invariants import compare_account
from common.services.monitor_account import monitor_account
from common.services.reconcile_cash import reconcile_cash
from common.services.relay_jobs import relay_jobs
from common.services.routines import ROUTINES
from common.services.stage import run
from common.services.tenants import create_tenant, open_account, refresh_instruments
from tests.services.world import World
from tests.simulator_process import SimulatorProcess, start

D = Decimal
VENUE = "simulator"
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
SPEED = 7200
"""Four seconds of life from funding to funding."""

KEY, SECRET = "key-of-the-books", "secret-of-the-books"
KINDS = {
    "REALIZED_PNL": EntryKind.REALISED,
    "COMMISSION": EntryKind.FEE,
    "FUNDING_FEE": EntryKind.FUNDING,
}


@pytest.fixture(scope="module")
def practice() -> Iterator[SimulatorProcess]:
    process = start(speed=SPEED, symbols="BTCUSDT,ETHUSDT")
    yield process
    process.stop()


def eventually(question: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"no answer within {seconds} s")


@dataclass(slots=True)
class Books:
    """A tenant whose one account trades at the practice venue through ccxt, by the fleet's own services."""

    fleet: Fleet
    venue: SimulatorProcess
    tenant: Tenant
    account: Account
    bus: Any
    count: int = 0

    def statement(self) -> dict[str, Any]:
        return self.venue.statement(KEY)

    def incomes(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.statement()["income"] if item["incomeType"] == kind]

    def work(self) -> None:
        """Visit the account and run whatever is due."""
        monitor_account(self.fleet, self.tenant.id, self.account.id)
        relay_jobs(self.fleet)
        while self.bus.inbox:
            run(self.fleet, ROUTINES, self.bus.inbox.pop(0))

    def enter(self, world: World, symbol: str, side: Side, quantity: str) -> Position:
        """Open a position as an approved entry would."""
        self.count += 1
        now = self.fleet.clock.now()
        with self.fleet.store.unit_of_work(self.tenant.id) as uow:
            instrument = instrument_of(uow, VENUE, symbol)
        mark = self.fleet.market(VENUE).market(instrument).mark
        assert mark is not None
        stop = floor_to(mark * (D("0.5") if side is Side.LONG else D("1.5")), instrument.tick_size)
        signal = replace(
            world.signal(symbol, side=side, price=round_to(mark, instrument.tick_size), venue=VENUE),
            id=signal_id(VENUE, symbol, "5m", f"hand-{self.count}", "1", now),
            exits=ExitPlan(stop=stop, target=None),
            expires_at=now + timedelta(days=9),
        )
        order_id = uuid4()
        intent = OrderIntent(
            order_id=order_id,
            tenant_id=self.tenant.id,
            account_id=self.account.id,
            venue=VENUE,
            instrument=symbol,
            role=OrderRole.ENTRY,
            side=side_of(side, OrderRole.ENTRY),
            type=OrderType.MARKET,
            quantity=D(quantity),
            price=signal.price,
            trigger_price=None,
            client_order_id=client_order_id("tw", order_id, OrderRole.ENTRY),
            signal_id=signal.id,
            position_id=position_id(order_id),
            leverage=5,
            halt_epoch=0,
            expires_at=signal.expires_at,
        )
        with self.fleet.store.unit_of_work(None) as uow:
            uow.signals.add(signal)
            uow.commit()
        with self.fleet.store.unit_of_work(self.tenant.id) as uow:
            order = Order(intent, OrderStatus.INTENDED, version=0, created_at=now)
            uow.orders.add(order)
            request_placement(uow, order, None, now)
            self.fleet.publish(uow.commit())
        return eventually(lambda: self.held(intent))

    def held(self, intent: OrderIntent) -> Position | None:
        """The position once its entry is filled whole."""
        self.work()
        with self.fleet.store.unit_of_work(self.tenant.id) as uow:
            position = uow.positions.get(intent.position_id)
        return position if position is not None and position.opened_quantity == intent.quantity else None

    def leave(self, position: Position) -> Position:
        """Close a position by hand."""
        with self.fleet.store.unit_of_work(self.tenant.id) as uow:
            current = uow.positions.get(position.id)
            assert current is not None
            close_position(self.fleet, uow, current, CloseReason.MANUAL, self.fleet.clock.now())
            self.fleet.publish(uow.commit())
        return eventually(lambda: self.left(position))

    def left(self, position: Position) -> Position | None:
        """The position once it is flat."""
        self.work()
        with self.fleet.store.unit_of_work(self.tenant.id) as uow:
            found = uow.positions.get(position.id)
        return found if found is not None and not found.is_open else None

    def compare(self) -> str:
        return reconcile_cash(self.fleet, self.tenant.id, self.account.id)

    def entries(self) -> list[Entry]:
        with self.fleet.store.unit_of_work(self.tenant.id) as uow:
            return book_of(uow, self.account)


@pytest.fixture
def desk(world: World, practice: SimulatorProcess) -> Books:
    practice.open_account(KEY, SECRET)
    clock = FollowedClock(practice.url)
    link = Connection(capability("binanceusdm"), VENUE, practice.url, is_paced=False)
    venue = CcxtVenue(link, clock, Credentials(KEY, SECRET, {}))
    fleet = replace(
        world.fleet,
        clock=clock,
        market_data={VENUE: CcxtMarketData(link, clock)},
        open_venue=lambda *_: venue,
    )
    refresh_instruments(fleet, VENUE)
    tenant = create_tenant(fleet, "bookish")
    account = open_account(
        fleet, tenant.id, name="main", venue=VENUE, environment=Environment.PAPER, profile="standard"
    )
    made = Books(fleet, practice, tenant, account, world.bus)
    made.work()
    return made


def total(incomes: list[dict[str, Any]]) -> Decimal:
    return sum((D(item["income"]) for item in incomes), D(0))


def test_fees_funding_profit_and_wallet_equal_the_venues_statement_to_the_last_digit(world: World, desk: Books) -> None:
    assert desk.compare() == "opened with 10000.00000000 USDT"
    first = desk.enter(world, BTC, Side.LONG, "0.013")
    short = desk.enter(world, ETH, Side.SHORT, "0.37")
    # A second position on the same instrument: the venue holds one at the average of both.
    second = desk.enter(world, BTC, Side.LONG, "0.017")
    eventually(lambda: len(desk.incomes("FUNDING_FEE")) >= 2)
    desk.venue.call("POST", f"/simulator/accounts/{KEY}/transfers", {"amount": "250.5"})
    desk.venue.call("POST", f"/simulator/accounts/{KEY}/transfers", {"amount": "-40.00000001"})
    desk.leave(first)
    eventually(lambda: desk.compare().startswith("equal"))
    closed = [desk.leave(short), desk.leave(second)]
    eventually(lambda: desk.compare().startswith("equal"))
    # What was bound to the venue's own numbers is bound to each of them.
    statement, entries = desk.statement(), desk.entries()
    for word, kind in KINDS.items():
        told = desk.incomes(word)
        assert told
        assert sum((entry.cash("USDT") for entry in entries if entry.kind is kind), D(0)) == total(told)
    with desk.fleet.store.unit_of_work(desk.tenant.id) as uow:
        fills, flows = uow.fills.of_account(desk.account.id), uow.cash_flows.of_account(desk.account.id)
        fundings = uow.fundings.of_account(desk.account.id)
    assert sum(fill.fee for fill in fills) == -total(desk.incomes("COMMISSION"))
    assert sum(item.amount for item in fundings) == total(desk.incomes("FUNDING_FEE"))
    assert [(flow.kind, flow.amount) for flow in flows[1:]] == [
        (FlowKind.TRANSFER, D("250.50000000")),
        (FlowKind.TRANSFER, D("-40.00000001")),
    ]
    profits = {entry.reference: entry.cash("USDT") for entry in entries if entry.kind is EntryKind.REALISED}
    assert {item["tradeId"]: D(item["income"]) for item in desk.incomes("REALIZED_PNL")} == {
        trade: profit for trade, profit in profits.items() if profit
    }
    assert sum((entry.cash("USDT") for entry in entries), D(0)) == D(statement["balances"][0]["wallet"])
    assert [entry for entry in entries if entry.imbalance] == []
    assert all(position.closed_at is not None for position in closed)
    assert compare_account(desk.fleet, desk.account) == []


def test_the_practice_venue_pays_out_no_more_than_is_there(practice: SimulatorProcess) -> None:
    practice.open_account("key-of-a-miser", "s", balance="100")
    path = "/simulator/accounts/key-of-a-miser/transfers"
    assert practice.call("POST", path, {"amount": "-60"})["wallet"] == "40.00000000"
    for wrong in ("-40.1", "1e99", "NaN", "ten", "0.000000001", None):
        assert practice.call("POST", path, {"amount": wrong})["code"] == -1130
    assert practice.call("POST", "/simulator/accounts/nobody/transfers", {"amount": "1"})["code"] == -2015
    told = practice.statement("key-of-a-miser")
    assert [item["income"] for item in told["income"]] == ["100", "-60"]
    assert told["balances"][0]["wallet"] == "40.00000000"
