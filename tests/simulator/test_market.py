"""The market: paths that touch what they must, recorded candles served digit for digit, made ones reproducible."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.market.feed import TIMEFRAMES_MS
from simulator.market.market import open_market
from simulator.market.path import candle_path, volume_path
from simulator.rest.market_data import kline_row
from tests.simulator.candles import rows_of, write_candles, write_market
from tests.simulator.conftest import client_of, eventually
from tests.simulator_process import SimulatorProcess, start

RECORDED = Path(os.environ.get("TRADEWINDS_MARKET_DATA", "../shared/market-data")) / "binance-spot-5m"
needs_recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"recorded market data is not at {RECORDED}")

Prices = st.lists(st.integers(1, 10**6), min_size=4, max_size=4).map(sorted)


@given(prices=Prices, up=st.booleans(), ticks=st.sampled_from([12, 18, 30, 45, 60]), key=st.integers(0, 2**40))
def test_a_path_touches_open_high_low_and_close_exactly(prices: list[int], up: bool, ticks: int, key: int) -> None:
    low, a, b, high = prices
    open_, close = (a, b) if up else (b, a)
    path = candle_path(open_, high, low, close, ticks, key)
    assert (path[0], max(path), min(path), path[-1], len(path)) == (open_, high, low, close, ticks)
    assert path == candle_path(open_, high, low, close, ticks, key)


@given(volume=st.integers(0, 10**12), ticks=st.sampled_from([12, 30]), key=st.integers(0, 2**40))
def test_the_volume_of_a_path_grows_to_exactly_the_candles(volume: int, ticks: int, key: int) -> None:
    path = volume_path(volume, ticks, key)
    assert path == sorted(path)
    assert (len(path), path[-1]) == (ticks, volume)


def test_an_open_candle_becomes_the_recorded_one(tmp_path: Path) -> None:
    feed = open_market(write_market(tmp_path, {"BTC": 20_000}, 50), [], 7, 10, None).feeds["BTCUSDT"]
    opened = int(feed.columns.time[20])
    states = [feed.candles(300_000, opened + s * 10_000, opened, None, 1)[0] for s in range(31)]
    assert [s.volume for s in states] == sorted(s.volume for s in states)
    assert [s.high for s in states] == sorted(s.high for s in states)
    assert states[-1][1:6] == tuple(
        int(getattr(feed.columns, name)[20]) for name in ("open", "high", "low", "close", "volume")
    )


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    rows = rows_of(20_000, 60)
    write_candles(tmp_path, "BTC", rows[:30] + rows[40:])
    feed = open_market(tmp_path, [], 7, 10, None).feeds["BTCUSDT"]
    until = feed.end_ms
    assert until is not None
    opened = [k.opened_ms for k in feed.candles(300_000, until, None, None, 100)]
    assert len(opened) == 50
    assert max(b - a for a, b in itertools.pairwise(opened)) == 11 * 300_000


def test_a_symbol_listed_later_is_not_traded_before(tmp_path: Path) -> None:
    write_candles(tmp_path, "BTC", rows_of(20_000, 60))
    write_candles(tmp_path, "ETH", rows_of(600, 60)[40:])
    market = open_market(tmp_path, [], 7, 10, None)
    assert [market.is_listed(s, market.start_ms) for s in ("BTCUSDT", "ETHUSDT")] == [True, False]


def test_impossible_rows_of_a_file_are_left_out(tmp_path: Path) -> None:
    rows = rows_of(20_000, 40)
    when, open_, high, low, close, volume = rows[20]
    rows[20] = (when, open_, low, high, close, volume)
    rows.append(rows[5])
    write_candles(tmp_path, "BTC", rows)
    assert len(open_market(tmp_path, [], 7, 10, None).feeds["BTCUSDT"].columns.time) == 39


def _columns(seed: int) -> list[Any]:
    feed = open_market(None, ["BTCUSDT", "SOLUSDT"], seed, 1000, None).feeds["SOLUSDT"]
    feed.cover(feed.first_ms + 5 * 86_400_000)
    c = feed.columns
    return [list(map(int, getattr(c, name)[:7000])) for name in ("time", "open", "high", "low", "close", "volume")]


def test_a_made_market_is_a_function_of_its_seed() -> None:
    assert _columns(7) == _columns(7)
    assert _columns(7) != _columns(8)


def test_a_made_market_is_sound_and_lives() -> None:
    times, opens, highs, lows, closes, volumes = _columns(11)
    assert all(
        h >= max(o, c) and low <= min(o, c) and low > 0 for o, h, low, c in zip(opens, highs, lows, closes, strict=True)
    )
    assert closes[:-1] == opens[1:]
    assert {b - a for a, b in itertools.pairwise(times)} == {60_000}
    assert min(volumes) > 0
    moves = [abs(b / a - 1) for a, b in itertools.pairwise(closes)]
    assert max(moves) > 8 * (sum(moves) / len(moves))


@needs_recorded
@pytest.mark.parametrize("name", ["BTC_USDT", "ADA_USDT", "VET_USDT"])
def test_replayed_candles_equal_the_recorded_ones_digit_for_digit(name: str) -> None:
    table = pq.read_table(RECORDED / f"{name}-5m.parquet")
    feed = open_market(RECORDED, [name], 7, 1000, None).feeds[name.replace("_", "")]
    until = feed.first_ms + 1500 * 300_000
    served = [kline_row(feed, k, 300_000)[:6] for k in feed.candles(300_000, until - 1, None, None, 1500)]
    recorded = [
        [int(r["date"].timestamp() * 1000), *(str(r[c]) for c in ("open", "high", "low", "close", "volume"))]
        for r in table.slice(0, 1500).to_pylist()
    ]
    assert served == recorded


@pytest.fixture
def replay() -> Any:
    process = start(market=RECORDED, symbols="BTCUSDT,ETHUSDT", speed=3000)
    process.open_account("replayer")
    yield process
    process.stop()


@needs_recorded
def test_a_replay_serves_the_timeframes_its_candles_make(replay: SimulatorProcess) -> None:
    venue = client_of(replay, "replayer")
    table = pq.read_table(RECORDED / "BTC_USDT-5m.parquet")
    first = datetime(2020, 12, 1, tzinfo=UTC)
    day = list(table.slice(0, 288).to_pylist())
    hours = venue.fapiPublicGetKlines(
        {"symbol": "BTCUSDT", "interval": "4h", "startTime": int(first.timestamp() * 1000), "limit": 6}
    )
    assert [h[4] for h in hours] == [str(day[n * 48 + 47]["close"]) for n in range(6)]
    assert [Decimal(h[5]) for h in hours] == [sum(r["volume"] for r in day[n * 48 : n * 48 + 48]) for n in range(6)]
    assert set(TIMEFRAMES_MS) - set(replay.call("GET", "/simulator/status")["timeframes"]) == {"1m", "3m"}


@needs_recorded
def test_replayed_time_brings_the_next_recorded_candle(replay: SimulatorProcess) -> None:
    venue = client_of(replay, "replayer")
    last = venue.fetch_ohlcv("BTC/USDT:USDT", "5m", limit=1)[0][0]
    eventually(lambda: venue.fetch_ohlcv("BTC/USDT:USDT", "5m", limit=1)[0][0] >= last + 3 * 300_000)


def test_at_the_end_of_its_data_the_market_stands_still(tmp_path: Path) -> None:
    folder = write_market(tmp_path, {"BTC": 20_000}, 60)
    process = start(market=folder, speed=20_000, extra=("--warmup-candles", "50"))
    try:
        process.open_account("late")
        eventually(lambda: process.clock()["exhausted"])
        venue = client_of(process, "late")
        prices = {venue.fetch_ticker("BTC/USDT:USDT")["last"] for _ in range(5)}
        order = venue.create_order("BTC/USDT:USDT", "market", "buy", 0.01)
        assert len(prices) == 1
        assert order["status"] == "closed"
    finally:
        assert process.stop() == 0


def test_the_clock_runs_at_its_rate(world: SimulatorProcess) -> None:
    first = world.clock()
    second = eventually(lambda: _later(world, first["server_time"] + 60_000))
    assert first["rate"] == 60.0
    assert (first["origin_real"], first["origin_venue"]) == (second["origin_real"], second["origin_venue"])
    assert first["exhausted"] is False


def _later(world: SimulatorProcess, instant: int) -> Any:
    clock = world.clock()
    return clock if clock["server_time"] >= instant else None
