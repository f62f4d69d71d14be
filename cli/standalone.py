"""`tradewinds standalone`: the same world in one process, without a broker."""

from __future__ import annotations

from cli.opening import Opening, open_world
from cli.output import note
from cli.result import holds, one_line, scans_finished, show_result, summary
from common.bootstrap import build_fleet, seed_demo
from common.domain.errors import Transient
from common.services.drain import compare_books
from common.services.fleet import Fleet
from common.services.standalone import JOB_THREADS, run_standalone
from common.services.status import fleet_status

_LOOK_S = 0.5
_PROGRESS_S = 10.0


class Watch:
    """Decides when the run is over, and notes on the way when its first scan was finished."""

    def __init__(self, fleet: Fleet, opening: Opening) -> None:
        self._fleet, self._opening = fleet, opening
        for_s = opening.wishes.for_s
        self._deadline = None if for_s is None else opening.now() + for_s
        self._scans_before = scans_finished(fleet_status(fleet))
        self._look_at = self._speak_at = 0.0
        self.started_s: float | None = None

    def is_over(self) -> bool:
        """Whether to stop now."""
        now = self._opening.now()
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._look(now)
        return self._opening.asked.asked or (self._deadline is not None and now >= self._deadline)

    def _look(self, now: float) -> None:
        try:
            status = fleet_status(self._fleet)
        except Transient as error:
            note(f"the ledger could not be read: {error}")
            return
        if self.started_s is None and scans_finished(status) > self._scans_before:
            self.started_s = round(now, 2)
            note(f"first scan finished {self.started_s} s after the command")
        if now >= self._speak_at:
            self._speak_at = now + _PROGRESS_S
            note(f"{now:6.1f} s  {one_line(status)}")


def run_alone(opening: Opening) -> int:
    """Run a world in this process until its time is over or somebody asks it to end; 0 when its invariants hold."""
    settings = open_world(opening, redis=False)
    # Every thread may hold a claim and a short transaction beside it.
    roomy = settings.model_copy(update={"database_pool_size": max(settings.database_pool_size, 2 * JOB_THREADS + 16)})
    fleet = build_fleet(roomy, "standalone")
    opening.stack.callback(fleet.store.close)
    seed_demo(fleet, settings)
    watch = Watch(fleet, opening)
    run_standalone(fleet, until=watch.is_over)
    if opening.asked.insisted:
        note("stopped without finishing; the next run of this world goes on from here")
        return 130
    invariants = compare_books(fleet)
    result = summary(fleet_status(fleet), invariants, started_s=watch.started_s, world=opening.world.name)
    show_result(result, opening.wishes.as_json)
    return 0 if holds(result) else 1
