"""A folder of recorded candles behind the port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.adapters.recorded.names import Named, catalogue, files
from common.adapters.recorded.reading import PRICES, decimals, exact, floats, read
from common.domain.backtest.market import FundingRates
from common.domain.errors import InvalidInput, NotFound
from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.market import EPOCH, Candle, Instrument
from common.domain.money import ZERO
from common.domain.recording import Recording, traded_as

_MS = timedelta(milliseconds=1)


class RecordedFolder:
    """Candle files at or below `place`; raises InvalidInput when there is nothing there."""

    def __init__(self, place: Path) -> None:
        if not place.exists():
            raise InvalidInput("data", str(place), "a folder of candle files such as BTC_USDT-5m.parquet")
        self._place = place
        self._digits: dict[str, tuple[int, int]] = {}

    @cached_property
    def _named(self) -> dict[str, Named]:
        base = self._place.parent if self._place.is_file() else self._place
        return {named.path.relative_to(base).as_posix(): named for named in files(self._place)}

    def recordings(self) -> Sequence[Recording]:
        """Every file of candles, by name; funding rates and mark prices are read beside them."""
        promised = catalogue(self._place if self._place.is_dir() else self._place.parent)
        return [
            Recording(named.venue, named.symbol, named.timeframe, name, promised.get(named.path.resolve()))
            for name, named in self._named.items()
            if named.has_candles
        ]

    def _path(self, recording: Recording) -> Path:
        if recording.name not in self._named:
            raise NotFound("recording", recording.name, self._named)
        return self._named[recording.name].path

    def columns(self, recording: Recording, since: datetime | None = None, until: datetime | None = None) -> Columns:
        """Candles opened from `since` up to `until` (exclusive)."""
        opened_at, table = self._read(recording)
        if opened_at.size > 1 and not bool((np.diff(opened_at) > 0).all()):
            raise InvalidInput(recording.name, "out of order", "candles in ascending order of time, each once")
        first = 0 if since is None else int(opened_at.searchsorted((since - EPOCH) // _MS))
        last = opened_at.size if until is None else int(opened_at.searchsorted((until - EPOCH) // _MS))
        part = {name: floats(column.slice(first, last - first)) for name, column in table.items()}
        open_, high, low, close, volume = (part[name] for name in (*PRICES, "volume"))
        return Columns(opened_at[first:last], open_, high, low, close, volume, recording.timeframe)

    def instrument(self, recording: Recording) -> Instrument:
        """Ticks and steps are the digits of its prices and volumes."""
        if recording.name not in self._digits:
            self._read(recording)
        return traded_as(recording.venue, recording.symbol, *self._digits[recording.name])

    def _read(self, recording: Recording) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
        opened_at, table = read(self._path(recording))
        self._digits[recording.name] = max(decimals(table[name]) for name in PRICES), decimals(table["volume"])
        return opened_at, table

    def batches(self, recording: Recording, size: int) -> Iterator[Sequence[Candle]]:
        """Exact candles, oldest first, `size` at a time."""
        opened_at, table = self._read(recording)
        duration = recording.timeframe.duration
        for start in range(0, opened_at.size, size):
            instants = [EPOCH + ms * _MS for ms in opened_at[start : start + size].tolist()]
            series = [exact(table[name].slice(start, size)) for name in (*PRICES, "volume")]
            yield [
                Candle(at, at + duration, *(ZERO if value is None else value for value in values))
                for at, *values in zip(instants, *series, strict=True)
            ]

    def observed(self, recording: Recording, columns: Columns, names: Sequence[str]) -> Mapping[str, Series]:
        """Nothing: files hold candles, not books and tapes."""
        return {}

    def funding(self, recording: Recording) -> FundingRates | None:
        """Funding rates of the same symbol in the same folder."""
        folder = self._path(recording).parent
        for named in self._named.values():
            if named.kind == "funding_rate" and named.symbol == recording.symbol and named.path.parent == folder:
                due_at, table = read(named.path, ("open",))
                return FundingRates(due_at, floats(table["open"]))
        return None
