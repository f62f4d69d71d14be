"""Volatility: ranges, deviations and bands."""

from __future__ import annotations

import talib
from talib._ta_lib import MA_Type

from common.domain.indicators.series import Series, ratio


def atr(high: Series, low: Series, close: Series, window: int) -> Series:
    """Wilder's average true range, in price units; from bar `window` (TA-Lib ATR)."""
    return talib.ATR(high, low, close, window)


def percent_of(part: Series, whole: Series) -> Series:
    """`part` / `whole` x 100."""
    return ratio(part, whole) * 100.0


def standard_deviation(close: Series, window: int) -> Series:
    """Population standard deviation of the last `window` closes; from bar `window` - 1 (TA-Lib STDDEV)."""
    return talib.STDDEV(close, window, 1.0)


def bollinger(close: Series, window: int, deviations: int) -> tuple[Series, Series, Series]:
    """(upper, middle, lower): SMA +- `deviations` population standard deviations; from bar `window` - 1 (BBANDS)."""
    upper, middle, lower = talib.BBANDS(close, window, float(deviations), float(deviations), MA_Type.SMA)
    return upper, middle, lower


def band_width(upper: Series, middle: Series, lower: Series) -> Series:
    """(upper - lower) / middle."""
    return ratio(upper - lower, middle)


def band_position(close: Series, upper: Series, lower: Series) -> Series:
    """(close - lower) / (upper - lower): 0 at the lower band, 1 at the upper; NaN when the bands meet."""
    return ratio(close - lower, upper - lower)
