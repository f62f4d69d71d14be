"""Short races on real Postgres: limits hold and halts halt, and without their locks neither would."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from bench import kill, race
from bench.arena import Plan
from tests.servers import Addresses, SharedServers

RACE = Plan(threads=12, intents=96, accounts=4, limits=race.LIMITS, hold_s=1.0, patience_s=60.0)
KILL = Plan(threads=8, intents=60, tenants=3, accounts=1, limits=kill.LIMITS, hold_s=0.6, patience_s=60.0)


@pytest.fixture
def database(shared_servers: SharedServers, worker_number: int) -> str:
    """A name of this worker's own; the race makes the database."""
    return f"tradewinds_arena_{worker_number}"


@pytest.mark.slow
def test_threads_that_race_for_limits_cross_none_and_leave_nothing_reserved(
    addresses: Addresses, database: str
) -> None:
    told = race.race(addresses.postgres_url, database, RACE)
    assert (race.faults_of(told), told["first_breach"]) == (0, None)
    assert told["intents"] >= RACE.intents
    assert told["decisions"]["approved"] > 0
    assert told["decisions"]["vetoed"] > 0


def test_a_referee_sees_what_is_beyond_a_limit() -> None:
    referee = race.Referee()
    equity = Decimal(1_000)
    referee.judge("ledger", UUID(int=1), race.POSITIONS_MAX, race.EXPOSURE_MAX * equity, equity)
    assert referee.breaches == []
    referee.judge("ledger", UUID(int=1), race.POSITIONS_MAX + 1, Decimal(1), equity)
    referee.judge("ledger", UUID(int=1), 1, equity, equity)
    assert len(referee.breaches) == 2


@pytest.mark.parametrize(
    ("order", "after"),
    [
        (["submit e1", "halt 1"], []),
        (["halt 1", "submit e1"], ["e1"]),
        (["halt 1", "submit e9"], []),
        (["halt 1", "resume 1", "submit e1"], []),
    ],
)
def test_what_left_after_a_halt_is_told_by_the_order_of_the_commits(order: list[str], after: list[str]) -> None:
    commits = [(what, subject, None) for what, subject in (line.split() for line in order)]
    assert kill.left_after_a_halt(commits, kill.Gate(sent_at={"e1": 0.0})) == after


@pytest.mark.slow
def test_no_entry_leaves_after_a_halt_has_committed(addresses: Addresses, database: str) -> None:
    told = kill.kill(addresses.postgres_url, database, replace(KILL, seed=2), 4, by_commit_time=False)
    assert kill.faults_of(told) == 0
    assert told["halts"] == 4
    assert told["sent"] > 0
