"""The stream: candles that closed are kept once for everybody and rung for; what cannot be kept is fetched by the scan."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery

from common.domain.errors import Permanent, Transient
from common.domain.job import Stage
from common.domain.market import Timeframe
from common.domain.snapshot import MarketSnapshot
from common.ports.candle_stream import ClosedCandle
from common.services.keep_snapshots import list_snapshots
from common.services.tenants import subscribe
from tests.services.venue import ADA, NOON, SOL, VENUE
from tests.services.world import FRAME, House, World


class ScriptedStream:
    """Hands over one batch and then runs until it is told to stop."""

    def __init__(self, batch: Sequence[ClosedCandle], after: Callable[[], None]) -> None:
        self._batch, self._after = batch, after

    def run(self, handler: Callable[[Sequence[ClosedCandle]], None], stop: threading.Event) -> None:
        """One batch."""
        handler(self._batch)
        self._after()
        stop.wait(10)


@pytest.fixture
def next_candle(world: World) -> ClosedCandle:
    """The candle after noon, of one market."""
    world.clock.advance(300)
    return ClosedCandle(SOL, FRAME, world.venue.candles(SOL, FRAME, NOON, 1)[0])


class ScriptedMarket:
    """Tells snapshots once, or fails, and then runs until it is told to stop."""

    def __init__(self, snapshots: Sequence[MarketSnapshot] = (), error: Exception | None = None) -> None:
        self._snapshots, self._error = snapshots, error

    def run(self, handler: Callable[[Sequence[MarketSnapshot]], None], stop: threading.Event) -> None:
        """What the script says."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        handler(self._snapshots)
        stop.wait(10)


def follow(
    world: World,
    app: Celery,
    monkeypatch: pytest.MonkeyPatch,
    stream: Any,
    market: ScriptedMarket | None = None,
) -> None:
    """Follow the venue until the stream of the script has had its say."""
    from workers import stream as room

    stop = threading.Event()
    asked: list[Any] = []

    def candle_stream(*arguments: Any) -> Any:
        asked.append(arguments[3])
        return stream(stop)

    watched = market or ScriptedMarket()

    def market_stream(*arguments: Any) -> ScriptedMarket:
        asked.append(arguments[3])
        return watched

    monkeypatch.setattr(room, "market_stream", market_stream)

    monkeypatch.setattr(room, "candle_stream", candle_stream)
    monkeypatch.setattr(room, "_RESUBSCRIBE_S", 0.01)
    room.follow(world.fleet, None, VENUE, stop)
    assert set(map(tuple, asked)) == {((ADA, FRAME), (SOL, FRAME))}


def test_a_closed_candle_is_kept_and_its_scan_rung_for(
    world: World, house: House, app: Celery, next_candle: ClosedCandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(world, app, monkeypatch, lambda stop: ScriptedStream([next_candle], stop.set))
    with world.store.unit_of_work(None) as uow:
        assert uow.candles.last_closed_at(VENUE, FRAME)[SOL] == NOON + FRAME.duration
    assert len(world.bus.of(Stage.SCAN)) == 1


def test_a_candle_that_cannot_be_kept_now_does_not_end_the_stream(
    world: World, house: House, app: Celery, next_candle: ClosedCandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise Transient("connection refused")

    monkeypatch.setattr("workers.stream.ingest_closed", refuse)
    follow(world, app, monkeypatch, lambda stop: ScriptedStream([next_candle], stop.set))
    assert world.bus.of(Stage.SCAN) == []


@pytest.mark.parametrize("error", [Transient("the socket is gone"), Permanent("no such market")])
def test_a_stream_that_ends_is_taken_up_again(
    world: World, house: House, app: Celery, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    begun: list[int] = []

    def stream(stop: threading.Event) -> Any:
        begun.append(1)
        if len(begun) == 1:
            raise error
        return ScriptedStream([], stop.set)

    monkeypatch.setattr(threading.Event, "wait", _impatient(threading.Event.wait))
    follow(world, app, monkeypatch, stream)
    assert len(begun) == 2


def _impatient(wait: Any) -> Any:
    def briefly(self: threading.Event, timeout: float | None = None) -> bool:
        return bool(wait(self, None if timeout is None else min(timeout, 0.01)))

    return briefly


def seen() -> MarketSnapshot:
    """What the market looked like at noon."""
    return MarketSnapshot(VENUE, SOL, NOON, NOON, mid=Decimal(100))


def until_kept(world: World, stop: threading.Event) -> Callable[[], None]:
    """Waits, at the end of the script, until a snapshot is there."""

    def wait() -> None:
        while not list_snapshots(world.fleet):
            pass
        stop.set()

    return wait


def test_what_the_market_looked_like_is_kept_beside_the_candles(
    world: World, house: House, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = lambda stop: ScriptedStream([], until_kept(world, stop))  # noqa: E731
    follow(world, app, monkeypatch, script, ScriptedMarket([seen()]))
    assert [(kept.symbol, kept.snapshots) for kept in list_snapshots(world.fleet)] == [(SOL, 1)]


@pytest.mark.parametrize("error", [Transient("cut"), Permanent("no websockets here")])
def test_a_market_that_cannot_be_watched_now_is_tried_again_and_candles_go_on(
    world: World, house: House, app: Celery, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    script = lambda stop: ScriptedStream([], until_kept(world, stop))  # noqa: E731
    follow(world, app, monkeypatch, script, ScriptedMarket([seen()], error))
    assert len(list_snapshots(world.fleet)) == 1


def test_snapshots_that_cannot_be_kept_are_not_known_and_nothing_ends(
    world: World, house: House, app: Celery, next_candle: ClosedCandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def refuse(*_: Any) -> int:
        refused.set()
        raise Transient("connection refused")

    monkeypatch.setattr("workers.stream.keep_snapshots", refuse)

    def script(stop: threading.Event) -> ScriptedStream:
        def once_refused() -> None:
            refused.wait(10)
            stop.set()

        return ScriptedStream([next_candle], once_refused)

    follow(world, app, monkeypatch, script, ScriptedMarket([seen()]))
    assert list_snapshots(world.fleet) == []
    assert len(world.bus.of(Stage.SCAN)) == 1


def test_a_timeframe_that_can_be_made_of_another_is_not_listened_to(world: World, house: House, app: Celery) -> None:
    from workers.stream import wanted_markets

    subscribe(world.fleet, *house.ids, strategy="confluence", timeframe="15m", instruments=[SOL])
    assert wanted_markets(world.fleet, VENUE) == {(ADA, FRAME): [], (SOL, FRAME): [Timeframe.parse("15m")]}


def test_nobody_subscribed_means_nothing_to_follow(world: World, app: Celery) -> None:
    from workers.stream import wanted_markets

    assert not wanted_markets(world.fleet, VENUE)
