"""Search, walk-forward and Monte Carlo as people run them; and the page about them, whose commands are run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.search_view import sparkline
from common.domain.backtest import run
from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.offline import recorded_candles
from common.services.run_backtest import Wishes, backtest_setup, chosen_strategy, load_markets
from tests.architecture.source import PROJECT
from tests.domain.features_candles import START_MS, walk

PAGE = (PROJECT / "docs" / "research.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()]
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
HOURS = 60 * 24
SPACE = ("--space", "window=5:20", "--space", "stop_atr=1:4")


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty days of hourly candles of one busy market, as a Parquet file."""
    folder = tmp_path_factory.mktemp("candles")
    columns = replace(walk(3, HOURS), opened_at=START_MS + 3_600_000 * np.arange(HOURS))
    dates = pa.array(columns.opened_at, pa.timestamp("ms", tz="UTC"))
    prices = {name: decimals(columns, name) for name in ("open", "high", "low", "close")}
    volume = pa.array([Decimal(f"{value:.3f}") for value in columns.volume * 1000], pa.decimal128(18, 3))
    pq.write_table(pa.table({"date": dates, **prices, "volume": volume}), folder / "BTC_USDT-1h.parquet")
    return folder


def decimals(columns: Columns, name: str) -> Any:
    return pa.array([Decimal(f"{value:.2f}") for value in getattr(columns, name)], pa.decimal128(18, 2))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where studies of this test are kept."""
    monkeypatch.setenv("TRADEWINDS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def backtest(*arguments: object, code: int = 0) -> Any:
    """The answer of `tradewinds backtest …`, made in this process."""
    done = CliRunner().invoke(app, ["backtest", *map(str, arguments), "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout.splitlines()[-1])


def search_for(candles: Path, *arguments: object) -> Any:
    wanted = ("--strategy", "rsi_mean_reversion", "--data", candles, *SPACE, "--min-trades", 5)
    return backtest("search", *wanted, *arguments)


def test_the_best_of_a_search_is_what_a_backtest_of_it_comes_to(candles: Path) -> None:
    found = search_for(candles, "--trials", 6, "--jobs", 1)
    best = found["best"]
    params = [part for name, value in best["parameters"].items() for part in ("--param", f"{name}={value!r}")]
    ran = backtest("run", "--strategy", "rsi_mean_reversion", "--data", candles, *params)
    assert (found["trials"], found["trials_now"], len(found["values"])) == (6, 6, 6)
    assert float(best["value"]) == max(value for value in found["values"] if value is not None)
    assert float(best["value"]) == pytest.approx(float(ran["sharpe"]))
    assert best["measured"]["trades"] == ran["trades"]
    assert " ".join(params) in found["run"]


def test_the_same_command_goes_on_where_it_was_and_tries_what_it_would_have(candles: Path) -> None:
    first = search_for(candles, "--trials", 4, "--jobs", 1)
    more = search_for(candles, "--trials", 7, "--jobs", 1)
    whole = search_for(candles, "--trials", 7, "--jobs", 1, "--study", "whole")
    assert (first["study"], more["trials_now"]) == (more["study"], 3)
    assert more["values"] == whole["values"]
    assert more["values"][:4] == first["values"]


def test_two_processes_make_trials_of_a_strategy_from_a_folder(candles: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text(
        "from common.domain.strategies import RsiMeanReversion\n\n\n"
        'class Mine(RsiMeanReversion):\n    """As it is, by another name."""\n\n    name = "mine_in_a_folder"\n'
    )
    arguments = ["--strategy", "mine_in_a_folder", "--strategies", tmp_path / "mine", "--data", candles, *SPACE]
    arguments += ["--trials", 6, "--jobs", 2, "--min-trades", 5, "--searcher", "random", "--json"]
    command = [sys.executable, "-m", "cli", "backtest", "search", *map(str, arguments)]
    environ = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    alone = search_for(candles, "--trials", 6, "--jobs", 1, "--searcher", "random")
    assert (found["jobs"], found["trials_now"]) == (2, 6)
    assert found["values"] == alone["values"]


def until(question: Callable[[], bool], what: str) -> None:
    """Wait for something to become true, for a limited time."""
    deadline = time.monotonic() + 60
    while not question():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits only to be counted by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's children from /proc")
def test_a_killed_search_takes_its_processes_along_and_loses_no_answer(candles: Path, home: Path) -> None:
    wanted = ["--strategy", "rsi_mean_reversion", "--data", candles, *SPACE, "--min-trades", 5, "--searcher", "random"]
    command = [sys.executable, "-m", "cli", "backtest", "search", *map(str, wanted), "--study", "killed", "--json"]
    environ = os.environ | {"PYTHONPATH": str(PROJECT)}
    search = subprocess.Popen([*command, "--trials", "100000", "--jobs", "2"], cwd=PROJECT, env=environ)
    notes = home / "studies" / "killed" / "search.jsonl"
    until(lambda: notes.exists() and notes.read_text().count("outcome") > 1, "two answers")
    tasks = Path(f"/proc/{search.pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    search.kill()
    search.wait()
    until(lambda: all(map(has_ended, children)), "the processes to end")
    kept = notes.read_text().count("outcome")
    found = backtest("search", *wanted, "--study", "killed", "--trials", kept + 1, "--jobs", 1)
    assert len(children) > 1
    assert (found["trials"], found["trials_now"]) == (kept + 1, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            ("--objective", "calmar"),
            "objective of the study 'mine': 'calmar' is not accepted; expected sharpe as before",
        ),
        (("--fee-bps", 3), "costs of the study 'mine'"),
        (("--seed", 8), "seed of the study 'mine'"),
        (("--searcher", "random"), "method of the study 'mine'"),
        (("--from", "2021-01-05"), "from of the study 'mine'"),
    ],
)
def test_a_changed_setup_under_the_same_name_is_refused_by_name(candles: Path, changes: Any, said: str) -> None:
    search_for(candles, "--trials", 1, "--jobs", 1, "--study", "mine")
    arguments = ["--strategy", "rsi_mean_reversion", "--data", candles, *SPACE, "--min-trades", 5, "--trials", 1]
    arguments += ["--jobs", 1, "--study", "mine", *changes]
    done = CliRunner().invoke(app, ["backtest", "search", *map(str, arguments)])
    assert isinstance(done.exception, InvalidInput)
    assert said in str(done.exception)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--space", "window"), "NAME=LOW:HIGH, such as fast=5:30"),
        (("--space", "window=5"), "NAME=LOW:HIGH"),
        (("--space", "=5:9"), "NAME=LOW:HIGH"),
        (("--space", "window=5:900"), "whole numbers from 2 to 200"),
        (("--space", "windw=5:9"), "one of window, oversold"),
        (("--objective", "luck"), "one of sharpe, sortino"),
        (("--searcher", "guess"), "one of tpe, random"),
        (("--study", "My Study"), "lower-case letters"),
        (("--from", "2022-01-01"), "a time of which there are candles"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_what_can(candles: Path, wrong: Any, said: str) -> None:
    arguments = ["backtest", "search", "--strategy", "rsi_mean_reversion", "--data", str(candles), "--trials", "1"]
    done = CliRunner().invoke(app, [*arguments, "--jobs", "1", *wrong])
    assert isinstance(done.exception, InvalidInput)
    assert said in str(done.exception)


def test_a_walk_forward_judges_every_window_and_the_whole_and_writes_its_report(candles: Path, tmp_path: Path) -> None:
    report = tmp_path / "walk.html"
    arguments = ("--strategy", "rsi_mean_reversion", "--data", candles, *SPACE, "--trials", 3, "--jobs", 1)
    found = backtest("walk-forward", *arguments, "--min-trades", 1, "--report", report, code=1)
    assert [window["number"] for window in found["windows"]] == [1, 2, 3, 4]
    assert (found["trials_now"], found["out_of_sample"]["days"]) == (12, 28)
    assert {gate["rule"]: gate["limit"] for gate in found["gates"]} == {
        "trades_too_few": "50", "degraded_too_far": "0.3", "sharpe_too_low": "0.5", "win_rate_too_low": "0.45",
    }  # fmt: skip
    assert not found["passed"]
    page = report.read_text(encoding="utf-8")
    assert page.count("<tr>") == 1 + 4 + 1 + 4
    assert "<svg" in page
    assert "http" not in page
    again = backtest("walk-forward", *arguments, "--min-trades", 1, code=1)
    assert again["trials_now"] == 0
    assert again["windows"] == found["windows"]


@pytest.mark.parametrize(("win_rate", "code", "shut"), [(0.4, 0, []), (0.5, 1, ["win_rate_too_low"])])
def test_the_exit_status_is_0_when_every_gate_is_open(candles: Path, win_rate: float, code: int, shut: Any) -> None:
    free = ["--fee-bps", 0, "--slippage-bps", 0, "--spread-bps", 0, "--trials", 3, "--jobs", 1, "--min-trades", 1]
    mild = ["--gate-trades", 1, "--gate-degradation", 1e6, "--gate-sharpe", -1e6, "--gate-win-rate", win_rate]
    found = backtest("walk-forward", "--strategy", "ema_crossover", "--data", candles, *free, *mild, code=code)
    assert found["passed"] == (code == 0)
    assert [gate["rule"] for gate in found["gates"] if not gate["passed"]] == shut


def test_a_window_that_found_nothing_is_in_the_report_all_the_same(candles: Path, tmp_path: Path) -> None:
    arguments = ("--strategy", "rsi_mean_reversion", "--data", candles, *SPACE, "--trials", 1, "--jobs", 1)
    found = backtest("walk-forward", *arguments, "--min-trades", 900, "--report", tmp_path / "walk.html", code=1)
    assert [window["parameters"] for window in found["windows"]] == [None] * 4
    assert "no day was traded" in (tmp_path / "walk.html").read_text(encoding="utf-8")


def test_trades_are_dealt_anew_and_the_same_seed_deals_the_same(candles: Path) -> None:
    arguments = ("monte-carlo", "--strategy", "rsi_mean_reversion", "--data", candles, "--paths", 300)
    found = backtest(*arguments)
    shuffled = found["methods"]["shuffle"]["final_equity"]
    assert shuffled["p5"] == pytest.approx(shuffled["p95"]) == pytest.approx(found["final_equity"])
    drawn = found["methods"]["block_bootstrap"]
    assert drawn["final_equity"]["p5"] < drawn["final_equity"]["p50"] < drawn["final_equity"]["p95"]
    assert 0 <= drawn["probability_of_ruin"] <= drawn["probability_of_loss"] <= 1
    assert 0 < found["significance"]["p_value"] <= 1
    assert backtest(*arguments) == found
    assert backtest(*arguments, "--seed", 8)["methods"]["block_bootstrap"] != drawn
    fixed = backtest(*arguments, "--fixed-stakes")
    assert fixed["methods"]["shuffle"]["final_equity"]["p50"] == pytest.approx(found["final_equity"])


def test_a_run_without_a_trade_cannot_be_dealt(candles: Path) -> None:
    arguments = [
        "--strategy",
        "rsi_mean_reversion",
        "--data",
        str(candles),
        "--param",
        "oversold=1",
        "--param",
        "overbought=99",
    ]
    done = CliRunner().invoke(app, ["backtest", "monte-carlo", *arguments])
    assert isinstance(done.exception, InvalidInput)
    assert "at least one closed trade" in str(done.exception)


def test_a_line_of_blocks_keeps_the_best_of_each_stretch() -> None:
    assert sparkline([0.0, None, 7.0, 3.5]) == "▁·█▅"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([None] * 60 + [5.0] + [1.0] * 59) == "·" * 30 + "█" + "▁" * 29
    assert sparkline([]) == ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[2])
def test_the_commands_of_the_page_run_and_tell_people_what_they_found(candles: Path, command: str) -> None:
    # With candles that are here, and fewer trials than a person would wait for.
    small = re.sub(r"--(trials|paths) \d+", r"--\1 2", command.replace("../candles", str(candles)))
    program, *arguments = shlex.split(small)
    done = CliRunner().invoke(app, [*arguments, *(("--jobs", "1") if "--trials" in arguments else ())])
    assert program == "tradewinds"
    assert done.exit_code == (1 if "walk-forward" in arguments else 0), (done.output, done.exception)
    assert arguments[arguments.index("--strategy") + 1] in done.stdout


def test_the_example_of_the_page_deals_the_trades_of_a_run(candles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wishes = Wishes("rsi_mean_reversion")
    strategy = chosen_strategy(wishes)
    result = run(backtest_setup(load_markets(recorded_candles(candles), wishes, strategy), wishes, strategy))
    exec(EXAMPLE, {"result": result})
    assert re.search(r"[\d.]+% ruined, [\d.]+% deep at 95 %\nchance does as well in [\d.]+%", capsys.readouterr().out)


def test_every_gate_has_its_row_on_the_page() -> None:
    from common.domain.backtest.walk_forward import GateRule

    assert [rule for rule in GateRule if f"| `{rule}` |" not in PAGE] == []
