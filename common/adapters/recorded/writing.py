"""Writes what a backtest came to as Parquet and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv


def write_rows(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    """`rows` as `name`.parquet and `name`.csv in `folder`, which is made; returns both files. Decimals stay exact."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([dict(row) for row in rows])
    paths = [folder / f"{name}.parquet", folder / f"{name}.csv"]
    pq.write_table(table, paths[0])
    csv.write_csv(table, paths[1])
    return paths
