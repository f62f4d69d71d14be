"""The whole fleet in one process without a broker: the same use cases, rung by threads; for development and one user."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.domain.errors import TradewindsError
from common.domain.job import JobRef
from common.services.drain import work_off
from common.services.fleet import Fleet
from common.services.follow_accounts import Follower
from common.services.forget import forget
from common.services.monitor_account import visit_account
from common.services.reconcile_account import reconcile_account
from common.services.reconcile_cash import reconcile_cash
from common.services.refresh_candidates import refresh_candidates
from common.services.refresh_instruments import refresh_instruments
from common.services.refresh_sources import refresh_sources
from common.services.relay_jobs import relay_jobs
from common.services.review_positions import review_positions
from common.services.routines import ROUTINES
from common.services.schedule_scans import schedule_scans
from common.services.snapshot_equity import snapshot_equity
from common.services.stage import run
from common.services.ticks import each_account

log = logging.getLogger(__name__)

JOB_THREADS = 6
_LOOK_S = 0.1
_DRAIN_VISITS_MAX = 300


class LocalBus:
    """The Bus port inside one process: a queue of references; what is lost with the process the relay finds again."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[JobRef] = queue.SimpleQueue()

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Hand `refs` to this process's own job threads."""
        for ref in refs:
            self.waiting.put(ref)


@dataclass(frozen=True, slots=True)
class Tick:
    """Something done again and again: every `venue_s` seconds of venue time, but at most every `floor_s` of life."""

    name: str
    act: Callable[[Fleet], object]
    venue_s: float
    floor_s: float
    is_scan: bool = False

    def period_s(self, rate: float) -> float:
        """Seconds of life between two ticks."""
        return max(self.venue_s / rate, self.floor_s)


def _scan(fleet: Fleet) -> None:
    for venue in fleet.market_data:
        schedule_scans(fleet, venue)


def _refresh(fleet: Fleet) -> None:
    for venue in fleet.market_data:
        refresh_instruments(fleet, venue)


def _rank(fleet: Fleet) -> None:
    refresh_sources(fleet)
    for venue in fleet.market_data:
        refresh_candidates(fleet, venue)


TICKS = (
    Tick("scan", _scan, venue_s=2, floor_s=0.1, is_scan=True),
    Tick("visit", lambda fleet: each_account(fleet, visit_account), venue_s=2, floor_s=0.3),
    Tick("relay", relay_jobs, venue_s=0, floor_s=1),
    Tick("reconcile", lambda fleet: each_account(fleet, reconcile_account), venue_s=60, floor_s=5),
    Tick("cash", lambda fleet: each_account(fleet, reconcile_cash), venue_s=60, floor_s=5),
    Tick("review", lambda fleet: each_account(fleet, review_positions), venue_s=300, floor_s=5),
    Tick("equity", lambda fleet: each_account(fleet, snapshot_equity), venue_s=300, floor_s=5),
    Tick("instruments", _refresh, venue_s=3600, floor_s=60),
    Tick("retention", forget, venue_s=0, floor_s=3600),
    Tick("candidates", _rank, venue_s=3600, floor_s=60),
)


def run_standalone(fleet: Fleet, until: Callable[[], bool]) -> None:
    """Run every stage until `until()` is true, then finish what was begun and return; Redis is not needed.

    `fleet.bus` is replaced by a queue of this process. Each thread may hold two database connections at once.
    """
    bus = LocalBus()
    fleet.bus = bus
    no_more_scans, stop = threading.Event(), threading.Event()
    threads = [threading.Thread(target=_work, args=(fleet, bus, stop), daemon=True) for _ in range(JOB_THREADS)]
    threads += [
        threading.Thread(target=_repeat, args=(fleet, tick, no_more_scans if tick.is_scan else stop), daemon=True)
        for tick in TICKS
    ]
    threads.append(threading.Thread(target=Follower(fleet).run, args=(stop,), daemon=True))
    for thread in threads:
        thread.start()
    while not until():
        no_more_scans.wait(_LOOK_S)
    no_more_scans.set()
    _drain(fleet, until=stop)
    stop.set()
    for thread in threads:
        thread.join(timeout=10)


def _work(fleet: Fleet, bus: LocalBus, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            ref = bus.waiting.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
        run(fleet, ROUTINES, ref)


def _repeat(fleet: Fleet, tick: Tick, stop: threading.Event) -> None:
    while True:
        try:
            tick.act(fleet)
        except TradewindsError as error:
            log.warning("%s waits for its next tick: %s", tick.name, error)
        if stop.wait(tick.period_s(fleet.clock.rate)):
            return


def _drain(fleet: Fleet, until: threading.Event) -> None:
    """Let the threads finish what was begun; bounded, for what is not finished now is finished by the next run."""
    for _ in range(_DRAIN_VISITS_MAX):
        try:
            if work_off(fleet).is_empty:
                return
        except TradewindsError as error:
            log.warning("draining goes on: %s", error)
        until.wait(_LOOK_S)
