"""Writes rows, of a backtest or of the ledger, as Parquet and CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv


def write_rows(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    """`rows` as `name`.parquet and `name`.csv in `folder`, which is made; returns both files. Decimals stay exact."""
    return [write_file(folder, name, kind, rows) for kind in ("parquet", "csv")]


def write_file(folder: Path, name: str, kind: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """`rows` as `name`.`kind` (csv or parquet) in `folder`, which is made; returns the file.

    Decimals stay exact: a column is as wide as its longest number. What has parts (a model's vote, features) is JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([{key: _plain(value) for key, value in row.items()} for row in rows])
    path = folder / f"{name}.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        csv.write_csv(table, path)
    return path


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, Mapping) else value
