"""Writes rows, of a backtest or of the ledger, as Parquet and CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

_WIDE = Context(prec=80)


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
        csv.write_csv(_spelt(table), path)
    return path


def _spelt(table: pa.Table) -> pa.Table:
    """`table` with decimals written out: Arrow's CSV would have 0E-8 for nothing, and zeros up to the longest number."""
    for place, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            texts = [None if item is None else _digits(item) for item in table.column(place).to_pylist()]
            table = table.set_column(place, column.name, pa.array(texts, pa.string()))
    return table


def _digits(number: Decimal) -> str:
    return format(number.normalize(_WIDE), "f")


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, Mapping) else value
