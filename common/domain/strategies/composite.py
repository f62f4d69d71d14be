"""Composite strategies: opinions of several indicators weighed together (L-22)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.domain.features import FEAR_GREED, Columns
from common.domain.indicators.series import Flags, Series, crosses_above, crosses_below
from common.domain.strategies.base import Entries, Features, Parameters, Rules, bounded, fresh, sides
from common.domain.strategies.confluence import Confluence
from common.domain.strategies.ema_crossover import EmaCrossover
from common.domain.strategies.rsi_mean_reversion import RsiMeanReversion

MEMBERS = (RsiMeanReversion, EmaCrossover, Confluence)

MOST_CONFIDENT = 0.95


@dataclass(frozen=True, slots=True)
class CompositeParameters(Parameters):
    """How long a member's opinion is remembered, how many must agree; confidence is their mean + `bonus` (seed L)."""

    memory_bars: int = bounded(5, low=1, high=100)
    agreeing: int = bounded(2, low=2, high=3)
    bonus: float = bounded(0.1, low=0.0, high=0.5)
    stop_atr: float = bounded(1.5, low=0.1, high=20.0)
    target_atr: float = bounded(3.5, low=0.1, high=50.0)
    trail_atr: float = bounded(1.5, low=0.1, high=50.0)
    max_hold_bars: int = bounded(50, low=1, high=10_000)


def remembered(side: Series, confidence: Series, bars: int) -> tuple[Series, Series]:
    """(side, confidence) of the latest opinion within the last `bars` bars, this one included; 0 where there is none."""
    index = np.arange(side.size)
    latest = np.maximum.accumulate(np.where(side != 0, index, -1)) if side.size else index
    is_recent = (latest >= 0) & (index - latest < bars)
    at = np.clip(latest, 0, None)
    return np.where(is_recent, side[at], 0.0), np.where(is_recent, confidence[at], 0.0)


class Composite(Rules):
    """A signal when at least two of RSI reversion, EMA crossover and confluence agree and none of them disagrees."""

    name = "composite"
    parameters_type = CompositeParameters

    @property
    def features(self) -> tuple[str, ...]:
        """What the members look at."""
        return tuple(dict.fromkeys(name for member in MEMBERS for name in member().features))

    @property
    def warmup(self) -> int:
        """That of the slowest member."""
        return max(member().warmup for member in MEMBERS)

    @property
    def history(self) -> int:
        """That of the slowest member, and what is remembered."""
        return max(member().history for member in MEMBERS) + int(self.parameters.memory_bars)

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Long or short on the bar where the agreement is reached."""
        p = self.parameters
        opinions = []
        for member in MEMBERS:
            entries = member().evaluate(features, columns)
            opinions.append(remembered(entries.side.astype(np.float64), entries.confidence, p.memory_bars))
        said = np.array([side for side, _ in opinions])
        longs, shorts = (said > 0).sum(axis=0), (said < 0).sum(axis=0)
        count = np.maximum(longs + shorts, 1)
        mean = np.sum([confidence for _, confidence in opinions], axis=0) / count
        atr = features["atr_14"]

        def reasons(index: int) -> tuple[str, ...]:
            return tuple(
                f"{member.name} says {'long' if side[index] > 0 else 'short'} at {confidence[index]:.2f}"
                for member, (side, confidence) in zip(MEMBERS, opinions, strict=True)
                if side[index] != 0
            )

        return Entries(
            side=fresh(
                sides((longs >= p.agreeing) & (shorts == 0), (shorts >= p.agreeing) & (longs == 0), self.warmup)
            ),
            confidence=np.minimum(mean + p.bonus, MOST_CONFIDENT),
            stop=p.stop_atr * atr,
            target=p.target_atr * atr,
            trail=p.trail_atr * atr,
            max_hold=p.max_hold_bars * columns.timeframe.duration,
            reasons=reasons,
        )


@dataclass(frozen=True, slots=True)
class AdvancedParameters(Parameters):
    """Threshold and caps of the seed's signed score, and what is left of it where the crowd is at an extreme."""

    threshold: float = bounded(2.0, low=0.5, high=20.0)
    cap: float = bounded(1.5, low=0.0, high=20.0)
    agreeing: int = bounded(4, low=1, high=14)
    extreme_greed: float = bounded(75.0, low=50.0, high=100.0)
    extreme_fear: float = bounded(25.0, low=0.0, high=50.0)
    damping: float = bounded(0.7, low=0.0, high=1.0)
    stop_atr: float = bounded(1.5, low=0.1, high=20.0)
    target_atr: float = bounded(3.5, low=0.1, high=50.0)
    trail_atr: float = bounded(1.5, low=0.1, high=50.0)
    max_hold_bars: int = bounded(50, low=1, high=10_000)


def _signed(bullish: Flags, bearish: Flags, weight: float) -> Series:
    return weight * (bullish.astype(np.float64) - bearish.astype(np.float64))


class AdvancedComposite(Rules):
    """Fourteen signed weights summed; confidence = min(0.95, 0.5 + |score| / 20) (L-22, seeds 1.3).

    The fear-and-greed index damps a score that goes with the crowd: longs in extreme greed, shorts in extreme fear; where
    it is not known nothing is damped. The seed's boost by other timeframes is left out, because a strategy sees one
    instrument's candles. An extreme is an RSI beyond 80 / 20 in the direction of the score.
    """

    name = "advanced_composite"
    revision = "2"
    parameters_type = AdvancedParameters
    reach = 3

    @property
    def features(self) -> tuple[str, ...]:
        """One or more per weight."""
        return (
            "ema_9", "ema_21", "ema_50", "ema_200", "rsi_14", "macd_12_26_9", "macd_histogram_12_26_9", "adx_14",
            "plus_di_14", "minus_di_14", "bollinger_position_20_2", "volume_ratio_20", "roc_1", "vwap_20", "obv_20",
            "williams_r_14", "stochastic_rsi_14_14", "mfi_14", "cci_20", "atr_14", FEAR_GREED,
        )  # fmt: skip

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Long at a score of `threshold` or more, short mirrored, once when it gets there."""
        p = self.parameters
        votes = self.votes(features, columns)
        table = np.nan_to_num(np.array(list(votes.values())))
        raw = table.sum(axis=0)
        agreeing = (np.sign(table) == np.sign(raw)).sum(axis=0)
        rsi = features["rsi_14"]
        is_extreme = ((raw > 0) & (rsi > 80)) | ((raw < 0) & (rsi < 20))
        mood = features[FEAR_GREED]
        is_crowded = ((raw > 0) & (mood >= p.extreme_greed)) | ((raw < 0) & (mood <= p.extreme_fear))
        damped = np.where(is_crowded, raw * p.damping, raw)
        score = np.where(is_extreme | (agreeing < p.agreeing), np.clip(damped, -p.cap, p.cap), damped)
        atr = features["atr_14"]

        def reasons(index: int) -> tuple[str, ...]:
            way = np.sign(score[index])
            return tuple(f"{name} {values[index]:+g}" for name, values in votes.items() if values[index] * way > 0)

        return Entries(
            side=fresh(sides(score >= p.threshold, score <= -p.threshold, self.warmup)),
            confidence=np.minimum(MOST_CONFIDENT, 0.5 + np.abs(score) / 20.0),
            stop=p.stop_atr * atr,
            target=p.target_atr * atr,
            trail=p.trail_atr * atr,
            max_hold=p.max_hold_bars * columns.timeframe.duration,
            reasons=reasons,
        )

    def votes(self, features: Features, columns: Columns) -> dict[str, Series]:
        """Signed points of every indicator at every bar."""
        f, close = features, columns.close
        nine, middle, slow, rsi = f["ema_9"], f["ema_21"], f["ema_50"], f["rsi_14"]
        histogram, zero = f["macd_histogram_12_26_9"], np.zeros(len(columns))
        oscillators = self.oscillators(features)
        consensus = np.sum([np.sign(values) for values in oscillators.values()], axis=0)
        trending = f["adx_14"] > 25
        busy = f["volume_ratio_20"] > 1.5
        position = f["bollinger_position_20_2"]
        crossed = _signed(crosses_above(histogram, zero), crosses_below(histogram, zero), 2.0)
        return {
            "EMA stack": _signed((nine > middle) & (middle > slow), (nine < middle) & (middle < slow), 2.0),
            "EMA 200": _signed(close > f["ema_200"], close < f["ema_200"], 1.0),
            "RSI": np.where(
                (rsi < 30) | (rsi > 70), _signed(rsi < 30, rsi > 70, 2.5), _signed(rsi < 40, rsi > 60, 1.0)
            ),
            "MACD": np.where(crossed != 0, crossed, _signed(histogram > 0, histogram < 0, 0.5)),
            "ADX": trending * _signed(f["plus_di_14"] > f["minus_di_14"], f["plus_di_14"] < f["minus_di_14"], 1.5),
            "Bollinger": _signed(position < 0.0, position > 1.0, 1.5),
            "volume": busy * _signed(f["roc_1"] > 0, f["roc_1"] < 0, 1.0),
            "VWAP": _signed(close > f["vwap_20"], close < f["vwap_20"], 1.0),
            "OBV": _signed(f["obv_20"] > 0, f["obv_20"] < 0, 0.5),
            **oscillators,
            "oscillator consensus": _signed(consensus >= 3, consensus <= -3, 1.5),
        }

    def oscillators(self, features: Features) -> dict[str, Series]:
        """The four oscillators that are voted on again together."""
        f = features
        return {
            "Williams %R": _signed(f["williams_r_14"] < -80, f["williams_r_14"] > -20, 0.5),
            "Stochastic RSI": _signed(f["stochastic_rsi_14_14"] < 0.2, f["stochastic_rsi_14_14"] > 0.8, 1.0),
            "MFI": _signed(f["mfi_14"] < 20, f["mfi_14"] > 80, 1.0),
            "CCI": _signed(f["cci_20"] < -100, f["cci_20"] > 100, 1.0),
        }
