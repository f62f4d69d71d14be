"""The scalper's entry score: oscillator extremes and pressure, each a share of one (B-17, seeds 1.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.domain.features import Columns
from common.domain.indicators.series import Series, ratio
from common.domain.strategies.base import Entries, Features, Parameters, Rules, bounded, fresh, sides


@dataclass(frozen=True, slots=True)
class ScalperParameters(Parameters):
    """Minimum score 0.5; stop 1.5, target 2.5, trail 1 ATR; at most five minutes or one bar (seed B)."""

    minimum: float = bounded(0.5, low=0.1, high=1.0)
    stop_atr: float = bounded(1.5, low=0.1, high=20.0)
    target_atr: float = bounded(2.5, low=0.1, high=50.0)
    trail_atr: float = bounded(1.0, low=0.1, high=50.0)
    max_hold_bars: int = bounded(1, low=1, high=1_000)
    candles_stand_in: bool = bounded(False, low=False, high=True)


_STAND_INS = ("obv_10", "volume_mean_10", "place_in_range_1")


class Scalper(Rules):
    """The code's weights, whose sum of 1.10 is capped at 1; confidence is the score.

    Book and volume imbalance are those of the market snapshot at the bar's close; where there is none they add nothing.
    With `candles_stand_in` candles speak in their place then: a close in the outer fifth of its range, which is what
    buyers or sellers having the upper hand leaves behind, and the signed volume of the last ten bars.
    """

    name = "scalper"
    revision = "2"
    parameters_type = ScalperParameters

    @property
    def features(self) -> tuple[str, ...]:
        """RSI, bands, MACD, EMA 20, ATR, what book and tape say, and signed volume where candles stand in."""
        return (
            "rsi_14", "bollinger_position_20_2", "macd_histogram_12_26_9", "price_to_ema_20", "atr_14",
            "imbalance", "volume_imbalance", *(_STAND_INS if self.parameters.candles_stand_in else ()),
        )  # fmt: skip

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Long or short where that side's score reaches the minimum and exceeds the other's."""
        p = self.parameters
        long, short = (total(self.evidence(features, side)) for side in (1, -1))
        atr = features["atr_14"]

        def reasons(index: int) -> tuple[str, ...]:
            side = 1 if long[index] > short[index] else -1
            lines = self.evidence(features, side).items()
            return tuple(f"{name} +{values[index]:.2f}" for name, values in lines if values[index] > 0)

        return Entries(
            side=fresh(sides((long >= p.minimum) & (long > short), (short >= p.minimum) & (short > long), self.warmup)),
            confidence=np.maximum(long, short),
            stop=p.stop_atr * atr,
            target=p.target_atr * atr,
            trail=p.trail_atr * atr,
            max_hold=p.max_hold_bars * columns.timeframe.duration,
            reasons=reasons,
        )

    def evidence(self, features: Features, side: int) -> dict[str, Series]:
        """Points of each piece of evidence for `side` (+1 or -1)."""
        f, long = features, side > 0
        rsi, band = f["rsi_14"], f["bollinger_position_20_2"]
        book, tape, distance = f["imbalance"], f["volume_imbalance"], f["price_to_ema_20"]
        points = {
            "RSI": 0.30 * (rsi < 30 if long else rsi > 70),
            # Not known is not above any threshold.
            "book imbalance": 0.20 * (side * book > 0.3),
            "volume imbalance": 0.15 * (side * tape > 0.3),
            "Bollinger position": 0.25 * (band < 0.1 if long else band > 0.9),
            "MACD": 0.10 * (side * f["macd_histogram_12_26_9"] > 0),
            # A price half a per cent beyond the average is stretched: it speaks for the way back.
            "distance to EMA 20": 0.10 * (side * distance < -0.005),
        }
        if self.parameters.candles_stand_in:
            place, pressure = f["place_in_range_1"], ratio(f["obv_10"], 10.0 * f["volume_mean_10"])
            points["close in the outer fifth"] = 0.20 * (np.isnan(book) & (place > 0.8 if long else place < 0.2))
            points["signed volume"] = 0.15 * (np.isnan(tape) & (side * pressure > 0.3))
        return {name: np.asarray(values, dtype=np.float64) for name, values in points.items()}


def total(evidence: dict[str, Series]) -> Series:
    """Sum of the points, at most 1."""
    points: Series = np.minimum(np.sum(list(evidence.values()), axis=0), 1.0)
    return points
