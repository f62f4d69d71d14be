"""What strategies say at the last bar of many markets: one evaluation for all of them, of what is kept of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from common.domain.features import FEAR_GREED, Columns, compute, snapshot_features
from common.domain.indicators.series import Flags
from common.domain.market import Timeframe
from common.domain.stepping import Stepping
from common.domain.strategies.base import Entries, Features, Strategy

BLOCK = 256
"""Bars after which the candles that a signal is made of begin anew.

What is said at a bar is made of the candles of its block and of as many before it as the strategy's `history`, whoever
says it and whatever he has kept: a recursive feature tells in its last digits where it began.
"""


@dataclass(frozen=True, slots=True)
class LastBar:
    """A strategy's opinion at the last bar of a market: `entries` of `features` and `columns`, to be read at `index`."""

    features: Features
    columns: Columns
    entries: Entries
    index: int


def block_of(market: str, timeframe: Timeframe, opened_ms: int) -> int:
    """Where the block begins that the bar of `market` belongs to, both in ms since 1970 UTC.

    Blocks of several markets begin at different times, so that not all of them begin anew at the same candle.
    """
    length_ms, shift = timeframe.seconds * 1000, crc32(market.encode()) % BLOCK
    return ((opened_ms // length_ms + shift) // BLOCK * BLOCK - shift) * length_ms


def at_last_bar(strategy: Strategy, columns: Columns) -> LastBar:
    """What `strategy` says at the last bar of `columns`, of which there is at least one, looking at all of them."""
    values = compute(strategy.features, columns)
    return LastBar(values, columns, strategy.evaluate(values, columns), len(columns) - 1)


def can_be_kept(strategy: Strategy) -> bool:
    """Whether what it says at a bar follows from the ends of series, and from candles only."""
    return strategy.reach > 0 and FEAR_GREED not in strategy.features and not snapshot_features(strategy.features)


class LastBars:
    """`strategy`, which can be kept, at the last bar of the markets that are: as `at_last_bar` of all of their candles.

    Its answer at a bar depends on so many bars as its `reach` says and on nothing else: the ends of all markets are laid
    one after the other and evaluated at once.
    """

    def __init__(self, strategy: Strategy, timeframe: Timeframe) -> None:
        self._strategy, self._timeframe = strategy, timeframe
        self._stepping = Stepping(strategy.features, strategy.reach, timeframe)

    def __len__(self) -> int:
        return len(self._stepping)

    @property
    def least(self) -> int:
        """Candles that are enough to keep a market."""
        return max(self._stepping.least, self._strategy.warmup + self._strategy.reach)

    def open(self, market: str, columns: Columns) -> None:
        """Keep `market` as it is after `columns`, at least `least` candles."""
        self._stepping.open(market, columns)

    def drop(self, market: str) -> None:
        """Forget `market`, if it is kept."""
        self._stepping.drop(market)

    def step(self, markets: Sequence[str], candles: Mapping[str, npt.NDArray[Any]]) -> None:
        """Carry each of `markets` on by its next candle: `candles` has a value of each per column."""
        self._stepping.step(markets, candles)

    def said(self, markets: Sequence[str]) -> list[LastBar]:
        """What the strategy says at the last bar of each of `markets`, in their order."""
        if not markets:
            return []
        values, ends = self._stepping.ends(markets)
        # Nothing is said within the warm-up, so that the first market has bars before it of which nothing is known.
        blank, reach = self._strategy.warmup, self._strategy.reach

        def after_nothing(series: npt.NDArray[Any]) -> npt.NDArray[Any]:
            nothing = np.zeros(blank, series.dtype) if series.dtype == np.int64 else np.full(blank, np.nan)
            return np.concatenate([nothing, series])

        features = {name: after_nothing(series) for name, series in values.items()}
        columns = ends.each(after_nothing)
        entries = self._strategy.evaluate(features, columns)
        return [
            LastBar(features, columns, entries, index)
            for index in range(blank + reach - 1, blank + reach * len(markets), reach)
        ]

    def acting(self, markets: Sequence[str]) -> dict[str, LastBar]:
        """What it says of those of `markets` that it would enter or leave now, by market."""
        said = self.said(markets)
        if not said:
            return {}
        acts, last = _acts(said[0].entries), [item.index for item in said]
        return {markets[place]: said[place] for place in np.flatnonzero(acts[last]).tolist()}


def _acts(entries: Entries) -> Flags:
    acts: Flags = entries.side != 0
    for leaves in (entries.leaves_long, entries.leaves_short):
        if leaves is not None:
            acts = acts | leaves
    return acts
