"""What strategies say at the last bar of many markets: one evaluation for all of them instead of one for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from common.domain import features
from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.strategies.base import Entries, Features, Strategy

PRICES = ("open", "high", "low", "close", "volume")
Market = tuple[Features, Columns]


@dataclass(frozen=True, slots=True)
class LastBar:
    """A strategy's opinion at the last bar of a market: `entries` of `features` and `columns`, to be read at `index`."""

    features: Features
    columns: Columns
    entries: Entries
    index: int


def seen_at_last_bar(chosen: Sequence[Strategy], columns: Columns) -> Features:
    """The features that `chosen` need for `last_bars` of `columns`: of the end only, where that is all they look at."""
    names = sorted({name for strategy in chosen for name in strategy.features})
    if all(_is_enough(strategy, columns) for strategy in chosen):
        return features.latest(names, columns, max((strategy.reach for strategy in chosen), default=1))
    return features.compute(names, columns)


def last_bars(strategy: Strategy, markets: Sequence[Market]) -> list[LastBar]:
    """What `strategy` says at the last bar of each of `markets`, all of one timeframe, in their order.

    Its answer at a bar depends on so many bars as its `reach` says and on nothing else: the ends of all markets are laid
    one after the other and evaluated at once. A strategy without reach, and a market too short for it, is evaluated alone.
    """
    places = [place for place, (_, columns) in enumerate(markets) if _is_enough(strategy, columns)]
    found = dict(zip(places, _together(strategy, [markets[place] for place in places]), strict=True))
    return [found.get(place) or _alone(strategy, *market) for place, market in enumerate(markets)]


def _is_enough(strategy: Strategy, columns: Columns) -> bool:
    return 0 < strategy.reach <= len(columns) - strategy.warmup


def _alone(strategy: Strategy, values: Features, columns: Columns) -> LastBar:
    return LastBar(values, columns, strategy.evaluate(values, columns), len(columns) - 1)


def _together(strategy: Strategy, markets: Sequence[Market]) -> list[LastBar]:
    if not markets:
        return []
    reach, timeframe = strategy.reach, markets[0][1].timeframe
    # Nothing is said within the warm-up, so that the first market has bars before it of which nothing is known.
    blank = np.full(strategy.warmup, np.nan)

    def ends(parts: Iterable[Series]) -> Series:
        return np.concatenate([blank, *(part[-reach:] for part in parts)])

    values = {name: ends(theirs[name] for theirs, _ in markets) for name in strategy.features}
    open_, high, low, close, volume = (ends(getattr(theirs, name) for _, theirs in markets) for name in PRICES)
    opened_at = np.concatenate(
        [np.zeros(strategy.warmup, np.int64), *(theirs.opened_at[-reach:] for _, theirs in markets)]
    )
    columns = Columns(opened_at, open_, high, low, close, volume, timeframe)
    entries = strategy.evaluate(values, columns)
    return [
        LastBar(values, columns, entries, strategy.warmup + reach * (place + 1) - 1) for place in range(len(markets))
    ]
