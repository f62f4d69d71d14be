"""Recorded candles: the door to files of candles, wherever and however they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from common.domain.backtest.market import FundingRates
from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.market import Candle, Instrument
from common.domain.recording import Recording


class RecordedCandles(Protocol):
    """A folder of recorded candles; raises InvalidInput naming a file that is not what its name says."""

    def recordings(self) -> Sequence[Recording]:
        """What there is, by name."""

    def columns(self, recording: Recording, since: datetime | None = None, until: datetime | None = None) -> Columns:
        """Its candles that opened at or after `since` and before `until` as floats, correctly rounded."""

    def instrument(self, recording: Recording) -> Instrument:
        """What it is traded as: ticks and steps are the digits of its prices and volumes."""

    def batches(self, recording: Recording, size: int) -> Iterator[Sequence[Candle]]:
        """Its candles as exact decimals, oldest first, `size` at a time."""

    def observed(self, recording: Recording, columns: Columns, names: Sequence[str]) -> Mapping[str, Series]:
        """Fields `names` of the market snapshots at the closes of `columns`; a name is left out where there are none."""

    def funding(self, recording: Recording) -> FundingRates | None:
        """Funding rates recorded beside it; None without any."""
