"""`tradewinds standalone`: the same world in one process, without a broker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from cli.interrupts import Interrupts, interrupts
from cli.opening import Wishes, open_world, wanted_world, with_strategies
from cli.output import note
from cli.result import holds, one_line, scans_finished, show_result, summary
from common.bootstrap import build_fleet, seed_demo, system_clock
from common.domain.errors import Transient
from common.services.drain import compare_books
from common.services.fleet import Fleet
from common.services.standalone import JOB_THREADS, run_standalone
from common.services.status import fleet_status
from common.settings import read_settings

_LOOK_S = 0.5
_PROGRESS_S = 10.0


class Watch:
    """Decides when the run is over, and notes on the way when its first scan was finished."""

    def __init__(self, fleet: Fleet, asked: Interrupts, began: float, for_s: float | None) -> None:
        self._fleet, self._asked, self._began = fleet, asked, began
        self._monotonic: Callable[[], float] = system_clock().monotonic
        self._deadline = None if for_s is None else self._monotonic() + for_s
        self._scans_before = scans_finished(fleet_status(fleet))
        self._look_at = self._speak_at = 0.0
        self.started_s: float | None = None

    def is_over(self) -> bool:
        """Whether to stop now."""
        now = self._monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._look(now)
        return self._asked.asked or (self._deadline is not None and now >= self._deadline)

    def _look(self, now: float) -> None:
        try:
            status = fleet_status(self._fleet)
        except Transient as error:
            note(f"the ledger could not be read: {error}")
            return
        if self.started_s is None and scans_finished(status) > self._scans_before:
            self.started_s = round(now - self._began, 2)
            note(f"first scan finished {self.started_s} s after the command")
        if now >= self._speak_at:
            self._speak_at = now + _PROGRESS_S
            note(f"{now - self._began:6.1f} s  {one_line(status)}")


def run_alone(wishes: Wishes) -> int:
    """Run a world in this process until its time is over or somebody asks it to end; 0 when its invariants hold."""
    began = system_clock().monotonic()
    settings = with_strategies(wishes, read_settings(attach=False))
    world = wanted_world(wishes, settings)
    with world.claimed(), interrupts() as asked, ExitStack() as stack:
        settings = open_world(wishes, world, settings, asked, stack, redis=False)
        # Every thread may hold a claim and a short transaction beside it.
        roomy = settings.model_copy(
            update={"database_pool_size": max(settings.database_pool_size, 2 * JOB_THREADS + 16)}
        )
        fleet = build_fleet(roomy, "standalone")
        stack.callback(fleet.store.close)
        seed_demo(fleet, settings)
        watch = Watch(fleet, asked, began, wishes.for_s)
        run_standalone(fleet, until=watch.is_over)
        if asked.insisted:
            note("stopped without finishing; the next run of this world goes on from here")
            return 130
        invariants = compare_books(fleet)
        result = summary(fleet_status(fleet), invariants, started_s=watch.started_s, world=world.name)
        show_result(result, wishes.as_json)
        return 0 if holds(result) else 1
