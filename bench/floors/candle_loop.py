"""The floor of a live loop over pairs: the answers of a venue as arrays and three indicators, with no engine round it."""

from __future__ import annotations

import statistics
import time

import numpy as np
import talib

CANDLES, STEP_MS, WARM = 1_000, 300_000, 2


def bare_iteration(pairs: int, iterations: int) -> float:
    """Seconds of one iteration, the median after the first two; every pair's answer is another one each time."""
    random = np.random.default_rng(7)
    length = CANDLES + iterations
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.003, (pairs, length)), axis=1))
    seconds = []
    for number in range(iterations):
        answers = [_answer(close[number : number + CANDLES], number * STEP_MS) for close in closes]
        began = time.perf_counter()
        for answer in answers:
            close = np.array(answer, dtype=np.float64)[:, 4].copy()
            talib.EMA(close, 12), talib.EMA(close, 26), talib.RSI(close, 14)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[WARM:])


def _answer(close: np.ndarray, first_ms: int) -> list[list[float]]:
    """The rows that a venue sends: opening instant, open, high, low, close, volume."""
    opened = first_ms + STEP_MS * np.arange(close.size)
    return np.column_stack((opened, close, close * 1.001, close * 0.999, close, close * 10)).tolist()
