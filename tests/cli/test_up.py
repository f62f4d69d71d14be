"""`up` and `standalone`: what they print, and when they call a run good."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.console import Console

from cli.interrupts import interrupts
from cli.live import Screen, Throughput
from cli.opening import Wishes
from cli.result import COUNTS, holds, scans_finished, show_result, summary

STATUS: dict[str, Any] = {
    **dict.fromkeys(COUNTS, 1),
    "orders": {"filled": 2},
    "finished": {"signal.scan": 3},
    "stages": [{"stage": "risk.evaluate", "pending": 4, "oldest_age_s": 1.5}],
    "tenants": [{"name": "harbour", "net_profit": "12.5", "equity": "10012.5", "state": "active"}],
    "venue_time": "2024-03-01T12:00:00+00:00",
    "speed": 60.0,
}
SOUND = {"ledger_equals_venue": True, "every_signal_has_outcome": True, "differences": []}
KEYS = {*COUNTS, "tenants", "invariants", "started_s", "venue_time", "speed"}


def test_a_result_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    show_result(summary(STATUS, SOUND, started_s=2.5), as_json=True)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result) >= KEYS
    assert result["tenants"][0]["profit"] == "12.5"


def test_a_result_for_people_names_what_holds_and_what_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    broken = SOUND | {"ledger_equals_venue": False, "differences": ["order x is open at the venue"]}
    show_result(summary(STATUS, broken, started_s=None), as_json=False)
    out = capsys.readouterr().out
    assert "✗ ledger equals venue" in out
    assert "✓ every signal has outcome" in out
    assert "order x is open at the venue" in out


@pytest.mark.parametrize("broken", ["ledger_equals_venue", "every_signal_has_outcome"])
def test_a_run_is_good_only_when_every_invariant_holds(broken: str) -> None:
    assert holds(summary(STATUS, SOUND, started_s=1.0))
    assert not holds(summary(STATUS, SOUND | {broken: False}, started_s=1.0))


def test_scans_are_counted_from_the_finished_jobs() -> None:
    assert (scans_finished(STATUS), scans_finished({})) == (3, 0)


def test_throughput_is_what_was_finished_since_the_last_look() -> None:
    throughput = Throughput()
    throughput.look(10.0, {"signal.scan": 5})
    throughput.look(10.5, {"signal.scan": 50})
    too_soon = dict(throughput.rates)
    throughput.look(12.0, {"signal.scan": 9})
    assert too_soon == {}
    assert throughput.rates == {"signal.scan": 2.0}


def test_the_live_view_shows_stages_decisions_profit_and_addresses() -> None:
    decision = {
        "occurred_at": "2024-03-01T12:00:00+00:00",
        "tenant": "harbour",
        "instrument": "BTC/USDT:USDT",
        "strategy": "confluence",
        "outcome": "vetoed",
        "veto": {"rule": "spread_too_wide", "measured": "12", "limit": "10", "unit": "bps", "detail": ""},
    }
    screen = Screen(
        "calm", "trading", STATUS, {"risk.evaluate": 2.0}, [], [decision], [], {"API": "http://127.0.0.1:1"}
    )
    console = Console(width=160, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(screen)
    picture = captured.get()
    for part in (
        "world calm",
        "risk.evaluate",
        "spread_too_wide: 12 against 10 bps",
        "12.5",
        "http://127.0.0.1:1",
        "60x",
    ):
        assert part in picture


def test_flower_is_for_those_who_watch_unless_it_is_asked_for() -> None:
    assert not Wishes(as_json=True).wants_flower
    assert Wishes(as_json=True, flower=True).wants_flower
    assert not Wishes(flower=False).wants_flower


def test_the_first_request_to_end_is_gentle_and_the_second_insists() -> None:
    import signal

    with interrupts() as asked:
        before = (asked.asked, asked.wait(0), asked.insisted)
        signal.raise_signal(signal.SIGINT)
        first = (asked.asked, asked.wait(0), asked.insisted, asked.pause(0))
        signal.raise_signal(signal.SIGTERM)
        second = (asked.insisted, asked.pause(0))
    assert before == (False, False, False)
    assert first == (True, True, False, False)
    assert second == (True, True)
