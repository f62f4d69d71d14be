"""Backtests as people run them: from files to figures, reports and explanations, and nothing heavy loaded for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.wishes import instant, pair
from common.domain.errors import InvalidInput
from tests.architecture.source import PROJECT
from tests.domain.features_candles import RECORDED, walk

HEAVY = ("ccxt", "celery", "sqlalchemy", "pydantic_settings", "openai", "numba", "pandas")


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two instruments of 3,000 candles each, as Parquet files."""
    folder = tmp_path_factory.mktemp("candles")
    for seed, name in enumerate(("BTC_USDT", "ETH_USDT")):
        columns = walk(seed, 3000)
        dates = pa.array(columns.opened_at, pa.timestamp("ms", tz="UTC"))
        prices = {
            field: pa.array([Decimal(f"{value:.2f}") for value in getattr(columns, field)], pa.decimal128(18, 2))
            for field in ("open", "high", "low", "close")
        }
        volume = pa.array([Decimal(f"{value:.3f}") for value in columns.volume * 1000], pa.decimal128(18, 3))
        pq.write_table(pa.table({"date": dates, **prices, "volume": volume}), folder / f"{name}-5m.parquet")
    return folder


def tradewinds(*arguments: object, code: int = 0) -> str:
    environ = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_backtest_of_files_answers_with_every_figure(candles: Path) -> None:
    answer = json.loads(tradewinds("backtest", "run", "--strategy", "rsi_mean_reversion", "--data", candles, "--json"))
    assert {
        "candles_per_s", "peak_mb", "trades", "win_rate", "profit_factor", "sharpe", "sortino", "max_drawdown",
        "expectancy", "excursions", "by_symbol", "by_exit", "exposure", "outcomes", "final_equity",
    } <= set(answer)  # fmt: skip
    assert answer["candles"] == 6000
    assert answer["trades"] == answer["outcomes"]["filled"] > 0
    earned = sum(Decimal(item["net_profit"]) for item in answer["by_symbol"].values())
    assert Decimal(answer["final_equity"]) == Decimal(answer["equity"]) + earned


def test_a_report_needs_nothing_from_the_network_and_an_export_holds_every_trade(candles: Path, tmp_path: Path) -> None:
    report, folder = tmp_path / "report.html", tmp_path / "export"
    arguments = (
        "--strategy",
        "rsi_mean_reversion",
        "--data",
        candles,
        "--report",
        report,
        "--export",
        folder,
        "--json",
    )
    answer = json.loads(tradewinds("backtest", "run", *arguments))
    page = report.read_text()
    trades = pq.read_table(folder / "trades.parquet")
    assert "<svg" in page
    assert "src=" not in page
    assert "href=" not in page
    assert "http" not in page
    assert trades.num_rows == answer["trades"]
    assert sum(trades["net_profit"].to_pylist()) == Decimal(answer["net_profit"])
    assert len((folder / "trades.csv").read_text().splitlines()) == answer["trades"] + 1


def test_why_tells_reasons_and_what_every_rule_measured(candles: Path) -> None:
    story = json.loads(
        tradewinds("backtest", "why", 1, "--strategy", "rsi_mean_reversion", "--data", candles, "--json")
    )
    assert story["outcome"] == "filled"
    assert story["signal"]["reasons"]
    assert story["signal"]["id"] == story["trade"]["signal_id"]
    assert [rule for rule in story["rules"] if rule["is_crossed"]] == []
    assert "book" in story["inputs"]


def test_a_trade_that_was_not_made_cannot_be_explained(candles: Path) -> None:
    said = tradewinds("backtest", "why", 9999, "--strategy", "rsi_mean_reversion", "--data", candles, code=2)
    assert "trade: 9999 is not accepted; expected a number from 1 to" in said


def test_an_unknown_strategy_names_those_there_are(candles: Path) -> None:
    assert "no strategy 'nothing'; there is:" in tradewinds(
        "backtest", "run", "--strategy", "nothing", "--data", candles, code=2
    )


def test_recorded_answers_are_of_signals_on_stored_candles_only(candles: Path) -> None:
    said = tradewinds(
        "backtest", "run", "--strategy", "ema_crossover", "--data", candles, "--advisor", "default", code=2
    )
    assert "advisor: 'default' is not accepted; expected no --data" in said


def test_fees_are_paid_as_asked(candles: Path) -> None:
    arguments = (
        "backtest",
        "run",
        "--strategy",
        "rsi_mean_reversion",
        "--data",
        candles,
        "--json",
    )
    free = json.loads(tradewinds(*arguments, "--fee-bps", 0))
    dear = json.loads(tradewinds(*arguments, "--fee-bps", 3))
    assert (Decimal(free["fees"]), Decimal(dear["fees"]) > 0) == (Decimal(0), True)


def test_a_backtest_of_files_loads_nothing_heavy(candles: Path) -> None:
    program = (
        "import sys; from cli.main import app\n"
        f"app(['backtest', 'run', '--strategy', 'ema_rsi_reference', '--data', {str(candles)!r}, '--json'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    environ = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_reference_makes_the_13900_trades_of_the_floor_program() -> None:
    data = RECORDED / "binance-spot-5m"
    if not data.is_dir():
        pytest.skip("recorded market data is not here: binance-spot-5m")
    answer = json.loads(tradewinds("backtest", "run", "--strategy", "ema_rsi_reference", "--data", data, "--json"))
    exits = {name: item["trades"] for name, item in answer["by_exit"].items()}
    assert (answer["candles"], answer["trades"]) == (780_135, 13_900)
    assert exits == {"manual": 2, "opposite": 4232, "stop": 5713, "target": 3953}
    assert answer["peak_mb"] < 400


@pytest.mark.parametrize(("text", "value"), [("a=3", 3), ("a=3.5", 3.5), ("a=true", True), ("a=close", "close")])
def test_parameters_are_read_as_what_they_look_like(text: str, value: object) -> None:
    assert pair(text, "param") == ("a", value)


def test_dates_are_utc_unless_they_say_otherwise() -> None:
    assert instant("2021-03-01", "from") == datetime(2021, 3, 1, tzinfo=UTC)
    assert instant("2021-03-01T02:00+02:00", "from") == datetime(2021, 3, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="from"):
        instant("March", "from")


def test_a_curve_keeps_its_extremes_when_it_is_thinned() -> None:
    from cli.backtest_report import thinned

    values = np.zeros(100_000)
    values[[7_777, 54_321]] = 5.0, -3.0
    assert {0, 7_777, 54_321, 99_999} <= set(thinned(values))
