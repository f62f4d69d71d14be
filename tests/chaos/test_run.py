"""A short run from the command line: the fleet is broken, heals, and its books agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import PROJECT

KINDS = "worker_kill,valkey_flush,postgres_cut_commit,venue_timeout_after_accept,venue_partition,duplicate_delivery"


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_short_run_breaks_the_fleet_and_finds_nothing_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaos", "--faults", "6", "--seed", "1", "--kinds", KINDS, "--json"]
    command += ["--tenants", "1", "--replicas", "1", "--squall", "3", "--directory", str(tmp_path / "world")]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWINDS_")}
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False, timeout=230)
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["violations"], result["total"], result["rounds"]) == (0, 6, 1)
    assert result["recovery_s"]["measured"] > 0
    assert sum(result["faults"].values()) == 6


def test_a_kind_that_does_not_exist_is_answered_with_those_that_do() -> None:
    command = [sys.executable, "-m", "chaos", "--kinds", "sharks"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert "worker_kill" in done.stderr
