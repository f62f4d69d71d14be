"""Candle files made by rule, in the shape of the recorded ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FIRST = datetime(2021, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
Row = tuple[datetime, Decimal, Decimal, Decimal, Decimal, Decimal]


def rows_of(price: int, count: int) -> list[Row]:
    """A market that climbs for forty candles and falls for forty, with wicks on both sides."""
    out: list[Row] = []
    last = Decimal(price)
    unit = Decimal(price) / 1000
    for n in range(count):
        close = last + unit * (1 if n // 40 % 2 == 0 else -1)
        high, low = max(last, close) + unit / 2, min(last, close) - unit / 2
        volume = Decimal(200 + n % 7 * 30)
        out.append((FIRST + STEP * n, *(v.quantize(Decimal("0.01")) for v in (last, high, low, close)), volume))
        last = close
    return out


def flat_rows(price: int, count: int) -> list[Row]:
    """A market that does not move."""
    p = Decimal(price)
    return [(FIRST + STEP * n, p, p, p, p, Decimal(300)) for n in range(count)]


def write_candles(folder: Path, base: str, rows: list[Row]) -> None:
    """One symbol's file."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(zip(*rows, strict=True))
    price, volume = pa.decimal128(18, 2), pa.decimal128(18, 3)
    arrays = [pa.array(columns[0], pa.timestamp("ms", tz="UTC"))]
    arrays += [pa.array(list(column), price) for column in columns[1:5]]
    arrays.append(pa.array([v.quantize(Decimal("0.001")) for v in columns[5]], volume))
    table = pa.table(arrays, names=["date", "open", "high", "low", "close", "volume"])
    pq.write_table(table, folder / f"{base}_USDT-5m.parquet")


def write_market(folder: Path, prices: Mapping[str, int], count: int) -> Path:
    """A folder of several symbols."""
    for base, price in prices.items():
        write_candles(folder, base, rows_of(price, count))
    return folder
