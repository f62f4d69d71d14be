"""EMA crossover: follow the fast average when it crosses the slow one (L-21)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.domain.indicators.series import crosses_above, crosses_below, ratio
from common.domain.strategies.base import Entries, Features, Parameters, Rules, bounded, sides


@dataclass(frozen=True, slots=True)
class EmaParameters(Parameters):
    """EMA 9 / 21, confidence from 0.7 (seed L); stop 1.5 ATR, 50 bars (L-41), target 3.5 ATR as in RSI reversion."""

    fast: int = bounded(9, low=2, high=400)
    slow: int = bounded(21, low=3, high=800)
    base_confidence: float = bounded(0.7, low=0.0, high=1.0)
    atr_window: int = bounded(14, low=2, high=200)
    stop_atr: float = bounded(1.5, low=0.1, high=20.0)
    target_atr: float = bounded(3.5, low=0.1, high=50.0)
    trail_atr: float = bounded(1.5, low=0.1, high=50.0)
    max_hold_bars: int = bounded(50, low=1, high=10_000)

    def __post_init__(self) -> None:
        # Zero-argument super() does not work in a slotted dataclass: the decorator makes another class.
        Parameters.__post_init__(self)
        if self.fast >= self.slow:
            raise InvalidInput("fast", self.fast, f"a window shorter than slow ({self.slow})")


class EmaCrossover(Rules):
    """A signal on the bar of the cross; confidence grows with the close's distance from the slow average, in ATR."""

    name = "ema_crossover"
    parameters_type = EmaParameters
    reach = 2

    @property
    def features(self) -> tuple[str, ...]:
        """Both averages and the ATR."""
        p = self.parameters
        return (f"ema_{p.fast}", f"ema_{p.slow}", f"atr_{p.atr_window}")

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Long on a cross upwards, short on a cross downwards; either leaves the opposite position."""
        p = self.parameters
        fast, slow, atr = (features[name] for name in self.features)
        up, down = crosses_above(fast, slow), crosses_below(fast, slow)
        stretch = np.clip(ratio(np.abs(columns.close - slow), atr), 0.0, 1.0)

        def reasons(index: int) -> tuple[str, ...]:
            way = "above" if up[index] else "below"
            return (f"EMA {p.fast} crossed {way} EMA {p.slow}", f"close {stretch[index]:.2f} ATR from EMA {p.slow}")

        return Entries(
            side=sides(up, down, self.warmup),
            confidence=p.base_confidence + (1.0 - p.base_confidence) * np.nan_to_num(stretch),
            stop=p.stop_atr * atr,
            target=p.target_atr * atr,
            trail=p.trail_atr * atr,
            max_hold=p.max_hold_bars * columns.timeframe.duration,
            leaves_long=down,
            leaves_short=up,
            reasons=reasons,
        )
