"""RSI mean reversion: buy when the RSI falls into oversold, sell when it rises into overbought (L-20)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.domain.features import Columns
from common.domain.strategies.base import Entries, Features, Parameters, Rules, bounded, fresh, sides


@dataclass(frozen=True, slots=True)
class RsiParameters(Parameters):
    """RSI 14, 30 / 70, confidence from 0.65 (seed L); stop 1.5 ATR, 50 bars (L-41).

    The seed's target is 3 ATR, exactly twice the stop: spread and drift would always push that below the floor of 1:2
    of the futures profile, hence 3.5.
    """

    window: int = bounded(14, low=2, high=200)
    oversold: float = bounded(30.0, low=1.0, high=49.0)
    overbought: float = bounded(70.0, low=51.0, high=99.0)
    base_confidence: float = bounded(0.65, low=0.0, high=1.0)
    atr_window: int = bounded(14, low=2, high=200)
    stop_atr: float = bounded(1.5, low=0.1, high=20.0)
    target_atr: float = bounded(3.5, low=0.1, high=50.0)
    trail_atr: float = bounded(1.5, low=0.1, high=50.0)
    max_hold_bars: int = bounded(50, low=1, high=10_000)


class RsiMeanReversion(Rules):
    """A signal on the bar where the RSI enters a zone; confidence grows linearly from its base to 1 with the depth."""

    name = "rsi_mean_reversion"
    parameters_type = RsiParameters
    reach = 2

    @property
    def features(self) -> tuple[str, ...]:
        """RSI and ATR."""
        return (f"rsi_{self.parameters.window}", f"atr_{self.parameters.atr_window}")

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Long below `oversold`, short above `overbought`, once per visit."""
        p = self.parameters
        rsi, atr = (features[name] for name in self.features)
        depth = np.where(rsi < p.oversold, 1.0 - rsi / p.oversold, (rsi - p.overbought) / (100.0 - p.overbought))

        def reasons(index: int) -> tuple[str, ...]:
            zone = f"below {p.oversold:g}" if rsi[index] < p.oversold else f"above {p.overbought:g}"
            return (f"RSI {p.window} at {rsi[index]:.1f} is {zone}",)

        return Entries(
            side=fresh(sides(rsi < p.oversold, rsi > p.overbought, self.warmup)),
            confidence=p.base_confidence + (1.0 - p.base_confidence) * np.clip(depth, 0.0, 1.0),
            stop=p.stop_atr * atr,
            target=p.target_atr * atr,
            trail=p.trail_atr * atr,
            max_hold=p.max_hold_bars * columns.timeframe.duration,
            reasons=reasons,
        )
