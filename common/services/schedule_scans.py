"""Turns the tick of the clock into scan jobs: one per venue, timeframe, shard of instruments and closed candle."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from common.domain.job import Stage
from common.domain.market import Timeframe
from common.services.fleet import Fleet
from common.store import UnitOfWork


def schedule_scans(fleet: Fleet, venue: str) -> int:
    """Add the scan jobs of the newest closed candle of every timeframe anybody subscribes to; returns how many are new.

    The key names venue, timeframe, shard and closing time, so ticks may repeat, overlap or come from two beats. Candles
    that closed while nobody was looking are not scanned any more: a signal is traded in time or not at all.
    """
    now = fleet.clock.now()
    with fleet.store.unit_of_work(None) as uow:
        wanted: dict[str, set[str]] = {}
        for want in uow.subscriptions.wanted(venue):
            wanted.setdefault(want.timeframe, set()).update(want.instruments)
        for name, symbols in sorted(wanted.items()):
            closed_at = Timeframe.parse(name).floor(now)
            _add_shards(fleet, uow, venue, name, sorted(symbols), closed_at, now)
        refs = uow.commit()
    fleet.publish(refs)
    return len(refs)


def _add_shards(
    fleet: Fleet, uow: UnitOfWork, venue: str, timeframe: str, symbols: list[str], closed_at: datetime, now: datetime
) -> None:
    size = fleet.policy.shard_size
    for number, start in enumerate(range(0, len(symbols), size)):
        request_scan(fleet, uow, venue, timeframe, symbols[start : start + size], closed_at, shard=str(number), now=now)


def request_scan(
    fleet: Fleet,
    uow: UnitOfWork,
    venue: str,
    timeframe: str,
    symbols: list[str],
    closed_at: datetime,
    *,
    shard: str,
    now: datetime,
) -> UUID:
    """Add the scan of `symbols` at the candle that closed at `closed_at`; returns the id of its one job."""
    ref = uow.jobs.add(
        Stage.SCAN,
        f"scan:{venue}:{timeframe}:{shard}:{closed_at.isoformat()}",
        tenant_id=None,
        payload={"venue": venue, "timeframe": timeframe, "instruments": symbols, "closed_at": closed_at.isoformat()},
        now=now,
        expires_at=fleet.expiry(closed_at, Timeframe.parse(timeframe).duration),
        correlation_id=fleet.ids.new(),
    )
    return ref.id
