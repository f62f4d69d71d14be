"""What README promises of `tradewinds up`, on the generated market at high speed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fleet import BIN, RunningFleet, run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

README = Path(__file__).parents[2] / "README.md"
SPEED = ("--speed", "300", "--no-flower")
KEYS = {
    "signals", "advice", "verdicts", "orders", "fills", "positions_opened", "positions_closed", "tenants",
    "invariants", "started_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    home = tmp_path_factory.mktemp("fleet")
    first = RunningFleet.start(home, *SPEED)
    first.until(lambda status: status["fills"] > 0)
    first.kill()
    second = RunningFleet.start(home, *SPEED)
    yield second
    if second.process.poll() is None:
        second.kill()


def call(fleet: RunningFleet, line: str) -> dict[str, Any]:
    """Run a `celery call` line of README and wait for what became of it."""
    printed = run(fleet.home, *(str(BIN / word) if word == "celery" else word for word in shlex.split(line))).stdout
    task = printed.strip().splitlines()[-1]
    assert re.fullmatch(r"[0-9a-f-]{36}", task)
    return {"task": task}


def entries(fleet: RunningFleet) -> list[dict[str, Any]]:
    """Filled entries of all tenants."""
    orders = fleet.ask("orders")["orders"]
    return [item for item in orders if item["status"] == "filled" and item["role"] == "entry"]


def documented() -> list[str]:
    return re.findall(r"^celery -A workers call .+$", README.read_text(), re.MULTILINE)


def test_every_documented_job_can_be_called_by_hand_and_changes_nothing_twice(fleet: RunningFleet) -> None:
    fleet.until(lambda _: bool(fleet.ask("orders", "--tenant", "harbour")["orders"]))
    order = fleet.ask("orders", "--tenant", "harbour")["orders"][0]
    signal = fleet.ask("decisions", "--tenant", "harbour")["decisions"][0]["signal_id"]
    names = {"SIGNAL-ID": signal, "CLIENT-ORDER-ID": order["client_order_id"]}
    lines = documented()
    assert len(lines) == 8
    for line in lines:
        call(fleet, re.sub("|".join(names), lambda found: names[found.group()], line))
    again = list(fleet.ask("orders", "--tenant", "harbour")["orders"])
    assert len({item["client_order_id"] for item in again}) == len(again)


def test_an_unknown_name_is_answered_with_those_there_are(fleet: RunningFleet) -> None:
    arguments = json.dumps({"venue": "simulator", "instrument": "NOPE/USDT:USDT", "timeframe": "5m"})
    task = call(fleet, f"celery -A workers call signal.scan --kwargs {shlex.quote(arguments)}")["task"]
    fleet.until(lambda _: run(fleet.home, str(BIN / "tradewinds"), "why", task, "--json", check=False).returncode == 0)
    assert "BTC/USDT:USDT" in json.dumps(fleet.ask("why", task))


def test_broken_json_is_refused_before_it_reaches_the_fleet(fleet: RunningFleet) -> None:
    done = run(
        fleet.home, str(BIN / "celery"), "-A", "workers", "call", "signal.scan", "--kwargs", "{nope", check=False
    )
    assert done.returncode != 0


def test_a_filled_order_explains_itself_from_candle_to_fill(fleet: RunningFleet) -> None:
    fleet.until(lambda status: status["fills"] > 0)
    orders = (
        fleet.ask("orders", "--tenant", "meridian")["orders"] + fleet.ask("orders", "--tenant", "harbour")["orders"]
    )
    filled = next(item for item in orders if item["status"] == "filled" and item["role"] == "entry")
    trail = fleet.ask("why", filled["client_order_id"])
    assert all(trail[part] for part in ("signals", "decisions", "orders", "fills", "positions", "audit"))


def test_killed_in_mid_run_it_goes_on_and_its_books_equal_the_venues(fleet: RunningFleet) -> None:
    summary = fleet.finish()
    assert summary.keys() >= KEYS
    assert summary["invariants"]["ledger_equals_venue"]
    assert summary["invariants"]["every_signal_has_outcome"]
    assert summary["fills"] > 0
    assert summary["positions_opened"] > 0
