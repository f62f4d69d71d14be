"""Stepping: candle by candle, every feature is bit for bit what it is over the whole history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from common.domain.features import COLUMN_NAMES, VECTOR, Columns, compute, feature, snapshot_features
from common.domain.stepping import Stepping
from tests.domain.features_candles import FIVE_MINUTES, walk
from tests.domain.test_features import NAMES

LARGE = ("sma_400", "ema_300", "volatility_rank_14_300", "structure_3_500", "kurtosis_200", "stochastic_rsi_30_200")


def candles_at(bar: int, markets: Sequence[Columns]) -> dict[str, npt.NDArray[Any]]:
    return {name: np.array([getattr(columns, name)[bar] for columns in markets]) for name in COLUMN_NAMES}


def assert_as_computed(stepping: Stepping, names: Sequence[str], markets: dict[str, Columns], bars: int) -> None:
    found, columns = stepping.ends(list(markets))
    for place, whole in enumerate(markets.values()):
        mine, expected = slice(place * bars, (place + 1) * bars), compute(names, whole)
        for name in names:
            np.testing.assert_array_equal(found[name][mine], expected[name][-bars:], err_msg=name)
        for name in COLUMN_NAMES:
            np.testing.assert_array_equal(getattr(columns, name)[mine], getattr(whole, name)[-bars:])


@pytest.mark.parametrize("name", [*NAMES, *LARGE])
@pytest.mark.parametrize("bars", [1, 3])
def test_a_feature_step_by_step_is_the_feature_of_the_whole(name: str, bars: int) -> None:
    start = max(feature(name).history + bars, 40)
    walks = {str(seed): walk(seed, start + 15) for seed in range(3)}
    stepping = Stepping([name], bars, FIVE_MINUTES)
    for market, columns in walks.items():
        stepping.open(market, columns.slice(0, start))
    for bar in range(start, start + 15):
        stepping.step(list(walks), candles_at(bar, list(walks.values())))
        until = {market: columns.slice(0, bar + 1) for market, columns in walks.items()}
        assert_as_computed(stepping, [name], until, bars)


@settings(max_examples=8, deadline=None)
@given(seed=some.integers(0, 10_000), opened=some.integers(600, 900), further=some.integers(0, 80))
def test_all_features_together_opened_anywhere_are_those_of_the_whole(seed: int, opened: int, further: int) -> None:
    names = [name for name in dict.fromkeys((*NAMES, *VECTOR)) if not snapshot_features([name])]
    names.remove("fear_greed_index")
    walks = {"one": walk(seed, 980), "other": walk(seed + 1, 980)}
    stepping = Stepping(names, 2, FIVE_MINUTES)
    for market, columns in walks.items():
        stepping.open(market, columns.slice(0, opened))
    for bar in range(opened, opened + further):
        stepping.step(list(walks), candles_at(bar, list(walks.values())))
    assert_as_computed(stepping, names, {m: c.slice(0, opened + further) for m, c in walks.items()}, 2)


@pytest.mark.parametrize("name", NAMES)
def test_a_market_can_be_opened_with_the_least_candles(name: str) -> None:
    stepping = Stepping([name], 2, FIVE_MINUTES)
    columns = walk(5, stepping.least)
    stepping.open("one", columns)
    assert_as_computed(stepping, [name], {"one": columns}, 2)


def test_markets_go_on_by_themselves_and_one_that_is_dropped_leaves_its_place_to_another() -> None:
    names = ("rsi_14", "trend_21_50", "divergence_14_5_15")
    walks = {str(seed): walk(seed, 300) for seed in range(40)}
    stepping = Stepping(names, 3, FIVE_MINUTES)
    for market, columns in walks.items():
        stepping.open(market, columns.slice(0, 200))
    stepping.step(["3", "17"], candles_at(200, [walks["3"], walks["17"]]))
    stepping.drop("5")
    stepping.drop("5")
    stepping.open("17", walks["5"].slice(0, 250))
    assert ("5" in stepping, "17" in stepping, len(stepping)) == (False, True, 39)
    expected = {"17": walks["5"].slice(0, 250), "3": walks["3"].slice(0, 201), "39": walks["39"].slice(0, 200)}
    assert_as_computed(stepping, names, expected, 3)


def test_a_candle_that_cannot_be_is_refused_and_leaves_no_half_made_state() -> None:
    columns = walk(1, 300)
    stepping = Stepping(("ema_9", "rsi_14"), 1, FIVE_MINUTES)
    stepping.open("one", columns.slice(0, 299))
    candle = candles_at(299, [columns])
    candle["close"][0] = np.nan
    with pytest.raises(Exception, match="TA_BAD_PARAM"):
        stepping.step(["one"], candle)
    assert "one" not in stepping


def test_what_several_features_share_is_stepped_once() -> None:
    columns = walk(2, 300)
    names = ("macd_12_26_9", "macd_signal_12_26_9", "macd_histogram_12_26_9")
    stepping = Stepping(names, 1, FIVE_MINUTES)
    stepping.open("one", columns)
    [updates] = stepping._updates
    assert len([update for update in updates if update is not None]) == 1
