"""The features' bench: everything we can compute of 500 instruments, beside the bare calls it is made of."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import talib

from bench.report import Report, say
from common.adapters.made_market import made_market
from common.domain import features, strategies
from common.domain.features import COLUMN_NAMES, FEAR_GREED, VECTOR, Columns, snapshot_features
from common.domain.stepping import Stepping

GOAL, STEP_GOAL = 1.5, 2.0
INSTRUMENTS, CANDLES, ROUNDS, STEPS = 500, 500, 5, 20
STEP_NAMES = (
    "rsi_14", "macd_12_26_9", "macd_signal_12_26_9", "macd_histogram_12_26_9", "ema_20", "ema_50", "atr_14",
    "bollinger_upper_20_2", "bollinger_middle_20_2", "bollinger_lower_20_2",
)  # fmt: skip
"""What a step of TA-Lib's streams is compared with: the same series for the newest candle."""

Call = tuple[Callable[..., Any], tuple[str, ...], tuple[int, ...], str, int | None]


def run(is_quick: bool) -> Report:
    """Both ways over the same candles in turn, several times; medians."""
    count, rounds = (20, 2) if is_quick else (INSTRUMENTS, ROUNDS)
    markets = [made_market(seed, CANDLES)[1] for seed in range(count)]
    wanted = sorted({*VECTOR, *(name for item in strategies.names() for name in strategies.get(item).features)})
    wanted = [name for name in wanted if name != FEAR_GREED and not snapshot_features([name])]
    calls = resolved(wanted)
    same(wanted, calls, markets[0])
    timed = []
    for number in range(rounds):
        timed.append((_time(lambda: ours(wanted, markets)), _time(lambda: bare(calls, markets))))
        say(f"round {number + 1}: ours {timed[-1][0] * 1e3:.0f} ms, bare calls {timed[-1][1] * 1e3:.0f} ms")
    step = measure_step(markets, rounds)
    return Report(
        bench="features",
        figure=statistics.median(pair[0] for pair in timed),
        floor=statistics.median(pair[1] for pair in timed),
        unit=f"seconds for {len(wanted)} features of {count} instruments x {CANDLES} candles",
        goal=GOAL,
        is_lower_better=True,
        details={
            "features": len(wanted),
            "bare_calls": len(calls),
            "ratio_pairwise": round(statistics.median(one / other for one, other in timed), 3),
            "one_new_candle": step,
        },
    )


def _time(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def ours(wanted: Sequence[str], markets: Sequence[Columns]) -> None:
    """As every caller does."""
    for columns in markets:
        features.compute(wanted, columns)


def resolved(wanted: Sequence[str]) -> list[Call]:
    """The calls that `wanted` come down to, each once, in an order in which they can be made."""
    calls: dict[tuple[Any, ...], Call] = {}

    def visit(name: str) -> None:
        item = features.feature(name)
        for needed in item.inputs:
            if needed not in COLUMN_NAMES:
                visit(needed)
        arguments = tuple(item.arguments[place] for place in item.family.passes)
        key = (item.family.function, item.inputs, arguments, item.family.output)
        calls.setdefault(key, (item.family.function, item.inputs, arguments, name, item.family.output))

    for name in wanted:
        visit(name)
    return list(calls.values())


def bare(calls: Sequence[Call], markets: Sequence[Columns]) -> None:
    """The same functions on the same arrays with nothing round them; what gives several series is called once."""
    for columns in markets:
        made(calls, columns)


def made(calls: Sequence[Call], columns: Columns) -> dict[str, Any]:
    """Every series of one instrument."""
    values: dict[str, Any] = {name: getattr(columns, name) for name in COLUMN_NAMES}
    done: dict[Any, Any] = {}
    for function, inputs, arguments, name, output in calls:
        if output is None:
            values[name] = function(*[values[item] for item in inputs], *arguments)
            continue
        key = (function, inputs, arguments)
        if key not in done:
            done[key] = function(*[values[item] for item in inputs], *arguments)
        values[name] = done[key][output]
    return values


def same(wanted: Sequence[str], calls: Sequence[Call], columns: Columns) -> None:
    """Raises AssertionError unless both ways give the same numbers."""
    one, other = features.compute(wanted, columns), made(calls, columns)
    for name in other.keys() & one.keys():
        np.testing.assert_array_equal(one[name], other[name])


def measure_step(markets: Sequence[Columns], rounds: int) -> dict[str, Any]:
    """One new candle on every instrument: what a scan keeps, carried on, beside an update of TA-Lib's streams.

    Ours are handed the candles as columns and give the newest features as columns again; both keep their state.
    """
    kept = Stepping(STEP_NAMES, 1, markets[0].timeframe)
    names = [str(number) for number in range(len(markets))]
    for name, columns in zip(names, markets, strict=True):
        kept.open(name, columns)
    opened = [Streams(columns) for columns in markets]
    candles = [_candle(markets, number) for number in range(STEPS)]
    timed = [
        (_time(partial(stepped, kept, names, candle)), _time(partial(streamed, opened, candle)))
        for _ in range(rounds)
        for candle in candles
    ]
    figure, floor = (statistics.median(pair[side] for pair in timed) for side in (0, 1))
    ratio = figure / floor
    anew = statistics.median(_time(lambda: ours(STEP_NAMES, markets)) for _ in range(rounds))
    return {
        "figure": round(figure, 6),
        "floor": round(floor, 6),
        "floor_is": "TA-Lib's streams, state kept, one update of each",
        "ratio": round(ratio, 3),
        "goal": STEP_GOAL,
        "holds": ratio <= STEP_GOAL,
        "anew": round(anew, 5),
        "times_faster_than_anew": round(anew / figure, 1),
    }


def _candle(markets: Sequence[Columns], number: int) -> dict[str, Any]:
    """One new candle of each market: an old one of its own again, so that prices stay what they were."""
    return {name: np.array([getattr(columns, name)[-1 - number] for columns in markets]) for name in COLUMN_NAMES}


def stepped(kept: Stepping, names: Sequence[str], candle: dict[str, Any]) -> None:
    """As the scan does when a candle has closed."""
    kept.step(names, candle)
    kept.ends(names)


class Streams:
    """TA-Lib's streams of one instrument, opened on its history and fed one candle at a time."""

    def __init__(self, item: Columns) -> None:
        stream, close = talib.stream, item.close
        self.closes = (
            stream.RSI(close, 14), stream.MACD(close, 12, 26, 9), stream.EMA(close, 20), stream.EMA(close, 50),
            stream.BBANDS(close, 20, 2, 2),
        )  # fmt: skip
        self.atr = stream.ATR(item.high, item.low, close, 14)

    def update(self, high: float, low: float, close: float) -> None:
        """One new candle."""
        for handle in self.closes:
            handle.update(close)
        self.atr.update(high, low, close)


def streamed(opened: Sequence[Streams], candle: dict[str, Any]) -> None:
    """One new candle for every instrument."""
    told = [candle[name].tolist() for name in ("high", "low", "close")]
    for item, high, low, close in zip(opened, *told, strict=True):
        item.update(high, low, close)
