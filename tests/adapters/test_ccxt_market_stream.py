"""The market stream against the practice venue: what it tells at a close is what REST told then, or it tells nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from threading import Event, Thread
from typing import cast

import pytest

from common.adapters.ccxt_venue import CcxtMarketData, CcxtMarketStream, Connection, capability
from common.adapters.clock import FollowedClock
from common.domain.market import Timeframe
from common.domain.snapshot import FIELDS, MarketSnapshot
from tests.simulator_process import SimulatorProcess, start

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
ONE_MINUTE, FIVE_MINUTES = Timeframe.parse("1m"), Timeframe.parse("5m")
SPEED = 60.0


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorProcess]:
    process = start(speed=SPEED, symbols="BTCUSDT,ETHUSDT")
    yield process
    process.stop()


@pytest.fixture
def healed(world: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield world
    world.heal()


def told(value: Decimal | None) -> Decimal:
    """A value that must be there."""
    assert value is not None
    return value


class Watcher:
    """Collects snapshots until there are enough that `wanted` likes."""

    def __init__(self, world: SimulatorProcess, silence_s: float = 30.0) -> None:
        link = Connection(capability("binanceusdm"), "simulator", world.url, is_paced=False)
        self.clock = FollowedClock(world.url)
        self.market_data = CcxtMarketData(link, self.clock)
        markets = [(BTC, ONE_MINUTE), (ETH, FIVE_MINUTES)]
        self.stream = CcxtMarketStream(link, self.clock, self.market_data, markets, silence_s)
        self.found: list[MarketSnapshot] = []
        self._stop, self._enough = Event(), Event()
        self._count, self._fields = 0, cast(tuple[str, ...], ())

    def _handle(self, snapshots: Sequence[MarketSnapshot]) -> None:
        self.found += snapshots
        if sum(self._is_wanted(item) for item in self.found) >= self._count:
            self._enough.set()

    def _is_wanted(self, item: MarketSnapshot) -> bool:
        return item.symbol == BTC and all(getattr(item, name) is not None for name in self._fields)

    def watch(self, count: int, *fields: str, seconds: float = 90) -> list[MarketSnapshot]:
        """Snapshots until `count` of the first symbol tell all of `fields`."""
        self._count, self._fields = count, fields
        thread = Thread(target=self.stream.run, args=(self._handle, self._stop), daemon=True)
        thread.start()
        is_enough = self._enough.wait(seconds)
        self._stop.set()
        thread.join(15)
        assert is_enough, f"only {len(self.found)} snapshots came: {self.found[-2:]}"
        assert not thread.is_alive()
        return [item for item in self.found if self._is_wanted(item)]


def test_every_close_has_one_snapshot_of_what_was_known_by_then(world: SimulatorProcess) -> None:
    watcher = Watcher(world)
    whole = watcher.watch(3, *FIELDS)
    assert watcher.stream.last_message_at is not None
    closes = [(item.symbol, item.closed_at) for item in watcher.found]
    assert len(closes) == len(set(closes))
    assert all(ONE_MINUTE.floor(at) == at for symbol, at in closes if symbol == BTC)
    assert all(FIVE_MINUTES.floor(at) == at for symbol, at in closes if symbol == ETH)
    assert all(timedelta(0) <= item.closed_at - item.observed_at <= timedelta(seconds=SPEED) for item in watcher.found)
    last = whole[-1]
    candle = watcher.market_data.candles(BTC, ONE_MINUTE, last.closed_at - ONE_MINUTE.duration, 1)[0]
    # Mark and middle lie where the minute ended; the tape's price lies within it.
    assert abs(told(last.mark) - candle.close) / candle.close < Decimal("0.002")
    assert abs(told(last.mid) - candle.close) / candle.close < Decimal("0.002")
    assert candle.low <= told(last.tape_vwap) <= candle.high
    assert told(last.spread) > 0
    assert told(last.tape_velocity) > 0


def test_a_cut_connection_is_taken_up_again_and_tells_no_tape_that_it_did_not_hear(healed: SimulatorProcess) -> None:
    healed.fault("ws.send", "disconnect", count=3)
    watcher = Watcher(healed)
    watcher.watch(2, "mid", "tape_vwap")
    assert all(item.tape_vwap is None or told(item.tape_velocity) > 0 for item in watcher.found)


def test_a_difference_that_is_missing_begins_the_book_anew(healed: SimulatorProcess) -> None:
    watcher = Watcher(healed)
    healed.fault("ws.send", "drop", count=6, match={"stream": "btcusdt@depth@100ms"})
    watcher.watch(2, "mid")
    assert told(watcher.found[-1].spread) > 0


def test_a_socket_that_only_pretends_to_live_is_given_up(healed: SimulatorProcess) -> None:
    healed.fault("ws.send", "zombie", count=2)
    Watcher(healed, silence_s=1).watch(2, "mid", "mark")


def test_open_interest_and_figures_are_asked_for_where_they_are_not_streamed(world: SimulatorProcess) -> None:
    market_data = Watcher(world).market_data
    assert told(market_data.open_interest(BTC)) > 0
    marks = market_data.marks([BTC, ETH, "NOPE/USDT:USDT"])
    assert set(marks) == {BTC, ETH}
    assert all(told(item.mark) > 0 and abs(told(item.funding_rate)) < 1 for item in marks.values())
    assert all(item.next_funding_at is not None for item in marks.values())
