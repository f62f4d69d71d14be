"""Seeds as the simulation runs them: no promise breaks, the same seed is the same world, and a fleet without faults trades."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation.database import Database
from simulation.hub import Chances, KillPoint
from simulation.kill_points import KILL_POINTS
from simulation.seed import run_seed
from tests.servers import Addresses, SharedServers

NOWHERE: frozenset[KillPoint] = frozenset()
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("seed", [3, 4])
def test_no_promise_breaks_while_everything_fails(simulated: Database, seed: int) -> None:
    outcome = run_seed(simulated, seed, Chances.kinds(), NOWHERE)
    assert outcome.violations == []
    assert sum(outcome.faults.values()) > 10


def test_a_fleet_without_faults_trades_and_keeps_every_promise(simulated: Database) -> None:
    outcome = run_seed(simulated, 11, (), NOWHERE)
    assert (outcome.violations, outcome.faults) == ([], {})
    assert outcome.deeds["positions"] > outcome.deeds["positions of live accounts"] > 0


def test_a_seed_does_not_depend_on_the_seeds_before_it(simulated: Database) -> None:
    first = run_seed(simulated, 21, Chances.kinds(), NOWHERE)
    run_seed(simulated, 22, Chances.kinds(), NOWHERE)
    again = run_seed(simulated, 21, Chances.kinds(), NOWHERE)
    assert again.digest == first.digest
    assert again.trace == first.trace


def test_only_the_kinds_of_faults_that_were_asked_for_strike(simulated: Database) -> None:
    faults = [run_seed(simulated, seed, ("duplicate",), NOWHERE).faults for seed in (1, 2, 3)]
    assert {kind for fault in faults for kind in fault} == {"message_doubled"}


def test_a_worker_is_killed_where_the_seed_aims(simulated: Database) -> None:
    aim = min(point for point in KILL_POINTS if str(point) == "position.visit/venue.balance/before")
    killed = [run_seed(simulated, seed, ("crash",), frozenset({aim})).killed for seed in range(30, 34)]
    assert aim in set().union(*killed)


def heads(servers: SharedServers, addresses: Addresses, name: str, hash_seed: str) -> dict[str, Any]:
    """The report of a run of its own under that PYTHONHASHSEED."""
    command = [sys.executable, "-m", "simulation", "--seeds", "2", "--seed", "40", "--jobs", "1", "--json", "--quiet"]
    command += ["--database-url", addresses.postgres_url, "--database", name]
    environ = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    with servers.exclusive():
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.slow
def test_the_same_seeds_give_the_same_audit_heads_under_another_hash_seed(
    shared_servers: SharedServers, addresses: Addresses, worker_number: int
) -> None:
    name = f"tradewinds_hashed_{worker_number}"
    one, other = (heads(shared_servers, addresses, name, hash_seed) for hash_seed in ("1", "2"))
    assert one["audit_heads_digest"] == other["audit_heads_digest"]
    assert (one["faults_by_kind"], one["steps"]) == (other["faults_by_kind"], other["steps"])
