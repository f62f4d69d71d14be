"""Do strategies look into the future, and does it matter to them where their candles begin?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from common.domain.backtest import Finding, lookahead_findings, recursive_findings
from common.domain.features import Columns
from common.domain.market import EPOCH
from common.domain.strategies import Strategy

SHOWN = 20
"""Findings told of one strategy; the first says it all."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one strategy on one market; `signals` is how many there were to be wrong about."""

    strategy: str
    version: str
    market: str
    candles: int
    signals: int
    lookahead: tuple[Finding, ...]
    recursive: tuple[Finding, ...]

    @property
    def findings(self) -> int:
        """How many values changed."""
        return len(self.lookahead) + len(self.recursive)


def _nothing(_: str) -> None:
    """Tell nobody."""


def check_strategies(
    chosen: Sequence[Strategy], markets: Iterable[tuple[str, Columns]], tell: Callable[[str], None] = _nothing
) -> list[Checked]:
    """Each of `chosen` on each of `markets` (name and candles): the future cut off, and only its history handed over."""
    checked = []
    for name, columns in markets:
        for strategy in chosen:
            tell(f"{strategy.name} on {name}")
            checked.append(_check(strategy, name, columns))
    return checked


def _check(strategy: Strategy, market: str, columns: Columns) -> Checked:
    from common.domain.backtest.checks import evaluated

    side = evaluated(strategy, columns).entries["side"]
    return Checked(
        strategy.name,
        strategy.version,
        market,
        len(columns),
        int(np.count_nonzero(side)),
        tuple(lookahead_findings(strategy, columns)[:SHOWN]),
        tuple(recursive_findings(strategy, columns)[:SHOWN]),
    )


def moment(columns: Columns, bar: int) -> datetime:
    """When `bar` opened."""
    return EPOCH + timedelta(milliseconds=int(columns.opened_at[bar]))
