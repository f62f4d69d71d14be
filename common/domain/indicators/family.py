"""Families of features: which function makes them of which columns, and how many bars each needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from talib import stream

from common.domain.indicators import (
    calendar,
    microstructure,
    momentum,
    patterns,
    profile,
    statistics,
    streams,
    structure,
    trend,
    volatility,
    volume,
)
from common.domain.indicators.series import Series, highest, lowest
from common.domain.indicators.streams import Stream

PRECISION = 1e-12
"""What may remain of a recursive average's seed once its history is called long enough (relative)."""


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
    `opens` keeps a state that gives it candle by candle; where there is none, its value depends on the bars of `history`
    and on nothing else, to the last digit.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    passes: tuple[int, ...] = ()
    output: int | None = None
    lookback: Bars = _windowed
    history: Bars | None = None
    opens: Callable[..., Stream] | None = None


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


def _one(
    name: str,
    function: Callable[..., Series],
    inputs: tuple[str, ...],
    lookback: Bars = _windowed,
    history: Bars | None = None,
    opens: Callable[..., Stream] | None = None,
) -> Family:
    return Family(name, function, inputs, ("window",), (0,), None, lookback, history, opens)


_FAMILIES = (
    _one("sma", trend.sma, ("close",), opens=stream.SMA),
    _one("ema", trend.ema, ("close",), history=_exponential, opens=stream.EMA),
    Family("price_to_sma", trend.price_to, ("close", "sma_{0}"), ("window",), lookback=_none),
    Family("price_to_ema", trend.price_to, ("close", "ema_{0}"), ("window",), lookback=_none),
    Family("trend", trend.trend, ("ema_{0}", "ema_{1}"), ("middle", "slow"), lookback=lambda *_: 1),
    _one("adx", trend.adx, _HLC, lambda window: 2 * window - 1, _twice_wilder, stream.ADX),
    _one("plus_di", trend.plus_di, _HLC, _shifted, _wilder, stream.PLUS_DI),
    _one("minus_di", trend.minus_di, _HLC, _shifted, _wilder, stream.MINUS_DI),
    _one("rsi", momentum.rsi, ("close",), _shifted, _wilder, stream.RSI),
    *(
        Family(name, momentum.macd, ("close",), _MACD, (0, 1, 2), output, _macd_lookback, _macd_history, stream.MACD)
        for output, name in enumerate(("macd", "macd_signal", "macd_histogram"))
    ),
    _one("roc", momentum.roc, ("close",), lookback=_shifted),
    _one("momentum", momentum.momentum, ("close",), lookback=_shifted),
    _one("williams_r", momentum.williams_r, _HLC),
    *(
        Family(
            name, momentum.stochastic, _HLC, _STOCH, (0, 1, 2), output, _stochastic_lookback, None, streams.stochastic
        )
        for output, name in enumerate(("stochastic_k", "stochastic_d"))
    ),
    _one("cci", momentum.cci, _HLC, opens=stream.CCI),
    _one("mfi", momentum.mfi, (*_HLC, "volume"), lookback=_shifted, opens=stream.MFI),
    Family(
        "divergence",
        momentum.divergence,
        ("low", "high", "rsi_{0}"),
        ("oscillator", "recent", "earlier"),
        (1, 2),
        lookback=lambda _, recent, earlier: recent + earlier - 1,
    ),
    _one("place_in_range", momentum.place_in_range, ("close", "high", "low")),
    _one("atr", volatility.atr, _HLC, _shifted, _wilder, stream.ATR),
    Family("atr_percent", volatility.percent_of, ("atr_{0}", "close"), ("window",), lookback=_none),
    _one("std", volatility.standard_deviation, ("close",), opens=streams.standard_deviation),
    *(
        Family(
            name,
            volatility.bollinger,
            ("close",),
            ("window", "deviations"),
            (0, 1),
            output,
            _bands_lookback,
            None,
            streams.bollinger,
        )
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
    _one("volume_mean", volume.volume_mean, ("volume",), opens=stream.SMA),
    Family("volume_ratio", volume.volume_ratio, ("volume", "volume_mean_{0}"), ("window",), lookback=_none),
    _one("obv", volume.obv, ("close", "volume"), lookback=_shifted, opens=streams.Obv),
    _one("vwap", volume.vwap, (*_HLC, "volume"), opens=streams.Vwap),
    Family("price_to_vwap", trend.price_to, ("close", "vwap_{0}"), ("window",), lookback=_none),
    Family("engulfing", patterns.engulfing, ("open", *_HLC), lookback=lambda: 1),
    Family(
        "reversals",
        patterns.reversals,
        ("open", *_HLC),
        lookback=lambda: patterns.PATTERN_LOOKBACK,
        opens=streams.Reversals,
    ),
    Family("pattern", patterns.pattern, ("reversals", "engulfing"), lookback=_none),
    _one("coloured", patterns.coloured, ("open", "close")),
    Family("stepping", patterns.stepping, ("high", "low"), lookback=lambda: 2),
)


def _swings(reach: int) -> int:
    # Two swings must be confirmed on each side; how soon that is depends on the market, never sooner than this.
    return 2 * reach + 1


def _structure(reach: int, window: int) -> int:
    return window + 2 * reach + 2


def _plain(name: str, function: Callable[..., Any], *inputs: str, lookback: Bars = _none) -> Family:
    return Family(name, function, inputs, lookback=lookback)


_STRUCTURE = ("reach", "window")
_PROFILE = ("window", "bins")
_BREAKS = ("break_of_structure_{0}_{1}", "change_of_character_{0}_{1}")

_MORE = (
    Family(
        "stochastic_rsi",
        momentum.stochastic_of,
        ("rsi_{0}",),
        ("rsi", "window"),
        (1,),
        lookback=lambda _, window: window - 1,
    ),
    _one("highest", highest, ("high",)),
    _one("lowest", lowest, ("low",)),
    Family("distance_to_high", statistics.distance_to, ("close", "highest_{0}"), ("window",), lookback=_none),
    Family("distance_to_low", statistics.distance_to, ("close", "lowest_{0}"), ("window",), lookback=_none),
    _one("return", statistics.simple_return, ("close",), lookback=_shifted),
    _one("log_return", statistics.log_return, ("close",), lookback=_shifted),
    _plain("intraday_return", statistics.intraday_return, "open", "close"),
    _plain("high_low_range", statistics.high_low_range, "high", "low", "close"),
    _one("skewness", statistics.skewness, ("log_return_1",)),
    _one("kurtosis", statistics.kurtosis, ("log_return_1",)),
    Family("std_ratio", volatility.percent_of, ("std_{0}", "close"), ("window",), lookback=_none),
    Family(
        "volatility_rank",
        statistics.rank,
        ("atr_percent_{0}",),
        ("atr", "window"),
        (1,),
        lookback=lambda _, window: window,
    ),
    Family(
        "volatility_calm",
        statistics.complement,
        ("volatility_rank_{0}_{1}",),
        ("atr", "window"),
        lookback=_none,
    ),
    Family(
        "volatility_is_low",
        statistics.is_below_quarter,
        ("volatility_rank_{0}_{1}",),
        ("atr", "window"),
        lookback=_none,
    ),
    Family("volatility_class", statistics.volatility_class, ("atr_percent_{0}",), ("atr",), lookback=_none),
    Family(
        "volatility_regime",
        statistics.volatility_regime,
        ("volatility_rank_{0}_{1}",),
        ("atr", "window"),
        lookback=_none,
    ),
    Family(
        "market_regime",
        statistics.market_regime,
        ("adx_{0}", "plus_di_{0}", "minus_di_{0}", "atr_percent_{0}"),
        ("window",),
        lookback=_none,
    ),
    *(
        Family(name, structure.breaks, _HLC, _STRUCTURE, (0, 1), output, lambda reach, _: _swings(reach), _structure)
        for output, name in enumerate(("structure", "break_of_structure", "change_of_character"))
    ),
    Family(
        "recent_break",
        structure.recent_break,
        _BREAKS,
        ("reach", "window", "bars"),
        (2,),
        lookback=_none,
        history=lambda reach, window, bars: bars - 1,
    ),
    Family(
        "order_block",
        structure.order_block,
        ("open", *_HLC, *_BREAKS),
        _STRUCTURE,
        (1,),
        lookback=_none,
        history=lambda _, window: window + structure.BLOCK_SEARCH,
    ),
    _plain("fair_value_gap", structure.gaps, "high", "low", lookback=lambda: 2),
    _one("gap_retest", structure.gap_retest, _HLC, lookback=lambda _: 2, history=lambda window: window + 3),
    *(
        Family(name, profile.volume_profile, (*_HLC, "volume"), _PROFILE, (0, 1), output, lambda window, _: window - 1)
        for output, name in enumerate(("point_of_control", "value_area_high", "value_area_low", "node_density"))
    ),
    *(
        _plain(name, getattr(calendar, name), "opened_at")
        for name in (
            "hour",
            "day_of_week",
            "day_of_month",
            "month",
            "quarter",
            "is_weekend",
            "is_asia",
            "is_london",
            "is_newyork",
            "is_offhours",
            "is_holiday",
        )
    ),
)

# What the snapshots of closes and the market's mood tell is handed over as known; where nobody does, nothing is known.
_SNAPSHOTS = (
    _plain("fear_greed_index", microstructure.unknown, "close"),
    *(
        _plain(name, microstructure.unknown, "close")
        for name in (
            "spread",
            "spread_bps",
            "mid",
            "imbalance",
            "queue_pressure",
            "bid_volume",
            "ask_volume",
            "tape_vwap",
            "tape_velocity",
            "volume_imbalance",
            "mark",
            "funding_rate",
            "open_interest",
        )
    ),
    _plain("spread_pct", microstructure.percent, "spread_bps"),
    _plain("bid_vol", microstructure.same, "bid_volume"),
    _plain("ask_vol", microstructure.same, "ask_volume"),
    _plain("basis_bps", microstructure.basis_bps, "mark", "mid"),
    _plain("price_to_tape_vwap", trend.price_to, "close", "tape_vwap"),
)

FAMILIES: Mapping[str, Family] = {family.name: family for family in (*_FAMILIES, *_MORE, *_SNAPSHOTS)}
"""Every family of features by name."""
