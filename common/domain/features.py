"""Features: named series of an instrument's candles, computed once for every strategy that asks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import numpy.typing as npt

from common.domain.errors import InvalidInput, NotFound
from common.domain.indicators import momentum, patterns, trend, volatility, volume
from common.domain.indicators.series import Series
from common.domain.market import EPOCH, Candle, Timeframe

PRECISION = 1e-12
"""What may remain of a recursive average's seed once its history is called long enough (relative)."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Closed candles of one instrument as columns, oldest first: `opened_at` in ms since 1970 UTC, the rest float64."""

    opened_at: npt.NDArray[np.int64]
    open: Series
    high: Series
    low: Series
    close: Series
    volume: Series
    timeframe: Timeframe

    @classmethod
    def from_candles(cls, candles: Sequence[Candle], timeframe: Timeframe) -> Columns:
        """Columns of `candles` (oldest first); each float is the correctly rounded value of its decimal."""
        millis = [round((candle.opened_at - EPOCH).total_seconds() * 1000) for candle in candles]
        prices = (
            np.array([float(getattr(candle, field)) for candle in candles], dtype=np.float64)
            for field in ("open", "high", "low", "close", "volume")
        )
        return cls(np.array(millis, dtype=np.int64), *prices, timeframe=timeframe)

    def __len__(self) -> int:
        return int(self.close.size)

    def slice(self, start: int, stop: int) -> Columns:
        """Candles `start` (inclusive) to `stop` (exclusive), without copying."""
        return Columns(
            self.opened_at[start:stop],
            self.open[start:stop],
            self.high[start:stop],
            self.low[start:stop],
            self.close[start:stop],
            self.volume[start:stop],
            self.timeframe,
        )


COLUMN_NAMES = ("open", "high", "low", "close", "volume")

Bars = Callable[..., int]


def _windowed(window: int) -> int:
    return window - 1


def _shifted(window: int) -> int:
    return window


def _seed_forgotten(alpha: float) -> int:
    return math.ceil(math.log(PRECISION) / math.log1p(-alpha))


def _exponential(window: int) -> int:
    return _windowed(window) + _seed_forgotten(2.0 / (window + 1.0))


def _wilder(window: int) -> int:
    return window + _seed_forgotten(1.0 / window)


def _twice_wilder(window: int) -> int:
    # Two smoothings one after the other forget like k * (1 - alpha)^k: half as long again is ample.
    return 2 * window + (3 * _seed_forgotten(1.0 / window)) // 2


@dataclass(frozen=True, slots=True)
class Family:
    """A feature but for its windows: `rsi` with (14,) is the feature `rsi_14`.

    `inputs` are columns or features, in which `{0}`, `{1}` stand for the parameters; `passes` are the positions of the
    parameters handed to `function`; `output` picks from functions that give several series. `lookback` is the first
    bar where the value exists, `history` the bars after which it no longer depends on where the candles begin.
    """

    name: str
    function: Callable[..., Series | tuple[Series, ...]]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    passes: tuple[int, ...] = ()
    output: int | None = None
    lookback: Bars = _windowed
    history: Bars | None = None


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
    def history(self) -> int:
        """Bars before a bar after which its value there is the same (to 1e-12) wherever the candles begin."""
        own = (self.family.history or self.family.lookback)(*self.arguments)
        return own + max((feature(name).history for name in self.inputs if name not in COLUMN_NAMES), default=0)


def _none(*_: int) -> int:
    return 0


_HLC = ("high", "low", "close")
_MACD = ("fast", "slow", "signal")
_STOCH = ("window", "smooth", "signal")


def _macd_lookback(fast: int, slow: int, signal: int) -> int:
    return max(fast, slow) + signal - 2


def _macd_history(fast: int, slow: int, signal: int) -> int:
    return _exponential(max(fast, slow)) + _exponential(signal)


def _stochastic_lookback(window: int, smooth: int, signal: int) -> int:
    return window + smooth + signal - 3


def _bands_lookback(window: int, _: int) -> int:
    return window - 1


def _one(name: str, function: Callable[..., Series], inputs: tuple[str, ...], **rest: Bars) -> Family:
    return Family(name, function, inputs, ("window",), (0,), **rest)  # type: ignore[arg-type]


_FAMILIES = (
    _one("sma", trend.sma, ("close",)),
    _one("ema", trend.ema, ("close",), history=_exponential),
    Family("price_to_sma", trend.price_to, ("close", "sma_{0}"), ("window",), lookback=_none),
    Family("price_to_ema", trend.price_to, ("close", "ema_{0}"), ("window",), lookback=_none),
    Family("trend", trend.trend, ("ema_{0}", "ema_{1}"), ("middle", "slow"), lookback=lambda *_: 1),
    _one("adx", trend.adx, _HLC, lookback=lambda window: 2 * window - 1, history=_twice_wilder),
    _one("plus_di", trend.plus_di, _HLC, lookback=_shifted, history=_wilder),
    _one("minus_di", trend.minus_di, _HLC, lookback=_shifted, history=_wilder),
    _one("rsi", momentum.rsi, ("close",), lookback=_shifted, history=_wilder),
    *(
        Family(name, momentum.macd, ("close",), _MACD, (0, 1, 2), output, _macd_lookback, _macd_history)
        for output, name in enumerate(("macd", "macd_signal", "macd_histogram"))
    ),
    _one("roc", momentum.roc, ("close",), lookback=_shifted),
    _one("momentum", momentum.momentum, ("close",), lookback=_shifted),
    _one("williams_r", momentum.williams_r, _HLC),
    *(
        Family(name, momentum.stochastic, _HLC, _STOCH, (0, 1, 2), output, _stochastic_lookback)
        for output, name in enumerate(("stochastic_k", "stochastic_d"))
    ),
    _one("cci", momentum.cci, _HLC),
    _one("mfi", momentum.mfi, (*_HLC, "volume"), lookback=_shifted),
    Family(
        "divergence",
        momentum.divergence,
        ("low", "high", "rsi_{0}"),
        ("oscillator", "recent", "earlier"),
        (1, 2),
        lookback=lambda _, recent, earlier: recent + earlier - 1,
    ),
    _one("place_in_range", momentum.place_in_range, ("close", "high", "low")),
    _one("atr", volatility.atr, _HLC, lookback=_shifted, history=_wilder),
    Family("atr_percent", volatility.percent_of, ("atr_{0}", "close"), ("window",), lookback=_none),
    _one("std", volatility.standard_deviation, ("close",)),
    *(
        Family(name, volatility.bollinger, ("close",), ("window", "deviations"), (0, 1), output, _bands_lookback)
        for output, name in enumerate(("bollinger_upper", "bollinger_middle", "bollinger_lower"))
    ),
    Family(
        "bollinger_width",
        volatility.band_width,
        ("bollinger_upper_{0}_{1}", "bollinger_middle_{0}_{1}", "bollinger_lower_{0}_{1}"),
        ("window", "deviations"),
        lookback=_none,
    ),
    Family(
        "bollinger_position",
        volatility.band_position,
        ("close", "bollinger_upper_{0}_{1}", "bollinger_lower_{0}_{1}"),
        ("window", "deviations"),
        lookback=_none,
    ),
    _one("volume_mean", volume.volume_mean, ("volume",)),
    Family("volume_ratio", volume.volume_ratio, ("volume", "volume_mean_{0}"), ("window",), lookback=_none),
    _one("obv", volume.obv, ("close", "volume"), lookback=_shifted),
    _one("vwap", volume.vwap, (*_HLC, "volume")),
    Family("price_to_vwap", trend.price_to, ("close", "vwap_{0}"), ("window",), lookback=_none),
    Family("engulfing", patterns.engulfing, ("open", *_HLC), lookback=lambda: 1),
    Family("pattern", patterns.pattern, ("open", *_HLC, "engulfing"), lookback=lambda: patterns.PATTERN_LOOKBACK - 1),
    _one("coloured", patterns.coloured, ("open", "close")),
    Family("stepping", patterns.stepping, ("high", "low"), lookback=lambda: 2),
)

FAMILIES: Mapping[str, Family] = {family.name: family for family in _FAMILIES}
"""Every family of features by name."""

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

    What several of them need is computed once; `known` are features of the same candles computed before. Raises
    NotFound or InvalidInput for a name that is no feature.
    """
    done: dict[str, Series] = dict(known or {})
    calls: dict[tuple[object, ...], Series | tuple[Series, ...]] = {}

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
            result = calls[call]
            done[name] = cast(Series, result if family.output is None else result[family.output])
        return done[name]

    return {name: value(name) for name in names}


def lookback(names: Iterable[str]) -> int:
    """Index of the first bar where every one of `names` is defined (in a market that trades)."""
    return max((feature(name).lookback for name in names), default=0)


def history(names: Iterable[str]) -> int:
    """Bars to have before a bar so that every one of `names` has there the value it has with any longer history."""
    return max((feature(name).history for name in names), default=0)
