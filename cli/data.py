"""`tradewinds data`: recorded candles into the shared history, what is kept there, and what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.output import answer, note, table
from common.domain.errors import InvalidInput
from common.domain.market import Timeframe
from common.domain.recording import Coverage, Recording, chosen
from common.offline import recorded_candles

if TYPE_CHECKING:
    from common.services.fleet import Fleet

FIRST_WORLD = "recorded"


@contextmanager
def history_fleet(world: str | None, **given: Any) -> Iterator[Fleet]:
    """The fleet whose candles are meant; where there is no database and no world yet, a world of recorded candles.

    `given` are settings in place of those that are found.
    """
    from cli.context import asked_fleet, settings_of_world
    from cli.worlds import existing_worlds, world_of
    from common.bootstrap import build_fleet, migrate
    from common.machine import embedded_servers
    from common.settings import read_settings

    settings = read_settings(world=None, **given)
    if settings.database_url is not None or existing_worlds(settings):
        with asked_fleet(world, **given) as fleet:
            yield fleet
        return
    first = world_of(settings, world or FIRST_WORLD)
    with ExitStack() as stack:
        stack.enter_context(first.claimed())
        first.remember({"market": "recorded"})
        settings = stack.enter_context(
            embedded_servers(settings_of_world(settings, first), first.directory, redis=False)
        )
        migrate(settings)
        fleet = build_fleet(settings, "cli")
        stack.callback(fleet.store.close)
        note(f"made the world {first.name!r} to keep candles in")
        yield fleet


@contextmanager
def progress(total: int, unit: str, as_json: bool) -> Iterator[Progress]:
    """A bar on stderr with the time left; nothing where an answer for machines is wanted or nobody watches."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    is_silent = as_json or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=is_silent, transient=True) as bar:
        bar.add_task("", total=total)
        yield bar


def wanted(place: Path, symbols: Iterable[str], timeframe: str | None) -> tuple[Any, list[Recording]]:
    """(the files at `place`, those of them that are meant); raises InvalidInput when there are none."""
    source = recorded_candles(place)
    frame = Timeframe.parse(timeframe) if timeframe else None
    found = chosen(source.recordings(), list(symbols), frame)
    if not found:
        there = sorted({item.symbol for item in source.recordings()})
        raise InvalidInput("data", str(place), f"candles of what was asked for; there is: {', '.join(there) or 'none'}")
    return source, found


def import_files(place: Path, symbols: Iterable[str], timeframe: str | None, as_json: bool, world: str | None) -> None:
    """`tradewinds data import`."""
    from common.services.import_candles import import_candles

    source, recordings = wanted(place, symbols, timeframe)
    with history_fleet(world) as fleet, progress(_rows(recordings), "candles", as_json) as bar:
        (task,) = bar.task_ids
        done: dict[str, int] = {}

        def tell(recording: Recording, read: int) -> None:
            done[recording.name] = read
            bar.update(task, description=recording.symbol, completed=sum(done.values()))

        imported = import_candles(fleet, source, recordings, tell)
    rows = [{**_named(item.recording), "read": item.read, "new_or_changed": item.kept} for item in imported]
    total = {"read": sum(item.read for item in imported), "new_or_changed": sum(item.kept for item in imported)}

    def show(console: Console) -> None:
        console.print(table(rows, ["venue", "symbol", "timeframe", "read", "new_or_changed", "file"]))
        console.print(f"{total['read']} candles of {len(rows)} files read, {total['new_or_changed']} new or changed")

    answer({"recordings": rows, **total}, as_json, show)


def list_market(as_json: bool, world: str | None) -> None:
    """`tradewinds data snapshots`."""
    from dataclasses import asdict

    from common.services.keep_snapshots import list_snapshots

    with history_fleet(world) as fleet:
        rows = [asdict(item) for item in list_snapshots(fleet)]
    shown = ["venue", "symbol", "snapshots", "missing", "books", "tapes", "marks", "open_interests=open interest"]
    answer(
        {"markets": rows, "snapshots": sum(row["snapshots"] for row in rows)},
        as_json,
        lambda console: console.print(table(rows, [*shown, "first", "last"]) if rows else "no snapshots yet"),
    )


def list_revised(as_json: bool, world: str | None) -> None:
    """`tradewinds data revisions`."""
    from common.services.list_candles import list_revisions

    with history_fleet(world) as fleet:
        rows = [
            {
                "venue": item.venue,
                "symbol": item.symbol,
                "timeframe": str(item.timeframe),
                "opened_at": item.before.opened_at,
                "revised_at": item.revised_at,
                "signals_since": item.signals,
                **{name: str(getattr(item.before, name)) for name in ("open", "high", "low", "close", "volume")},
            }
            for item in list_revisions(fleet)
        ]
    shown = ["venue", "symbol", "timeframe", "opened_at=opened", "close=close before", "signals_since=signals since"]
    answer(
        {"revisions": rows},
        as_json,
        lambda console: console.print(table(rows, [*shown, "revised_at=revised"]) if rows else "no candle was revised"),
    )


def _rows(recordings: Iterable[Recording]) -> int:
    return sum(item.expected or 0 for item in recordings)


def list_series(place: Path | None, as_json: bool, world: str | None) -> None:
    """`tradewinds data list`."""
    from common.services.list_candles import list_candles

    if place is not None:
        source, recordings = wanted(place, (), None)
        rows = [_series(item, source.columns(item).opened_at) for item in recordings]
    else:
        with history_fleet(world) as fleet:
            kept = list_candles(fleet)
        rows = [
            {**_named(item.recording), "candles": item.candles, "first": item.first, "last": item.last} for item in kept
        ]
    shown = ["venue", "symbol", "timeframe", "candles", "first=first opened", "last=last opened"]
    answer(
        {"series": rows},
        as_json,
        lambda console: console.print(table(rows, shown) if rows else "no candles yet: tradewinds data import PATH"),
    )


def _series(recording: Recording, opened_at: Any) -> dict[str, Any]:
    from common.domain.recording import coverage

    found = coverage(recording, opened_at)
    return {**_named(recording), "candles": found.candles, "first": found.first, "last": found.last}


def verify(place: Path | None, as_json: bool, world: str | None) -> None:
    """`tradewinds data verify`: of the stored candles, or of the files at `place`."""
    from common.services.verify_candles import verify_candles, verify_recordings

    if place is None:
        with history_fleet(world) as fleet, progress(0, "series", as_json) as bar:
            found = verify_candles(fleet, lambda recording: bar.advance(bar.task_ids[0]))
    else:
        source, recordings = wanted(place, (), None)
        with progress(len(recordings), "files", as_json) as bar:
            found = verify_recordings(source, recordings, lambda recording: bar.advance(bar.task_ids[0]))
    result = verified(found)
    answer(result, as_json, lambda console: show_verified(console, result))


def verified(found: Sequence[Coverage]) -> dict[str, Any]:
    """What `found` comes to, as it is answered."""
    rows = [_covered(item) for item in found]
    return {
        "series": rows,
        "candles": sum(item.candles for item in found),
        "gaps": sum(len(item.gaps) for item in found),
        "missing": sum(item.missing for item in found),
        "late_listings": [row["symbol"] + " " + row["timeframe"] for row in rows if row["listed_late_days"]],
        "early_ends": [row["symbol"] + " " + row["timeframe"] for row in rows if row["ended_early_days"]],
        "misplaced": sum(item.misplaced for item in found),
        "not_as_catalogued": [row["file"] for row, item in zip(rows, found, strict=True) if not item.is_as_promised],
    }


def _covered(item: Coverage) -> dict[str, Any]:
    late, early = item.listed_late_by, item.ended_early_by
    return {
        **_named(item.recording),
        "candles": item.candles,
        "first": item.first,
        "last": item.last,
        "gaps": [{"first": gap.first, "last": gap.last, "missing": gap.missing} for gap in item.gaps],
        "missing": item.missing,
        "misplaced": item.misplaced,
        "listed_late_days": round(late.total_seconds() / 86400, 2) if late else None,
        "ended_early_days": round(early.total_seconds() / 86400, 2) if early else None,
        "catalogued": item.recording.expected,
    }


def show_verified(console: Console, result: Mapping[str, Any]) -> None:
    """Print what `verified` answers."""
    rows = [
        row | {"gaps": len(row["gaps"]), "longest": max((gap["missing"] for gap in row["gaps"]), default=None)}
        for row in result["series"]
    ]
    columns = ["venue", "symbol", "timeframe", "candles", "first", "last", "gaps", "missing", "longest=longest gap"]
    console.print(table(rows, [*columns, "listed_late_days=late, days", "ended_early_days=ended early, days"]))
    console.print(
        f"{result['candles']} candles, {result['missing']} missing in {result['gaps']} gaps, "
        f"{len(result['late_listings'])} listed late, {len(result['early_ends'])} ended early; every gap: --json"
    )


def _named(recording: Recording) -> dict[str, Any]:
    return {
        "venue": recording.venue,
        "symbol": recording.symbol,
        "timeframe": str(recording.timeframe),
        "file": recording.name,
    }
