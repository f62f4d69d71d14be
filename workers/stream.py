"""The stream: reads closed candles from the venues' websockets, stores them once for everybody, and asks for their scan."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Sequence
from datetime import datetime

from common.bootstrap import build_fleet, candle_stream
from common.domain.errors import OutcomeUnknown, Permanent, Transient
from common.domain.market import Timeframe
from common.services.fleet import Fleet
from common.services.ingest_candles import ClosedCandle, ingest_closed
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
    """Keep the candles of `venue` that somebody subscribes to, subscribing anew whenever that changes."""
    while not stop.is_set():
        try:
            timeframes, symbols = wanted_markets(fleet, venue)
            if not symbols:
                stop.wait(_RESUBSCRIBE_S)
                continue
            _listen(fleet, settings, venue, timeframes, symbols, stop)
        except (Transient, OutcomeUnknown) as error:
            log.warning("stream of %s waits: %s", venue, error)
            stop.wait(1.0)
        except Permanent as error:
            log.error("stream of %s cannot go on: %s", venue, error)
            stop.wait(_RESUBSCRIBE_S)


def wanted_markets(fleet: Fleet, venue: str) -> tuple[list[Timeframe], list[str]]:
    """Timeframes and symbols of `venue` that at least one tenant subscribes to."""
    with fleet.store.unit_of_work(None) as uow:
        wanted = uow.subscriptions.wanted(venue)
    timeframes = sorted({Timeframe.parse(item.timeframe) for item in wanted})
    return timeframes, sorted({symbol for item in wanted for symbol in item.instruments})


def _listen(
    fleet: Fleet,
    settings: Settings,
    venue: str,
    timeframes: list[Timeframe],
    symbols: list[str],
    stop: threading.Event,
) -> None:
    done = threading.Event()
    checked_at = fleet.clock.monotonic()

    def handle(batch: Sequence[ClosedCandle]) -> None:
        nonlocal checked_at
        _keep(fleet, venue, batch)
        if fleet.clock.monotonic() - checked_at > _RESUBSCRIBE_S:
            checked_at = fleet.clock.monotonic()
            if wanted_markets(fleet, venue) != (timeframes, symbols):
                done.set()
        if stop.is_set():
            done.set()

    stream = candle_stream(settings, fleet, venue, symbols, timeframes, _history(fleet, venue, timeframes))

    def pass_on() -> None:
        stop.wait()
        done.set()

    threading.Thread(target=pass_on, daemon=True).start()
    stream.run(handle, done)


def _keep(fleet: Fleet, venue: str, batch: Sequence[ClosedCandle]) -> None:
    """Store a batch and ring for its scans; what the database does not take now, the scan fetches itself."""
    try:
        if ingest_closed(fleet, venue, batch):
            schedule_scans(fleet, venue)
    except (Transient, OutcomeUnknown) as error:
        log.warning("%s candles of %s not kept, the scan will fetch them: %s", len(batch), venue, error)


def _history(fleet: Fleet, venue: str, timeframes: list[Timeframe]) -> dict[tuple[str, Timeframe], datetime]:
    with fleet.store.unit_of_work(None) as uow:
        return {
            (symbol, timeframe): closed_at
            for timeframe in timeframes
            for symbol, closed_at in uow.candles.last_closed_at(venue, str(timeframe)).items()
        }
