"""Searches for parameters: studies are asked, processes try, and what came of it is told in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from common.domain.codec import encode
from common.domain.search import Dimension, Outcome, Tried, Values, best_of
from common.ports.search import Study
from common.services.run_backtest import chosen_strategy
from common.services.try_parameters import Bench

Submit = Callable[[Values, datetime | None, datetime | None], Future[Outcome]]
"""Has one trial made, here or in another process."""

Tell = Callable[[str, Tried], None]


@dataclass(slots=True)
class Course:
    """One search on one stretch, called `name`: its study, how many trials it is to have, what is under way."""

    name: str
    study: Study
    trials: int
    since: datetime | None
    until: datetime | None
    asked: int = 0
    told: int = 0
    early: dict[int, Tried] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether every trial was told."""
        return self.told >= self.trials

    @property
    def best(self) -> Tried | None:
        """The best of the trials wanted; more may have been made before."""
        return best_of(self.study.tried()[: self.trials])


def lag_of(jobs: int, courses: int) -> int:
    """How many trials of one search may be under way at once: enough that `jobs` processes have the next one waiting."""
    return 1 if jobs == 1 else max(1, -(-2 * jobs // courses))


def drive(courses: Sequence[Course], submit: Submit, lag: int, tell: Tell) -> None:
    """Bring every course to its number of trials; `tell` hears of each trial as it is told, not of those made before.

    A trial is asked for when `lag` trials before it have been told, and told when all before it have been: what is tried
    depends on the seed and on `lag`, never on which process is faster. Trials that an earlier process asked for and never
    told are made first. Where it ends early, the studies know what was told.
    """
    pending: dict[Future[Outcome], tuple[Course, int, Values]] = {}
    for course in courses:
        course.told = len(course.study.tried())
        waiting = course.study.waiting()
        course.asked = course.told + len(waiting)
        for number, values in waiting:
            if number < course.trials:
                pending[submit(values, course.since, course.until)] = (course, number, values)
        _ask(course, submit, lag, pending)
    while pending:
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            course, number, values = pending.pop(future)
            # The days are for stitching; a study needs none, and thousands of trials would keep thousands of days.
            course.early[number] = Tried(number, values, replace(future.result(), daily=()))
            for tried in _told(course):
                tell(course.name, tried)
                _ask(course, submit, lag, pending)


def _ask(course: Course, submit: Submit, lag: int, pending: dict[Future[Outcome], tuple[Course, int, Values]]) -> None:
    while course.asked < min(course.trials, course.told + lag):
        number, values = course.study.ask()
        course.asked += 1
        pending[submit(values, course.since, course.until)] = (course, number, values)


def _told(course: Course) -> Iterator[Tried]:
    """Tell the study what has come in, as far as nothing before it is missing."""
    while course.told in course.early:
        tried = course.early.pop(course.told)
        course.study.tell(tried.number, tried.outcome)
        course.told += 1
        yield tried


def study_setup(bench: Bench, space: Sequence[Dimension], seed: int, method: str, **more: object) -> dict[str, str]:
    """Everything that a study's answers follow from, by name: another value of any of it is another study."""
    wishes = bench.wishes
    first = bench.markets[0]
    return {
        "strategy": wishes.strategy,
        "version": chosen_strategy(wishes).version,
        "parameters": _written(wishes.parameters),
        "space": "; ".join(f"{item.name} {item.low}:{item.high} from {item.default}" for item in space),
        "instruments": ", ".join(market.instrument.symbol for market in bench.markets),
        "timeframe": str(first.columns.timeframe),
        "from": str(wishes.window[0]),
        "to": str(wishes.window[1]),
        "risk": wishes.profile or "default",
        "limits": _written(wishes.limits),
        "equity": str(wishes.equity),
        "costs": _written(
            {name: getattr(wishes, name) for name in ("fee_bps", "slippage_bps", "spread_bps", "latency")}
        ),
        "objective": bench.objective.value,
        "trades_min": str(bench.trades_min),
        "seed": str(seed),
        "method": method,
        **{name: str(value) for name, value in more.items()},
        # Last, for what differs is told in this order, and other instruments or fees are other candles too.
        "candles": bench.digest,
    }


def _written(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(values.items())) or "none"


def trial_row(tried: Tried) -> dict[str, Any]:
    """One trial as a row."""
    measured = tried.outcome.measured
    return {
        "number": tried.number,
        "value": encode(tried.outcome.value),
        "parameters": dict(tried.values),
        "measured": None if measured is None else encode(measured),
        "refused": tried.outcome.refused,
    }


def search_document(course: Course, space: Sequence[Dimension], top: int) -> dict[str, Any]:
    """What a search came to: the best trial, the first `top`, and the strategy's own values beside them."""
    tried = list(course.study.tried()[: course.trials])
    valued = [item for item in tried if item.outcome.value is not None]
    ranked = sorted(valued, key=lambda item: (-(item.outcome.value or 0), item.number))
    own = {item.name: item.default for item in space}
    usual = next((item for item in tried if item.values == own), None)
    return {
        "trials": len(tried),
        "valued": len(valued),
        "refused": sum(item.outcome.refused is not None for item in tried),
        "best": trial_row(ranked[0]) if ranked else None,
        "defaults": trial_row(usual) if usual else None,
        "top": [trial_row(item) for item in ranked[:top]],
        "values": [None if item.outcome.value is None else float(item.outcome.value) for item in tried],
    }
