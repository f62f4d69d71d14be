"""Streams: indicators that keep what they need of the past, so that a new candle costs one step and no history.

Each is opened with the series its indicator is computed of, oldest first, and gives from then on, candle by candle, bit
for bit what the indicator gives of the whole. What only looks at a window of fixed length needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from talib import stream
from talib._ta_lib import MA_Type

from common.domain.indicators import patterns
from common.domain.indicators.series import Series, previous

# Its stubs call it a type of its own, where functions want the number that it is.
_SMA: Any = MA_Type.SMA


class Stream(Protocol):
    """State after some candles."""

    @property
    def update(self) -> Callable[..., Any]:
        """Handed the next candle's value of each series, gives the indicator there: a number, or a tuple of several."""


def standard_deviation(close: Series, window: int) -> Stream:
    """As `volatility.standard_deviation`."""
    return stream.STDDEV(close, window, 1.0)


def bollinger(close: Series, window: int, deviations: int) -> Stream:
    """As `volatility.bollinger`."""
    return stream.BBANDS(close, window, float(deviations), float(deviations), _SMA)


def stochastic(high: Series, low: Series, close: Series, window: int, smooth: int, signal: int) -> Stream:
    """As `momentum.stochastic`."""
    return stream.STOCH(high, low, close, window, smooth, _SMA, signal, _SMA)


class Obv:
    """As `volume.obv`."""

    def __init__(self, close: Series, volume: Series, window: int) -> None:
        self._sum = stream.SUM(np.sign(close - previous(close)) * volume, window)
        self._before = float(close[-1])

    def update(self, close: float, volume: float) -> float:
        """The sum at the next candle."""
        sign = float(close > self._before) - float(close < self._before)
        self._before = close
        return self._sum.update(sign * volume)


class Vwap:
    """As `volume.vwap`."""

    def __init__(self, high: Series, low: Series, close: Series, volume: Series, window: int) -> None:
        self._paid = stream.SUM((high + low + close) / 3.0 * volume, window)
        self._traded = stream.SUM(volume, window)

    def update(self, high: float, low: float, close: float, volume: float) -> float:
        """The average at the next candle."""
        paid, traded = self._paid.update((high + low + close) / 3.0 * volume), self._traded.update(volume)
        return paid / traded if traded > 0 else float("nan")


class Reversals:
    """As `patterns.reversals`."""

    def __init__(self, open_: Series, high: Series, low: Series, close: Series) -> None:
        def opened(functions: tuple[Any, ...]) -> list[Any]:
            return [getattr(stream, function.__name__)(open_, high, low, close).update for function in functions]

        self._bullish, self._bearish = opened(patterns.BULLISH), opened(patterns.BEARISH)

    def update(self, *candle: float) -> float:
        """Bullish less bearish patterns at the next candle."""
        bullish = sum(recognise(*candle) > 0 for recognise in self._bullish)
        return float(bullish - sum(recognise(*candle) < 0 for recognise in self._bearish))
