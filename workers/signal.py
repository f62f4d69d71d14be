"""The signal stage: candles to signals."""

from __future__ import annotations

from typing import Any

from common.domain.job import JobRef, Stage
from common.services import request
from common.services.fleet import Fleet
from common.services.schedule_scans import schedule_scans
from workers.stage import stage, tick


@stage(Stage.SCAN)
def scan(fleet: Fleet, venue: str, instrument: str, timeframe: str) -> JobRef:
    """Scan one instrument at its newest closed candle."""
    return request.scan(fleet, venue, instrument, timeframe)


@tick("signal.schedule", "maintenance")
def schedule(fleet: Fleet, **_: Any) -> None:
    """Add the scans that have fallen due at every venue."""
    for venue in fleet.market_data:
        schedule_scans(fleet, venue)
