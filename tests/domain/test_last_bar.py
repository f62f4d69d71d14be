"""The last bar of many markets at once: the same opinions as from every market alone over all of its candles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from common.domain import strategies
from common.domain.features import COLUMN_NAMES, Columns, compute
from common.domain.signal import Side, Signal
from common.domain.strategies import (
    LastBar,
    LastBars,
    Strategy,
    at_last_bar,
    block_of,
    can_be_kept,
    leaves_at,
    signal_at,
)
from common.domain.strategies.last_bar import BLOCK
from tests.domain.features_candles import FIVE_MINUTES, instrument, walk

CLOSED = datetime(2021, 1, 2, tzinfo=UTC)
KEPT = tuple(name for name in strategies.names() if can_be_kept(strategies.get(name)))


def lively(strategy: Strategy) -> list[Columns]:
    """Markets that end where the strategy acts, one that ends a bar later, and one of as few candles as it can do with."""
    columns = walk(8, 3000)
    side = strategy.evaluate(compute(strategy.features, columns), columns).side
    ends = [int(at) + 1 for at in np.flatnonzero(side)[-4:] if at >= strategy.history]
    assert ends
    later, least = min(ends[-1] + 1, len(columns)), LastBars(strategy, FIVE_MINUTES).least
    whole = [columns.slice(max(0, end - strategy.history - 50), end) for end in (*ends, later)]
    return [walk(11, least), *whole, walk(12, least), *whole[:1]]


def said(strategy: Strategy, last: LastBar) -> tuple[Signal | None, bool, bool]:
    signal = signal_at(
        strategy, instrument(), "simulator", FIVE_MINUTES, last.features, last.columns, last.index,
        candle_closed_at=CLOSED, expires_in=timedelta(minutes=5), entries=last.entries,
    )  # fmt: skip
    return signal, leaves_at(last.entries, last.index, Side.LONG), leaves_at(last.entries, last.index, Side.SHORT)


def kept(strategy: Strategy, markets: list[Columns], steps: int) -> list[LastBar]:
    """What is said where each market was kept `steps` candles before its end and carried on."""
    bars = LastBars(strategy, FIVE_MINUTES)
    for place, columns in enumerate(markets):
        bars.open(str(place), columns.slice(0, len(columns) - steps))
    names = [str(place) for place in range(len(markets))]
    for back in range(steps, 0, -1):
        bars.step(
            names, {name: np.array([getattr(columns, name)[-back] for columns in markets]) for name in COLUMN_NAMES}
        )
    return bars.said(names)


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("steps", [0, 1, 30])
def test_all_markets_at_once_say_what_each_says_of_all_of_its_candles(name: str, steps: int) -> None:
    strategy = strategies.get(name)
    markets = [
        columns for columns in lively(strategy) if len(columns) - steps >= LastBars(strategy, FIVE_MINUTES).least
    ]
    together = [said(strategy, last) for last in kept(strategy, markets, steps)]
    assert together == [said(strategy, at_last_bar(strategy, columns)) for columns in markets]
    assert any(signal is not None for signal, *_ in together)


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_strategy_looks_no_further_back_than_its_reach(name: str, seed: int) -> None:
    strategy, columns = strategies.get(name), walk(seed, 1200)
    whole = strategy.evaluate(compute(strategy.features, columns), columns)
    first = LastBars(strategy, FIVE_MINUTES).least
    bars = LastBars(strategy, FIVE_MINUTES)
    bars.open("one", columns.slice(0, first))
    found = bars.said(["one"])
    for bar in range(first, len(columns)):
        bars.step(["one"], {name: getattr(columns, name)[bar : bar + 1] for name in COLUMN_NAMES})
        found += bars.said(["one"])
    for field in ("side", "confidence", "stop", "target", "trail"):
        given = [getattr(last.entries, field)[last.index] for last in found]
        np.testing.assert_array_equal(given, getattr(whole, field)[first - 1 :])
    for side in Side:
        left = [leaves_at(whole, bar, side) for bar in range(first - 1, len(columns))]
        assert [leaves_at(last.entries, last.index, side) for last in found] == left


def test_what_candles_do_not_tell_and_what_looks_at_every_bar_is_not_kept() -> None:
    assert {"ema_crossover", "rsi_mean_reversion", "confluence"} <= set(KEPT)
    assert not {"composite", "scalper", "advanced_composite"} & set(KEPT)
    assert LastBars(strategies.get("ema_crossover"), FIVE_MINUTES).said([]) == []


def test_blocks_follow_each_other_without_a_gap_and_begin_at_other_times_elsewhere() -> None:
    length = FIVE_MINUTES.seconds * 1000
    bars = range(0, 3 * BLOCK * length, length)
    starts = [block_of("binance SOL/USDT", FIVE_MINUTES, bar) for bar in bars]
    assert all(0 <= bar - start < BLOCK * length for bar, start in zip(bars, starts, strict=True))
    assert len(set(starts)) in {3, 4}
    assert starts == sorted(starts)
    assert starts != [block_of("binance ADA/USDT", FIVE_MINUTES, bar) for bar in bars]
