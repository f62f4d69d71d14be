"""`tradewinds backtest search` and `walk-forward`: parameters are looked for, and what is found is doubted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.backtest import Wanted, candles_of
from cli.data import progress
from cli.output import answer, note
from cli.search_view import show_search, show_walk_forward
from cli.trials import cores, trials_in
from common.domain.backtest.walk_forward import Gates, windows
from common.domain.errors import InvalidInput
from common.domain.search import Dimension, Tried, Value, objective_named, space_of
from common.offline import age_s, studies
from common.services.run_backtest import chosen_strategy
from common.services.search_parameters import Course, Submit, drive, lag_of, search_document, study_setup
from common.services.try_parameters import Bench, load_bench
from common.services.walk_forward import courses_of, walk_forward, walk_forward_document

if TYPE_CHECKING:
    from common.offline import StudyBook

TOP = 10


@dataclass(frozen=True, slots=True)
class Sought:
    """What was typed about a search, beside the backtest it makes again and again."""

    wanted: Wanted
    trials: int
    objective: str = "sharpe"
    ranges: Sequence[str] = ()
    study: str | None = None
    jobs: int | None = None
    seed: int = 7
    searcher: str = "tpe"
    trades_min: int = 20
    folders: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A search about to begin: its bench, its space, and its book, which this process holds."""

    sought: Sought
    bench: Bench
    space: tuple[Dimension, ...]
    name: str
    book: StudyBook
    jobs: int

    @contextmanager
    def trials(self, courses: Sequence[Course]) -> Iterator[tuple[Submit, Callable[[str, Tried], None]]]:
        """(who makes trials, who hears of them); a bar shows how many are left, and for how long."""
        total = sum(course.trials for course in courses)
        before = sum(min(course.trials, len(course.study.tried())) for course in courses)
        if before:
            note(f"going on with the study {self.name!r}: {before} of {total} trials are made")
        with (
            progress(total, "trials", self.sought.wanted.as_json) as bar,
            trials_in(self.jobs, self.bench, self.sought.folders) as submit,
        ):
            # What was made before says nothing of how long the rest will take.
            bar.reset(bar.task_ids[0], completed=before)
            try:
                yield submit, lambda name, _: bar.update(bar.task_ids[0], advance=1, description=name)
            except KeyboardInterrupt:
                note(f"stopped; the same command goes on with the study {self.name!r}")
                raise

    def answer(self, began: float, fresh: int, candles: int) -> dict[str, Any]:
        """What every search tells of itself: `fresh` trials over so many `candles` in all were made just now."""
        took = age_s() - began
        return {
            "study": self.name,
            "strategy": self.bench.wishes.strategy,
            "objective": self.bench.objective.value,
            "searcher": self.sought.searcher,
            "seed": self.sought.seed,
            "jobs": self.jobs,
            "instruments": [market.instrument.symbol for market in self.bench.markets],
            "space": {item.name: [item.low, item.high] for item in self.space},
            "seconds": round(took, 3),
            "trials_now": fresh,
            "trials_per_s": round(fresh / took, 3) if fresh else None,
            "candles_per_s": round(candles / took) if fresh else None,
        }


@contextmanager
def prepared(sought: Sought, kind: str, **more: object) -> Iterator[Prepared]:
    """Load candles, find the space and open the book of `sought`; `more` is part of its setup."""
    wishes = sought.wanted.wishes
    space = space_of(chosen_strategy(wishes).parameters, dict(map(_range, sought.ranges)), list(wishes.parameters))
    with candles_of(sought.wanted) as source:
        bench = load_bench(source, wishes, objective_named(sought.objective), sought.trades_min)
    kept = studies(_folder(sought.wanted.world), sought.searcher)
    setup = study_setup(bench, space, sought.seed, sought.searcher, kind=kind, **more)
    digest = hashlib.sha256(repr(sorted(setup.items())).encode()).hexdigest()[:8]
    name = sought.study or f"{wishes.strategy}-{kind}-{digest}".lower()
    with ExitStack() as stack:
        book = stack.enter_context(kept.open(name, setup))
        yield Prepared(sought, bench, space, name, book, sought.jobs or cores())


def _folder(world: str | None) -> Path:
    from cli.worlds import world_of
    from common.settings import read_settings

    settings = read_settings(world=None)
    base = settings.home.resolve() if world is None else world_of(settings, world).directory
    return base / "studies"


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, _, rest = text.partition("=")
    low, sign, high = rest.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        raise InvalidInput("space", text, "NAME=LOW:HIGH, such as fast=5:30") from None
    if not name or not sign:
        raise InvalidInput("space", text, "NAME=LOW:HIGH, such as fast=5:30")
    return name, found


def run_search(sought: Sought) -> None:
    """`tradewinds backtest search`."""
    with prepared(sought, "search") as ready:
        course = Course("trials", ready.book.study("search", ready.space, sought.seed), sought.trials, *_span(ready))
        before, began = len(course.study.tried()), age_s()
        with ready.trials([course]) as (submit, tell):
            drive([course], submit, lag_of(ready.jobs, 1), tell)
        fresh = max(0, course.told - before)
        found = ready.answer(began, fresh, fresh * _candles(ready.bench, *_span(ready)))
        found |= search_document(course, ready.space, TOP)
    if found["best"]:
        found["run"] = _command(found["best"]["parameters"], ready.bench.wishes.strategy)
    answer(found, sought.wanted.as_json, lambda console: show_search(console, found, ready.space))


def _span(ready: Prepared) -> tuple[Any, Any]:
    return ready.bench.wishes.window


def _candles(bench: Bench, since: Any, until: Any) -> int:
    """Candles of all markets that open in a stretch."""
    first = 0 if since is None else since.timestamp() * 1000
    last = float("inf") if until is None else until.timestamp() * 1000
    opened = (market.columns.opened_at for market in bench.markets)
    return sum(int(((at >= first) & (at < last)).sum()) for at in opened)


def _command(values: Mapping[str, Value], strategy: str) -> str:
    params = " ".join(f"--param {name}={value!r}" for name, value in values.items())
    return f"tradewinds backtest run --strategy {strategy} {params}"


def run_walk_forward(
    sought: Sought,
    train: timedelta,
    validate: timedelta,
    step: timedelta | None,
    gates: Gates,
    report: Path | None,
) -> int:
    """`tradewinds backtest walk-forward`: 0 when every gate is open, 1 otherwise."""
    with prepared(sought, "walk", train=train, validate=validate, step=step or validate) as ready:
        found = windows(*ready.bench.span, train, validate, step)
        courses = courses_of(found, ready.book, ready.space, sought.trials, sought.seed)
        before, began = [len(item.study.tried()) for item in courses], age_s()
        with ready.trials(courses) as (submit, tell):
            judged = walk_forward(found, courses, submit, ready.jobs, gates, tell)
        fresh = [max(0, course.told - made) for course, made in zip(courses, before, strict=True)]
        each = [_candles(ready.bench, item.train_from, item.train_to) for item in found]
        result = ready.answer(began, sum(fresh), sum(n * size for n, size in zip(fresh, each, strict=True)))
        result |= walk_forward_document(judged)
    if report is not None:
        from cli.walk_forward_report import write_report

        result["written"] = [str(write_report(judged, result, report))]
    answer(result, sought.wanted.as_json, lambda console: show_walk_forward(console, result))
    return 0 if judged.passed else 1
