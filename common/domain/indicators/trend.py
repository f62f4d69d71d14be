"""Trend: moving averages, directional movement and the order of averages."""

from __future__ import annotations

import numpy as np
import talib

from common.domain.indicators.series import Series, previous, ratio


def sma(close: Series, window: int) -> Series:
    """Mean of the last `window` closes; from bar `window` - 1 (TA-Lib SMA)."""
    return talib.SMA(close, window)


def ema(close: Series, window: int) -> Series:
    """E(t) = E(t-1) + 2 / (window + 1) x (close - E(t-1)), seeded by the SMA at bar `window` - 1 (TA-Lib EMA)."""
    return talib.EMA(close, window)


def price_to(close: Series, average: Series) -> Series:
    """close / average - 1."""
    return ratio(close, average) - 1.0


def adx(high: Series, low: Series, close: Series, window: int) -> Series:
    """Wilder's average directional index, 0..100; from bar 2 x `window` - 1 (TA-Lib ADX)."""
    return talib.ADX(high, low, close, window)


def plus_di(high: Series, low: Series, close: Series, window: int) -> Series:
    """Wilder's +DI, 0..100; from bar `window` (TA-Lib PLUS_DI)."""
    return talib.PLUS_DI(high, low, close, window)


def minus_di(high: Series, low: Series, close: Series, window: int) -> Series:
    """Wilder's -DI, 0..100; from bar `window` (TA-Lib MINUS_DI)."""
    return talib.MINUS_DI(high, low, close, window)


def trend(middle: Series, slow: Series) -> Series:
    """+1 when `middle` > `slow` and `slow` rises, -1 mirrored, 0 between, NaN where undefined (FS trend label)."""
    rise = slow - previous(slow)
    label = np.where((middle > slow) & (rise > 0), 1.0, np.where((middle < slow) & (rise < 0), -1.0, 0.0))
    return np.where(np.isfinite(middle) & np.isfinite(rise), label, np.nan)
