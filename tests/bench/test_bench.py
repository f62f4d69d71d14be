"""That benches say what they measured in one form, and that the pipeline's bench measures the fleet it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.registry import BENCHES
from bench.report import Report, each_ms, quantile, spread

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"bench", "figure", "floor", "ratio", "goal", "holds", "unit", "machine", "details"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m bench` with these arguments, as a person runs it."""
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)


def report(**changes: Any) -> Report:
    """A throughput of 20 beside a floor of 100, with whatever a test varies."""
    return Report(**({"bench": "pipeline", "figure": 20.0, "floor": 100.0, "unit": "things per second"} | changes))


def test_help_lists_every_bench() -> None:
    shown = bench("--help")
    assert shown.returncode == 0
    assert [
        name for name, each in BENCHES.items() if name not in shown.stdout or each.measures not in shown.stdout
    ] == []


def test_an_unknown_bench_is_answered_with_those_there_are() -> None:
    refused = bench("pipelin")
    assert refused.returncode == 2
    assert "pipeline" in refused.stderr


def test_every_report_has_the_same_keys_on_one_line() -> None:
    assert set(json.loads(report().line())) == KEYS
    assert "\n" not in report().line()


def test_without_a_goal_a_report_holds() -> None:
    assert report(goal=None).document()["holds"] is True


@pytest.mark.parametrize(
    ("goal", "is_lower_better", "holds"),
    [(0.2, False, True), (0.3, False, False), (0.2, True, True), (0.1, True, False)],
)
def test_a_goal_is_held_against_the_ratio(goal: float, is_lower_better: bool, holds: bool) -> None:
    assert report(goal=goal, is_lower_better=is_lower_better).holds is holds


def test_a_floor_of_nothing_gives_no_ratio() -> None:
    assert report(floor=0.0).ratio == 0.0


def test_a_quantile_is_the_smallest_value_that_covers_its_share() -> None:
    hundred = [float(number) for number in range(100, 0, -1)]
    assert (quantile(hundred, 0.5), quantile(hundred, 0.99), quantile(hundred, 1.0)) == (50.0, 99.0, 100.0)
    assert quantile([3.0], 0.01) == 3.0
    assert quantile([], 0.5) == 0.0


def test_a_spread_is_told_in_milliseconds() -> None:
    assert spread([0.010, 0.020, 0.030]) == {"p50_ms": 20.0, "p99_ms": 30.0, "max_ms": 30.0, "count": 3}


def test_processor_time_is_told_for_each_thing_and_by_who_used_it() -> None:
    used = each_ms({"risk": 1.0}, {"risk": 2.0, "postgres": 4.0}, count=10)
    assert used == {"all": 500.0, "postgres": 400.0, "risk": 100.0}


@pytest.mark.e2e
@pytest.mark.slow
def test_the_pipeline_is_measured_from_signals_to_filled_orders_beside_its_floor() -> None:
    ran = bench("pipeline", "--json", "--quick")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    fleet, floor = said["details"]["fleet"], said["details"]["floor"]
    assert set(said) == KEYS
    assert said["figure"] == pytest.approx(fleet["throughput"]["filled_per_second"], abs=1e-3)
    assert said["floor"] == pytest.approx(floor["chains_per_second"], abs=1e-3)
    assert said["figure"] > 0
    assert floor["latency"]["count"] == 5
    # Every signal has an account and an instrument of its own, so nothing but a defect could keep it from being filled.
    assert (fleet["latency"]["filled"], fleet["latency"]["not_filled"]) == (3, {})
    assert fleet["throughput"]["filled"] == fleet["throughput"]["signals"] == 11
    assert {"llm.confirm", "risk.evaluate", "execution.place"} <= set(fleet["latency"]["stages"])
    folder = re.search(r"up in (pipeline-\d+)", ran.stderr)
    assert folder is not None
    assert not (ROOT / ".tradewinds" / "bench" / folder[1]).exists()
