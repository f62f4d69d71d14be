"""Blunders: what was wrong with a closed trade, by rules that look at it afterwards (B-38)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from common.domain.money import ZERO
from common.domain.position import Position

OVERSIZED_SHARE = Decimal("0.8")
WRONG_WAY = Decimal("0.01")
LATE = Decimal(2)
EARLY = Decimal("0.3")


class BlunderLabel(StrEnum):
    """Kinds of mistake."""

    RULE_VIOLATION_SPREAD = "rule_violation_spread"
    RULE_VIOLATION_SIZE = "rule_violation_size"
    RULE_VIOLATION_TIMING = "rule_violation_timing"
    TRADED_DURING_FORBIDDEN = "traded_during_forbidden"
    OVERSIZED_POSITION = "oversized_position"
    WRONG_DIRECTION = "wrong_direction"
    LATE_EXIT = "late_exit"
    PREMATURE_EXIT = "premature_exit"


class Grade(StrEnum):
    """How bad it was, by the highest severity: none, under 50, under 90, 90 and more."""

    NOT_A_MISTAKE = "not_a_mistake"
    INACCURACY = "inaccuracy"
    MISTAKE = "mistake"
    BLUNDER = "blunder"


SEVERITIES: dict[BlunderLabel, int] = {
    BlunderLabel.RULE_VIOLATION_SPREAD: 100,
    BlunderLabel.RULE_VIOLATION_SIZE: 100,
    BlunderLabel.RULE_VIOLATION_TIMING: 100,
    BlunderLabel.TRADED_DURING_FORBIDDEN: 90,
    BlunderLabel.OVERSIZED_POSITION: 60,
    BlunderLabel.WRONG_DIRECTION: 55,
    BlunderLabel.LATE_EXIT: 50,
    BlunderLabel.PREMATURE_EXIT: 30,
}
"""Severity 0..100 of each label (seeds 1.2)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a trade beside its position; None = not known, and nothing is held against it.

    `entry_spread_bps` when the entry was filled; `largest_quantity` that limits allowed then; `planned_hold` how long it
    was meant to last; `return_after` the market's return over the ten bars after the entry, as a fraction, signed as the
    price moved; `was_forbidden` whether a forbidden condition held when the entry was filled.
    """

    entry_spread_bps: Decimal | None = None
    spread_bps_max: Decimal | None = None
    largest_quantity: Decimal | None = None
    planned_hold: timedelta | None = None
    return_after: Decimal | None = None
    was_forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Review:
    """The labels a trade earned, worst first, its severity (the worst label's) and its grade."""

    labels: tuple[BlunderLabel, ...]
    severity: int
    grade: Grade


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The review of a closed position as it is kept, with the evidence it was judged by; one for each position."""

    tenant_id: UUID
    account_id: UUID
    position_id: UUID
    review: Review
    evidence: Evidence
    closed_at: datetime
    reviewed_at: datetime


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """How many trades were reviewed, and how many of them earned each grade and each label; all of both are named."""

    reviewed: int
    grades: Mapping[Grade, int]
    labels: Mapping[BlunderLabel, int]


def counts_of(reviews: Iterable[Review]) -> ReviewCounts:
    """`reviews` counted."""
    found = list(reviews)
    grades = Counter(item.grade for item in found)
    labels = Counter(label for item in found for label in item.labels)
    return ReviewCounts(
        len(found), {grade: grades[grade] for grade in Grade}, {label: labels[label] for label in BlunderLabel}
    )


def grade_of(severity: int) -> Grade:
    """Grade of a severity 0..100."""
    if severity >= 90:
        return Grade.BLUNDER
    if severity >= 50:
        return Grade.MISTAKE
    return Grade.INACCURACY if severity > 0 else Grade.NOT_A_MISTAKE


def review(position: Position, evidence: Evidence) -> Review:
    """What was wrong with the closed `position`, judged by `evidence`."""
    found = {
        BlunderLabel.RULE_VIOLATION_SPREAD: _is_above(evidence.entry_spread_bps, evidence.spread_bps_max),
        BlunderLabel.RULE_VIOLATION_SIZE: _is_above(position.opened_quantity, evidence.largest_quantity),
        BlunderLabel.RULE_VIOLATION_TIMING: _left_against_plan(position),
        BlunderLabel.TRADED_DURING_FORBIDDEN: evidence.was_forbidden,
        BlunderLabel.OVERSIZED_POSITION: _was_oversized(position, evidence),
        BlunderLabel.WRONG_DIRECTION: _went_wrong(position, evidence),
        BlunderLabel.LATE_EXIT: _held_share(position, evidence) > LATE and position.net_profit < ZERO,
        BlunderLabel.PREMATURE_EXIT: _held_share(position, evidence) < EARLY and position.net_profit < ZERO,
    }
    labels = tuple(label for label in SEVERITIES if found[label])
    severity = max((SEVERITIES[label] for label in labels), default=0)
    return Review(labels, severity, grade_of(severity))


def _is_above(value: Decimal | None, limit: Decimal | None) -> bool:
    return value is not None and limit is not None and value > limit


def _held(position: Position) -> timedelta | None:
    if position.opened_at is None or position.closed_at is None:
        return None
    return position.closed_at - position.opened_at


def _left_against_plan(position: Position) -> bool:
    """Only a longest hold can be broken: a stop may end a position before its shortest."""
    held, longest = _held(position), position.exits.max_hold
    # The exit order needs time to fill; a tenth over the plan is no broken rule.
    return held is not None and longest is not None and held > longest * 1.1


def _was_oversized(position: Position, evidence: Evidence) -> bool:
    largest = evidence.largest_quantity
    is_large = largest is not None and position.opened_quantity > OVERSIZED_SHARE * largest
    return is_large and position.net_profit < ZERO


def _went_wrong(position: Position, evidence: Evidence) -> bool:
    return evidence.return_after is not None and evidence.return_after * position.side.sign < -WRONG_WAY


def _held_share(position: Position, evidence: Evidence) -> Decimal:
    """Time held over time planned; the plan's own share, 1, where one of them is not known."""
    held = _held(position)
    if held is None or not evidence.planned_hold:
        return Decimal(1)
    microsecond = timedelta(microseconds=1)
    return Decimal(held // microsecond) / Decimal(evidence.planned_hold // microsecond)
