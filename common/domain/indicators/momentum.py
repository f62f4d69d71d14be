"""Momentum: oscillators and rates of change."""

from __future__ import annotations

import numpy as np
import talib
from talib._ta_lib import MA_Type

from common.domain.indicators.series import Series, highest, lowest, previous, ratio


def rsi(close: Series, window: int) -> Series:
    """Wilder's strength index, 100 - 100 / (1 + average gain / average loss); from bar `window` (TA-Lib RSI)."""
    return talib.RSI(close, window)


def macd(close: Series, fast: int, slow: int, signal: int) -> tuple[Series, Series, Series]:
    """(EMA fast - EMA slow, its EMA over `signal`, their difference); from bar slow + signal - 2 (TA-Lib MACD)."""
    line, smoothed, histogram = talib.MACD(close, fast, slow, signal)
    return line, smoothed, histogram


def roc(close: Series, window: int) -> Series:
    """(close / close `window` bars ago - 1) x 100, percent; from bar `window` (TA-Lib ROC)."""
    return talib.ROC(close, window)


def momentum(close: Series, window: int) -> Series:
    """close - close `window` bars ago; from bar `window` (TA-Lib MOM)."""
    return talib.MOM(close, window)


def williams_r(high: Series, low: Series, close: Series, window: int) -> Series:
    """-100 x (highest high - close) / (highest high - lowest low), -100..0; from bar `window` - 1 (TA-Lib WILLR)."""
    return talib.WILLR(high, low, close, window)


def stochastic(
    high: Series, low: Series, close: Series, window: int, smooth: int, signal: int
) -> tuple[Series, Series]:
    """(slow %K, %D), 0..100: %K = SMA over `smooth` of the close's place in the range of `window`, %D its SMA over
    `signal`; from bar window + smooth + signal - 3 (TA-Lib STOCH).
    """
    slow_k, slow_d = talib.STOCH(high, low, close, window, smooth, MA_Type.SMA, signal, MA_Type.SMA)
    return slow_k, slow_d


def cci(high: Series, low: Series, close: Series, window: int) -> Series:
    """Commodity channel index, (typical - SMA) / (0.015 x mean deviation); from bar `window` - 1 (TA-Lib CCI)."""
    return talib.CCI(high, low, close, window)


def mfi(high: Series, low: Series, close: Series, volume: Series, window: int) -> Series:
    """Money flow index, the RSI of typical price x volume, 0..100; from bar `window` (TA-Lib MFI)."""
    return talib.MFI(high, low, close, volume, window)


def divergence(low: Series, high: Series, oscillator: Series, recent: int, earlier: int) -> Series:
    """Strength of a divergence, +100..-100 (bullish positive); 0 for none, NaN where undefined.

    Bullish: the lowest low of the last `recent` bars is below that of the `earlier` bars before them while the lowest
    `oscillator` is above; bearish mirrored with the highs. Strength = 5 x the oscillator's difference, at most 100.
    The formula is ours: the FlashScalper seed names a strength in 0..100 and gives no rule.
    """
    low_now, low_then = lowest(low, recent), previous(lowest(low, earlier), recent)
    high_now, high_then = highest(high, recent), previous(highest(high, earlier), recent)
    bottom, bottom_then = lowest(oscillator, recent), previous(lowest(oscillator, earlier), recent)
    top, top_then = highest(oscillator, recent), previous(highest(oscillator, earlier), recent)
    bullish = np.where(low_now < low_then, np.clip(5.0 * (bottom - bottom_then), 0.0, 100.0), 0.0)
    bearish = np.where(high_now > high_then, np.clip(5.0 * (top_then - top), 0.0, 100.0), 0.0)
    # Both at once is an outside range, not a divergence: they cancel.
    return np.where(np.isfinite(bottom_then) & np.isfinite(top_then), bullish - bearish, np.nan)


def place_in_range(close: Series, high: Series, low: Series, window: int) -> Series:
    """(close - lowest low) / (highest high - lowest low), 0..1; NaN in a flat range; from bar `window` - 1."""
    bottom = lowest(low, window)
    return ratio(close - bottom, highest(high, window) - bottom)


def stochastic_of(values: Series, window: int) -> Series:
    """Place of `values` in their own range of `window` bars, 0..1; NaN in a flat range; from bar `window` - 1."""
    bottom = lowest(values, window)
    return ratio(values - bottom, highest(values, window) - bottom)
