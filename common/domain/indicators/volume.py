"""Volume: how much was traded, at which price, and in which direction."""

from __future__ import annotations

import numpy as np
import talib

from common.domain.indicators.series import Series, previous, ratio


def volume_mean(volume: Series, window: int) -> Series:
    """Mean volume of the last `window` bars; from bar `window` - 1."""
    return talib.SMA(volume, window)


def volume_ratio(volume: Series, mean: Series) -> Series:
    """Volume of this bar / mean volume; NaN while nothing was traded in the window."""
    return ratio(volume, np.where(mean > 0, mean, np.nan))


def obv(close: Series, volume: Series, window: int) -> Series:
    """On-balance volume of the last `window` bars: volume signed by the close's direction, summed; from bar `window`.

    Granville's sum over all history depends on where history begins, so that live and backtest could never agree;
    the sum over a window says the same about direction and does not.
    """
    signed = np.sign(close - previous(close)) * volume
    return talib.SUM(signed, window)


def vwap(high: Series, low: Series, close: Series, volume: Series, window: int) -> Series:
    """Sum of typical price x volume / sum of volume over the last `window` bars; NaN where none was traded."""
    typical = (high + low + close) / 3.0
    traded = talib.SUM(volume, window)
    return ratio(talib.SUM(typical * volume, window), np.where(traded > 0, traded, np.nan))
