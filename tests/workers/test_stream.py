"""The stream: candles that closed are kept once for everybody and rung for; what cannot be kept is fetched by the scan."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from celery import Celery

from common.domain.errors import Permanent, Transient
from common.domain.job import Stage
from common.ports.candle_stream import ClosedCandle
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


def follow(world: World, app: Celery, monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    """Follow the venue until the stream of the script has had its say."""
    from workers import stream as room

    stop = threading.Event()
    asked: list[Any] = []

    def candle_stream(*arguments: Any) -> Any:
        asked.append(arguments[3:5])
        return stream(stop)

    monkeypatch.setattr(room, "candle_stream", candle_stream)
    monkeypatch.setattr(room, "_RESUBSCRIBE_S", 0.01)
    room.follow(world.fleet, None, VENUE, stop)
    assert asked[0] == ([ADA, SOL], [FRAME])


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


def test_nobody_subscribed_means_nothing_to_follow(world: World, app: Celery) -> None:
    from workers.stream import wanted_markets

    assert wanted_markets(world.fleet, VENUE) == ([], [])
