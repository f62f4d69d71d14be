"""Where trials are made: in this process, or in as many as there are cores, each with the candles loaded once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from common.domain.errors import Transient
from common.domain.search import Outcome, Values
from common.services.search_parameters import Submit
from common.services.try_parameters import Bench, attempt

_benches: list[Bench] = []
"""The bench of this process, where it is one of those that make trials."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def trials_in(jobs: int, bench: Bench, folders: Sequence[Path]) -> Iterator[Submit]:
    """What has trials made on `bench` by `jobs` processes; one job needs no other process than this.

    `folders` hold strategies of the user's own. Raises Transient where a process dies; what was told stays told.
    """
    if jobs == 1:
        yield lambda values, since, until: _done(attempt(bench, values, since, until))
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, _begin, (bench, tuple(folders)))
    try:
        yield lambda values, since, until: pool.submit(_attempt, values, since, until)
    except BrokenProcessPool as error:
        raise Transient(
            "a process that made trials has died, perhaps for want of memory; what was tried is kept, the same command "
            "goes on, and --jobs N asks for fewer"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _done(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def _begin(bench: Bench, folders: Sequence[Path]) -> None:
    from common.offline import find_strategies

    # Ctrl-C is for the process that asks; this one ends when that one has ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    find_strategies(folders, bench.wishes.strategy)
    _benches.append(bench)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(values: Values, since: datetime | None, until: datetime | None) -> Outcome:
    return attempt(_benches[-1], values, since, until)
