"""Monte Carlo: what else the trades of a run could have come to in another order, or with others of their kind drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from common.domain.errors import InvalidInput
from common.domain.indicators.series import Series
from common.domain.position import Position

PERCENTILES = (5, 25, 50, 75, 95)

ELEMENTS = 4_000_000
"""Trades drawn at once: 32 MB a copy, whatever the number of paths."""

Places = npt.NDArray[np.intp]


class Dice(Protocol):
    """What the dice of numpy can do; whoever calls brings them, seeded, so that the same seed draws the same."""

    def integers(self, low: int, high: int, size: tuple[int, ...], dtype: Any = ...) -> Any:
        """Whole numbers from `low` up to, not including, `high`."""

    def permuted(self, x: Any, *, axis: int) -> Any:
        """`x` with its values along `axis` in another order, each row by itself."""


Draw = Callable[[Dice, int, int], Places]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure is spread over the paths."""

    mean: float
    percentiles: dict[int, float]


@dataclass(frozen=True, slots=True)
class Paths:
    """What `paths` orders or draws of the same trades came to, from `equity` on, in the settle asset.

    Drawdowns are fractions of the highest equity before. `loss` is the part of the paths that end below where they began,
    `ruin` that of those which fall by `ruin_at` of the equity they began with, at any time.
    """

    method: str
    paths: int
    trades: int
    final_equity: Spread
    max_drawdown: Spread
    loss: float
    ruin: float


def trade_returns(positions: Sequence[Position], equity: float) -> Series:
    """What each of `positions`, in the order in which they were closed, earned as a fraction of the equity before it."""
    profits = np.array([float(position.net_profit) for position in positions])
    before = equity + np.concatenate(([0.0], np.cumsum(profits)[:-1])) if profits.size else profits
    if bool((before <= 0).any()):
        raise InvalidInput("trades", "equity of 0 or less between them", "an account that was never used up")
    returns: Series = profits / before
    return returns


def shuffled(dice: Dice, paths: int, trades: int) -> Places:
    """Places of trades: every trade once, in any order. The end is the same, the way there is not."""
    places: Places = dice.permuted(np.tile(np.arange(trades), (paths, 1)), axis=1)
    return places


def blocks(length: int) -> Draw:
    """Draws with replacement, `length` trades that followed one another at a time (circular block bootstrap).

    Losses that come in runs stay in runs; a length of 1 is the plain bootstrap. Politis and Romano 1992.
    """
    if length < 1:
        raise InvalidInput("block", length, "a whole number of trades from 1")

    def draw(dice: Dice, paths: int, trades: int) -> Places:
        count = -(-trades // length)
        starts = dice.integers(0, trades, (paths, count))
        places: Places = (starts[:, :, None] + np.arange(length)).reshape(paths, -1)[:, :trades] % trades
        return places

    return draw


def resample(
    returns: Series,
    equity: float,
    dice: Dice,
    *,
    method: str,
    draw: Draw,
    paths: int,
    ruin_at: float = 0.5,
    is_fixed: bool = False,
) -> Paths:
    """`paths` paths of the trades with `returns` (fractions of equity), each drawn by `draw` with `dice`.

    Returns compound; with `is_fixed` every trade earns its fraction of the first equity instead, as fixed stakes do.
    Raises InvalidInput without trades, and for numbers out of range.
    """
    _check(returns, equity, paths, ruin_at)
    rows = max(1, ELEMENTS // returns.size)
    final, deepest, lowest = np.empty(paths), np.empty(paths), np.empty(paths)
    for first in range(0, paths, rows):
        part = slice(first, min(first + rows, paths))
        drawn = returns[draw(dice, part.stop - part.start, returns.size)]
        # Nothing can be lost twice: an account that is used up stays so.
        grown = 1.0 + np.cumsum(drawn, axis=1) if is_fixed else np.cumprod(np.maximum(1.0 + drawn, 0.0), axis=1)
        peak = np.maximum(np.maximum.accumulate(grown, axis=1), 1.0)
        final[part], lowest[part] = grown[:, -1], grown.min(axis=1)
        deepest[part] = ((peak - grown) / peak).max(axis=1)
    return Paths(
        method=method,
        paths=paths,
        trades=int(returns.size),
        final_equity=_spread(final * equity),
        max_drawdown=_spread(np.minimum(deepest, 1.0)),
        # The same trades in another order multiply to the same but for the last digit.
        loss=float((final < 1.0 - 1e-12).mean()),
        ruin=float((lowest <= 1.0 - ruin_at).mean()),
    )


def _check(returns: Series, equity: float, paths: int, ruin_at: float) -> None:
    if not returns.size:
        raise InvalidInput("trades", 0, "at least one closed trade")
    if equity <= 0:
        raise InvalidInput("equity", equity, "an amount above 0")
    if paths < 1:
        raise InvalidInput("paths", paths, "a whole number from 1")
    if not 0 < ruin_at <= 1:
        raise InvalidInput("ruin", ruin_at, "the part of the equity whose loss is ruin, above 0 and at most 1")


def _spread(values: Series) -> Spread:
    found = np.percentile(values, PERCENTILES)
    return Spread(float(values.mean()), dict(zip(PERCENTILES, found.tolist(), strict=True)))


@dataclass(frozen=True, slots=True)
class Significance:
    """Whether trades earn more than luck: their mean return, and how often chance did as well (`p_value`)."""

    mean: float
    p_value: float
    permutations: int


def significance(returns: Series, dice: Dice, permutations: int) -> Significance:
    """The sign-flip permutation test (Fisher 1935): if a trade were as likely to lose as to earn what it did, how often
    would the mean be as large as it is?

    The observed sample counts as one of the permutations, so that the value is never 0. Raises InvalidInput without trades.
    """
    _check(returns, 1.0, permutations, 1.0)
    observed = float(returns.mean())
    # The sum of the same numbers in another order may differ in its last digit.
    least = observed - 1e-12 * float(np.abs(returns).mean())
    rows, reached = max(1, ELEMENTS // returns.size), 0
    for first in range(0, permutations, rows):
        count = min(rows, permutations - first)
        signs = dice.integers(0, 2, (count, returns.size), dtype=np.int8) * 2 - 1
        means = signs @ returns / returns.size
        reached += int((means >= least).sum())
    return Significance(observed, (reached + 1) / (permutations + 1), permutations)
