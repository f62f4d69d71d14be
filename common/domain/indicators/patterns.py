"""Candle patterns: what the last one to three candles look like."""

from __future__ import annotations

import numpy as np
import talib

from common.domain.indicators.series import Series, previous


def engulfing(open_: Series, high: Series, low: Series, close: Series) -> Series:
    """+1 bullish, -1 bearish engulfing, 0 none; from bar 1.

    Bullish: a green candle after a red one, whose body covers the earlier body and is larger; bearish mirrored.
    """
    before_open, before_close = previous(open_), previous(close)
    larger = np.abs(close - open_) > np.abs(before_close - before_open)
    covers_up = (close >= before_open) & (open_ <= before_close)
    covers_down = (close <= before_open) & (open_ >= before_close)
    bullish = (close > open_) & (before_close < before_open) & covers_up & larger
    bearish = (close < open_) & (before_close > before_open) & covers_down & larger
    return np.where(np.isfinite(before_close), bullish.astype(np.float64) - bearish.astype(np.float64), np.nan)


BULLISH = (talib.CDLHAMMER, talib.CDLMORNINGSTAR, talib.CDLPIERCING, talib.CDL3WHITESOLDIERS)
BEARISH = (talib.CDLSHOOTINGSTAR, talib.CDLEVENINGSTAR, talib.CDLDARKCLOUDCOVER, talib.CDL3BLACKCROWS)
PATTERN_LOOKBACK = 13
"""Bars before the slowest of the patterns below is defined (TA-Lib averages bodies over ten bars, plus its candles)."""


def reversals(open_: Series, high: Series, low: Series, close: Series) -> Series:
    """Number of bullish less bearish reversal patterns at this bar; NaN for the first 13 bars.

    Hammer, morning star, piercing line, three white soldiers against shooting star, evening star, dark cloud cover,
    three black crows (TA-Lib).
    """
    total = np.zeros(close.shape)
    for recognise in BULLISH:
        total += recognise(open_, high, low, close) > 0
    for recognise in BEARISH:
        total -= recognise(open_, high, low, close) < 0
    total[:PATTERN_LOOKBACK] = np.nan
    return total


def pattern(reversed_: Series, engulfed: Series) -> Series:
    """Bullish less bearish patterns at this bar, `reversals` and engulfing, clipped to -1..+1."""
    return np.clip(reversed_ + engulfed, -1.0, 1.0)


def coloured(open_: Series, close: Series, count: int) -> Series:
    """+1 when the last `count` candles are green, -1 when all are red, 0 mixed; from bar `count` - 1."""
    green = talib.SUM((close > open_).astype(np.float64), count) if count > 1 else (close > open_).astype(np.float64)
    red = talib.SUM((close < open_).astype(np.float64), count) if count > 1 else (close < open_).astype(np.float64)
    return np.where(np.isfinite(green), (green == count).astype(np.float64) - (red == count), np.nan)


def stepping(high: Series, low: Series) -> Series:
    """+1 when the last three lows rise, -1 when the last three highs fall, 0 otherwise or both; from bar 2."""
    rising = (low > previous(low)) & (previous(low) > previous(low, 2))
    falling = (high < previous(high)) & (previous(high) < previous(high, 2))
    return np.where(np.isfinite(previous(low, 2)), rising.astype(np.float64) - falling, np.nan)
