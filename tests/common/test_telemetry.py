"""Telemetry: no log shows a secret, every log knows its work, and the numbers add up over processes."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from common import telemetry
from common.domain.errors import Transient
from common.settings import MASK, Settings
from common.telemetry import ObservedAdvisor, ObservedBus, bound, configure_logging, metrics, redact, redact_text
from tests.services.doors import RecordingBus, ScriptedAdvisor

CANARY = "canary-4711-canary"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a process logs as JSON; logging is as before afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level, known = root.handlers[:], root.level, set(telemetry._known_secrets)
    configure_logging(Settings(log_format="json", log_level="debug", api_token=CANARY), stream, process="test")
    yield stream
    root.handlers[:], root.level = handlers, level
    telemetry._known_secrets.clear()
    telemetry._known_secrets.update(known)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_registered_secret_never_reaches_a_log(log: io.StringIO) -> None:
    ours, theirs = structlog.get_logger("ours"), logging.getLogger("theirs")
    ours.info("said %s", CANARY, detail={"deep": [CANARY, {"deeper": CANARY.encode()}]}, error=ValueError(CANARY))
    theirs.warning("GET /orders?x=%s", CANARY)
    try:
        int(CANARY)
    except ValueError:
        theirs.exception("failed with %s", CANARY)
    assert len(lines(log)) == 3
    assert CANARY not in log.getvalue()
    assert "Traceback" in log.getvalue()


@pytest.mark.parametrize(
    "name", ["secret", "api_key", "apiKey", "apiSecret", "token", "Password", "X-MBX-APIKEY", "signature"]
)
def test_a_field_named_like_a_secret_is_masked(name: str) -> None:
    assert redact(None, "", {name: "anything", "inner": {name: "anything"}}) == {name: MASK, "inner": {name: MASK}}


@pytest.mark.parametrize("name", ["tokens_in", "monkey", "symbol", "keyboard", "signatures"])
def test_a_field_that_only_sounds_like_one_is_shown(name: str) -> None:
    assert redact(None, "", {name: "anything"}) == {name: "anything"}


@given(secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=64))
def test_signatures_tokens_and_passwords_in_text_are_masked(secret: str) -> None:
    text = (
        f"GET /fapi/v1/order?symbol=A&timestamp=1&signature={secret} Authorization: Bearer {secret} "
        f'redis://:{secret}@host:6379/0 {{"secret": "{secret}"}} listenKey={secret}&x=1'
    )
    assert secret not in redact_text(text).replace(MASK, "")


def test_numbers_and_booleans_stay_what_they_are() -> None:
    assert redact(None, "", {"count": 3, "ratio": 0.5, "is_open": True, "nothing": None}) == {
        "count": 3,
        "ratio": 0.5,
        "is_open": True,
        "nothing": None,
    }


def test_a_log_knows_the_work_it_is_about(log: io.StringIO) -> None:
    with bound(correlation_id="story-1", tenant=None):
        logging.getLogger("inside").info("at work")
    logging.getLogger("outside").info("at rest")
    inside, outside = lines(log)
    assert (inside["correlation_id"], inside["process"], inside["level"]) == ("story-1", "test", "info")
    assert "tenant" not in inside
    assert "correlation_id" not in outside


def test_work_in_one_thread_is_not_another_threads(log: io.StringIO) -> None:
    with bound(job="mine"):
        thread = Thread(target=logging.getLogger("other").info, args=("elsewhere",))
        thread.start()
        thread.join()
    assert "job" not in lines(log)[0]


def test_a_log_file_is_json_whatever_the_terminal_shows(tmp_path: Path, log: io.StringIO) -> None:
    path = tmp_path / "logs" / "fleet.log"
    configure_logging(Settings(log_file=path), io.StringIO())
    logging.getLogger("x").info("kept")
    logging.getLogger().handlers[1].close()
    assert json.loads(path.read_text(encoding="utf-8"))["event"] == "kept"


def count(name: str, **labels: str) -> float:
    return metrics().registry.get_sample_value(name, labels) or 0.0


def test_a_job_is_counted_with_its_time() -> None:
    before = count("tradewinds_jobs_total", stage="signal.scan", outcome="done")
    metrics().job("signal.scan", "done", 0.2)
    assert count("tradewinds_jobs_total", stage="signal.scan", outcome="done") == before + 1
    assert count("tradewinds_stage_seconds_count", stage="signal.scan") >= 1


def test_the_ledger_is_mirrored_and_an_empty_queue_forgets_its_depth() -> None:
    metrics().ledger(
        {"stages": [{"stage": "risk.evaluate", "pending": 4, "oldest_age_s": 2.5}], "orders": {"filled": 2}}
    )
    full = count("tradewinds_queue_depth", stage="risk.evaluate"), count("tradewinds_orders", status="filled")
    metrics().ledger({"stages": [], "vetoes": {"spread_too_wide": 3}})
    assert list(full) == [4, 2]
    assert count("tradewinds_queue_depth", stage="risk.evaluate") == 0
    assert count("tradewinds_vetoes", rule="spread_too_wide") == 3


def test_the_time_from_fill_to_stop_is_mirrored_where_there_was_one() -> None:
    metrics().ledger({"protection": {"p50_s": 0.1, "p99_s": 0.4, "max_s": 0.5, "late": 2}})
    metrics().ledger({"protection": {"p50_s": None, "p99_s": None, "max_s": None, "late": 3}})
    assert count("tradewinds_fill_to_stop_seconds", of="p99") == 0.4
    assert count("tradewinds_naked_fills") == 3


def test_what_an_account_stream_comes_to_is_counted() -> None:
    before = count("tradewinds_account_stream_gaps_total", cause="cut")
    for told in (("gap", "cut", 1), ("booked", "simulator", 3), ("refilled", "", 0.2)):
        metrics().account_stream(*told)
    assert count("tradewinds_account_stream_gaps_total", cause="cut") == before + 1
    assert count("tradewinds_account_stream_fills_total", venue="simulator") >= 3
    assert count("tradewinds_account_stream_refill_seconds_count") >= 1


def test_a_ring_that_fails_is_counted_and_still_fails() -> None:
    bus = RecordingBus()
    ObservedBus(bus).ring([])
    bus.fails = Transient("no broker")
    before = count("tradewinds_ring_errors_total")
    with pytest.raises(Transient):
        ObservedBus(bus).ring([])
    assert count("tradewinds_ring_errors_total") == before + 1


def test_an_answer_of_the_model_is_counted_with_its_cost() -> None:
    advisor = ObservedAdvisor(ScriptedAdvisor("counted"))
    from tests.store.world import signal

    answer = advisor.ask(signal())
    assert answer.cost_usd == Decimal("0.001")
    assert count("tradewinds_model_calls_total", profile="counted", verdict="confirm") == 1
    assert count("tradewinds_model_cost_usd_total", profile="counted") == pytest.approx(0.001)


COUNTING = """
from common.settings import Settings
from common.telemetry import metrics, share_metrics
share_metrics(Settings(metrics_dir={folder!r}))
metrics().job("llm.confirm", "done", 0.1)
print(metrics().exposition()[0].decode())
"""


def test_processes_that_share_a_folder_are_told_of_together(tmp_path: Path) -> None:
    program = [sys.executable, "-c", COUNTING.format(folder=str(tmp_path / "metrics"))]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    told = [subprocess.run(program, env=environ, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert 'tradewinds_jobs_total{outcome="done",stage="llm.confirm"} 1.0' in told[0]
    assert 'tradewinds_jobs_total{outcome="done",stage="llm.confirm"} 2.0' in told[1]
