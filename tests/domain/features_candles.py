"""Candles for tests of features, strategies and backtests: seeded walks, hand-written bars, recorded files."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from common.domain.features import Columns
from common.domain.market import Instrument, Timeframe

FIVE_MINUTES = Timeframe(300)
START_MS = 1_609_459_200_000  # 2021-01-01T00:00Z
RECORDED = Path(
    os.environ.get("TRADEWINDS_MARKET_DATA", Path(__file__).resolve().parents[3] / "shared" / "market-data")
)


def walk(seed: int, bars: int, volatility: float = 0.004) -> Columns:
    """A random walk of `bars` candles on a grid of cents, with volume and the odd flat or untraded bar."""
    random = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(random.normal(0.0, volatility, bars))), 2)
    open_ = np.concatenate(([100.0], close[:-1])) if bars else close.copy()
    spread = np.abs(random.normal(0.0, volatility, (2, bars))) * close
    flat = random.random(bars) < 0.02
    high = np.round(np.maximum(open_, close) + np.where(flat, 0.0, spread[0]), 2)
    low = np.round(np.minimum(open_, close) - np.where(flat, 0.0, spread[1]), 2)
    volume = np.where(random.random(bars) < 0.02, 0.0, np.round(random.lognormal(3.0, 1.0, bars), 3))
    return Columns(START_MS + 300_000 * np.arange(bars), open_, high, low, close, volume, FIVE_MINUTES)


def bars(rows: list[tuple[float, float, float, float]], volume: float = 10.0) -> Columns:
    """Candles written out as (open, high, low, close)."""
    open_, high, low, close = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    opened = START_MS + 300_000 * np.arange(len(rows))
    return Columns(opened, open_, high, low, close, np.full(len(rows), volume), FIVE_MINUTES)


def instrument(symbol: str = "BTC/USDT:USDT", tick: str = "0.01", step: str = "0.001") -> Instrument:
    """A perpetual with Binance-like filters."""
    return Instrument(
        venue="simulator",
        symbol=symbol,
        base=symbol.split("/", maxsplit=1)[0],
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        step_size=Decimal(step),
        min_quantity=Decimal(step),
        max_quantity=Decimal(1000000),
        min_notional=Decimal(5),
        max_leverage=50,
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
    )


def recorded(path: str) -> Columns:
    """A recorded file below the market-data folder; skips the test where it is not there."""
    file = RECORDED / path
    if not file.exists():
        pytest.skip(f"recorded market data is not here: {path}")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(file)
    series = []
    for name in ("open", "high", "low", "close", "volume"):
        column = table[name].combine_chunks()
        units = np.frombuffer(column.buffers()[1], dtype=np.int64)[0::2][column.offset : column.offset + len(column)]
        series.append(units.astype(np.float64) / 10.0**column.type.scale)
    opened = table["date"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    first, high, low, close, volume = series
    return Columns(opened, first, high, low, close, volume, FIVE_MINUTES)
