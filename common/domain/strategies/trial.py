"""Tries a strategy out before the fleet relies on it: it is built, evaluated once, and its answer has the right shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from common.domain import features
from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.domain.strategies.base import Entries, Strategy
from common.domain.strategies.registry import get

_LEAST = 50
"""Candles beyond the history a strategy asks for."""


def try_out(name: str, market: Callable[[int], Columns]) -> Strategy:
    """The strategy `name` with its defaults, once it has answered on `market`, which makes as many candles as asked for.

    Raises InvalidInput that names the strategy and says what it did instead.
    """
    try:
        strategy = get(name)
        columns = market(strategy.history + _LEAST)
        entries = strategy.evaluate(features.compute(strategy.features, columns), columns)
        problem = _problem(entries, len(columns))
    except Exception as error:
        # Whatever a stranger's rule raises is a fault of that rule, and is told with its name.
        raise _unfit(name, f"it says {type(error).__name__}: {error}") from error
    if problem is not None:
        raise _unfit(name, problem)
    return strategy


def _unfit(name: str, problem: str) -> InvalidInput:
    return InvalidInput("strategy", name, f"one that can be evaluated; {problem}")


def _problem(entries: Entries, candles: int) -> str | None:
    arrays: dict[str, Any] = {
        "side": entries.side,
        "confidence": entries.confidence,
        "stop": entries.stop,
        "target": entries.target,
    }
    arrays |= {"trail": entries.trail, "leaves_long": entries.leaves_long, "leaves_short": entries.leaves_short}
    for name, values in arrays.items():
        if values is not None and np.shape(values) != (candles,):
            return f"{name} has the shape {np.shape(values)} where there are {candles} candles"
    if not np.isin(entries.side, (-1, 0, 1)).all():
        return "side holds values other than -1, 0 and 1"
    return None
