"""`tradewinds up`: a whole world on this machine, from servers to dashboard, and its clean end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.live import Live

from cli.context import child_environ
from cli.crew import Crew
from cli.live import Screen, Throughput
from cli.opening import Opening, open_world
from cli.options import STAGES
from cli.output import console, note
from cli.result import finished_by_stage, holds, one_line, scans_finished, show_result, summary
from common.bootstrap import build_fleet, seed_demo
from common.domain.errors import Transient
from common.machine import free_port, system_clock
from common.services.drain import compare_books, work_off
from common.services.fleet import Fleet
from common.services.read_pages import read_page
from common.services.status import fleet_status
from common.settings import PREFIX, Settings

log = logging.getLogger(__name__)

_TICK_S = 0.25
_LOOK_S = 1.0
_HEAD_START_S = 3.0
_STOP_S = 12.0
_STOP_CLOCK_S = 4.0  # Neither beat nor stream holds anything that a kill could lose.
_PROGRESS_S = 10.0


@dataclass(slots=True)
class Run:
    """A world while it runs."""

    opening: Opening
    settings: Settings
    fleet: Fleet
    crew: Crew
    addresses: dict[str, str] = field(default_factory=dict)
    scans_before: int = 0
    started_s: float | None = None
    status: Mapping[str, Any] = field(default_factory=dict)
    throughput: Throughput = field(default_factory=Throughput)
    phase: str = "starting"

    def now(self) -> float:
        """Seconds of life since the command was given."""
        return self.opening.now()

    def look(self) -> None:
        """Read the ledger; one that cannot be read now is read at the next look."""
        try:
            self.status = fleet_status(self.fleet)
        except Transient as error:
            log.warning("the ledger could not be read: %s", error)
            return
        if self.started_s is None and scans_finished(self.status) > self.scans_before:
            self.started_s = round(self.now(), 2)
            note(f"first scan finished {self.started_s} s after the command")
        self.throughput.look(self.now(), finished_by_stage(self.status))


def run_up(opening: Opening) -> int:
    """Run a world until its time is over or somebody asks it to end; 0 when its invariants hold at the end."""
    settings = open_world(opening, redis=True)
    world, stack = opening.world, opening.stack
    fleet = build_fleet(settings, "cli")
    stack.callback(fleet.store.close)
    seed_demo(fleet, settings)
    environ = child_environ(settings)
    world.announce({name: value for name, value in environ.items() if name.startswith(PREFIX)})
    crew = Crew(system_clock().monotonic, environ, world.logs, opening.note_sessions, opening.nursery)
    run = Run(opening, settings, fleet, crew)
    try:
        _start(run)
        with _shown(run) as refresh:
            _live(run, refresh)
            drained = _drain(run, refresh)
        return _conclude(run, drained)
    finally:
        crew.stop(list(crew.members), 2.0 if opening.asked.insisted else _STOP_S)


def _start(run: Run) -> None:
    """Start the processes; those that the first scan needs have the processors to themselves until it is done."""
    run.status = fleet_status(run.fleet)
    run.scans_before = scans_finished(run.status)
    python = [sys.executable, "-m"]
    first = ("signal", "maintenance")
    for stage in first:
        _start_stage(run, stage)
    run.crew.add("beat", [*python, "workers", "beat"])
    _await_first_scan(run)
    # Positions that an earlier run left open are guarded before anything new is entered.
    for stage in sorted(set(STAGES) - set(first), key=lambda name: (name != "position", STAGES.index(name))):
        _start_stage(run, stage)
    run.crew.add("stream", [*python, "workers", "stream"])
    run.crew.add("account-stream", [*python, "workers", "account-stream"])
    port = run.settings.api_port
    run.crew.add("api", [*python, "api"])
    run.addresses["API"] = f"http://127.0.0.1:{port}"
    if run.opening.wishes.wants_flower:
        port = run.opening.wishes.flower_port or free_port()
        run.crew.add("flower", [*python, "workers", "flower", "--port", str(port)])
        run.addresses["Flower"] = f"http://127.0.0.1:{port}"
    note(f"{len(run.crew.members)} processes started; logs are in {run.opening.world.logs}")


def _start_stage(run: Run, stage: str) -> None:
    share = run.opening.wishes.concurrency.get(stage)
    extra = ["--concurrency", str(share)] if share else []
    run.crew.add(stage, [sys.executable, "-m", "workers", "worker", stage, *extra])


def _await_first_scan(run: Run) -> None:
    """Wait a moment for the first scan; between two candles there is none to wait for."""
    until = run.now() + _HEAD_START_S
    while run.started_s is None and not run.opening.asked.asked and run.now() < until:
        run.opening.asked.wait(_TICK_S / 2)
        run.crew.tend()
        run.look()


def _live(run: Run, refresh: Callable[[], None]) -> None:
    run.phase = "trading"
    deadline = None if run.opening.wishes.for_s is None else run.now() + run.opening.wishes.for_s
    next_look = 0.0
    while not run.opening.asked.asked and (deadline is None or run.now() < deadline):
        run.crew.tend()
        if run.now() >= next_look:
            run.look()
            next_look = run.now() + (_TICK_S if run.started_s is None else _LOOK_S)
        refresh()
        run.opening.asked.wait(_TICK_S)


def _drain(run: Run, refresh: Callable[[], None]) -> bool:
    """Take nothing new, finish what was begun; whether all of it was finished in time."""
    run.phase = "draining"
    note("draining: no new scans, finishing what was begun")
    run.crew.stop(["stream", "beat"], _STOP_CLOCK_S)
    deadline = run.now() + run.opening.wishes.drain_s
    left = "not known"
    while not run.opening.asked.insisted and run.now() < deadline:
        run.crew.tend()
        try:
            under_way = work_off(run.fleet)
            if under_way.is_empty:
                return True
            left = f"{under_way.jobs} jobs, {under_way.orders} orders"
        except Transient as error:
            log.warning("the drain goes on: %s", error)
        run.look()
        refresh()
        run.opening.asked.pause(_TICK_S)
    note(f"not everything was finished: {left}")
    return False


def _conclude(run: Run, drained: bool) -> int:
    if run.opening.asked.insisted:
        note("stopped without finishing; the next `up` of this world goes on from here")
        return 130
    run.phase = "comparing the books"
    invariants = compare_books(run.fleet)
    run.look()
    result = summary(run.status, invariants, started_s=run.started_s, drained=drained, world=run.opening.world.name)
    show_result(result, run.opening.wishes.as_json)
    return 0 if holds(result) else 1


@contextmanager
def _shown(run: Run) -> Iterator[Callable[[], None]]:
    """The live view where somebody watches, else a line of progress now and then."""
    if not run.opening.wishes.is_watched:
        yield _progress(run)
        return
    with Live(console=console(), refresh_per_second=4, transient=True) as live:
        yield lambda: live.update(_screen(run))


def _progress(run: Run) -> Callable[[], None]:
    spoken_at = run.now()

    def speak() -> None:
        nonlocal spoken_at
        if run.now() - spoken_at >= _PROGRESS_S and run.status:
            spoken_at = run.now()
            note(f"{run.now():6.1f} s  {run.phase}: {one_line(run.status)}")

    return speak


def _screen(run: Run) -> Screen:
    try:
        latest = read_page(run.fleet, "decisions", tenant_id=None, as_operator=True, limit=8).items
        held = read_page(run.fleet, "positions", tenant_id=None, as_operator=True, limit=8).items
    except Transient as error:
        log.warning("the ledger could not be read: %s", error)
        latest, held = [], []
    return Screen(
        world=run.opening.world.name,
        phase=run.phase,
        status=run.status,
        rates=run.throughput.rates,
        members=list(run.crew.members.values()),
        decisions=latest,
        positions=held,
        addresses=run.addresses,
    )
