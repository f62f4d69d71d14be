"""The reference strategy by which engines are compared: EMA 12/26 cross while 50 < RSI 14 < 70, long only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.domain.features import Columns, lookback
from common.domain.indicators.series import crosses_above, crosses_below
from common.domain.strategies.base import Entries, Features, Parameters, Rules, bounded, exact, sides


@dataclass(frozen=True, slots=True)
class ReferenceParameters(Parameters):
    """The rules every peer engine runs; changing them makes another strategy."""

    fast: int = bounded(12, low=2, high=400)
    slow: int = bounded(26, low=3, high=800)
    rsi: int = bounded(14, low=2, high=200)
    rsi_low: float = bounded(50.0, low=0.0, high=100.0)
    rsi_high: float = bounded(70.0, low=0.0, high=100.0)
    stop_fraction: float = bounded(0.01, low=0.0001, high=0.5)
    target_fraction: float = bounded(0.02, low=0.0001, high=5.0)
    first_bar: int = bounded(200, low=1, high=10_000)


class EmaRsiReference(Rules):
    """Enter at the open after the cross, leave at 1 % loss, 2 % gain or the open after the opposite cross."""

    name = "ema_rsi_reference"
    parameters_type = ReferenceParameters

    @property
    def features(self) -> tuple[str, ...]:
        """Both averages and the RSI."""
        p = self.parameters
        return (f"ema_{p.fast}", f"ema_{p.slow}", f"rsi_{p.rsi}")

    @property
    def warmup(self) -> int:
        """The peers take no signal on their first 200 candles; never fewer than the features need."""
        needed: int = max(self.parameters.first_bar, lookback(self.features) + 1)
        return needed

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Long where all conditions meet on a bar that traded."""
        p = self.parameters
        fast, slow, rsi = (features[name] for name in self.features)
        traded = columns.volume > 0
        enters = crosses_above(fast, slow) & (rsi > p.rsi_low) & (rsi < p.rsi_high) & traded

        def reasons(index: int) -> tuple[str, ...]:
            return (
                f"EMA {p.fast} crossed above EMA {p.slow}",
                f"RSI {p.rsi} at {rsi[index]:.1f} is between {p.rsi_low:g} and {p.rsi_high:g}",
            )

        return Entries(
            side=sides(enters, np.zeros_like(enters), self.warmup),
            confidence=np.ones(len(columns)),
            stop=p.stop_fraction * columns.close,
            target=p.target_fraction * columns.close,
            trail=np.full(len(columns), np.nan),
            leaves_long=crosses_below(fast, slow) & traded,
            stop_fraction=exact(p.stop_fraction),
            target_fraction=exact(p.target_fraction),
            reasons=reasons,
        )
