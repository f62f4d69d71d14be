"""Opportunity: how much is going on in a market, as a rank for scans and as a strategy of its own (A-28)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.strategies.base import Entries, Features, Parameters, Rules, bounded, fresh, sides

FULL_SCORE = 80.0

SCORED = ("volume_ratio_20", "rsi_7", "rsi_14", "ema_20", "ema_50", "macd_histogram_12_26_9", "atr_14")


def day_change(columns: Columns) -> Series:
    """Change of the close over 24 hours as a fraction; NaN on the first day.

    The day is counted in bars: a market with missing candles looks a little further back.
    """
    bars = max(1, 86_400 // columns.timeframe.seconds)
    change = np.full(len(columns), np.nan)
    change[bars:] = columns.close[bars:] / columns.close[:-bars] - 1.0
    return change


def opportunity_score(features: Features, columns: Columns) -> Series:
    """Score 0..80 of every bar: volume above twice its mean 20, RSI 7 or 14 beyond 30 / 70 15, trend and MACD aligned 20,
    ATR / price x 1000 at most 15, 24 h change beyond 5 % 10.
    """
    fast, slow = features["rsi_7"], features["rsi_14"]
    extreme = (fast < 30) | (fast > 70) | (slow < 30) | (slow > 70)
    rises, histogram = features["ema_20"] > features["ema_50"], features["macd_histogram_12_26_9"]
    falls = features["ema_20"] < features["ema_50"]
    aligned = (rises & (histogram > 0)) | (falls & (histogram < 0))
    score: Series = (
        20.0 * (features["volume_ratio_20"] > 2.0)
        + 15.0 * extreme
        + 20.0 * aligned
        + np.minimum(np.nan_to_num(features["atr_14"] / columns.close) * 1000.0, 15.0)
        + 10.0 * (np.abs(day_change(columns)) > 0.05)
    )
    return score


@dataclass(frozen=True, slots=True)
class OpportunityParameters(Parameters):
    """The score at which the aligned trend is followed."""

    minimum: float = bounded(50.0, low=20.0, high=80.0)
    stop_atr: float = bounded(1.5, low=0.1, high=20.0)
    target_atr: float = bounded(3.5, low=0.1, high=50.0)
    trail_atr: float = bounded(1.5, low=0.1, high=50.0)
    max_hold_bars: int = bounded(50, low=1, high=10_000)


class Opportunity(Rules):
    """Follow the trend where enough is going on; confidence is the share of the full score."""

    name = "opportunity"
    parameters_type = OpportunityParameters

    @property
    def features(self) -> tuple[str, ...]:
        """Everything that is scored."""
        return SCORED

    @property
    def history(self) -> int:
        """A day of one-minute candles, because the change over 24 hours counts."""
        return max(super().history, 24 * 60 + 2)

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Side of the aligned trend where the score reaches the minimum."""
        p = self.parameters
        score, histogram = opportunity_score(features, columns), features["macd_histogram_12_26_9"]
        hot, atr = score >= p.minimum, features["atr_14"]
        rises = (features["ema_20"] > features["ema_50"]) & (histogram > 0)
        falls = (features["ema_20"] < features["ema_50"]) & (histogram < 0)

        def reasons(index: int) -> tuple[str, ...]:
            return (f"opportunity score {score[index]:.1f} of {FULL_SCORE:g}", "trend and MACD aligned")

        return Entries(
            side=fresh(sides(hot & rises, hot & falls, self.warmup)),
            confidence=np.minimum(score / FULL_SCORE, 1.0),
            stop=p.stop_atr * atr,
            target=p.target_atr * atr,
            trail=p.trail_atr * atr,
            max_hold=p.max_hold_bars * columns.timeframe.duration,
            reasons=reasons,
        )
