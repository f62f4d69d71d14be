"""Timeframes: longer candles made of shorter ones, and what was known of them at every short candle's close."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.market import Candle, Timeframe
from common.domain.money import ZERO


def bases(wanted: Iterable[Timeframe]) -> dict[Timeframe, Timeframe]:
    """For each of `wanted` the one of them it is made of: the shortest that it is a whole multiple of, maybe itself."""
    found: dict[Timeframe, Timeframe] = {}
    for timeframe in sorted(set(wanted)):
        own = {base for base in found.values() if timeframe.seconds % base.seconds == 0}
        found[timeframe] = min(own, default=timeframe)
    return found


def merged(candles: Sequence[Candle], timeframe: Timeframe) -> list[Candle]:
    """Candles of `timeframe` made of `candles` (oldest first, each once), exactly; only those of which none is missing."""
    groups: dict[datetime, list[Candle]] = {}
    for candle in candles:
        groups.setdefault(timeframe.floor(candle.opened_at), []).append(candle)
    return [
        Candle(
            opened_at=opened_at,
            closed_at=opened_at + timeframe.duration,
            open=parts[0].open,
            high=max(part.high for part in parts),
            low=min(part.low for part in parts),
            close=parts[-1].close,
            volume=sum((part.volume for part in parts), ZERO),
        )
        for opened_at, parts in groups.items()
        if sum((part.closed_at - part.opened_at for part in parts), timedelta(0)) == timeframe.duration
    ]


def aggregate(columns: Columns, timeframe: Timeframe) -> Columns:
    """Candles of `timeframe` made of `columns`, those only that are complete: their last base candle is there.

    A base candle that is missing inside leaves the longer one what the others make of it. Raises InvalidInput when
    `timeframe` is not a whole multiple of the base.
    """
    ratio, rest = divmod(timeframe.seconds, columns.timeframe.seconds)
    if rest or ratio < 1:
        raise InvalidInput("timeframe", str(timeframe), f"a whole multiple of {columns.timeframe}")
    first, last = _groups(columns, timeframe)
    return Columns(
        opened_at=columns.opened_at[first] - columns.opened_at[first] % (timeframe.seconds * 1000),
        open=columns.open[first],
        high=_reduced(np.maximum, columns.high, first, last),
        low=_reduced(np.minimum, columns.low, first, last),
        close=columns.close[last],
        volume=_reduced(np.add, columns.volume, first, last),
        timeframe=timeframe,
    )


def _groups(columns: Columns, timeframe: Timeframe) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(first, last) base candle of every complete longer one."""
    span, base = timeframe.seconds * 1000, columns.timeframe.seconds * 1000
    group = columns.opened_at // span
    first = np.flatnonzero(np.diff(group, prepend=group[:1] - 1)) if group.size else np.empty(0, dtype=np.intp)
    last = np.append(first[1:] - 1, group.size - 1) if group.size else first
    starts_whole = columns.opened_at[first] % span == 0
    # The newest is complete once its last base candle has closed; an older one, once a later candle exists.
    ends_whole = (columns.opened_at[last] + base) % span == 0
    if ends_whole.size:
        ends_whole[:-1] = True
        starts_whole[1:] = True
    keep = starts_whole & ends_whole
    return first[keep], last[keep]


def _reduced(step: np.ufunc, values: Series, first: npt.NDArray[np.intp], last: npt.NDArray[np.intp]) -> Series:
    if not first.size:
        return np.empty(0)
    bounds = np.append(first, last[-1] + 1)
    # reduceat needs every bound inside; the tail after the last group is cut off before.
    reduced: Series = step.reduceat(values[: bounds[-1]], bounds[:-1])
    return reduced


def aligned(base: Columns, longer: Columns, values: Series) -> Series:
    """`values` of `longer` candles as they were known at the close of every candle of `base`; NaN before the first.

    A longer candle counts from the close of its last base candle on, never while it is still forming.
    """
    closes = base.opened_at + base.timeframe.seconds * 1000
    known = longer.opened_at + longer.timeframe.seconds * 1000
    place = np.searchsorted(known, closes, side="right") - 1
    if not values.size:
        return np.full(len(base), np.nan)
    return np.where(place >= 0, values[np.clip(place, 0, None)], np.nan)
