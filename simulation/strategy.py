"""A strategy for simulations only: whether it enters follows from the candle's close by hash, as if by dice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from hashlib import sha256

import numpy as np

from common.domain.features import Columns
from common.domain.strategies import Entries, Rules, register
from common.domain.strategies.base import Features, exact

NAME = "simulated_dice"
ENTER_BELOW = 190
"""Of 256 throws, how many make an entry."""

HOLDS_S = (8, 60, 150)


def throw(opened_ms: int, close: Decimal) -> bytes:
    """The dice of one candle: the same candle always throws the same."""
    return sha256(f"{opened_ms}|{close.normalize()}".encode()).digest()


def side_of_throw(dice: bytes) -> int:
    """+1 long, -1 short, 0 nothing."""
    if dice[0] >= ENTER_BELOW:
        return 0
    return 1 if dice[1] < 128 else -1


@register
class SimulatedDice(Rules):
    """Enters at a stop of 1 % or less and a target of 3 %; the last candle's throw alone decides how long it may be held."""

    name = NAME

    @property
    def features(self) -> tuple[str, ...]:
        """None: candles are enough."""
        return ()

    @property
    def warmup(self) -> int:
        """No bar is too early."""
        return 0

    @property
    def history(self) -> int:
        """A candle is enough."""
        return 2

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """The throw of every candle."""
        count = len(columns.opened_at)
        dice = [throw(int(columns.opened_at[i]), exact(columns.close[i])) for i in range(count)]
        close = np.asarray(columns.close, dtype=np.float64)
        hold = HOLDS_S[dice[-1][2] % len(HOLDS_S)] if dice else HOLDS_S[0]
        return Entries(
            side=np.array([side_of_throw(item) for item in dice], dtype=np.int8),
            confidence=np.full(count, 0.9),
            # One in three has a stop so near that it is hit while there is time to enter again.
            stop=np.array([c * (0.004 if d[4] % 3 == 0 else 0.01) for c, d in zip(close, dice, strict=True)]),
            target=close * 0.03,
            # One in three trails, so that stops at the venue have to follow.
            trail=np.array([c * 0.003 if d[3] % 3 == 0 else np.nan for c, d in zip(close, dice, strict=True)]),
            max_hold=timedelta(seconds=hold),
            reasons=lambda _: ("the dice say so",),
        )
