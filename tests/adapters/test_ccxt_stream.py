"""The candle stream against the practice venue: every candle once, in order, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from common.adapters.ccxt_venue import CcxtMarketData, CcxtStream, Connection, capability
from common.adapters.clock import FollowedClock
from common.domain.market import Candle, Timeframe
from common.ports.candle_stream import ClosedCandle
from tests.clocks import ManualClock
from tests.simulator_process import SimulatorProcess, start

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
ONE_MINUTE = Timeframe.parse("1m")


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorProcess]:
    process = start(speed=300, symbols="BTCUSDT,ETHUSDT")
    yield process
    process.stop()


@pytest.fixture
def healed(world: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield world
    world.heal()


class Listener:
    """Collects what the stream hands on until there are `wanted` candles of every market."""

    def __init__(self, world: SimulatorProcess, silence_s: float = 30.0, history: int = 0) -> None:
        link = Connection(capability("binanceusdm"), "simulator", world.url, is_paced=False)
        self.clock = FollowedClock(world.url)
        self.market_data = CcxtMarketData(link, self.clock)
        since = {(symbol, ONE_MINUTE): self.clock.now() - timedelta(minutes=history) for symbol in SYMBOLS}
        self.stream = CcxtStream(link, self.clock, self.market_data, list(since), since, silence_s)
        self.candles: dict[str, list[Candle]] = {symbol: [] for symbol in SYMBOLS}
        self._stop, self._enough, self._wanted = Event(), Event(), 0

    def _handle(self, batch: Sequence[ClosedCandle]) -> None:
        for item in batch:
            self.candles[item.symbol].append(item.candle)
        if min(map(len, self.candles.values())) >= self._wanted:
            self._enough.set()

    def listen(self, wanted: int, seconds: float = 40) -> dict[str, list[Candle]]:
        self._wanted = wanted
        thread = Thread(target=self.stream.run, args=(self._handle, self._stop), daemon=True)
        thread.start()
        is_enough = self._enough.wait(seconds)
        self._stop.set()
        thread.join(60)  # To close a connection takes the venue's answer, or ten seconds without it.
        assert is_enough, f"only {[len(found) for found in self.candles.values()]} candles came"
        assert not thread.is_alive()
        return self.candles


def assert_whole(listener: Listener) -> None:
    """Every candle once, in order, none missing, and each exactly what REST tells of it."""
    for symbol, candles in listener.candles.items():
        assert [b.opened_at - a.opened_at for a, b in itertools.pairwise(candles)] == (
            [ONE_MINUTE.duration] * (len(candles) - 1)
        )
        told = listener.market_data.candles(symbol, ONE_MINUTE, candles[0].opened_at, len(candles))
        assert candles == list(told)


def test_candles_come_once_in_order_and_equal_to_those_of_rest(world: SimulatorProcess) -> None:
    listener = Listener(world)
    listener.listen(8)
    assert_whole(listener)
    assert listener.stream.last_message_at is not None


def test_what_closed_before_the_stream_began_comes_first(world: SimulatorProcess) -> None:
    listener = Listener(world, history=30)
    began = listener.clock.now()
    listener.listen(33)
    assert_whole(listener)
    assert listener.candles[SYMBOLS[0]][0].closed_at < began - timedelta(minutes=28)


def test_a_cut_connection_leaves_no_gap(healed: SimulatorProcess) -> None:
    healed.fault("ws.send", "disconnect", count=2)
    listener = Listener(healed)
    listener.listen(15)
    assert_whole(listener)


def test_messages_that_were_dropped_are_fetched(healed: SimulatorProcess) -> None:
    healed.fault("ws.send", "drop", count=40)
    listener = Listener(healed, silence_s=2)
    listener.listen(15)
    assert_whole(listener)


def test_a_connection_that_only_pretends_to_live_is_given_up(healed: SimulatorProcess) -> None:
    healed.fault("ws.send", "zombie", count=1)
    listener = Listener(healed, silence_s=1)
    listener.listen(12)
    assert_whole(listener)


def test_a_candle_that_is_closed_again_with_other_numbers_is_handed_on_again() -> None:
    market, clock = (SYMBOLS[0], ONE_MINUTE), ManualClock()
    link = Connection(capability("binanceusdm"), "scripted", is_paced=False)
    opened_at = ONE_MINUTE.floor(clock.now())
    opened = int(opened_at.timestamp() * 1000)
    stream = CcxtStream(link, clock, CcxtMarketData(link, clock), [market])
    client = SimpleNamespace(market=lambda _: {"id": "BTCUSDT"}, timeframes={"1m": "1m"}, tw_closed=set(), ohlcvs={})

    def said(close: str) -> list[str]:
        client.tw_closed.add(("BTCUSDT", "1m", opened))
        client.ohlcvs = {market[0]: {"1m": [[opened, "100", "103", "99", close, "1"]]}}
        return [str(item.candle.close) for item in asyncio.run(stream._take(client, [market]))]

    assert [said(close) for close in ("101", "101", "102", "102")] == [["101"], [], ["102"], []]
