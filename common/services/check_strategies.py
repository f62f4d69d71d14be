"""Do strategies look into the future, and does it matter to them where their candles begin?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from common.domain.backtest import Finding, lookahead_findings, recursive_findings
from common.domain.features import Columns
from common.domain.market import EPOCH, Timeframe
from common.domain.strategies import Strategy

MADE_CANDLES = 3_000
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
