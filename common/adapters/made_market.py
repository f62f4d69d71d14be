"""Markets made by seeded dice, for checks on a machine that has no candles at hand."""

from __future__ import annotations

import numpy as np

from common.domain.features import Columns
from common.domain.market import Timeframe

MADE_CANDLES = 3_000


def made_market(seed: int, candles: int = MADE_CANDLES) -> tuple[str, Columns]:
    """A market to check on where no candles are at hand: a walk with trends, quiet and wild times, always the same."""
    draw = np.random.default_rng(seed)
    wild = np.exp(np.cumsum(draw.normal(0, 0.03, candles)) - 0.0)
    wild = 0.003 * np.clip(wild / np.median(wild), 0.3, 3.0)
    drift = np.repeat(draw.normal(0, 0.0006, candles // 150 + 1), 150)[:candles]
    close = np.round(100 * np.exp(np.cumsum(drift + draw.normal(0, 1, candles) * wild)), 2).clip(1)
    opened = np.concatenate(([100.0], close[:-1]))
    spread = np.abs(draw.normal(0, 1, (2, candles))) * wild * close
    high = np.round(np.maximum(opened, close) + spread[0], 2)
    low = np.round(np.minimum(opened, close) - spread[1], 2).clip(0.5)
    volume = np.round(draw.lognormal(4, 1, candles), 3)
    at = 1_609_459_200_000 + 300_000 * np.arange(candles)
    return f"made, seed {seed}", Columns(at, opened, high, low, close, volume, Timeframe(300))
