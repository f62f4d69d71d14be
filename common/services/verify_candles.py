"""What is missing in candles: gaps, late listings and early ends, of stored series and of files alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from common.domain.market import Timeframe
from common.domain.recording import Coverage, Recording, by_listing, compared, coverage
from common.ports.recorded import RecordedCandles
from common.services.fleet import Fleet
from common.services.list_candles import list_candles

Tell = Callable[[Recording], None]
Meant = Callable[[Recording], bool]


def _nothing(recording: Recording) -> None:
    """Tell nobody."""


def _all(recording: Recording) -> bool:
    return True


def verify_candles(fleet: Fleet, tell: Tell = _nothing, is_meant: Meant = _all) -> list[Coverage]:
    """Coverage of every stored series that `is_meant`; late and early beside those of its venue and timeframe.

    A series that begins late although another timeframe of its market is older was not kept earlier; it is no listing.
    """
    found: dict[tuple[str, Timeframe], list[Coverage]] = defaultdict(list)
    for kept in list_candles(fleet):
        wanted = kept.recording
        if not is_meant(wanted):
            continue
        tell(wanted)
        until = kept.last + wanted.timeframe.duration
        with fleet.store.unit_of_work(None) as uow:
            series = uow.candles.arrays(wanted.venue, [wanted.symbol], wanted.timeframe, until, kept.candles)
        found[wanted.venue, wanted.timeframe].append(coverage(wanted, series[wanted.symbol].opened_at))
    return by_listing(_groups(found.values()))


def verify_recordings(
    source: RecordedCandles, recordings: Sequence[Recording], tell: Tell = _nothing
) -> list[Coverage]:
    """Coverage of files; late and early beside the others of the same folder, venue and timeframe."""
    found: dict[tuple[str, str, Timeframe], list[Coverage]] = defaultdict(list)
    for recording in recordings:
        tell(recording)
        folder = recording.name.rpartition("/")[0]
        found[folder, recording.venue, recording.timeframe].append(
            coverage(recording, source.columns(recording).opened_at)
        )
    return _groups(found.values())


def _groups(found: Iterable[list[Coverage]]) -> list[Coverage]:
    return [item for group in found for item in compared(group)]
