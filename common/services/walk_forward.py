"""Walk-forward: parameters found on one stretch are judged on the next, window after window (B-25)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from common.domain.backtest.measured import Measured
from common.domain.backtest.walk_forward import (
    Gate,
    Gates,
    Stitched,
    Window,
    stitched,
    stitched_gates,
    window_gates,
)
from common.domain.codec import encode
from common.domain.search import Dimension, Outcome, Tried
from common.ports.search import StudyBook
from common.services.search_parameters import Course, Submit, Tell, drive, lag_of


@dataclass(frozen=True, slots=True)
class Judged:
    """One window: the best trial in training (None where none had a value) and what it came to out of sample."""

    window: Window
    best: Tried | None
    validated: Outcome | None
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate is open."""
        return all(gate.passed for gate in self.gates)

    @property
    def trained(self) -> Measured | None:
        """What the best trial measured in training."""
        return None if self.best is None else self.best.outcome.measured

    @property
    def measured(self) -> Measured | None:
        """What it measured out of sample."""
        return None if self.validated is None else self.validated.measured


@dataclass(frozen=True, slots=True)
class WalkForward:
    """All windows, the stretches out of sample as one, and the gates that decide."""

    windows: tuple[Judged, ...]
    whole: Stitched
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether the search may be believed."""
        return all(gate.passed for gate in self.gates)


def courses_of(
    windows: Sequence[Window], book: StudyBook, space: Sequence[Dimension], trials: int, seed: int
) -> list[Course]:
    """A search on the training stretch of every window, each with dice of its own."""
    return [
        Course(
            f"window {item.number}",
            book.study(f"window-{item.number:04d}", space, seed * 10_000 + item.number),
            trials,
            item.train_from,
            item.train_to,
        )
        for item in windows
    ]


def walk_forward(
    windows: Sequence[Window], courses: Sequence[Course], submit: Submit, jobs: int, gates: Gates, tell: Tell
) -> WalkForward:
    """Search on every training stretch, then judge each best once on the stretch that follows it.

    With as many windows as twice the `jobs`, or more, what is found does not depend on how many there are.
    """
    drive(courses, submit, lag_of(jobs, len(courses)), tell)
    bests = [course.best for course in courses]
    futures = [_validated(item, best, submit) for item, best in zip(windows, bests, strict=True)]
    judged = tuple(
        _judged(item, best, None if future is None else future.result(), gates)
        for item, best, future in zip(windows, bests, futures, strict=True)
    )
    daily = [() if item.validated is None else item.validated.daily for item in judged]
    whole = stitched([item.trained for item in judged], [item.measured for item in judged], daily)
    return WalkForward(judged, whole, stitched_gates(gates, whole))


def _validated(window: Window, best: Tried | None, submit: Submit) -> Future[Outcome] | None:
    return None if best is None else submit(best.values, window.train_to, window.validate_to)


def _judged(window: Window, best: Tried | None, validated: Outcome | None, gates: Gates) -> Judged:
    trained = None if best is None else best.outcome.measured
    return Judged(
        window, best, validated, window_gates(gates, trained, None if validated is None else validated.measured)
    )


def walk_forward_document(found: WalkForward) -> dict[str, Any]:
    """Everything a walk-forward came to, as plain values for JSON."""
    return {
        "passed": found.passed,
        "gates": [encode(gate) for gate in found.gates],
        "windows_passed": sum(item.passed for item in found.windows),
        "out_of_sample": encode(found.whole),
        "windows": [_row(item) for item in found.windows],
    }


def _row(item: Judged) -> dict[str, Any]:
    return {
        "number": item.window.number,
        "train_from": item.window.train_from.isoformat(),
        "train_to": item.window.train_to.isoformat(),
        "validate_to": item.window.validate_to.isoformat(),
        "parameters": None if item.best is None else dict(item.best.values),
        "value": None if item.best is None else encode(item.best.outcome.value),
        "train": None if item.trained is None else encode(item.trained),
        "validate": None if item.measured is None else encode(item.measured),
        "refused": None if item.validated is None else item.validated.refused,
        "gates": [encode(gate) for gate in item.gates],
        "passed": item.passed,
    }
