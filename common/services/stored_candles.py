"""The shared history behind the door of recorded candles, so that a backtest reads it as it reads files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from common.domain.backtest.market import FundingRates
from common.domain.errors import NotFound
from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.market import EPOCH, Candle, Instrument
from common.domain.recording import Recording
from common.domain.sources import MOOD_KNOWN_AFTER, MOOD_LASTS, with_mood
from common.services.fleet import Fleet
from common.services.list_candles import Kept, list_candles

END = datetime(9999, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class StoredCandles:
    """What `venue` has in the shared history, all venues when none is named."""

    def __init__(self, fleet: Fleet, venue: str | None = None) -> None:
        self._fleet = fleet
        found = (kept for kept in list_candles(fleet) if venue in {None, kept.recording.venue})
        self._kept: dict[str, Kept] = {kept.recording.name: kept for kept in found}

    def recordings(self) -> Sequence[Recording]:
        """Every series."""
        return [kept.recording for kept in self._kept.values()]

    def columns(self, recording: Recording, since: datetime | None = None, until: datetime | None = None) -> Columns:
        """Candles opened from `since` up to `until` (exclusive)."""
        duration, kept = recording.timeframe.duration, self._kept[recording.name]
        with self._fleet.store.unit_of_work(None) as uow:
            found = uow.candles.arrays(
                recording.venue,
                [recording.symbol],
                recording.timeframe,
                END if until is None else until + duration - _MS,
                kept.candles,
            )[recording.symbol]
            moods = uow.moods.between(kept.first - MOOD_LASTS - MOOD_KNOWN_AFTER, kept.last + duration)
        found = with_mood(found, moods)
        first = 0 if since is None else int(np.searchsorted(found.opened_at, (since - EPOCH) // _MS))
        return found.slice(first, len(found))

    def instrument(self, recording: Recording) -> Instrument:
        """The instrument as it is known."""
        with self._fleet.store.unit_of_work(None) as uow:
            instrument = uow.instruments.get(recording.venue, recording.symbol)
        if instrument is None:
            raise NotFound("instrument", f"{recording.symbol} at {recording.venue}")
        return instrument

    def batches(self, recording: Recording, size: int) -> Iterator[Sequence[Candle]]:
        """Exact candles, oldest first."""
        with self._fleet.store.unit_of_work(None) as uow:
            series = uow.candles.series(
                recording.venue, recording.symbol, recording.timeframe, END, self._kept[recording.name].candles
            )
        yield from (series[start : start + size] for start in range(0, len(series), size))

    def observed(self, recording: Recording, columns: Columns, names: Sequence[str]) -> Mapping[str, Series]:
        """What scans saw, or would have seen, at these closes: the same stored rows."""
        with self._fleet.store.unit_of_work(None) as uow:
            return uow.snapshots.series(recording.venue, {recording.symbol: columns}, names)[recording.symbol]

    def funding(self, recording: Recording) -> FundingRates | None:
        """None: funding rates are not part of the shared history."""
        return None
