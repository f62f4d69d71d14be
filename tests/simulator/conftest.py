"""A running practice world, accounts at it, and the real clients pointed at it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import ccxt
import pytest

from tests.simulator.candles import write_market
from tests.simulator_process import SimulatorProcess, start

Found = TypeVar("Found")
_numbers = itertools.count(1)


def point_at(exchange: Any, url: str) -> Any:
    """Replace scheme and host of every address of a ccxt exchange, and let it know the venue's error codes again."""
    host = url.removeprefix("http://")

    def moved(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {name: moved(value) for name, value in entry.items()}
        scheme, _, rest = str(entry).partition("://")
        return f"{'ws' if scheme.startswith('ws') else 'http'}://{host}/{rest.partition('/')[2]}"

    exchange.urls["api"] = moved(exchange.urls["api"])
    original = exchange.get_exceptions_by_url
    exchange.get_exceptions_by_url = lambda address, kind: original(
        str(address).replace(url, "https://fapi.binance.com"), kind
    )
    exchange.enableRateLimit = False
    return exchange


def eventually(question: Callable[[], Found | None], seconds: float = 20) -> Found:
    """Ask until the answer is something; fails loudly when it stays nothing."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"no answer within {seconds} s")


@pytest.fixture(scope="session")
def world() -> Iterator[SimulatorProcess]:
    """A generated market, a minute a second."""
    process = start(speed=60, symbols="BTCUSDT,ETHUSDT,SOLUSDT")
    yield process
    assert process.stop() == 0


@pytest.fixture
def healed(world: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The world for a test that injects faults; they are gone afterwards."""
    yield world
    world.heal()


@pytest.fixture
def api_key(world: SimulatorProcess) -> str:
    """A fresh account with 10,000 USDT."""
    key = f"key-{next(_numbers)}-{time.monotonic_ns()}"
    world.open_account(key)
    return key


@pytest.fixture
def venue(world: SimulatorProcess, api_key: str) -> Any:
    """The real ccxt client with that account."""
    return client_of(world, api_key)


def client_of(process: SimulatorProcess, api_key: str, **options: Any) -> Any:
    """The real ccxt client for an account, following the venue's clock."""
    exchange = point_at(ccxt.binanceusdm({"apiKey": api_key, "secret": "secret", **options}), process.url)
    clock = process.clock()
    exchange.nonce = lambda: int((clock["origin_venue"] + (time.time() - clock["origin_real"]) * clock["rate"]) * 1000)
    return exchange


@pytest.fixture
def still_market(tmp_path: Path) -> Path:
    """A folder with two symbols of five-minute candles, made by rule."""
    return write_market(tmp_path / "market", {"BTC": 20_000, "ETH": 600}, count=400)
