"""The account stream against the practice venue: what it tells equals what REST tells, and every gap has its name."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.adapters.ccxt_venue import CcxtMarketData, CcxtVenue, Connection, capability
from common.adapters.ccxt_venue.account_stream import CcxtAccountStream, Ear
from common.adapters.clock import FollowedClock
from common.domain.money import floor_to
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderStatus, OrderType
from common.domain.position import CloseReason
from common.ports.account_stream import AccountNews, Gap, GapCause
from common.ports.venue import Credentials, VenueFill, VenueOrder
from tests.simulator_process import SimulatorProcess, start

SYMBOL = "BTC/USDT:USDT"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorProcess]:
    process = start(speed=30, symbols="BTCUSDT")
    yield process
    process.stop()


@pytest.fixture
def healed(world: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield world
    world.heal()


def eventually(question: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"no answer within {seconds} s")


class Listener:
    """One account with its REST side and its stream, and all that the stream has told."""

    def __init__(self, world: SimulatorProcess, balance: str = "10000") -> None:
        self.keys = Credentials(f"stream{next(_numbers)}", "secret", {})
        world.open_account(self.keys.key, balance=balance)
        link = Connection(capability("binanceusdm"), "simulator", world.url, is_paced=False)
        self.clock = FollowedClock(world.url)
        self.venue = CcxtVenue(link, self.clock, self.keys)
        self.market = CcxtMarketData(link, self.clock)
        [self.instrument] = [item for item in self.market.instruments() if item.symbol == SYMBOL]
        self.stream = CcxtAccountStream(link, self.clock, self.keys)
        self.orders: list[VenueOrder] = []
        self.fills: list[VenueFill] = []
        self.gaps: list[GapCause] = []

    def hear(self, news: AccountNews) -> None:
        self.orders += news.orders
        self.fills += news.fills
        self.gaps += [gap.cause for gap in news.gaps]

    @contextmanager
    def listening(self) -> Iterator[None]:
        stop = Event()
        thread = Thread(target=self.stream.run, args=(self.hear, stop), daemon=True)
        thread.start()
        try:
            eventually(lambda: GapCause.CONNECTED in self.gaps)
            yield
        finally:
            stop.set()
            thread.join(15)
        assert not thread.is_alive()

    def place(
        self,
        role: OrderRole = OrderRole.ENTRY,
        trigger: str | None = None,
        quantity: str = "0.02",
        side: OrderSide | None = None,
    ) -> OrderIntent:
        mark = self.market.market(self.instrument).mark or Decimal(0)
        intent = OrderIntent(
            order_id=uuid4(), tenant_id=UUID(int=2), account_id=UUID(int=3), venue="simulator", instrument=SYMBOL,
            role=role, side=side or (OrderSide.BUY if role is OrderRole.ENTRY else OrderSide.SELL),
            type=OrderType.MARKET if trigger is None else OrderType.STOP_MARKET, quantity=Decimal(quantity), price=mark,
            trigger_price=None if trigger is None else floor_to(mark * Decimal(trigger), self.instrument.tick_size),
            client_order_id=f"twe{uuid4().hex[:24]}", signal_id=None, position_id=uuid4(), leverage=5, halt_epoch=0,
            expires_at=self.clock.now() + timedelta(minutes=5),
        )  # fmt: skip
        self.venue.place(intent, self.clock.now())
        return intent

    def states(self, intent: OrderIntent) -> list[OrderStatus]:
        return [item.status for item in self.orders if item.client_order_id == intent.client_order_id]


def test_fills_told_by_the_stream_are_those_of_rest_to_the_last_digit(world: SimulatorProcess) -> None:
    listener = Listener(world)
    began = listener.clock.now() - timedelta(minutes=1)
    with listener.listening():
        intent = listener.place()
        eventually(lambda: OrderStatus.FILLED in listener.states(intent))
    told = listener.venue.fills(SYMBOL, began)
    assert listener.fills == list(told)
    assert {fill.client_order_id for fill in told} == {intent.client_order_id}


def test_a_resting_stop_its_cancellation_and_its_triggering_are_told_under_our_id(world: SimulatorProcess) -> None:
    listener = Listener(world)
    with listener.listening():
        listener.place(quantity="0.03")
        cancelled = listener.place(OrderRole.STOP, "0.9", "0.01")
        eventually(lambda: listener.states(cancelled) == [OrderStatus.ACCEPTED])
        listener.venue.cancel(cancelled)
        eventually(lambda: listener.states(cancelled)[-1] is OrderStatus.CANCELED)
        near = listener.place(OrderRole.STOP, "0.9997", "0.02")
        eventually(lambda: OrderStatus.FILLED in listener.states(near), 60)
        fills = [fill for fill in listener.fills if fill.client_order_id == near.client_order_id]
        seen = listener.venue.find(near)
    assert sum(fill.quantity for fill in fills) == Decimal("0.02")
    assert seen is not None
    assert {fill.venue_order_id for fill in fills} == {seen.venue_order_id}


def test_a_cut_connection_is_a_gap_and_is_taken_up_again(healed: SimulatorProcess) -> None:
    listener = Listener(healed)
    with listener.listening():
        healed.fault("ws.send", "disconnect", count=1, match={"api_key": listener.keys.key})
        listener.place()
        eventually(lambda: listener.gaps.count(GapCause.CONNECTED) == 2)
        assert listener.gaps == [GapCause.CONNECTED, GapCause.CUT, GapCause.CONNECTED]
        after = listener.place()
        eventually(lambda: OrderStatus.FILLED in listener.states(after))


def test_an_expired_listen_key_is_a_gap_and_a_new_one_is_asked_for(healed: SimulatorProcess) -> None:
    listener = Listener(healed)
    with listener.listening():
        healed.fault("listen_key", "expire", params={"api_key": listener.keys.key})
        eventually(lambda: listener.gaps.count(GapCause.CONNECTED) == 2)
        assert GapCause.EXPIRED in listener.gaps
        after = listener.place()
        eventually(lambda: OrderStatus.FILLED in listener.states(after))


def test_a_connection_that_is_distrusted_is_given_up_for_a_new_one(healed: SimulatorProcess) -> None:
    listener = Listener(healed)
    with listener.listening():
        healed.fault("ws.send", "zombie", count=1, match={"api_key": listener.keys.key})
        listener.place()
        listener.stream.distrust("a fill was not told")
        eventually(lambda: listener.gaps.count(GapCause.CONNECTED) == 2)
        assert listener.gaps[1] is GapCause.SILENT
        after = listener.place()
        eventually(lambda: OrderStatus.FILLED in listener.states(after))


def test_messages_told_twice_are_handed_on_as_they_come(healed: SimulatorProcess) -> None:
    listener = Listener(healed)
    with listener.listening():
        healed.fault("ws.send", "duplicate", count=20, match={"api_key": listener.keys.key})
        intent = listener.place()
        eventually(lambda: listener.states(intent).count(OrderStatus.FILLED) == 2)
    assert len(listener.fills) == 2 * len({fill.trade_id for fill in listener.fills})


def test_the_listen_key_outlives_its_hour() -> None:
    process = start(speed=1200, symbols="BTCUSDT")
    try:
        listener = Listener(process)
        with listener.listening():
            hour = listener.clock.now() + timedelta(minutes=90)
            eventually(lambda: listener.clock.now() > hour)
            intent = listener.place()
            eventually(lambda: OrderStatus.FILLED in listener.states(intent))
        assert listener.gaps == [GapCause.CONNECTED]
    finally:
        process.stop()


def test_a_venue_that_refuses_the_handshake_is_asked_again(healed: SimulatorProcess) -> None:
    healed.fault("ws.handshake", "refuse", count=2)
    listener = Listener(healed)
    with listener.listening():
        assert listener.gaps == [GapCause.CUT, GapCause.CUT, GapCause.CONNECTED]


class DeafClient:
    """What stands behind the ear in its class: it cannot read some messages."""

    markets: dict[str, Any]

    def handle_message(self, client: Any, message: Any) -> None:
        raise KeyError("o")


class TestedEar(Ear, DeafClient):
    """An ear over a client that fails."""


def test_a_message_that_cannot_be_read_is_a_gap_and_does_not_end_the_reading() -> None:
    ear = TestedEar()
    ear.tw_items = asyncio.Queue(3)
    for message in ({"e": "ORDER_TRADE_UPDATE"}, "<html>", {"data": {"e": "listenKeyExpired"}}):
        ear.handle_message(None, message)
    told = [ear.tw_items.get_nowait() for _ in range(3)]
    assert [item.cause for item in told if isinstance(item, Gap)] == [
        GapCause.MALFORMED,
        GapCause.MALFORMED,
        GapCause.EXPIRED,
    ]


def test_what_is_told_of_a_market_nobody_knows_is_not_handed_on() -> None:
    ear = TestedEar()
    ear.markets, ear.tw_items = {SYMBOL: {}}, asyncio.Queue(1)
    ear.tw_trade({"symbol": "BTCUSDT", "id": "1", "side": "buy"})
    ear.tw_order({"symbol": "BTCUSDT", "id": "1", "side": "buy"})
    assert (ear.tw_items.qsize(), ear.tw_unlisted) == (0, "BTCUSDT")


def test_an_empty_listing_is_asked_for_again(healed: SimulatorProcess) -> None:
    listener = Listener(healed)
    healed.fault("rest.reply", "empty", match={"path": "/fapi/v1/exchangeInfo"}, count=1)
    with listener.listening():
        intent = listener.place()
        eventually(lambda: OrderStatus.FILLED in listener.states(intent))
    assert {fill.instrument for fill in listener.fills} == {SYMBOL}
    assert GapCause.CUT in listener.gaps


def test_too_many_messages_at_once_are_noticed() -> None:
    ear = TestedEar()
    ear.tw_items = asyncio.Queue(1)
    ear.tw_hear(Gap(GapCause.MALFORMED))
    assert not ear.tw_overrun
    ear.tw_hear(Gap(GapCause.MALFORMED))
    assert ear.tw_overrun


def test_a_liquidation_is_known_for_what_it_is() -> None:
    process = start(speed=600, symbols="BTCUSDT")
    try:
        pair = [Listener(process, "200"), Listener(process, "200")]
        for listener, side in zip(pair, OrderSide, strict=True):
            listener.venue.set_leverage(SYMBOL, 100)
            mark = listener.market.market(listener.instrument).mark or Decimal(1)
            listener.place(quantity=str(floor_to(Decimal(17_000) / mark, Decimal("0.001"))), side=side)
        began = pair[0].clock.now() - timedelta(hours=1)

        def liquidated() -> list[Listener]:
            return [one for one in pair if not one.venue.positions()]

        eventually(liquidated, 60)
        [victim, *_] = liquidated()
        forced = [fill for fill in victim.venue.fills(SYMBOL, began) if fill.forced_by is not None]
        assert {fill.forced_by for fill in forced} == {CloseReason.LIQUIDATION}
        assert sum(fill.quantity * fill.side.sign for fill in victim.venue.fills(SYMBOL, began)) == 0
    finally:
        process.stop()
