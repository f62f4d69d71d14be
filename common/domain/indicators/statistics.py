"""Statistics: returns, their higher moments, ranks and the regimes read from them."""

from __future__ import annotations

import numpy as np

from common.domain.indicators.series import Series, previous, ratio

RANGE, TREND_UP, TREND_DOWN, VOLATILE, QUIET, MIXED = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0
"""Values of `market_regime`."""

LOW, NORMAL, HIGH, EXTREME = 0.0, 1.0, 2.0, 3.0
"""Values of the volatility classes."""


def simple_return(close: Series, window: int) -> Series:
    """close / close `window` bars ago - 1."""
    return ratio(close, previous(close, window)) - 1.0


def log_return(close: Series, window: int) -> Series:
    """ln(close / close `window` bars ago)."""
    return np.log(ratio(close, previous(close, window)))


def intraday_return(open_: Series, close: Series) -> Series:
    """close / open - 1 of the same bar."""
    return ratio(close, open_) - 1.0


def high_low_range(high: Series, low: Series, close: Series) -> Series:
    """(high - low) / close."""
    return ratio(high - low, close)


def distance_to(close: Series, extreme: Series) -> Series:
    """(close - extreme) / close: 0 at the extreme."""
    return ratio(close - extreme, close)


def _windows_sum(values: Series, window: int) -> Series:
    # Added bar by bar instead of rolled on, so that a value never carries the rounding of older bars.
    total = values.copy()
    for back in range(1, window):
        total += previous(values, back)
    return total


def _central_moment(values: Series, mean: Series, window: int, power: int) -> Series:
    total = (values - mean) ** power
    for back in range(1, window):
        total += (previous(values, back) - mean) ** power
    return total / window


def skewness(returns: Series, window: int) -> Series:
    """Third standardised moment of the last `window` returns (population); NaN where they do not vary."""
    mean = _windows_sum(returns, window) / window
    variance = _central_moment(returns, mean, window, 2)
    return ratio(_central_moment(returns, mean, window, 3), np.where(variance > 0, variance, np.nan) ** 1.5)


def kurtosis(returns: Series, window: int) -> Series:
    """Fourth standardised moment of the last `window` returns less 3 (population); NaN where they do not vary."""
    mean = _windows_sum(returns, window) / window
    variance = _central_moment(returns, mean, window, 2)
    return ratio(_central_moment(returns, mean, window, 4), np.where(variance > 0, variance, np.nan) ** 2) - 3.0


def rank(values: Series, window: int) -> Series:
    """Share of the `window` bars before this one whose value is below this bar's, 0..1; NaN without all of them."""
    below = np.zeros(values.shape)
    for back in range(1, window + 1):
        earlier = previous(values, back)
        below += np.where(np.isfinite(earlier) & np.isfinite(values), earlier < values, np.nan)
    return below / window


def volatility_class(atr_percent: Series) -> Series:
    """LOW below 0.1 % of price, NORMAL below 0.3, HIGH below 0.5, else EXTREME (B-15)."""
    return np.where(np.isfinite(atr_percent), np.digitize(atr_percent, (0.1, 0.3, 0.5)).astype(np.float64), np.nan)


def volatility_regime(ranked: Series) -> Series:
    """The class by rank among the bars before it, percentiles 25, 75 and 95 (B-15); until then ask volatility_class."""
    by_rank = np.digitize(np.nan_to_num(ranked), (0.25, 0.75, 0.95)).astype(np.float64)
    return np.where(np.isfinite(ranked), by_rank, np.nan)


def market_regime(adx: Series, plus_di: Series, minus_di: Series, atr_percent: Series) -> Series:
    """VOLATILE above 0.5 % ATR; else at ADX > 25 a trend by the DIs, below 20 RANGE (QUIET under 0.1 % ATR); else MIXED.

    Source: B-23.
    """
    trend = np.where(plus_di > minus_di, TREND_UP, TREND_DOWN)
    calm = np.where(atr_percent < 0.1, QUIET, RANGE)
    regime = np.where(adx > 25, trend, np.where(adx < 20, calm, MIXED))
    return np.where(np.isfinite(adx) & np.isfinite(atr_percent), np.where(atr_percent > 0.5, VOLATILE, regime), np.nan)


def complement(share: Series) -> Series:
    """1 - share."""
    return 1.0 - share


def is_below_quarter(share: Series) -> Series:
    """1 where `share` < 0.25, else 0, NaN where undefined."""
    return np.where(np.isfinite(share), (share < 0.25).astype(np.float64), np.nan)
