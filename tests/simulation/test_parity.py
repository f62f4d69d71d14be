"""Parity: the comparison finds what differs, and a small run of the real services differs in nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.domain.order import OrderType
from common.domain.signal import Side
from simulation.parity.compare import Comparison, alike
from simulation.parity.live import Driver
from tests.architecture.source import PROJECT
from tests.cli.test_backtest import candles

__all__ = ["candles"]


def test_rows_that_are_equal_are_counted() -> None:
    found = Comparison()
    found.of("signals", {1: {"side": "long", "price": 1.0}}, {1: {"side": "long", "price": 1.0 + 1e-12}})
    assert (found.compared, found.differences) == ({"signals": 1}, [])


def test_the_first_field_that_differs_is_named_and_a_missing_row_too() -> None:
    found = Comparison()
    found.of("exits", {1: {"reason": "stop", "price": 1}, 2: {}}, {1: {"reason": "target", "price": 2}, 3: {}})
    assert [(item["key"], item["field"]) for item in found.differences] == [
        ("1", "reason"), ("2", "lacking in backtest"), ("3", "lacking in live"),
    ]  # fmt: skip


def test_computed_numbers_are_alike_to_eight_digits_and_others_exactly() -> None:
    assert alike({"a": 1.0}, {"a": 1.0 + 1e-10})
    assert not alike({"a": 1.0}, {"a": 1.0 + 1e-6})
    assert not alike("1.0", "1.00")


@pytest.mark.parametrize(("side", "nearest_first"), [(Side.LONG, ["98", "97"]), (Side.SHORT, ["97", "98"])])
def test_a_price_that_comes_to_two_stops_comes_to_the_nearest_first(side: Side, nearest_first: list[str]) -> None:
    """A stop that follows the price rests beside the one before it until that is cancelled."""
    finished: list[str] = []
    intents = [
        SimpleNamespace(type=OrderType.STOP_MARKET, position_id=1, trigger_price=Decimal(price))
        for price in ("97", "98")
    ]
    driver: Any = object.__new__(Driver)
    driver.account = SimpleNamespace(id=0)
    driver.venue = SimpleNamespace(
        account=lambda _: SimpleNamespace(orders=[SimpleNamespace(is_open=True, intent=intent) for intent in intents]),
        is_met=lambda intent: True,
        finish=lambda _, order: finished.append(str(order.intent.trigger_price)),
    )
    driver.visit = driver.work = lambda *_: 0
    driver._stop(SimpleNamespace(id=1, side=side))
    assert finished == nearest_first


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [
        (("rsi_mean_reversion", "--model"), 1),
        (("ema_crossover", "--param", "fast=3", "--param", "slow=8", "--param", "stop_atr=1.2"), 0),
        # Two positions at once, of which one trails far above the last close while the other is looked after.
        (("confluence",), 0),
    ],
    ids=("with a model", "with parameters", "with trailing stops"),
)
def test_the_real_services_and_the_backtest_do_the_same(candles: Path, chosen: tuple[str, ...], asked: int) -> None:
    command = [sys.executable, "-m", "cli", "parity", "--data", str(candles), "--instruments", "BTC/USDT,ETH/USDT"]
    command += ["--candles", "60", "--strategy", *chosen, "--risk", "futures", "--json"]
    environ = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout)
    assert (answer["first"], done.returncode) == ([], 0)
    assert min(answer["compared"][kind] for kind in ("signals", "verdicts", "orders", "exits")) > 0
    assert min(1, sum(answer["advice"].values())) == asked
