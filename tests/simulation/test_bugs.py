"""The proof can fail: seeded bugs are found, each by the law it breaks, and taken back without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.database import Database
from simulation.hub import Chances
from simulation.hunt import Catch, holds, keep, look_for, recall, summary
from simulation.laws import Violation
from simulation.seed import run_seed
from tests.bugs import BUGS
from tests.bugs.classes import CLASSES

SEEDS_MOST = 12
QUICK = (
    "send-before-commit",
    "no-reservation",
    "stop-not-placed",
    "keys-in-the-audit-trail",
    "audit-not-chained",
    "trades-unreconciled",
    "quantity-off-the-grid",
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


def test_every_class_of_failure_has_a_bug_or_says_where_it_is_held_instead() -> None:
    assert [item.number for item in CLASSES] == list(range(1, 29))
    assert all(bool(item.bugs) is not bool(item.elsewhere) for item in CLASSES)
    assert {name for item in CLASSES for name in item.bugs} <= BUGS.keys()


def test_a_hunt_counts_the_seeds_until_a_law_notices(simulated: Database) -> None:
    caught = look_for(simulated, "send-before-commit", 100, SEEDS_MOST)
    assert (caught.law, caught.seed) == ("I3", 100 + caught.seeds - 1)


def test_a_bug_that_is_not_found_fails_the_hunt() -> None:
    found, missed = Catch("a", (1,), "I2", 3, 2, 0.1), Catch("b", (2,), "", 2_000, 1_999, 9.0)
    told = summary([found, missed])
    assert (told["bugs"], told["found"], told["worst"]["bug"], told["missed"]) == (2, 1, "b", ["b"])
    assert not holds(told)
    assert holds(summary([found]))


def test_a_hunt_that_is_begun_again_looks_only_for_what_it_has_missed(tmp_path: Path) -> None:
    found, missed = Catch("a", (1,), "I2", 3, 2, 0.1), Catch("b", (2,), "", 2_000, 1_999, 9.0)
    kept = tmp_path / "hunt"
    assert recall(kept) == []
    for item in (found, missed):
        keep(kept, item)
    assert recall(kept) == [found]
