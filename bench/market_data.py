"""Candles for benches: the recorded ones where they are, a seeded market of the same size where they are not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
START_MS, STEP_MS, CANDLES = 1_609_459_200_000, 300_000, 52_000
NAMES = ("BTC", "ETH", "ADA", "SOL", "XRP", "LINK", "LTC", "MATIC", "AVAX", "UNI", "ETC", "XLM", "VET", "EOS", "AAVE")


def recorded() -> Path:
    """The folder of recorded candles, whether it is there or not."""
    return Path(os.environ.get("TRADEWINDS_MARKET_DATA", str(ROOT.parent / "shared" / "market-data")))


@contextmanager
def recorded_or_made(folder: str, instruments: int) -> Iterator[tuple[Path, str]]:
    """(folder with one Parquet file for each of `instruments`, where they come from)."""
    found = sorted((recorded() / folder).glob("*-5m.parquet"))
    with tempfile.TemporaryDirectory(prefix="tradewinds-bench-") as place:
        if len(found) >= instruments:
            for path in found[:instruments]:
                (Path(place) / path.name).symlink_to(path.resolve())
            yield Path(place), f"recorded: {folder}"
        else:
            for seed, name in enumerate(NAMES[:instruments]):
                write(Path(place) / f"{name}_USDT-5m.parquet", seed)
            yield Path(place), "made: a seeded random walk"
        shutil.rmtree(place, ignore_errors=True)


def write(path: Path, seed: int) -> None:
    """Half a year of five-minute candles of a random walk, as the recorded files are."""
    random = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(random.normal(0, 0.003, CANDLES))), 2).clip(1)
    opened = np.concatenate(([100.0], close[:-1]))
    spread = np.abs(random.normal(0, 0.003, (2, CANDLES))) * close
    prices = {
        "open": opened,
        "high": np.round(np.maximum(opened, close) + spread[0], 2),
        "low": np.round(np.minimum(opened, close) - spread[1], 2).clip(0.5),
        "close": close,
        "volume": np.round(random.lognormal(6, 1, CANDLES), 2),
    }
    columns = {name: decimals(values) for name, values in prices.items()}
    dates = pa.array(START_MS + STEP_MS * np.arange(CANDLES), pa.timestamp("ms", tz="UTC"))
    pq.write_table(pa.table({"date": dates, **columns}), path)


def decimals(values: np.ndarray) -> pa.Array:
    """Values on a grid of cents as exact decimals."""
    words = np.zeros((values.size, 2), dtype=np.int64)
    words[:, 0] = np.round(values * 100).astype(np.int64)
    return pa.Array.from_buffers(pa.decimal128(18, 2), values.size, [None, pa.py_buffer(words.tobytes())])
