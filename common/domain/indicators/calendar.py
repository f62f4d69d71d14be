"""Calendar: where in the day, week and year a candle opened, in UTC, and which markets were open then."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from common.domain.indicators.series import Series

Times = npt.NDArray[np.int64]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

SESSIONS = {"asia": (0, 8), "london": (8, 16), "newyork": (13, 21)}
"""Opening and closing hour of each session, UTC; London and New York overlap."""

HOLIDAYS = frozenset({(1, 1), (7, 4), (12, 25)})
"""(month, day) when most desks are empty: a fixed list, because a movable one would have to be maintained."""


def hour(opened_at: Times) -> Series:
    """Hour of the day, 0..23."""
    return ((opened_at % _DAY_MS) // _HOUR_MS).astype(np.float64)


def day_of_week(opened_at: Times) -> Series:
    """Day of the week, Monday 0 .. Sunday 6."""
    # The first of January 1970 was a Thursday.
    return ((opened_at // _DAY_MS + 3) % 7).astype(np.float64)


def day_of_month(opened_at: Times) -> Series:
    """Day of the month, 1..31."""
    days = opened_at.astype("datetime64[ms]").astype("datetime64[D]")
    day: Series = (days - days.astype("datetime64[M]")).astype(np.float64) + 1.0
    return day


def month(opened_at: Times) -> Series:
    """Month, 1..12."""
    return (opened_at.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % 12).astype(np.float64) + 1.0


def quarter(opened_at: Times) -> Series:
    """Quarter of the year, 1..4."""
    return (month(opened_at) + 2.0) // 3.0


def is_weekend(opened_at: Times) -> Series:
    """1 on Saturday and Sunday, else 0."""
    return (day_of_week(opened_at) >= 5).astype(np.float64)


def _during(opened_at: Times, session: str) -> Series:
    start, end = SESSIONS[session]
    return ((hour(opened_at) >= start) & (hour(opened_at) < end)).astype(np.float64)


def is_asia(opened_at: Times) -> Series:
    """1 from 00 to 08 UTC, else 0."""
    return _during(opened_at, "asia")


def is_london(opened_at: Times) -> Series:
    """1 from 08 to 16 UTC, else 0."""
    return _during(opened_at, "london")


def is_newyork(opened_at: Times) -> Series:
    """1 from 13 to 21 UTC, else 0."""
    return _during(opened_at, "newyork")


def is_offhours(opened_at: Times) -> Series:
    """1 while none of the three sessions is open, else 0."""
    return 1.0 - np.maximum(is_asia(opened_at), np.maximum(is_london(opened_at), is_newyork(opened_at)))


def is_holiday(opened_at: Times) -> Series:
    """1 on the days of HOLIDAYS, else 0."""
    code = month(opened_at) * 100 + day_of_month(opened_at)
    return np.isin(code, [held * 100 + day for held, day in HOLIDAYS]).astype(np.float64)
