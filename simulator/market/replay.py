"""A recorded market: the candles of a folder's Parquet files, several symbols in step."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.errors import BadArguments
from simulator.market.feed import TICKS, TIMEFRAMES_MS, Columns, Feed, Ints

FILE_NAME = re.compile(r"^(?P<base>[A-Z0-9]+)_(?P<quote>USDT)(?:_USDT)?-(?P<timeframe>\d+[mhd])(?:-futures)?\.parquet$")


def read_folder(folder: Path, symbols: Iterable[str], seed: int) -> dict[str, Feed]:
    """The feeds of a folder by symbol (`BTCUSDT`); several timeframes in one folder are refused."""
    if not folder.is_dir():
        raise BadArguments(
            f"--market {str(folder)!r} is not a folder; accepted is a folder of files like BTC_USDT-5m.parquet"
        )
    wanted = {plain(name) for name in symbols}
    found: dict[str, tuple[Path, str]] = {}
    for path in sorted(folder.iterdir()):
        match = FILE_NAME.match(path.name)
        if match:
            found[match["base"] + match["quote"]] = (path, match["timeframe"])
    if not found:
        raise BadArguments(
            f"--market {str(folder)!r} holds no candle file; accepted are files like BTC_USDT-5m.parquet"
        )
    missing = sorted(wanted - found.keys())
    if missing:
        raise BadArguments(
            f"--symbols {', '.join(missing)} not in {str(folder)!r}; there are {', '.join(sorted(found))}"
        )
    chosen = {symbol: entry for symbol, entry in found.items() if not wanted or symbol in wanted}
    timeframes = {timeframe for _, timeframe in chosen.values()}
    if len(timeframes) > 1 or TIMEFRAMES_MS.get(next(iter(timeframes))) not in TICKS:
        known = ", ".join(name for name, ms in TIMEFRAMES_MS.items() if ms in TICKS)
        raise BadArguments(
            f"--market {str(folder)!r} holds timeframes {sorted(timeframes)}; accepted is one of {known}"
        )
    base_ms = TIMEFRAMES_MS[timeframes.pop()]
    return {symbol: read_feed(path, symbol, base_ms, seed) for symbol, (path, _) in chosen.items()}


def plain(name: str) -> str:
    """A symbol as the venue writes it: `BTC/USDT:USDT`, `BTC_USDT` and `BTCUSDT` are all `BTCUSDT`."""
    return name.upper().split(":")[0].replace("/", "").replace("_", "")


def read_feed(path: Path, symbol: str, base_ms: int, seed: int) -> Feed:
    """One file as a feed; candles out of order or twice are put right, impossible ones are left out as a gap."""
    table = pq.read_table(path, columns=["date", "open", "high", "low", "close", "volume"])
    price_scale = max(_scale(table.schema.field(name).type) for name in ("open", "high", "low", "close"))
    volume_scale = _scale(table.schema.field("volume").type)
    times = table["date"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
    open_, high, low, close = (_integers(table[name], price_scale) for name in ("open", "high", "low", "close"))
    columns = Columns(times, open_, high, low, close, _integers(table["volume"], volume_scale))
    return Feed(symbol, base_ms, price_scale, volume_scale, seed, _sound(columns))


def _scale(type_: pa.DataType) -> int:
    return int(type_.scale) if pa.types.is_decimal(type_) else 8


def _integers(column: pa.ChunkedArray, scale: int) -> Ints:
    """A decimal column as unscaled 64-bit integers; a float column is rounded to eight digits."""
    if not pa.types.is_decimal(column.type):
        return np.rint(np.asarray(column.to_numpy(), dtype=np.float64) * 10**scale).astype(np.int64)
    chunk = column.combine_chunks()
    array = chunk.combine_chunks() if isinstance(chunk, pa.ChunkedArray) else chunk
    # A decimal128 is two little-endian 64-bit words; the low one holds every value that fits 18 digits.
    words = np.frombuffer(array.buffers()[1], dtype=np.int64)[0::2]
    values = words[array.offset : array.offset + len(array)].copy()
    if array.null_count:
        values[np.asarray(array.is_null().to_numpy(zero_copy_only=False))] = -1
    return values * 10 ** (scale - column.type.scale)


def _sound(c: Columns) -> Columns:
    order = np.argsort(c.time, kind="stable")
    c = Columns(*(getattr(c, name)[order] for name in ("time", "open", "high", "low", "close", "volume")))
    good = (
        (c.low > 0) & (c.volume >= 0) & (c.high >= np.maximum(c.open, c.close)) & (c.low <= np.minimum(c.open, c.close))
    )
    good &= np.concatenate(([True], c.time[1:] != c.time[:-1]))
    return Columns(
        *(np.ascontiguousarray(getattr(c, n)[good]) for n in ("time", "open", "high", "low", "close", "volume"))
    )
