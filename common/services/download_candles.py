"""Candles of a venue into the shared history: only what is missing, in batches, several markets at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from common.domain.errors import InvalidInput, NotFound, Transient
from common.domain.market import Candle, Instrument, Timeframe
from common.domain.recording import Gap, Recording, holes
from common.services.fleet import Fleet
from common.services.ingest_candles import ingest_candles
from common.services.refresh_instruments import refresh_instruments

log = logging.getLogger(__name__)

BATCH = 999
"""Candles of one request and one transaction; with the forming one it is what Binance answers at its cheapest rate."""

AT_ONCE = 4
"""Markets that are fetched at the same time: as many as the venue's door has connections."""

ATTEMPTS_MAX = 12
PAUSE_S, PAUSE_MAX_S = 1.0, 15.0

Tell = Callable[[Recording, int], None]
Pause = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Download:
    """Candles of `symbols` that are wanted from `since` up to `until`, both on the timeframe's grid."""

    venue: str
    symbols: Sequence[str]
    timeframe: Timeframe
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What became of one market: candles `missing` before, `kept` now; the rest of them the venue does not have."""

    recording: Recording
    missing: int
    kept: int

    @property
    def absent(self) -> int:
        """Candles that the venue has not either: before its listing, or in a gap of its own."""
        return self.missing - self.kept


def _nothing(recording: Recording, done: int) -> None:
    """Tell nobody."""


def planned(
    fleet: Fleet, venue: str, names: Sequence[str], timeframe: Timeframe, since: datetime, until: datetime
) -> Download:
    """The download that is meant: instruments by symbol or pair, times cut to the grid and to the last closed candle.

    Asks the venue for its listing when an instrument is not known yet. Raises NotFound naming what is listed, and
    InvalidInput where the times leave nothing to fetch.
    """
    now = fleet.clock.now()
    first, end = timeframe.floor(since), timeframe.floor(min(until, now))
    if first >= end:
        raise InvalidInput("from", since.isoformat(), f"a time before --to and before the venue's now, {now:%F %T}")
    symbols = _symbols(_listed(fleet, venue), names)
    if symbols is None:
        refresh_instruments(fleet, venue)
        listed = _listed(fleet, venue)
        symbols = _symbols(listed, names)
        if symbols is None:
            unknown = next(name for name in names if _symbols(listed, [name]) is None)
            raise NotFound(f"instrument at {venue}", unknown, (item.symbol for item in listed))
    return Download(venue, symbols, timeframe, first, end)


def _listed(fleet: Fleet, venue: str) -> list[Instrument]:
    fleet.market(venue)
    with fleet.store.unit_of_work(None) as uow:
        return uow.instruments.list(venue)


def _symbols(listed: Sequence[Instrument], names: Sequence[str]) -> list[str] | None:
    """The symbols that are meant, None when one of `names` is not listed; `BTC/USDT` means `BTC/USDT:USDT` as well."""
    by_name = {item.symbol.partition(":")[0]: item.symbol for item in listed} | {i.symbol: i.symbol for i in listed}
    if any(name not in by_name for name in names):
        return None
    return list(dict.fromkeys(by_name[name] for name in names))


def missing_candles(fleet: Fleet, download: Download) -> dict[str, tuple[Gap, ...]]:
    """What the shared history lacks of `download`, by symbol."""
    span = (download.until - download.since) // download.timeframe.duration
    found = {}
    for symbol in download.symbols:
        with fleet.store.unit_of_work(None) as uow:
            kept = uow.candles.arrays(download.venue, [symbol], download.timeframe, download.until, span)
        found[symbol] = holes(kept[symbol].opened_at, download.timeframe, download.since, download.until)
    return found


def download_candles(
    fleet: Fleet,
    download: Download,
    missing: dict[str, tuple[Gap, ...]],
    tell: Tell = _nothing,
    pause: Pause | None = None,
) -> list[Downloaded]:
    """Fetch what is `missing` of `download` and keep it; `tell` hears how far each market has come, in candles.

    Each batch is a transaction of its own: a download that was interrupted is taken up by starting it again, and one
    that is complete asks the venue for nothing but what the venue did not have. A Transient failure is waited out with
    `pause` for a while, or raised at once where there is none. The fleet's rate broker decides who may ask when; this asks as DATA, behind
    everything that trades.
    """

    def fetch(symbol: str) -> Downloaded:
        recording = Recording(download.venue, symbol, download.timeframe, f"{download.venue} {symbol}")
        kept, done = 0, 0
        for gap in missing[symbol]:
            for covered, batch in _batches(fleet, recording, gap, pause):
                kept += ingest_candles(fleet, download.venue, symbol, download.timeframe, batch)
                tell(recording, done + covered)
            done += gap.missing
        return Downloaded(recording, done, kept)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(fetch, download.symbols))


def _batches(
    fleet: Fleet, recording: Recording, gap: Gap, pause: Pause | None
) -> Iterator[tuple[int, Sequence[Candle]]]:
    """(candles of `gap` seen to, candles found) for each request."""
    duration, start = recording.timeframe.duration, gap.first
    end = gap.last + duration
    while start < end:
        wanted = min(BATCH, (end - start) // duration)
        answer = _patiently(fleet, recording, start, wanted, pause)
        found = [candle for candle in answer if candle.opened_at < end]
        # A full answer reaches as far as its last candle, a short one as far as was asked.
        start = min(end, answer[-1].closed_at if len(answer) >= wanted else start + wanted * duration)
        yield (start - gap.first) // duration, found


def _patiently(
    fleet: Fleet, recording: Recording, since: datetime, wanted: int, pause: Pause | None
) -> Sequence[Candle]:
    attempt = 0
    while True:
        try:
            return fleet.market(recording.venue).candles(recording.symbol, recording.timeframe, since, wanted)
        except Transient as error:
            attempt += 1
            if pause is None or attempt == ATTEMPTS_MAX:
                raise
            wait_s = min(PAUSE_S * 2**attempt, PAUSE_MAX_S)
            log.info("%s is asked again in %.0f s: %s", recording.name, wait_s, error)
            pause(wait_s)
