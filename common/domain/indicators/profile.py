"""Volume profile: at which prices the volume of the last bars was traded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from common.domain.indicators.series import Series

VALUE_AREA = 0.7
"""Share of the volume that lies in the value area."""

_ROWS = 4096

Places = npt.NDArray[np.int64]


def volume_profile(
    high: Series, low: Series, close: Series, volume: Series, window: int, bins: int
) -> tuple[Series, ...]:
    """(point of control, value area high, value area low, node density) of the last `window` bars; from `window` - 1.

    Each bar's volume counts at its typical price, in `bins` equal bins between the lowest and highest typical price.
    The point of control is the middle of the fullest bin; the value area grows from it bin by bin to the fuller side
    until it holds 70 % of the volume; density is the volume of the close's bin over the mean bin (above 1.5 a
    high-volume node, below 0.5 a low-volume node). NaN where nothing traded or the price did not move.
    """
    results = np.full((4, close.size), np.nan)
    if close.size < window:
        return tuple(results)
    typical = sliding_window_view((high + low + close) / 3.0, window)
    traded = sliding_window_view(volume, window)
    for start in range(0, typical.shape[0], _ROWS):
        stop = min(start + _ROWS, typical.shape[0])
        at = slice(start + window - 1, stop + window - 1)
        results[:, at] = _profile(typical[start:stop], traded[start:stop], close[at], bins)
    return tuple(results)


def _profile(typical: Series, traded: Series, close: Series, bins: int) -> Series:
    rows = typical.shape[0]
    bottom, top = typical.min(axis=1), typical.max(axis=1)
    step = (top - bottom) / bins
    is_flat = step <= 0
    width = np.where(is_flat, 1.0, step)
    place = np.clip(((typical - bottom[:, None]) / width[:, None]).astype(np.int64), 0, bins - 1)
    flat_index = (place + bins * np.arange(rows)[:, None]).ravel()
    counted = np.bincount(flat_index, weights=traded.ravel(), minlength=rows * bins)
    volumes = np.asarray(counted, dtype=np.float64).reshape(rows, bins)
    total = volumes.sum(axis=1)
    fullest = volumes.argmax(axis=1)
    first, last = _value_area(volumes, fullest, VALUE_AREA * total)
    own = np.clip(((close - bottom) / width).astype(np.int64), 0, bins - 1)
    mean = np.where(total > 0, total, np.nan) / bins
    result = np.stack(
        (
            bottom + (fullest + 0.5) * width,
            bottom + (last + 1) * width,
            bottom + first * width,
            volumes[np.arange(rows), own] / mean,
        )
    )
    result[:, is_flat | (total <= 0)] = np.nan
    return result


def _value_area(volumes: Series, fullest: Places, wanted: Series) -> tuple[Places, Places]:
    rows, bins = volumes.shape
    padded = np.zeros((rows, bins + 2))
    padded[:, 1:-1] = volumes
    every = np.arange(rows)
    first, last = fullest.copy(), fullest.copy()
    held = volumes[every, fullest]
    for _ in range(bins - 1):
        below, above = padded[every, first], padded[every, last + 2]
        grows = held < wanted
        up = grows & ((above >= below) | (first == 0)) & (last < bins - 1)
        down = grows & ~up & (first > 0)
        held = held + np.where(up, above, 0.0) + np.where(down, below, 0.0)
        last, first = last + up, first - down
    return first, last
