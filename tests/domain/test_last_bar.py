"""The last bar of many markets at once: the same opinions as from every market alone over all of its candles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from common.domain import features, strategies
from common.domain.features import Columns, compute
from common.domain.signal import Side, Signal
from common.domain.strategies import LastBar, Strategy, last_bars, leaves_at, seen_at_last_bar, signal_at
from tests.domain.features_candles import FIVE_MINUTES, instrument, walk

CLOSED = datetime(2021, 1, 2, tzinfo=UTC)
NAMES = tuple(name for name in strategies.names() if not features.snapshot_features(strategies.get(name).features))


def lively(strategy: Strategy) -> list[Columns]:
    """Markets that end where the strategy acts, one that ends a bar later, and ones too short for it or empty."""
    columns = walk(8, 3000)
    side = strategy.evaluate(compute(strategy.features, columns), columns).side
    ends = [int(at) + 1 for at in np.flatnonzero(side)[-4:] if at >= strategy.history]
    assert ends
    later, least = min(ends[-1] + 1, len(columns)), strategy.warmup + max(strategy.reach, 1)
    whole = [columns.slice(max(0, end - strategy.history - 50), end) for end in (*ends, later)]
    return [walk(9, 5), *whole, walk(10, least - 1), walk(11, least), walk(12, 1), *whole[:1]]


def said(strategy: Strategy, last: LastBar) -> tuple[Signal | None, bool, bool]:
    signal = signal_at(
        strategy, instrument(), "simulator", FIVE_MINUTES, last.features, last.columns, last.index,
        candle_closed_at=CLOSED, expires_in=timedelta(minutes=5), entries=last.entries,
    )  # fmt: skip
    return signal, leaves_at(last.entries, last.index, Side.LONG), leaves_at(last.entries, last.index, Side.SHORT)


def alone(strategy: Strategy, columns: Columns) -> tuple[Signal | None, bool, bool]:
    values = compute(strategy.features, columns)
    return said(strategy, LastBar(values, columns, strategy.evaluate(values, columns), len(columns) - 1))


@pytest.mark.parametrize("name", NAMES)
def test_all_markets_at_once_say_what_each_says_alone(name: str) -> None:
    strategy = strategies.get(name)
    markets = lively(strategy)
    found = last_bars(strategy, [(seen_at_last_bar([strategy], columns), columns) for columns in markets])
    together = [said(strategy, last) for last in found]
    assert together == [alone(strategy, columns) for columns in markets]
    assert any(signal is not None for signal, *_ in together)


@pytest.mark.parametrize("name", [name for name in NAMES if strategies.get(name).reach])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_strategy_looks_no_further_back_than_its_reach(name: str, seed: int) -> None:
    strategy, columns = strategies.get(name), walk(seed, 1200)
    values = compute(strategy.features, columns)
    whole = strategy.evaluate(values, columns)
    ends = range(strategy.warmup + strategy.reach, len(columns) + 1)
    cut = [({item: series[:end] for item, series in values.items()}, columns.slice(0, end)) for end in ends]
    found = last_bars(strategy, cut)
    for field in ("side", "confidence", "stop", "target", "trail"):
        given = [getattr(last.entries, field)[last.index] for last in found]
        np.testing.assert_array_equal(given, getattr(whole, field)[ends.start - 1 :])
    for side in Side:
        left = [leaves_at(whole, end - 1, side) for end in ends]
        assert [leaves_at(last.entries, last.index, side) for last in found] == left


def test_strategies_share_what_they_see_and_one_that_looks_at_everything_gets_everything() -> None:
    columns = walk(4, 1200)
    quick, whole = strategies.get("ema_crossover"), strategies.get("composite")
    assert quick.reach
    assert not whole.reach
    assert {len(values) for values in seen_at_last_bar([quick], columns).values()} == {quick.reach}
    assert {len(values) for values in seen_at_last_bar([quick, whole], columns).values()} == {len(columns)}
    assert seen_at_last_bar([], columns) == {}
    assert last_bars(quick, []) == []
