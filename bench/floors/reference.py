"""The floor of a backtest: TA-Lib and one compiled loop that does exactly the rules of the reference strategy."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

began = time.perf_counter()

import numba  # noqa: E402 - the clock starts before the libraries are loaded, which is part of the figure.
import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import talib  # noqa: E402

FAST, SLOW, RSI, LOW, HIGH = 12, 26, 14, 50.0, 70.0
STOP, TARGET, STAKE, FIRST = 0.01, 0.02, 100.0, 200
FROM_MS, TO_MS = 1_609_459_200_000, 1_625_097_600_000

SIGNAL, STOPPED, REACHED, ENDED = 3, 1, 2, 4


@numba.njit(cache=True)
def trades_of(o: Any, h: Any, l: Any, c: Any, enters: Any, leaves: Any) -> Any:  # noqa: E741
    """(entry bar, exit bar, entry price, exit price, why) of every trade: one position at a time, stop before target."""
    last = len(o) - 1
    found = np.empty((len(o) // 8 + 8, 5))
    count, entered, price, ended = 0, -1, 0.0, -1
    for i in range(FIRST + 1, len(o)):
        if entered < 0 and enters[i - 1] and not leaves[i - 1] and i < last and ended != i:
            entered, price = i, o[i]
        if entered < 0:
            continue
        left, why = 0.0, 0
        if leaves[i - 1] and i > entered:
            left, why = o[i], SIGNAL
        elif l[i] <= price * (1 - STOP):
            left, why = min(price * (1 - STOP), o[i]), STOPPED
        elif h[i] >= price * (1 + TARGET):
            left, why = price * (1 + TARGET), REACHED
        elif i == last:
            left, why = c[i], ENDED
        if why:
            found[count, 0], found[count, 1], found[count, 2], found[count, 3], found[count, 4] = (
                entered,
                i,
                price,
                left,
                why,
            )
            count += 1
            entered, ended = -1, i
    return found[:count]


def candles(path: Path) -> list[Any]:
    """Open, high, low, close and volume of the window, nearest floats of the file's decimals."""
    table = pq.ParquetFile(path).read(use_threads=False)
    at = table["date"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    first, last = np.searchsorted(at, (FROM_MS, TO_MS)).tolist()
    series = []
    for name in ("open", "high", "low", "close", "volume"):
        column = table[name].combine_chunks()
        units = np.frombuffer(column.buffers()[1], dtype=np.int64)[0::2][column.offset : column.offset + len(column)]
        series.append((units / 10.0**column.type.scale)[first:last])
    return series


def reference(series: list[Any]) -> Any:
    """The trades on one instrument."""
    o, h, l, c, v = series  # noqa: E741
    fast, slow, rsi = talib.EMA(c, FAST), talib.EMA(c, SLOW), talib.RSI(c, RSI)
    up, down = np.zeros(len(c), np.bool_), np.zeros(len(c), np.bool_)
    up[1:] = (fast[1:] > slow[1:]) & (fast[:-1] <= slow[:-1])
    down[1:] = (fast[1:] < slow[1:]) & (fast[:-1] >= slow[:-1])
    return trades_of(o, h, l, c, up & (rsi > LOW) & (rsi < HIGH) & (v > 0), down & (v > 0))


def main(folder: str) -> None:
    """Run every file of `folder` and print what came of it."""
    total, profit, count, why = 0, 0.0, 0, [0] * 5
    loop_s = 0.0
    for path in sorted(Path(folder).glob("*-5m.parquet")):
        series = candles(path)
        start = time.perf_counter()
        trades = reference(series)
        loop_s += time.perf_counter() - start
        profit += float((STAKE * (trades[:, 3] / trades[:, 2] - 1)).sum())
        total += len(trades)
        count += len(series[0])
        for kind in (STOPPED, REACHED, SIGNAL, ENDED):
            why[kind] += int((trades[:, 4] == kind).sum())
    answer = {
        "candles": count,
        "trades": total,
        "profit": round(profit, 4),
        "exits": {"stop": why[STOPPED], "target": why[REACHED], "opposite": why[SIGNAL], "manual": why[ENDED]},
        "loop_s": round(loop_s, 4),
        "seconds": round(time.perf_counter() - began, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
