"""Reads a file of candles with pyarrow: as correctly rounded floats for computing, as exact decimals for keeping."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from common.domain.errors import InvalidInput, NotFound

PRICES = ("open", "high", "low", "close")
TIMES = ("date", "opened_at", "timestamp", "time", "open_time")

_EXACT = 2**53
_CSV_PRECISION = 38


def read(path: Path, names: Sequence[str] = (*PRICES, "volume")) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
    """(opening times in ms since 1970 UTC, columns `names` as chunked arrays of pyarrow) of `path`."""
    if not path.is_file():
        raise NotFound("file of candles", path)
    try:
        table = _csv(path) if path.suffix == ".csv" else _parquet(path, names)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(path.name, str(error).partition("\n")[0], "a file of candles that can be read") from error
    when = next((name for name in TIMES if name in table.column_names), None)
    absent = [name for name in names if name not in table.column_names]
    if when is None or absent:
        raise InvalidInput(path.name, table.column_names, f"a time ({', '.join(TIMES)}) and {', '.join(names)}")
    return _times(path, table[when]), {name: table[name] for name in names}


def _parquet(path: Path, names: Sequence[str]) -> Any:
    with pq.ParquetFile(path) as file:
        known = file.schema_arrow.names
        return file.read(columns=[name for name in (*TIMES, *names) if name in known], use_threads=False)


def _csv(path: Path) -> Any:
    from pyarrow import csv

    header = path.open(encoding="utf-8").readline().strip().split(",")
    texts = csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    table = csv.read_csv(path, convert_options=texts)
    columns = {}
    for name in table.column_names:
        columns[name.strip().lower()] = table[name] if name.strip().lower() in TIMES else _decimals(table[name])
    return pa.table(columns)


def _decimals(texts: Any) -> Any:
    """Decimals of what is written, with as many digits after the point as the longest has."""
    written = [None if text in {None, ""} else Decimal(text) for text in texts.to_pylist()]
    digits = max((-int(value.as_tuple().exponent) for value in written if value is not None), default=0)
    return pa.chunked_array([pa.array(written, type=pa.decimal128(_CSV_PRECISION, max(digits, 0)))])


def _times(path: Path, column: Any) -> npt.NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        # Without a zone the instants are taken as UTC, which is what venues write.
        return np.asarray(column.to_numpy()).astype("datetime64[ms]").astype(np.int64)
    if pa.types.is_integer(column.type):
        return np.asarray(column, np.int64)
    written = column.to_pylist()
    try:
        if all(text.isdigit() for text in written):
            return np.array(written, dtype=np.int64)
        plain = [text.replace("Z", "").removesuffix("+00:00").replace(" ", "T") for text in written]
        return np.array(plain, dtype="datetime64[ms]").astype(np.int64)
    except ValueError as error:
        raise InvalidInput(path.name, str(error), "times as milliseconds since 1970 or ISO 8601 in UTC") from error


def decimals(column: Any) -> int:
    """Digits after the point of `column`; of floats, those needed to write its values."""
    if pa.types.is_decimal(column.type):
        return max(0, int(column.type.scale))
    if pa.types.is_integer(column.type):
        return 0
    found = (
        Decimal(repr(value)).normalize().as_tuple().exponent for value in column.slice(0, 2000).to_pylist() if value
    )
    return max((-int(exponent) for exponent in found), default=0)


def floats(column: Any) -> npt.NDArray[np.float64]:
    """The nearest float64 of every value, NaN where there is none."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], type=column.type)
    if not pa.types.is_decimal128(array.type):
        return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    words = np.frombuffer(array.buffers()[1], dtype=np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    units = words[:, 0]
    # An integer below 2^53 and a power of ten up to 10^22 are exact as floats, so that one division rounds once.
    result = units / 10.0**array.type.scale
    large = np.flatnonzero((np.abs(units) >= _EXACT) | (words[:, 1] != units >> 63))
    for place in large.tolist():
        value = array[place].as_py()
        result[place] = np.nan if value is None else float(value)
    if array.null_count:
        result[array.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return result


def exact(column: Any) -> list[Decimal | None]:
    """Every value as a Decimal."""
    if pa.types.is_decimal(column.type):
        values: list[Decimal | None] = column.to_pylist()
        return values
    return [None if value is None else Decimal(repr(value)) for value in column.to_pylist()]
