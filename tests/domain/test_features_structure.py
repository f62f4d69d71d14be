"""Structure, profile, calendar, statistics and microstructure, by hand-written cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from common.domain.features import FEAR_GREED, MICROSTRUCTURE, VECTOR, compute, vector
from common.domain.indicators import calendar, microstructure, profile, statistics, structure
from common.domain.indicators.microstructure import Trade
from common.domain.market import Level, OrderBook
from tests.domain.features_candles import walk

NOW = datetime(2021, 1, 1, tzinfo=UTC)
NAN = float("nan")


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def ms(*moments: datetime) -> np.ndarray:
    return np.array([round(moment.timestamp() * 1000) for moment in moments], dtype=np.int64)


def test_a_swing_is_known_on_the_bar_that_confirms_it():
    high = array(1, 2, 5, 3, 2, 2, 6, 6, 1)
    np.testing.assert_array_equal(structure.swing_highs(high, 2), [NAN, NAN, NAN, NAN, 5, NAN, NAN, NAN, NAN])
    np.testing.assert_array_equal(structure.swing_lows(-high, 2), [NAN, NAN, NAN, NAN, -5, NAN, NAN, NAN, NAN])


def test_the_last_two_events_are_forgotten_after_the_window():
    last, before = structure.last_two(array(NAN, 3, NAN, 4, NAN, NAN, NAN), 3)
    np.testing.assert_array_equal(last, [NAN, 3, 3, 4, 4, 4, 4])
    np.testing.assert_array_equal(before, [NAN, NAN, NAN, 3, 3, NAN, NAN])


RISING = array(3, 5, 3, 2, 3, 6, 4, 3, 4, 7, 5, 4, 5, 6.5, 8, 8)


def zigzag(close: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return structure.breaks(close + 0.1, close - 0.1, close, 1, 100)


def test_higher_highs_and_lows_are_an_uptrend_and_a_close_above_the_last_high_breaks_structure_once():
    trend, bos, choch = zigzag(RISING)
    assert trend[-4:].tolist() == [1, 1, 1, 1]
    assert bos[-4:].tolist() == [0, 0, 1, 0]
    assert choch[-4:].tolist() == [0, 0, 0, 0]
    assert np.isnan(trend[:6]).all()


def test_a_close_below_the_last_low_of_an_uptrend_changes_character():
    close = np.append(RISING[:13], [3.5, 3.4])
    # Long wicks upwards, so that the way down leaves no new swing high.
    high = np.append(RISING[:13] + 0.1, [6, 6.5])
    trend, bos, choch = structure.breaks(high, close - 0.1, close, 1, 100)
    assert trend[-2] == 1
    assert choch[-2:].tolist() == [-1, 0]
    assert not bos[-2:].any()


def test_lower_highs_and_lows_mirror_it():
    trend, bos, _ = zigzag(10 - RISING)
    assert trend[-3:].tolist() == [-1, -1, -1]
    assert bos[-2:].tolist() == [-1, 0]


def test_a_break_counts_as_recent_for_its_bars_and_opposite_breaks_cancel():
    bos, choch = array(NAN, 1, 0, 0, 0), array(NAN, 0, 0, -1, 0)
    np.testing.assert_array_equal(structure.recent_break(bos, choch, 2), [NAN, 1, 1, -1, -1])
    np.testing.assert_array_equal(structure.recent_break(bos, choch, 3), [NAN, 1, 1, 0, -1])


def test_a_gap_is_the_room_between_the_first_and_the_third_candle():
    result = structure.gaps(array(10, 12, 14, 9, 5), array(9, 10, 11, 8, 4))
    np.testing.assert_array_equal(result, [NAN, NAN, 1, -1, -6])


def test_a_gap_is_retested_until_the_price_has_passed_through_it():
    high, low = array(10, 12, 14, 13, 12, 12, 12), array(9, 10, 11, 12, 10.5, 9.5, 10.5)
    close = array(10, 12, 13, 12.5, 11, 10.5, 11)
    np.testing.assert_array_equal(structure.gap_retest(high, low, close, 50), [NAN, NAN, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(structure.gap_retest(-low, -high, -close, 50), [NAN, NAN, 0, 0, -1, 0, 0])
    np.testing.assert_array_equal(structure.gap_retest(high, low, close, 1), [NAN, NAN, 0, 0, 0, 0, 0])


def test_an_order_block_is_the_last_red_candle_before_a_break_until_a_close_beyond_it():
    open_, close = array(10, 11, 10, 12, 12, 11, 9), array(11, 10, 12, 13, 11, 10.5, 9)
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    bos, choch = array(NAN, 0, 0, 1, 0, 0, 0), array(NAN, 0, 0, 0, 0, 0, 0)
    result = structure.order_block(open_, high, low, close, bos, choch, 50)
    np.testing.assert_array_equal(result, [NAN, 0, 0, 0, 1, 1, 0])
    mirrored = structure.order_block(-open_, -low, -high, -close, -bos, -choch, 50)
    np.testing.assert_array_equal(mirrored, [NAN, 0, 0, 0, -1, -1, 0])


def test_a_volume_profile_finds_the_price_with_most_volume_and_the_area_round_it():
    price = array(1, 2, 3, 4, 5, 1)
    poc, top, bottom, density = profile.volume_profile(price, price, price, array(1, 1, 6, 3, 1, 0), 5, 4)
    assert np.isnan(poc[:4]).all()
    assert (poc[4], bottom[4], top[4]) == (3.5, 3.0, 5.0)
    assert density[4] == pytest.approx(4 / 3)


@pytest.mark.parametrize(("price", "volume"), [([2.0] * 4, [1.0] * 4), ([1.0, 2.0, 3.0, 4.0], [0.0] * 4)])
def test_a_profile_of_a_still_or_untraded_market_is_undefined(price, volume):
    series = array(*price)
    result = profile.volume_profile(series, series, series, array(*volume), 3, 4)
    assert np.isnan(np.array(result)).all()


def test_a_value_area_grows_downwards_where_more_was_traded_there():
    price = array(1, 2, 3, 4, 5)
    _, top, bottom, _ = profile.volume_profile(price, price, price, array(0, 4, 6, 1, 1), 5, 5)
    assert (bottom[4], top[4]) == pytest.approx((1.8, 3.4))


def test_the_calendar_knows_days_sessions_and_holidays():
    opened = ms(
        datetime(2021, 1, 1, 3, tzinfo=UTC), datetime(2024, 2, 29, 14, tzinfo=UTC), datetime(2021, 7, 3, 22, tzinfo=UTC)
    )
    columns = {name: getattr(calendar, name)(opened).tolist() for name in ("hour", "day_of_week", "day_of_month")}
    assert columns == {"hour": [3, 14, 22], "day_of_week": [4, 3, 5], "day_of_month": [1, 29, 3]}
    assert calendar.month(opened).tolist() == [1, 2, 7]
    assert calendar.quarter(opened).tolist() == [1, 1, 3]
    assert calendar.is_weekend(opened).tolist() == [0, 0, 1]
    assert calendar.is_holiday(opened).tolist() == [1, 0, 0]
    sessions = [calendar.is_asia, calendar.is_london, calendar.is_newyork, calendar.is_offhours]
    assert [of(opened).tolist() for of in sessions] == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_moments_are_those_of_the_population():
    values = array(1, 2, 4, 8, 9)
    window = values[1:]
    deviation = (window - window.mean()) / window.std()
    assert statistics.skewness(values, 4)[-1] == pytest.approx((deviation**3).mean())
    assert statistics.kurtosis(values, 4)[-1] == pytest.approx((deviation**4).mean() - 3)
    assert np.isnan(statistics.skewness(np.ones(5), 4)).all()


def test_a_rank_is_the_share_of_earlier_values_below():
    np.testing.assert_array_equal(statistics.rank(array(1, 2, 3, 2), 2), [NAN, NAN, 1, 0])


def test_volatility_is_classed_by_thresholds_and_by_rank():
    np.testing.assert_array_equal(statistics.volatility_class(array(NAN, 0.05, 0.2, 0.4, 0.6)), [NAN, 0, 1, 2, 3])
    np.testing.assert_array_equal(statistics.volatility_regime(array(NAN, 0.1, 0.5, 0.8, 0.99)), [NAN, 0, 1, 2, 3])
    np.testing.assert_array_equal(statistics.is_below_quarter(array(NAN, 0.1, 0.5)), [NAN, 1, 0])


def test_a_market_is_volatile_trending_ranging_quiet_or_mixed():
    adx = array(NAN, 30, 30, 30, 15, 15, 22)
    up, down = array(1, 1, 2, 1, 1, 1, 1), array(2, 2, 1, 2, 2, 2, 2)
    atr = array(0.2, 0.6, 0.2, 0.2, 0.2, 0.05, 0.2)
    names = (np.nan, statistics.VOLATILE, statistics.TREND_UP, statistics.TREND_DOWN)
    rest = (statistics.RANGE, statistics.QUIET, statistics.MIXED)
    np.testing.assert_array_equal(statistics.market_regime(adx, up, down, atr), [*names, *rest])


def test_the_vector_has_77_named_columns_and_takes_the_index_from_outside():
    columns = walk(1, 400)
    found = vector(columns, np.full(400, 42.0))
    assert len(VECTOR) == len(set(VECTOR)) == 77
    assert found[FEAR_GREED][-1] == 42.0
    assert np.isnan(vector(columns)[FEAR_GREED]).all()
    assert all(np.isfinite(found[name][-1]) for name in VECTOR)


def test_six_columns_more_say_what_the_snapshots_of_the_closes_tell():
    columns = walk(1, 400)
    told = {
        name: np.full(400, 2.5) for name in ("spread", "spread_bps", "mid", "imbalance", "bid_volume", "ask_volume")
    }
    blind, seeing = vector(columns), vector(columns.knowing(told))
    assert len(seeing) == len(VECTOR) + len(MICROSTRUCTURE) == 83
    assert all(np.isnan(blind[name]).all() for name in MICROSTRUCTURE)
    assert [seeing[name][-1] for name in MICROSTRUCTURE] == [2.5, 0.025, 2.5, 2.5, 2.5, 2.5]


def test_returns_and_distances_of_the_vector_are_what_their_names_say():
    columns = walk(2, 100)
    close = columns.close
    found = compute(("return_5", "log_return_1", "intraday_return", "distance_to_high_20"), columns)
    assert found["return_5"][-1] == pytest.approx(close[-1] / close[-6] - 1)
    assert found["log_return_1"][-1] == pytest.approx(np.log(close[-1] / close[-2]))
    assert found["intraday_return"][-1] == pytest.approx(close[-1] / columns.open[-1] - 1)
    assert found["distance_to_high_20"][-1] == pytest.approx((close[-1] - columns.high[-20:].max()) / close[-1])


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> OrderBook:
    bid_levels, ask_levels = (
        tuple(Level(Decimal(price), Decimal(quantity)) for price, quantity in side) for side in (bids, asks)
    )
    return OrderBook(bid_levels, ask_levels, NOW)


def test_a_book_leans_to_the_side_with_more_on_it_and_the_nearer_levels_weigh_more():
    leaning = book([(99, 3), (98, 1)], [(101, 1), (102, 1)])
    assert microstructure.imbalance(leaning) == pytest.approx(2 / 6)
    assert microstructure.imbalance(leaning, 1) == pytest.approx(2 / 4)
    near, far = 1 / 2, 1 / 3
    expected = (3 * near + far - near - far) / (3 * near + far + near + far)
    assert microstructure.queue_pressure(leaning) == pytest.approx(expected)
    assert microstructure.depth(leaning, 1) == (Decimal(3), Decimal(1))


def test_an_empty_book_says_nothing():
    assert microstructure.imbalance(book([], [])) is None
    assert microstructure.queue_pressure(book([], [(1, 1)])) is None
    assert microstructure.queue_pressure(book([(1, 0)], [(2, 0)])) is None


def test_a_tape_has_a_mean_price_a_speed_and_a_leaning():
    trades = [
        Trade(Decimal(10), Decimal(3), True, NOW),
        Trade(Decimal(20), Decimal(1), False, NOW - timedelta(seconds=30)),
    ]
    assert microstructure.tape_vwap(trades) == Decimal("12.5")
    assert microstructure.volume_imbalance(trades) == 0.5
    assert microstructure.tape_velocity(trades, NOW, timedelta(seconds=10)) == 0.1
    assert microstructure.tape_vwap([]) is None
    assert microstructure.volume_imbalance([]) is None
