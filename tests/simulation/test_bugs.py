"""The proof can fail: seeded bugs are found, each by the law it breaks, and taken back without a trace."""

from __future__ import annotations

import pytest

from simulation.database import Database
from simulation.hub import Chances
from simulation.laws import Violation
from simulation.seed import run_seed
from tests.bugs import BUGS

SEEDS_MOST = 12
QUICK = (
    "send-before-commit",
    "no-reservation",
    "stop-not-placed",
    "keys-in-the-audit-trail",
    "audit-not-chained",
    "trades-unreconciled",
)


def first_violation(database: Database) -> Violation | None:
    """What the first seed that finds anything finds first."""
    outcomes = (run_seed(database, seed, Chances.kinds(), frozenset()) for seed in range(100, 100 + SEEDS_MOST))
    return next((outcome.violations[0] for outcome in outcomes if outcome.violations), None)


@pytest.mark.parametrize("name", QUICK)
def test_a_seeded_bug_is_found_by_the_law_it_breaks(simulated: Database, name: str) -> None:
    with BUGS[name].planted():
        found = first_violation(simulated)
    assert found is not None
    assert found.law == BUGS[name].breaks


def test_a_bug_that_was_taken_back_is_gone(simulated: Database) -> None:
    with BUGS["stop-not-placed"].planted():
        pass
    assert run_seed(simulated, 100, Chances.kinds(), frozenset()).violations == []


def test_there_are_at_least_forty_bugs_and_each_says_what_it_breaks() -> None:
    assert len(BUGS) >= 40
    assert all(bug.what and bug.breaks for bug in BUGS.values())
