"""Blunders are labelled by rule, with the severities of the seed, and graded by the worst."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from common.domain.blunder import SEVERITIES, BlunderLabel, Evidence, Grade, Review, counts_of, grade_of, review
from common.domain.position import Position
from common.domain.signal import ExitPlan, Side
from tests.domain.risk_world import NOW, D
from tests.domain.test_exits import LONG

HELD = timedelta(minutes=10)
LOST = replace(
    LONG, quantity=D(0), gross_profit=D(-10), closed_at=NOW + HELD, exits=ExitPlan(D(95), D(110), max_hold=HELD)
)
WON = replace(LOST, gross_profit=D(10))
L = BlunderLabel

LABELS: list[tuple[BlunderLabel, tuple[Position, Evidence], tuple[Position, Evidence]]] = [
    (
        L.RULE_VIOLATION_SPREAD,
        (LOST, Evidence(entry_spread_bps=D(10), spread_bps_max=D(10))),
        (LOST, Evidence(entry_spread_bps=D("10.1"), spread_bps_max=D(10))),
    ),
    (
        L.RULE_VIOLATION_SIZE,
        (WON, Evidence(largest_quantity=D(2))),
        (WON, Evidence(largest_quantity=D("1.9"))),
    ),
    (
        L.RULE_VIOLATION_TIMING,
        (replace(LOST, closed_at=NOW + HELD * 1.1), Evidence()),
        (replace(LOST, closed_at=NOW + HELD * 1.2), Evidence()),
    ),
    (L.TRADED_DURING_FORBIDDEN, (LOST, Evidence()), (LOST, Evidence(was_forbidden=True))),
    (
        L.OVERSIZED_POSITION,
        (LOST, Evidence(largest_quantity=D("2.5"))),
        (LOST, Evidence(largest_quantity=D("2.4"))),
    ),
    (L.WRONG_DIRECTION, (LOST, Evidence(return_after=D("-0.01"))), (LOST, Evidence(return_after=D("-0.011")))),
    (
        L.LATE_EXIT,
        (LOST, Evidence(planned_hold=HELD / 2)),
        (LOST, Evidence(planned_hold=HELD / 2 - timedelta(seconds=1))),
    ),
    (L.PREMATURE_EXIT, (LOST, Evidence(planned_hold=HELD * 3)), (LOST, Evidence(planned_hold=HELD * 4))),
]


@pytest.mark.parametrize(("label", "fine", "wrong"), LABELS, ids=[str(row[0]) for row in LABELS])
def test_a_label_is_given_just_beyond_its_line(label: BlunderLabel, fine: Any, wrong: Any) -> None:
    assert review(*fine).labels == ()
    assert review(*wrong).labels == (label,)
    assert review(*wrong).severity == SEVERITIES[label]


def test_every_label_has_its_severity_and_its_case() -> None:
    assert list(SEVERITIES) == list(BlunderLabel) == [row[0] for row in LABELS]


def test_size_and_timing_of_a_winner_are_forgiven_and_broken_rules_are_not() -> None:
    evidence = Evidence(largest_quantity=D("2.4"), planned_hold=HELD * 4)
    assert review(WON, evidence).grade is Grade.NOT_A_MISTAKE
    assert review(WON, replace(evidence, was_forbidden=True)).grade is Grade.BLUNDER


def test_a_short_is_wrong_when_the_market_rose() -> None:
    short = replace(LOST, side=Side.SHORT)
    assert review(short, Evidence(return_after=D("0.02"))).labels == (L.WRONG_DIRECTION,)
    assert review(short, Evidence(return_after=D("-0.02"))).labels == ()


def test_a_position_that_never_opened_or_closed_has_no_timing() -> None:
    assert review(replace(LOST, opened_at=None), Evidence(planned_hold=HELD * 9)).labels == ()
    assert review(replace(LOST, closed_at=None), Evidence(planned_hold=HELD * 9)).labels == ()


def test_the_grade_is_the_worst_labels() -> None:
    assert [grade_of(severity) for severity in (0, 30, 50, 60, 90, 100)] == [
        Grade.NOT_A_MISTAKE,
        Grade.INACCURACY,
        Grade.MISTAKE,
        Grade.MISTAKE,
        Grade.BLUNDER,
        Grade.BLUNDER,
    ]
    both = review(LOST, Evidence(return_after=D("-0.02"), was_forbidden=True))
    assert (both.labels[0], both.severity, both.grade) == (L.TRADED_DURING_FORBIDDEN, 90, Grade.BLUNDER)


def test_reviews_are_counted_with_every_grade_and_label_named() -> None:
    wrong = review(LOST, Evidence(planned_hold=HELD * 4, return_after=D("-0.02")))
    found = counts_of([wrong, Review((), 0, Grade.NOT_A_MISTAKE)])
    assert found.reviewed == 2
    assert {grade: count for grade, count in found.grades.items() if count} == {
        Grade.NOT_A_MISTAKE: 1,
        Grade.MISTAKE: 1,
    }
    assert {label: count for label, count in found.labels.items() if count} == {
        L.WRONG_DIRECTION: 1,
        L.PREMATURE_EXIT: 1,
    }
    assert (set(found.grades), set(found.labels)) == (set(Grade), set(L))
