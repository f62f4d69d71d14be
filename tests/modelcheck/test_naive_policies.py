"""Each naive policy is rejected, for the reason it is known for, by a shortest trace in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from modelcheck.engine import check
from modelcheck.order_machine import OrderMachine, Venue
from modelcheck.policies import NAIVE, Naive
from modelcheck.run import reject, small
from tests.architecture.source import PROJECT

LONGEST = 13


@pytest.mark.parametrize("naive", NAIVE, ids=lambda naive: naive.name)
def test_a_naive_policy_is_rejected_for_what_it_breaks(naive: Naive) -> None:
    flaw = reject(naive)
    assert flaw is not None
    assert flaw.violates == naive.breaks
    assert 3 <= len(flaw.trace) <= LONGEST


def test_at_least_twelve_policies_are_tried_and_each_differs_from_the_chosen_one() -> None:
    assert len(NAIVE) >= 12
    assert len({naive.policy for naive in NAIVE}) == len({naive.name for naive in NAIVE}) == len(NAIVE)


def test_no_trace_is_longer_than_the_shortest() -> None:
    naive = next(naive for naive in NAIVE if naive.name == "no-visibility-horizon")
    flaw = reject(naive)
    assert flaw is not None
    walks = [check(build(), depth_max=len(flaw.trace) - 1) for _, build in small(naive.policy, naive.machine)]
    assert [walk.flaw for walk in walks] == [None] * len(walks)


def test_sending_again_with_the_same_id_doubles_unless_ids_are_unique_for_ever() -> None:
    policy = next(naive for naive in NAIVE if naive.name == "resend-same-id").policy
    broken = {
        uniqueness: check(OrderMachine(policy, Venue(uniqueness), quantity=1, eyes=1)).flaw
        for uniqueness in ("ever", "open", "never")
    }
    doubled = {name for name, flaw in broken.items() if flaw and flaw.violates.startswith("at most one entry")}
    assert doubled == {"open", "never"}


def test_the_visibility_horizon_is_what_stands_between_not_found_and_an_orphan() -> None:
    naive = next(naive for naive in NAIVE if naive.name == "no-visibility-horizon")
    flaw = reject(naive)
    assert flaw is not None
    assert flaw.trace[-1] == "the settler commits NOT_PLACED"
    assert "the venue shows it nothing" in flaw.trace
    assert "the order arrives late and is accepted" in flaw.trace or "the order arrives and is accepted" in flaw.trace


def test_the_page_names_every_naive_policy_and_what_it_breaks() -> None:
    page = (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert [naive.name for naive in NAIVE if f"| `{naive.name}` | {naive.words} | {naive.breaks} |" not in page] == []


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelcheck", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, env=dict(os.environ))


def test_the_program_prints_one_json_object_and_succeeds_when_the_naive_policy_is_rejected() -> None:
    done = run("--json", "--policy", "timeout-is-failure")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["bad"] == 0
    assert [(item["name"], item["rejected"], len(item["trace"])) for item in found["policies"]] == [
        ("timeout-is-failure", True, 5)
    ]


def test_the_program_tells_people_the_trace() -> None:
    shown = run("--policy", "exit-blocked-by-halt").stdout
    assert "exit-blocked-by-halt: a halt blocks every order" in shown
    assert "1. risk finds no halt" in shown


def test_a_policy_that_nobody_knows_is_refused() -> None:
    done = run("--policy", "hope")
    assert done.returncode == 2
    assert "hope" in done.stderr
