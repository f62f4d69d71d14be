"""Features: named series of an instrument's candles, computed once for every strategy that asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from common.domain.errors import InvalidInput, NotFound
from common.domain.indicators.family import FAMILIES, Family
from common.domain.indicators.series import Series
from common.domain.market import EPOCH, Candle, Timeframe
from common.domain.snapshot import FIELDS as SNAPSHOT_FIELDS


@dataclass(frozen=True, slots=True)
class Columns:
    """Closed candles of one instrument as columns, oldest first: `opened_at` in ms since 1970 UTC, the rest float64.

    `known` are features that candles do not tell, each as long as they are: what the market snapshots of their closes say,
    and the index of the market's mood.
    """

    opened_at: npt.NDArray[np.int64]
    open: Series
    high: Series
    low: Series
    close: Series
    volume: Series
    timeframe: Timeframe
    known: Mapping[str, Series] = field(default_factory=dict)

    @classmethod
    def from_candles(cls, candles: Sequence[Candle], timeframe: Timeframe) -> Columns:
        """Columns of `candles` (oldest first); each float is the correctly rounded value of its decimal."""
        millis = [round((candle.opened_at - EPOCH).total_seconds() * 1000) for candle in candles]
        open_, high, low, close, volume = (
            np.array([float(getattr(candle, field)) for candle in candles], dtype=np.float64)
            for field in ("open", "high", "low", "close", "volume")
        )
        return cls(np.array(millis, dtype=np.int64), open_, high, low, close, volume, timeframe)

    def __len__(self) -> int:
        return int(self.close.size)

    def each(self, change: Callable[[Any], Any]) -> Columns:
        """Columns of what `change` makes of each of these."""
        return Columns(
            change(self.opened_at),
            change(self.open),
            change(self.high),
            change(self.low),
            change(self.close),
            change(self.volume),
            self.timeframe,
            {name: change(values) for name, values in self.known.items()},
        )

    def slice(self, start: int, stop: int) -> Columns:
        """Candles `start` (inclusive) to `stop` (exclusive), without copying."""
        return self.each(lambda values: values[start:stop])

    def last(self, count: int) -> Columns:
        """The newest `count` candles, without copying."""
        return self.slice(len(self) - count, len(self))

    @property
    def first_opened_at(self) -> datetime:
        """When the oldest candle opened; there must be one."""
        return EPOCH + timedelta(milliseconds=int(self.opened_at[0]))

    @property
    def last_opened_at(self) -> datetime:
        """When the newest candle opened; there must be one."""
        return EPOCH + timedelta(milliseconds=int(self.opened_at[-1]))

    def knowing(self, known: Mapping[str, Series]) -> Columns:
        """These candles with `known` beside them and what they know already."""
        return replace(self, known={**self.known, **known})


FEAR_GREED = "fear_greed_index"
"""The market's mood, which no candle tells: NaN where the columns do not know it."""

COLUMN_NAMES = ("opened_at", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: its family, its windows, and the warm-up that follows from them, in bars."""

    name: str
    family: Family
    arguments: tuple[int, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns and features it is computed from."""
        return tuple(text.format(*self.arguments) for text in self.family.inputs)

    @property
    def lookback(self) -> int:
        """Index of the first bar where it is defined."""
        own = self.family.lookback(*self.arguments)
        return own + max((feature(name).lookback for name in self.inputs if name not in COLUMN_NAMES), default=0)

    @property
    def own_history(self) -> int:
        """As `history`, counted in bars of its inputs."""
        return (self.family.history or self.family.lookback)(*self.arguments)

    @property
    def history(self) -> int:
        """Bars before a bar after which its value there is the same (to 1e-12) wherever the candles begin."""
        return self.own_history + max(
            (feature(name).history for name in self.inputs if name not in COLUMN_NAMES), default=0
        )


_NAME = re.compile(r"(?P<family>[a-z]+(?:_[a-z]+)*)(?P<arguments>(?:_[1-9][0-9]{0,3})*)")


@lru_cache(maxsize=4096)
def feature(name: str) -> Feature:
    """The feature called `name`, such as `rsi_14` or `macd_12_26_9`.

    Raises NotFound listing the families when there is none of that name, InvalidInput when the windows do not fit.
    """
    match = _NAME.fullmatch(name)
    family = FAMILIES.get(match["family"]) if match else None
    if match is None or family is None:
        raise NotFound("feature", name, FAMILIES)
    arguments = tuple(int(part) for part in match["arguments"].split("_") if part)
    if len(arguments) != len(family.parameters):
        expected = "_".join((family.name, *(f"<{parameter}>" for parameter in family.parameters)))
        raise InvalidInput("feature", name, f"{expected} with whole numbers from 1 to 9999")
    return Feature(name, family, arguments)


def compute(names: Iterable[str], columns: Columns, known: Mapping[str, Series] | None = None) -> dict[str, Series]:
    """Features `names` of `columns`, each an array as long as the candles, NaN where undefined.

    What several of them need is computed once; `known` are features of the same candles computed before, beside those
    that the columns know. Raises NotFound or InvalidInput for a name that is no feature.
    """
    done: dict[str, Series] = {**columns.known, **(known or {})}
    calls: dict[tuple[object, ...], Any] = {}

    def value(name: str) -> Series:
        if name in COLUMN_NAMES:
            return cast(Series, getattr(columns, name))
        if name not in done:
            wanted = feature(name)
            family = wanted.family
            arguments = tuple(wanted.arguments[position] for position in family.passes)
            call = (family.function, wanted.inputs, arguments)
            if call not in calls:
                calls[call] = family.function(*(value(item) for item in wanted.inputs), *arguments)
            done[name] = calls[call] if family.output is None else calls[call][family.output]
        return done[name]

    return {name: value(name) for name in names}


@dataclass(frozen=True, slots=True)
class Step:
    """One call over the last `length` bars, and which feature is which of its outputs."""

    function: Callable[..., Any]
    inputs: tuple[str, ...]
    arguments: tuple[int, ...]
    length: int
    outputs: tuple[tuple[str, int | None], ...]


@lru_cache(maxsize=1024)
def steps(names: tuple[str, ...], bars: int, known: frozenset[str]) -> tuple[Step, ...]:
    """The calls that give `names` over the last `bars` bars, what they need first; `known` is there already."""
    wanted: dict[str, int] = {}

    def want(name: str, count: int) -> None:
        if name not in COLUMN_NAMES and name not in known and wanted.get(name, 0) < count:
            wanted[name] = count
            for needed in feature(name).inputs:
                want(needed, count + feature(name).own_history)

    for name in names:
        want(name, bars)
    calls: dict[tuple[Any, ...], list[str]] = {}

    def visit(name: str) -> None:
        item = feature(name)
        for needed in item.inputs:
            if needed in wanted:
                visit(needed)
        key = (item.family.function, item.inputs, tuple(item.arguments[place] for place in item.family.passes))
        if name not in calls.setdefault(key, []):
            calls[key].append(name)

    for name in wanted:
        visit(name)
    return tuple(
        Step(
            key[0],
            key[1],
            key[2],
            max(wanted[name] + feature(name).own_history for name in theirs),
            tuple((name, feature(name).family.output) for name in theirs),
        )
        for key, theirs in calls.items()
    )


def lookback(names: Iterable[str]) -> int:
    """Index of the first bar where every one of `names` is defined (in a market that trades)."""
    return _lookback(tuple(names))


@lru_cache(maxsize=4096)
def _lookback(names: tuple[str, ...]) -> int:
    return max((feature(name).lookback for name in names), default=0)


def history(names: Iterable[str]) -> int:
    """Bars to have before a bar so that every one of `names` has there the value it has with any longer history."""
    return _history(tuple(names))


@lru_cache(maxsize=4096)
def _history(names: tuple[str, ...]) -> int:
    return max((feature(name).history for name in names), default=0)


def snapshot_features(names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names`, and of what they are computed from, that only market snapshots tell; sorted."""
    return _snapshot_features(tuple(names))


@lru_cache(maxsize=4096)
def _snapshot_features(names: tuple[str, ...]) -> tuple[str, ...]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in SNAPSHOT_FIELDS:
            found.add(name)
        elif name not in COLUMN_NAMES:
            todo.extend(feature(name).inputs)
    return tuple(sorted(found))


_WINDOWS = (5, 10, 20, 50)


def _each(*families: str) -> tuple[str, ...]:
    return tuple(f"{family}_{window}" for family in families for window in _WINDOWS)


VECTOR: tuple[str, ...] = (
    *_each("return"), "log_return_1", "intraday_return", "high_low_range",
    *_each("sma", "price_to_sma"), "ema_12", "ema_26", "macd_12_26_9", "macd_signal_12_26_9", "macd_histogram_12_26_9",
    "rsi_14", "bollinger_upper_20_2", "bollinger_lower_20_2", "bollinger_middle_20_2", "bollinger_width_20_2",
    "bollinger_position_20_2",
    "atr_14", "atr_percent_14", *_each("std", "std_ratio"),
    *_each("roc"), "momentum_10", "momentum_20", "williams_r_14",
    *_each("volume_mean", "volume_ratio"), "obv_50", "vwap_20", "price_to_vwap_20",
    "distance_to_high_20", "distance_to_high_50", "distance_to_low_20", "distance_to_low_50", "place_in_range_20",
    "skewness_20", "kurtosis_20", FEAR_GREED,
    "hour", "day_of_week", "day_of_month", "month", "quarter", "is_weekend", "is_asia", "is_london", "is_newyork",
    "is_offhours", "is_holiday",
    "volatility_calm_14_100", "volatility_rank_14_100", "market_regime_14", "volatility_is_low_14_100",
)  # fmt: skip
"""The 77 columns of the feature vector for models (T-16, seeds 1.5), in the order of its groups."""


MICROSTRUCTURE: tuple[str, ...] = ("spread", "spread_pct", "mid", "imbalance", "bid_vol", "ask_vol")
"""Six columns more that the market snapshots of the closes tell (T-17): 83 with them."""


def vector(columns: Columns, fear_greed: Series | None = None) -> dict[str, Series]:
    """All of VECTOR and MICROSTRUCTURE for `columns`, NaN where neither candles nor what they know tells.

    `fear_greed` (0..100 per bar) takes the place of the index of the columns if given.
    """
    return compute((*VECTOR, *MICROSTRUCTURE), columns, None if fear_greed is None else {FEAR_GREED: fear_greed})
