"""Confluence: evidence for either side in points, a signal where one side is clearly ahead (FS-05)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from common.domain.features import Columns
from common.domain.indicators.series import Flags, Series, crosses_above, crosses_below
from common.domain.strategies.base import Entries, Features, Parameters, Rules, bounded, fresh, sides

FULL_SCORE = 110.0
WEAKEST_DIVERGENCE = 10.0
"""A divergence of less than two RSI points (strength 10 of 100) is noise; the seed gives no bound."""


@dataclass(frozen=True, slots=True)
class ConfluenceParameters(Parameters):
    """Thresholds and filters of the seed; `free_indicators` agree before each further one earns its ten points.

    Stop and trail are 1.5 and 1 ATR (B-17), the target 3.5 ATR as in RSI reversion.
    """

    minimum_score: float = bounded(45.0, low=10.0, high=200.0)
    floor_score: float = bounded(36.0, low=10.0, high=200.0)
    lead: float = bounded(1.10, low=1.0, high=5.0)
    free_indicators: int = bounded(2, low=1, high=8)
    minimum_volume_ratio: float = bounded(0.5, low=0.0, high=10.0)
    maximum_momentum: float = bounded(3.0, low=0.1, high=100.0)
    stop_atr: float = bounded(1.5, low=0.1, high=20.0)
    target_atr: float = bounded(3.5, low=0.1, high=50.0)
    trail_atr: float = bounded(1.0, low=0.1, high=50.0)
    max_hold_bars: int = bounded(50, low=1, high=10_000)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of the score for one side: points per bar, and which indicator it belongs to."""

    indicator: str
    text: str
    points: Series


def _line(indicator: str, text: str, points: Any) -> Evidence:
    return Evidence(indicator, text, np.asarray(points, dtype=np.float64))


def total(evidence: tuple[Evidence, ...]) -> Series:
    """Sum of the lines' points at every bar."""
    points: Series = np.sum([line.points for line in evidence], axis=0)
    return points


class Confluence(Rules):
    """FlashScalper's scorer: a side wins at max(36, 0.8 x 45) points and 1.10 x the other; confidence = score / 110."""

    name = "confluence"
    parameters_type = ConfluenceParameters
    reach = 3

    @property
    def features(self) -> tuple[str, ...]:
        """Averages, oscillators, volume and candles of the scorer."""
        return (
            "ema_9", "ema_21", "ema_50", "trend_21_50", "macd_histogram_12_26_9", "rsi_14", "stochastic_k_14_3_3",
            "williams_r_14", "volume_ratio_20", "roc_10", "pattern", "engulfing", "coloured_2", "stepping",
            "divergence_14_5_15", "atr_14",
        )  # fmt: skip

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Long or short where that side wins, passes the filters, and did not already win at the bar before."""
        p = self.parameters
        evidence = {side: self.evidence(features, columns, side) for side in (1, -1)}
        extra = {side: self.agreement(lines) for side, lines in evidence.items()}
        long, short = (total(evidence[side]) + extra[side] for side in (1, -1))
        threshold = max(p.floor_score, 0.8 * p.minimum_score)
        bull = (long >= threshold) & (long >= p.lead * short) & (long > short) & self.passes(features, 1)
        bear = (short >= threshold) & (short >= p.lead * long) & (short > long) & self.passes(features, -1)
        side = fresh(sides(bull, bear, self.warmup))
        atr = features["atr_14"]

        def reasons(index: int) -> tuple[str, ...]:
            way = 1 if bull[index] else -1
            lines = [(item.text, item.points[index]) for item in evidence[way]]
            agreed = extra[way][index]
            lines.append((f"{p.free_indicators + int(agreed / 10)} indicators agree", agreed))
            return tuple(f"{text} +{points:g}" for text, points in lines if points > 0)

        return Entries(
            side=side,
            confidence=np.minimum(np.where(side < 0, short, long) / FULL_SCORE, 1.0),
            stop=p.stop_atr * atr,
            target=p.target_atr * atr,
            trail=p.trail_atr * atr,
            max_hold=p.max_hold_bars * columns.timeframe.duration,
            reasons=reasons,
        )

    def evidence(self, features: Features, columns: Columns, side: int) -> tuple[Evidence, ...]:
        """Every line of the score for `side` (+1 or -1), the weights of the seed."""
        f, long = features, side > 0
        nine, middle, slow = f["ema_9"], f["ema_21"], f["ema_50"]
        histogram, rsi = f["macd_histogram_12_26_9"], f["rsi_14"]
        zero = np.zeros(len(columns))
        cross = crosses_above(histogram, zero) if long else crosses_below(histogram, zero)
        stretched, moderate = (rsi < 30, rsi < 40) if long else (rsi > 70, rsi > 60)
        bounce = self._bounces(features, side)
        strength = np.nan_to_num(side * f["divergence_14_5_15"])
        word = "bullish" if long else "bearish"
        up, in_bounce = ("above", "higher lows") if long else ("below", "lower highs")
        stacked = (side * nine > side * middle) & (side * middle > side * slow)
        busy = (f["volume_ratio_20"] > 1.5) & (side * f["roc_10"] > 0)
        return (
            _line("ema", "EMA 9, 21, 50 in order", 15.0 * stacked),
            _line("ema", f"price {up} EMA 9", 5.0 * (side * columns.close > side * nine)),
            _line("macd", f"MACD crossed {up} its signal", 20.0 * cross),
            _line("macd", f"MACD histogram {word}", 8.0 * (side * histogram > 0)),
            _line("rsi", f"RSI {'low' if long else 'high'}", np.where(stretched, 12.0, 5.0 * moderate)),
            _line("volume", f"volume with {word} momentum", 8.0 * busy),
            _line("pattern", f"{word} candle pattern", 10.0 * (side * f["pattern"] > 0)),
            _line("bounce", f"{word} bounce", 20.0 * bounce),
            _line("bounce", f"{word} engulfing in the bounce", 5.0 * (bounce & (side * f["engulfing"] > 0))),
            _line("bounce", f"{in_bounce} in the bounce", 5.0 * (bounce & (side * f["stepping"] > 0))),
            _line(
                "divergence",
                f"{word} divergence",
                np.where(strength >= WEAKEST_DIVERGENCE, 25.0 + strength / 10.0, 0.0),
            ),
            _line("trend", f"trend {word}", 15.0 * (side * f["trend_21_50"] > 0)),
        )

    def _bounces(self, features: Features, side: int) -> Flags:
        rsi, k = features["rsi_14"], features["stochastic_k_14_3_3"]
        williams, candles = features["williams_r_14"], features["coloured_2"]
        if side > 0:
            signs = (rsi < 35, k < 25, williams < -75, candles > 0)
        else:
            signs = (rsi > 65, k > 75, williams > -25, candles < 0)
        found: Flags = np.sum(signs, axis=0) >= 2
        return found

    def agreement(self, evidence: tuple[Evidence, ...]) -> Series:
        """Ten points for each agreeing indicator beyond the free ones."""
        by_indicator: dict[str, Flags] = {}
        for item in evidence:
            said = item.points > 0
            by_indicator[item.indicator] = said | by_indicator.get(item.indicator, said)
        agreeing = np.sum(list(by_indicator.values()), axis=0)
        extra: Series = 10.0 * np.maximum(agreeing - self.parameters.free_indicators, 0)
        return extra

    def passes(self, features: Features, side: int) -> Flags:
        """The seed's filters: volume, momentum, RSI out of reach, and no short against the trend without divergence."""
        p = self.parameters
        rsi, roc, trend = features["rsi_14"], features["roc_10"], features["trend_21_50"]
        common: Flags = (features["volume_ratio_20"] >= p.minimum_volume_ratio) & (np.abs(roc) <= p.maximum_momentum)
        common &= (rsi >= 15) & (rsi <= 85)
        if side > 0:
            passed: Flags = common & (rsi <= 65)
        else:
            against = (trend > 0) & ~(features["divergence_14_5_15"] < 0)
            passed = common & ((rsi >= 35) | (roc < -0.1) | (trend < 0)) & ~against
        return passed
