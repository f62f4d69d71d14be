"""Dice with a seed, and random search: every trial thrown by dice of its own, so that no trial depends on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.domain.search import Dimension, Values


def dice_of(*seeds: int) -> np.random.Generator:
    """Dice that always fall the same for the same `seeds`."""
    return np.random.default_rng(seeds)


class DiceSearcher:
    """Uniform over the space (over ratios where a dimension says so); learns nothing. Bergstra and Bengio 2012."""

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        self._space, self._seed = space, seed

    def propose(self, number: int) -> Values:
        """Values of trial `number`."""
        shares = dice_of(self._seed, number).random(len(self._space)).tolist()
        return {item.name: item.at(share) for item, share in zip(self._space, shares, strict=True)}

    def recall(self, number: int, values: Values) -> None:
        """Nothing depends on it."""

    def learn(self, number: int, value: float | None) -> None:
        """Nothing depends on it."""
