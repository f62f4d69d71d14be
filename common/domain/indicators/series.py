"""Steps every indicator is made of: the bar before, division without infinities, rolling extremes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import talib

Series = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def previous(values: Series, bars: int = 1) -> Series:
    """Value `bars` bars earlier; NaN for the first `bars`."""
    earlier = np.full(values.shape, np.nan)
    if bars < values.size:
        earlier[bars:] = values[: values.size - bars]
    return earlier


def ratio(part: Series, whole: Series) -> Series:
    """`part` / `whole`; NaN where `whole` is zero or either is undefined."""
    quotient = np.full(part.shape, np.nan)
    np.divide(part, whole, out=quotient, where=(whole != 0) & np.isfinite(whole))
    return quotient


def highest(values: Series, window: int) -> Series:
    """Largest of the last `window` values, this bar included; defined from bar `window` - 1 (TA-Lib MAX)."""
    return np.asarray(values, dtype=np.float64).copy() if window == 1 else talib.MAX(values, window)


def lowest(values: Series, window: int) -> Series:
    """Smallest of the last `window` values, this bar included; defined from bar `window` - 1 (TA-Lib MIN)."""
    return np.asarray(values, dtype=np.float64).copy() if window == 1 else talib.MIN(values, window)


def crosses_above(fast: Series, slow: Series) -> Flags:
    """Whether `fast` is above `slow` at this bar and was not at the bar before; False where either is undefined."""
    return (fast > slow) & (previous(fast) <= previous(slow))


def crosses_below(fast: Series, slow: Series) -> Flags:
    """Whether `fast` is below `slow` at this bar and was not at the bar before; False where either is undefined."""
    return (fast < slow) & (previous(fast) >= previous(slow))
