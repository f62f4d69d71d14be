"""Checks of a strategy: does it look into the future, and does it depend on where its candles begin?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from common.domain import features as feature_room
from common.domain.features import Columns
from common.domain.indicators.series import Flags
from common.domain.indicators.series import Series as Values
from common.domain.strategies import Entries, LastBars, Strategy, at_last_bar, can_be_kept

TOLERANCE = 1e-8
"""Relative difference that the seed of a recursive average may leave once its history is called long enough."""

NUMBERS = ("confidence", "stop", "target", "trail")


@dataclass(frozen=True, slots=True)
class Finding:
    """One value that changed: at `bar`, when only the candles from `first` up to `last` (exclusive) were known.

    `field` is a feature, or side, leaves_long, leaves_short or a number of the entry.
    """

    field: str
    bar: int
    first: int
    last: int
    known_all: float
    known_part: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A strategy's features and entries on some candles, as numbers by name."""

    features: dict[str, Values]
    entries: dict[str, Values]


def evaluated(strategy: Strategy, columns: Columns) -> Evaluation:
    """`strategy` on `columns`."""
    values = feature_room.compute(strategy.features, columns)
    return Evaluation(values, _numbers(strategy.evaluate(values, columns), len(columns)))


def _numbers(entries: Entries, count: int) -> dict[str, Values]:
    none = np.zeros(count, dtype=np.bool_)
    acted = entries.side != 0
    return {
        "side": entries.side.astype(np.float64),
        "leaves_long": (none if entries.leaves_long is None else entries.leaves_long).astype(np.float64),
        "leaves_short": (none if entries.leaves_short is None else entries.leaves_short).astype(np.float64),
        **{name: np.where(acted, getattr(entries, name), np.nan) for name in NUMBERS},
    }


def lookahead_findings(strategy: Strategy, columns: Columns, cuts: Iterable[int] | None = None) -> list[Finding]:
    """Values of the past that change when the future is cut off; empty for an honest strategy.

    Each of `cuts` (default: ten, and the bars of up to twenty signals) keeps that many candles and compares every bar that
    is kept, exactly: the first difference of every field is reported.
    """
    whole = evaluated(strategy, columns)
    chosen = sorted(set(cuts)) if cuts is not None else _cuts(whole.entries["side"])
    found: list[Finding] = []
    for cut in chosen:
        part = evaluated(strategy, columns.slice(0, cut))
        found += _differences(whole, part, 0, cut, range(cut), exactly=True)
    return found


def _cuts(side: Values) -> list[int]:
    count = int(side.size)
    even = np.linspace(1, count, 12).astype(int)[1:-1]
    signals = np.flatnonzero(side)
    some = signals[np.linspace(0, signals.size - 1, min(20, signals.size)).astype(int)] if signals.size else signals
    return sorted({*even.tolist(), *(int(bar) + 1 for bar in some)})


def recursive_findings(strategy: Strategy, columns: Columns, bars: Iterable[int] | None = None) -> list[Finding]:
    """Values that differ when only `strategy.history` candles are handed over and `strategy.reach` looked at, as the live scan does.

    Looks at each of `bars` (default: the last and the bars of up to twenty signals) that has that much before it. Features
    and distances may differ by 1e-8, sides not at all.
    """
    whole = evaluated(strategy, columns)
    chosen = bars if bars is not None else [*(cut - 1 for cut in _cuts(whole.entries["side"])), len(columns) - 1]
    found: list[Finding] = []
    for bar in sorted(set(chosen)):
        first = bar + 1 - strategy.history
        if first > 0:
            part = _at_last_bar(strategy, columns.slice(first, bar + 1))
            found += _differences(whole, part, first, bar + 1, range(bar, bar + 1), exactly=False)
    return found


def _at_last_bar(strategy: Strategy, columns: Columns) -> Evaluation:
    kept = LastBars(strategy, columns.timeframe) if can_be_kept(strategy) else None
    if kept is None or len(columns) < kept.least:
        last = at_last_bar(strategy, columns)
    else:
        kept.open("", columns)
        [last] = kept.said([""])
    numbers = _numbers(last.entries, len(last.columns))
    bar = slice(last.index, last.index + 1)
    return Evaluation(_cut(last.features, bar), _cut(numbers, bar))


def _cut(values: Mapping[str, Values], bars: slice) -> dict[str, Values]:
    return {name: series[bars] for name, series in values.items()}


def _differences(
    whole: Evaluation, part: Evaluation, first: int, last: int, bars: range, *, exactly: bool
) -> list[Finding]:
    """Where `whole` differs at `bars` from `part`, whose values are those of these bars."""
    found: list[Finding] = []
    pairs = [(name, whole.features[name], part.features[name]) for name in whole.features]
    pairs += [(name, whole.entries[name], part.entries[name]) for name in whole.entries]
    compare = _is_other if exactly else _is_far
    for name, every, some in pairs:
        ours, theirs = every[bars.start : bars.stop], some
        where = np.flatnonzero(compare(ours, theirs))
        if where.size:
            at = int(where[0])
            found.append(Finding(name, bars.start + at, first, last, float(ours[at]), float(theirs[at])))
    return found


def _is_other(ours: Values, theirs: Values) -> Flags:
    other: Flags = (ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))
    return other


def _is_far(ours: Values, theirs: Values) -> Flags:
    far: Flags = ~np.isclose(theirs, ours, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    return far
