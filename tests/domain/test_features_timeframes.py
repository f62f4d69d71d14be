"""Longer candles: complete ones only, the same as the short ones make, and never known before they close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.domain.errors import InvalidInput
from common.domain.features import Columns, compute
from common.domain.market import Timeframe
from common.domain.timeframes import aggregate, aligned
from tests.domain.features_candles import walk

QUARTER = Timeframe(900)


def without(columns: Columns, *bars: int) -> Columns:
    """`columns` with some candles missing."""
    keep = np.delete(np.arange(len(columns)), bars)
    names = ("opened_at", "open", "high", "low", "close", "volume")
    return replace(columns, **{name: getattr(columns, name)[keep] for name in names})


def test_three_short_candles_make_a_long_one():
    base = walk(1, 9)
    longer = aggregate(base, QUARTER)
    assert len(longer) == 3
    assert longer.opened_at.tolist() == base.opened_at[::3].tolist()
    assert longer.open.tolist() == base.open[::3].tolist()
    assert longer.close.tolist() == base.close[2::3].tolist()
    assert longer.high.tolist() == base.high.reshape(3, 3).max(axis=1).tolist()
    assert longer.low.tolist() == base.low.reshape(3, 3).min(axis=1).tolist()
    assert longer.volume == pytest.approx(base.volume.reshape(3, 3).sum(axis=1))


@pytest.mark.parametrize(("start", "stop", "opened"), [(0, 8, [0, 3]), (1, 9, [3, 6]), (0, 2, []), (0, 0, [])])
def test_a_candle_that_is_not_complete_is_not_there(start, stop, opened):
    base = walk(1, 9)
    longer = aggregate(base.slice(start, stop), QUARTER)
    assert longer.opened_at.tolist() == base.opened_at[opened].tolist()


def test_a_missing_short_candle_leaves_the_long_one_what_the_others_make_of_it():
    base = walk(1, 9)
    longer = aggregate(without(base, 3, 5), QUARTER)
    assert longer.opened_at.tolist() == base.opened_at[::3].tolist()
    assert (longer.open[1], longer.close[1]) == (base.open[4], base.close[4])


def test_the_same_timeframe_is_the_candles_themselves_and_a_broken_one_is_refused():
    base = walk(1, 9)
    assert aggregate(base, base.timeframe).close.tolist() == base.close.tolist()
    with pytest.raises(InvalidInput, match="a whole multiple of 5m"):
        aggregate(base, Timeframe(420))


def test_a_long_candle_is_known_from_the_close_of_its_last_short_one():
    base = walk(1, 8)
    longer = aggregate(base, QUARTER)
    expected = [np.nan, np.nan, longer.close[0], longer.close[0], longer.close[0], *[longer.close[1]] * 3]
    np.testing.assert_array_equal(aligned(base, longer, longer.close), expected)
    empty = aggregate(base.slice(0, 2), QUARTER)
    assert np.isnan(aligned(base, empty, empty.close)).all()


@given(seed=some.integers(0, 1_000), cut=some.integers(1, 300))
def test_features_of_longer_candles_never_look_ahead(seed, cut):
    base = walk(seed, 300)

    def known(columns: Columns) -> np.ndarray:
        longer = aggregate(columns, QUARTER)
        return aligned(columns, longer, compute(("rsi_14",), longer)["rsi_14"])

    np.testing.assert_array_equal(known(base.slice(0, cut)), known(base)[:cut])
