"""Smart money concepts: with a confirmed break of structure, enter when the price comes back (B-18 to B-21)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.strategies.base import Entries, Features, Parameters, Rules, bounded, fresh, sides


@dataclass(frozen=True, slots=True)
class SmartMoneyParameters(Parameters):
    """Swings of ± 3 bars within 100 candles, breaks of the last 5 candles (seeds 1.2); confidence from 0.55."""

    reach: int = bounded(3, low=1, high=20)
    window: int = bounded(100, low=20, high=1_000)
    recent_bars: int = bounded(5, low=1, high=50)
    base_confidence: float = bounded(0.55, low=0.0, high=0.7)
    stop_atr: float = bounded(1.5, low=0.1, high=20.0)
    target_atr: float = bounded(3.5, low=0.1, high=50.0)
    trail_atr: float = bounded(1.5, low=0.1, high=50.0)
    max_hold_bars: int = bounded(50, low=1, high=10_000)


class SmartMoney(Rules):
    """Long after a bullish break while the price is back in a bullish order block or gap; short mirrored.

    Each of order block, gap and a structure that points the same way adds 0.1 to the confidence.
    """

    name = "smart_money"
    parameters_type = SmartMoneyParameters

    @property
    def features(self) -> tuple[str, ...]:
        """Structure, breaks, order blocks, gaps and ATR."""
        p = self.parameters
        swings = f"{p.reach}_{p.window}"
        return (
            f"structure_{swings}",
            f"recent_break_{swings}_{p.recent_bars}",
            f"order_block_{swings}",
            f"gap_retest_{p.window}",
            "atr_14",
        )

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Side where break and retest agree, once per setup."""
        p = self.parameters
        structure, broken, block, gap, atr = (features[name] for name in self.features)
        named: dict[str, Series] = {"order block": block, "fair-value gap": gap, "structure": structure}
        long = (broken > 0) & ((block > 0) | (gap > 0))
        short = (broken < 0) & ((block < 0) | (gap < 0))
        way = np.where(long, 1.0, -1.0)
        agreeing = np.sum([values * way > 0 for values in named.values()], axis=0)

        def reasons(index: int) -> tuple[str, ...]:
            word = "bullish" if way[index] > 0 else "bearish"
            lines = [f"{word} break of the last {p.recent_bars} bars"]
            return (*lines, *(f"{word} {name}" for name, values in named.items() if values[index] * way[index] > 0))

        return Entries(
            side=fresh(sides(long, short, self.warmup)),
            confidence=p.base_confidence + 0.1 * agreeing,
            stop=p.stop_atr * atr,
            target=p.target_atr * atr,
            trail=p.trail_atr * atr,
            max_hold=p.max_hold_bars * columns.timeframe.duration,
            reasons=reasons,
        )
