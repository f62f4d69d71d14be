"""Fits the doors of work that needs no fleet: recorded candles on disk, without settings, database or broker."""

from __future__ import annotations

from pathlib import Path

from common.adapters.recorded import RecordedFolder
from common.ports.recorded import RecordedCandles

__all__ = ["recorded_candles"]


def recorded_candles(place: Path) -> RecordedCandles:
    """The candle files at or below `place`; raises InvalidInput where there is nothing."""
    return RecordedFolder(place)
