"""`tradewinds data download`: candles from a venue into the shared history, and what has come of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cli.data import history_fleet, progress, show_verified, verified
from cli.output import answer, table
from cli.wishes import instant
from common.domain.errors import InvalidInput
from common.domain.market import Timeframe
from common.domain.recording import Recording

if TYPE_CHECKING:
    from common.services.download_candles import Downloaded
    from common.services.fleet import Fleet

PRACTICE = "simulator"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed."""

    venue: str
    instruments: Sequence[str]
    timeframe: str
    since: str
    until: str | None
    simulator: str | None = None
    as_json: bool = False
    world: str | None = None


def venue_settings(venue: str, simulator: str | None) -> dict[str, Any]:
    """The settings under which the public side of `venue` can be asked, whether the fleet trades there or not."""
    from common.settings import read_settings

    if simulator is not None:
        return {"simulator_url": simulator}
    venues = read_settings(world=None).venues
    return {} if venue == PRACTICE or venue in venues else {"venues": (*venues, venue)}


def download(asked: Asked) -> None:
    """Download, and verify what has come."""
    from common.services.download_candles import download_candles, missing_candles, planned
    from common.services.verify_candles import verify_candles

    frame, since, until = Timeframe.parse(asked.timeframe), instant(asked.since, "from"), instant(asked.until, "to")
    if since is None or not asked.instruments:
        raise InvalidInput("instruments", ",".join(asked.instruments), "a list such as BTC/USDT,ETH/USDT")
    with history_fleet(asked.world, **venue_settings(asked.venue, asked.simulator)) as fleet:
        names = chosen_names(fleet, asked.venue, asked.instruments)
        plan = planned(fleet, asked.venue, names, frame, since, until or fleet.clock.now())
        missing = missing_candles(fleet, plan)
        wanted = sum(gap.missing for gaps in missing.values() for gap in gaps)
        began = fleet.clock.monotonic()
        with progress(wanted, "candles", asked.as_json) as bar:
            (task,) = bar.task_ids
            done: dict[str, int] = {}

            def tell(recording: Recording, candles: int) -> None:
                done[recording.name] = candles
                bar.update(task, description=recording.symbol, completed=sum(done.values()))

            found = download_candles(fleet, plan, missing, tell, time.sleep)
        took_s = fleet.clock.monotonic() - began
        whole = verified(verify_candles(fleet, is_meant=lambda item: _is_in(item, asked.venue, frame, plan.symbols)))
    rows = [_row(item) for item in found]
    kept = sum(item.kept for item in found)
    result = {
        "venue": asked.venue,
        "timeframe": str(frame),
        "from": plan.since,
        "to": plan.until,
        "series": rows,
        "missing_before": wanted,
        "kept": kept,
        "absent_at_venue": wanted - kept,
        "seconds": round(took_s, 2),
        "candles_per_s": round(kept / took_s) if kept else 0,
        "verified": whole,
    }

    def show(console: Console) -> None:
        console.print(table(rows, ["symbol", "missing_before", "kept", "absent_at_venue"]))
        console.print(f"{kept} candles kept in {took_s:.1f} s, {wanted - kept} are not at the venue either")
        show_verified(console, whole)

    answer(result, asked.as_json, show)


def chosen_names(fleet: Fleet, venue: str, instruments: Sequence[str]) -> list[str]:
    """Instruments by name, `candidates:20` replaced by the first twenty of the venue's candidates."""
    from common.services.list_candidates import names_pool, pool_of

    with fleet.store.unit_of_work(None) as uow:
        return [
            symbol for name in instruments for symbol in (pool_of(uow, venue, name) if names_pool(name) else [name])
        ]


def _is_in(item: Recording, venue: str, frame: Timeframe, symbols: Sequence[str]) -> bool:
    return (item.venue, item.timeframe) == (venue, frame) and item.symbol in symbols


def _row(item: Downloaded) -> dict[str, Any]:
    return {
        "symbol": item.recording.symbol,
        "missing_before": item.missing,
        "kept": item.kept,
        "absent_at_venue": item.absent,
    }
