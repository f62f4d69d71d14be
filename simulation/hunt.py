"""`make bugs`: plants every seeded bug in turn and counts the seeds until a law of the simulation notices it."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from simulation.crew import bugs
from simulation.database import Database, prepare, server
from simulation.hub import Chances
from simulation.kill_points import aims
from simulation.laws import DEFECT
from simulation.seed import listen, run_seed

MEDIAN_MOST = 500


@dataclass(frozen=True, slots=True)
class Catch:
    """How one bug fared: the law that noticed it (empty when none did), and how many seeds it took."""

    bug: str
    classes: tuple[int, ...]
    law: str
    seeds: int
    seed: int
    seconds: float


def look_for(database: Database, name: str, first: int, seeds_max: int) -> Catch:
    """Run seeds from `first` on with the bug `name` planted, until a law does not hold.

    That something raised what it should not is no law: a bug that is out of date with the code it swaps does that.
    """
    began, found = time.monotonic(), bugs()[name]
    with found.planted():
        for number in range(seeds_max):
            seed = first + number
            seen = run_seed(database, seed, Chances.kinds(), aims(seed)).violations
            violated = [item for item in seen if item.law != DEFECT]
            if violated:
                return Catch(name, found.classes, violated[0].law, number + 1, seed, _since(began))
    return Catch(name, found.classes, "", seeds_max, first + seeds_max - 1, _since(began))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def summary(caught: Sequence[Catch]) -> dict[str, Any]:
    """The report of a hunt in plain values."""
    found = [item for item in caught if item.law]
    worst = max(caught, key=lambda item: (not item.law, item.seeds), default=None)
    return {
        "bugs": len(caught),
        "found": len(found),
        "median_seeds": statistics.median(item.seeds for item in caught) if caught else 0,
        "worst": {"bug": worst.bug, "seeds": worst.seeds, "law": worst.law} if worst else None,
        "missed": sorted(item.bug for item in caught if not item.law),
        "each": {item.bug: asdict(item) for item in sorted(caught, key=lambda item: item.bug)},
    }


def holds(told: dict[str, Any]) -> bool:
    """Whether every bug was found, half of them within `MEDIAN_MOST` seeds."""
    return bool(told["bugs"]) and told["found"] == told["bugs"] and told["median_seeds"] <= MEDIAN_MOST


def keep(path: Path, item: Catch) -> None:
    """Add `item` to the file of what was found."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(item)) + "\n")


def recall(path: Path) -> list[Catch]:
    """What was found before, the last word on each bug; a bug that was missed is looked for again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    told = [json.loads(line) for line in lines]
    catches = [Catch(**item | {"classes": tuple(item["classes"])}) for item in told]
    return list({item.bug: item for item in catches if item.law}.values())


def main(arguments: list[str] | None = None) -> int:
    """Hunt; 0 when every bug was found and the median is small enough, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m simulation.hunt", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="most seeds for a bug")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--bugs", default="", help="only these, separated by commas")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--kept", type=Path, help="a file of what was found, a line each; begun again, a hunt goes on behind it"
    )
    parser.add_argument("--json", action="store_true", help="nothing but the report, as one JSON object")
    asked = parser.parse_args(arguments)
    names = [name for name in asked.bugs.split(",") if name] or sorted(bugs())
    unknown = sorted(set(names) - set(bugs()))
    if unknown:
        parser.error(f"--bugs: {', '.join(unknown)} is none; `tradewinds simulate --list-bugs` names them")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    caught = [item for item in recall(asked.kept) if item.bug in names] if asked.kept else []
    left = [name for name in names if name not in {item.bug for item in caught}]
    for item in _hunt(left, asked.seed, asked.seeds, max(1, min(asked.jobs, len(left)))) if left else ():
        caught.append(item)
        if asked.kept:
            keep(asked.kept, item)
        told = f"{item.law} after {item.seeds} seeds" if item.law else f"NOT FOUND in {item.seeds} seeds"
        print(f"{len(caught)}/{len(names)} {item.bug}: {told}, {item.seconds} s", file=sys.stderr, flush=True)
    report = summary(caught)
    print(json.dumps(report if asked.json else {k: v for k, v in report.items() if k != "each"}))
    return 0 if holds(report) else 1


def _hunt(names: Sequence[str], first: int, seeds_max: int, jobs: int) -> Iterator[Catch]:
    context = multiprocessing.get_context("spawn")
    wanted: Any = context.Queue()
    caught: Any = context.Queue()
    for name in [*names, *[None] * jobs]:
        wanted.put(name)
    databases = [f"hunt_{number}" for number in range(jobs)]
    with server() as url:
        prepare(url, databases)
        with _processes([
            context.Process(target=_work, args=(url, database, wanted, caught, first, seeds_max), daemon=True)
            for database in databases
        ]) as processes:  # fmt: skip
            for _ in names:
                yield _next(caught, processes)


def _next(caught: Any, processes: Sequence[Any]) -> Catch:
    while True:
        try:
            item: Catch = caught.get(timeout=5.0)
        except Empty:
            if any(process.exitcode not in {None, 0} for process in processes):
                raise RuntimeError("a process of the hunt died; its message is above") from None
        else:
            return item


@contextmanager
def _processes(processes: list[Any]) -> Iterator[list[Any]]:
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(url: str, database_name: str, wanted: Any, caught: Any, first: int, seeds_max: int) -> None:
    listen()
    database = Database(url, database_name)
    try:
        while (name := wanted.get()) is not None:
            caught.put(look_for(database, name, first, seeds_max))
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())
