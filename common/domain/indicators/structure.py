"""Market structure (smart money concepts): swings, breaks, gaps, order blocks, known when their bar has closed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from common.domain.indicators.series import Flags, Series, highest, lowest, previous

Bars = npt.NDArray[np.int64]

BLOCK_SEARCH = 5
"""How many bars before a break its order block is looked for (B, seeds 1.2)."""


def swing_highs(high: Series, reach: int) -> Series:
    """Price of a swing high on the bar that confirms it, `reach` bars after it; NaN on all other bars.

    A swing is a strict extreme over `reach` bars on both sides; before the last of them closed nobody knew of it.
    """
    candidate = previous(high, reach)
    is_swing = (candidate > highest(high, reach)) & (candidate > previous(highest(high, reach), reach + 1))
    return np.where(is_swing, candidate, np.nan)


def swing_lows(low: Series, reach: int) -> Series:
    """Price of a swing low on the bar that confirms it; mirrored `swing_highs`."""
    return -swing_highs(-low, reach)


def last_two(events: Series, window: int) -> tuple[Series, Series]:
    """(latest, the one before) of the values that are not NaN; NaN when older than `window` bars."""
    where = np.flatnonzero(np.isfinite(events))
    bars = np.arange(events.size)
    count = np.searchsorted(where, bars, side="right")
    results = []
    for back in (1, 2):
        rank = count - back
        index = where[np.clip(rank, 0, None)] if where.size else np.zeros(events.size, dtype=np.int64)
        is_known = (rank >= 0) & (bars - index <= window)
        results.append(np.where(is_known, events[index] if events.size else events, np.nan))
    return results[0], results[1]


def breaks(high: Series, low: Series, close: Series, reach: int, window: int) -> tuple[Series, Series, Series]:
    """(structure, break of structure, change of character) at every bar, each +1, -1 or 0; NaN without two swings.

    Structure: the last two swing highs and lows both rise (+1) or both fall (-1). A break of structure is the first
    close beyond the last swing in the direction of the structure; a change of character one against it.
    """
    top, top_before = last_two(swing_highs(high, reach), window)
    bottom, bottom_before = last_two(swing_lows(low, reach), window)
    is_known = np.isfinite(top_before) & np.isfinite(bottom_before)
    up = (top > top_before) & (bottom > bottom_before)
    down = (top < top_before) & (bottom < bottom_before)
    before = previous(close)
    rises = (close > top) & (before <= top)
    falls = (close < bottom) & (before >= bottom)

    def signed(bullish: Flags, bearish: Flags) -> Series:
        return np.where(is_known, bullish.astype(np.float64) - bearish.astype(np.float64), np.nan)

    return signed(up, down), signed(up & rises, down & falls), signed(down & rises, up & falls)


def gaps(high: Series, low: Series) -> Series:
    """Height of the fair-value gap that this bar completes: low - high two bars ago when positive, mirrored negative.

    In price units, 0 for none, NaN for the first two bars.
    """
    bullish, bearish = low - previous(high, 2), previous(low, 2) - high
    gap = np.where(bullish > 0, bullish, np.where(bearish > 0, -bearish, 0.0))
    return np.where(np.isfinite(bullish), gap, np.nan)


def _latest(events: Flags) -> Bars:
    marks = np.where(events, np.arange(events.size), -1)
    return np.maximum.accumulate(marks) if marks.size else marks.astype(np.int64)


def _untouched(event: Bars, spoils: Flags) -> Flags:
    bars = np.arange(event.size)
    counted = np.cumsum(spoils & (bars > event))
    return counted == counted[np.clip(event, 0, None)] if event.size else spoils


def _zone(
    born: Flags, bottom: Series, top: Series, low: Series, high: Series, close: Series, window: int, by_close: bool
) -> Flags:
    event = _latest(born)
    at = np.clip(event, 0, None)
    age = np.arange(event.size) - event
    lower, upper = bottom[at], top[at]
    spoils = (close if by_close else low) < lower
    return (event >= 0) & (age > 0) & (age <= window) & _untouched(event, spoils) & (low <= upper) & (close >= lower)


def gap_retest(high: Series, low: Series, close: Series, window: int) -> Series:
    """+1 when the price is back inside the latest bullish gap of the last `window` bars, not yet filled; -1 mirrored.

    A gap is filled once the price passes fully through its far edge. 0 for none or both, NaN for the first two bars.
    """
    size = gaps(high, low)
    bullish = _zone(size > 0, previous(high, 2), low, low, high, close, window, False)
    bearish = _zone(size < 0, -previous(low, 2), -high, -high, -low, -close, window, False)
    return np.where(np.isfinite(size), bullish.astype(np.float64) - bearish.astype(np.float64), np.nan)


def _block(break_up: Flags, red: Flags, low: Series, high: Series, close: Series, window: int) -> Flags:
    source = _latest(red)
    # The candle of the break itself is green; the block lies before it.
    is_near = (source >= 0) & (np.arange(red.size) - source <= BLOCK_SEARCH)
    at = np.clip(source, 0, None)
    return _zone(break_up & is_near, low[at], high[at], low, high, close, window, True)


def order_block(
    open_: Series, high: Series, low: Series, close: Series, bos: Series, choch: Series, window: int
) -> Series:
    """+1 when the price is back in the latest bullish order block of the last `window` bars, -1 bearish, 0 else.

    The block is the last candle of the opposite colour within five bars before a confirmed break (`bos` or `choch`);
    it is tested while the price is inside and invalid once a candle closes beyond it.
    """
    event = bos + choch
    if not event.size:
        return event
    bullish = _block(event > 0, close < open_, low, high, close, window)
    bearish = _block(event < 0, close > open_, -high, -low, -close, window)
    return np.where(np.isfinite(event), bullish.astype(np.float64) - bearish.astype(np.float64), np.nan)


def recent_break(bos: Series, choch: Series, bars: int) -> Series:
    """Direction of the breaks in the last `bars` bars: +1, -1, 0 for none or both; NaN where structure is unknown."""
    event = bos + choch
    # Nothing happened before the first candle: the window is full from the start.
    padded = np.concatenate((np.zeros(bars), np.nan_to_num(event)))
    rose = highest(padded, bars)[bars:] > 0
    fell = lowest(padded, bars)[bars:] < 0
    return np.where(np.isfinite(event), rose.astype(np.float64) - fell.astype(np.float64), np.nan)
