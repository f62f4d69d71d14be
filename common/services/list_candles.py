"""Which candles are kept: venue, symbol, timeframe, how many, from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.domain.market import Timeframe
from common.domain.recording import Recording
from common.services.fleet import Fleet
from common.store import Revision


@dataclass(frozen=True, slots=True)
class Kept:
    """One stored series: opening times of its first and last candle."""

    recording: Recording
    candles: int
    first: datetime
    last: datetime


def list_candles(fleet: Fleet) -> list[Kept]:
    """Every series of candles in the shared history."""
    with fleet.store.unit_of_work(None) as uow:
        rows = uow.candles.kept()
    return [
        Kept(Recording(venue, symbol, Timeframe.parse(frame), f"{venue} {symbol} {frame}"), count, first, last)
        for venue, symbol, frame, count, first, last in rows
    ]


def list_revisions(fleet: Fleet) -> list[Revision]:
    """What revised candles were before, the newest revisions first."""
    with fleet.store.unit_of_work(None) as uow:
        return uow.candles.revisions()
