"""Recorded candles into the shared history: read from files, checked, kept once, whoever asks how often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.domain.recording import Recording
from common.ports.recorded import RecordedCandles
from common.services.fleet import Fleet
from common.services.ingest_candles import ingest_candles

BATCH = 5_000
"""Candles of one transaction: a few hundred milliseconds of Postgres."""

Tell = Callable[[Recording, int], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one recording: candles `read`, and how many of them were new or differed (`kept`)."""

    recording: Recording
    read: int
    kept: int


def _nothing(recording: Recording, read: int) -> None:
    """Tell nobody."""


def import_candles(
    fleet: Fleet, source: RecordedCandles, recordings: Sequence[Recording], tell: Tell = _nothing
) -> list[Imported]:
    """Keep every candle of `recordings`, and their instruments where none of that name is known.

    Each batch is a transaction of its own, so that an import that was interrupted is taken up by starting it again;
    malformed candles are left out and reported. `tell` hears how many candles of a recording have been read.
    """
    return [_import(fleet, source, recording, tell) for recording in recordings]


def _import(fleet: Fleet, source: RecordedCandles, recording: Recording, tell: Tell) -> Imported:
    read = kept = 0
    _introduce(fleet, source, recording)
    for batch in source.batches(recording, BATCH):
        kept += ingest_candles(fleet, recording.venue, recording.symbol, recording.timeframe, batch)
        read += len(batch)
        tell(recording, read)
    return Imported(recording, read, kept)


def _introduce(fleet: Fleet, source: RecordedCandles, recording: Recording) -> None:
    with fleet.store.unit_of_work(None) as uow:
        if uow.instruments.get(recording.venue, recording.symbol) is None:
            uow.instruments.save([source.instrument(recording)])
            uow.commit()
