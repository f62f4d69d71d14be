"""The stream: hears candles, books and tapes on the venues' websockets, stores them once for everybody, and asks for scans."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Sequence
from datetime import datetime

from common.bootstrap import build_fleet, candle_stream, market_stream
from common.domain.errors import OutcomeUnknown, Permanent, Transient
from common.domain.market import Timeframe
from common.domain.snapshot import MarketSnapshot
from common.services.fleet import Fleet
from common.services.ingest_candles import ClosedCandle, Longer, Market, ingest_closed, longer_frames
from common.services.keep_snapshots import keep_snapshots
from common.services.schedule_scans import schedule_scans
from common.settings import Settings, read_settings
from common.telemetry import configure_logging
from workers.bus import CeleryBus
from workers.heartbeat import touch

log = logging.getLogger(__name__)

_RESUBSCRIBE_S = 5.0


def run_stream() -> int:
    """Follow every venue until SIGTERM or SIGINT."""
    settings = read_settings()
    configure_logging(settings, process="stream")
    fleet = build_fleet(settings, "stream", bus=CeleryBus())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threads = [
        threading.Thread(target=follow, args=(fleet, settings, venue, stop), name=f"stream-{venue}", daemon=True)
        for venue in fleet.market_data
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not stop.wait(_RESUBSCRIBE_S):
        if settings.heartbeat_file is not None:
            touch(settings.heartbeat_file)
    for thread in threads:
        thread.join(timeout=10)
    return 0


def follow(fleet: Fleet, settings: Settings, venue: str, stop: threading.Event) -> None:
    """Keep the markets of `venue` that somebody subscribes to, subscribing anew whenever that changes."""
    while not stop.is_set():
        try:
            wanted = wanted_markets(fleet, venue)
            if not wanted:
                stop.wait(_RESUBSCRIBE_S)
                continue
            _listen(fleet, settings, venue, wanted, stop)
        except (Transient, OutcomeUnknown) as error:
            log.warning("stream of %s waits: %s", venue, error)
            stop.wait(1.0)
        except Permanent as error:
            log.error("stream of %s cannot go on: %s", venue, error)
            stop.wait(_RESUBSCRIBE_S)


def wanted_markets(fleet: Fleet, venue: str) -> Longer:
    """Markets of `venue` to listen to, so that every timeframe anybody subscribes to is there or can be made of them."""
    with fleet.store.unit_of_work(None) as uow:
        wanted = uow.subscriptions.wanted(venue)
    frames: dict[str, set[Timeframe]] = {}
    for item in wanted:
        for symbol in item.instruments:
            frames.setdefault(symbol, set()).add(Timeframe.parse(item.timeframe))
    return longer_frames(frames)


def _listen(fleet: Fleet, settings: Settings, venue: str, wanted: Longer, stop: threading.Event) -> None:
    done = threading.Event()
    checked_at = fleet.clock.monotonic()
    markets = sorted(wanted)

    def handle(batch: Sequence[ClosedCandle]) -> None:
        nonlocal checked_at
        _keep(fleet, venue, batch, wanted)
        if fleet.clock.monotonic() - checked_at > _RESUBSCRIBE_S:
            checked_at = fleet.clock.monotonic()
            if wanted_markets(fleet, venue) != wanted:
                done.set()
        if stop.is_set():
            done.set()

    stream = candle_stream(settings, fleet, venue, markets, _history(fleet, venue, markets))

    def pass_on() -> None:
        stop.wait()
        done.set()

    threading.Thread(target=pass_on, daemon=True).start()
    watching = threading.Thread(target=watch, args=(fleet, settings, venue, markets, done), daemon=True)
    watching.start()
    try:
        stream.run(handle, done)
    finally:
        done.set()
        watching.join(timeout=10)


def _keep(fleet: Fleet, venue: str, batch: Sequence[ClosedCandle], wanted: Longer) -> None:
    """Store a batch and ring for its scans; what the database does not take now, the scan fetches itself."""
    try:
        if ingest_closed(fleet, venue, batch, wanted):
            schedule_scans(fleet, venue)
    except (Transient, OutcomeUnknown) as error:
        log.warning("%s candles of %s not kept, the scan will fetch them: %s", len(batch), venue, error)


def watch(fleet: Fleet, settings: Settings, venue: str, markets: Sequence[Market], done: threading.Event) -> None:
    """Keep a snapshot of every one of `markets` at each close; candles go on without, for what is missing is not known."""
    while not done.is_set():
        try:
            market_stream(settings, fleet, venue, markets).run(lambda found: _keep_seen(fleet, venue, found), done)
        except (Transient, OutcomeUnknown, Permanent) as error:
            log.warning("markets of %s are not watched now: %s", venue, error)
            done.wait(_RESUBSCRIBE_S)


def _keep_seen(fleet: Fleet, venue: str, snapshots: Sequence[MarketSnapshot]) -> None:
    try:
        keep_snapshots(fleet, snapshots)
    except (Transient, OutcomeUnknown) as error:
        log.warning("%s snapshots of %s not kept, and not known: %s", len(snapshots), venue, error)


def _history(fleet: Fleet, venue: str, markets: Sequence[Market]) -> dict[Market, datetime]:
    with fleet.store.unit_of_work(None) as uow:
        ends = {frame: uow.candles.last_closed_at(venue, str(frame)) for frame in {frame for _, frame in markets}}
    return {(symbol, frame): ends[frame][symbol] for symbol, frame in markets if symbol in ends[frame]}
