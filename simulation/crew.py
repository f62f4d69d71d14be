"""Runs seeds in as many processes as wanted, each with a database of its own on the one server."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty
from typing import Any

from simulation.database import Database, prepare, server
from simulation.kill_points import aims
from simulation.report import Report
from simulation.seed import Outcome, listen, run_seed

BUGS = "tests.bugs"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to run."""

    first: int
    count: int
    kinds: tuple[str, ...]
    jobs: int
    bug: str | None = None
    stop_at_first: bool = False
    database_url: str | None = None
    database_name: str = "simulation"
    quiet: bool = False


def bugs() -> dict[str, Any]:
    """The seeded bugs by name; they live with the tests and are missing from an installed fleet."""
    return dict(importlib.import_module(BUGS).BUGS)


def run_all(wishes: Wishes, report: Report) -> float:
    """Run every seed and add it to `report`; returns the seconds the seeds took, set-up left out."""
    jobs = max(1, min(wishes.jobs, wishes.count))
    names = [f"{wishes.database_name}_{number}" for number in range(jobs)]
    with ExitStack() as stack:
        url = wishes.database_url or stack.enter_context(server())
        prepare(url, names)
        started = time.monotonic()
        if jobs == 1:
            _work(url, names[0], wishes, 0, 1, lambda outcome: _take(report, outcome, wishes, started))
        else:
            _spread(url, names, wishes, report, started)
        return time.monotonic() - started


def _take(report: Report, outcome: Outcome, wishes: Wishes, started: float) -> bool:
    report.add(outcome)
    if not wishes.quiet:
        rate = sum(report.faults.values()) / max(time.monotonic() - started, 0.001)
        text = f"{report.seeds}/{wishes.count} seeds, {sum(report.faults.values())} faults ({rate:.0f}/s)"
        print(f"\r{text}, {report.violations} violations", end="", file=sys.stderr, flush=True)
    return not (wishes.stop_at_first and outcome.violations)


def _work(url: str, name: str, wishes: Wishes, offset: int, step: int, take: Callable[[Outcome], bool]) -> None:
    listen()
    # Seeds leave little behind: one collection now and then is cheaper than thousands.
    gc.disable()
    if wishes.bug is not None:
        bugs()[wishes.bug].plant()
    database = Database(url, name)
    try:
        for seed in range(wishes.first + offset, wishes.first + wishes.count, step):
            outcome = run_seed(database, seed, wishes.kinds, aims(seed) if "crash" in wishes.kinds else frozenset())
            if seed % 16 == 0:
                gc.collect()
            if not outcome.violations:
                outcome.trace = []
            if not take(outcome):
                return
    finally:
        database.close()


def _spread(url: str, names: list[str], wishes: Wishes, report: Report, started: float) -> None:
    context = multiprocessing.get_context("spawn")
    outcomes: Any = context.Queue()
    processes = [
        context.Process(target=_child, args=(url, name, wishes, number, len(names), outcomes), daemon=True)
        for number, name in enumerate(names)
    ]
    for process in processes:
        process.start()
    try:
        left = len(processes)
        while left:
            try:
                outcome = outcomes.get(timeout=5.0)
            except Empty:
                if any(process.exitcode not in {None, 0} for process in processes):
                    raise RuntimeError("a process of the simulation died; its message is above") from None
                continue
            if outcome is None:
                left -= 1
            elif not _take(report, outcome, wishes, started):
                return
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _child(url: str, name: str, wishes: Wishes, offset: int, step: int, outcomes: Any) -> None:
    def take(outcome: Outcome) -> bool:
        outcomes.put(outcome)
        return True

    _work(url, name, wishes, offset, step, take)
    outcomes.put(None)
