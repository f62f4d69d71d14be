"""Features: equal to TA-Lib, never from the future, undefined where they cannot be known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as some

from common.domain import features
from common.domain.errors import InvalidInput, NotFound
from common.domain.features import FEAR_GREED, Columns, compute, feature, snapshot_features
from common.domain.indicators import momentum, patterns, series, trend, volatility, volume
from common.domain.indicators.family import FAMILIES
from common.domain.market import Candle, Timeframe
from tests.domain.features_candles import FIVE_MINUTES, bars, walk

USUAL = {
    "window": 14, "fast": 12, "slow": 26, "signal": 9, "smooth": 3, "middle": 9, "oscillator": 14, "recent": 5,
    "earlier": 15, "deviations": 2, "count": 2, "bins": 24, "reach": 3, "bars": 5, "atr": 14, "rsi": 14,
}  # fmt: skip
NAMES = tuple(
    name
    for name in (
        "_".join((name, *(str(USUAL[part]) for part in family.parameters))) for name, family in FAMILIES.items()
    )
    # Candles alone do not tell these; see test_snapshot and test_sources.
    if not snapshot_features([name]) and name != FEAR_GREED
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sma_20", lambda c: talib.SMA(c.close, 20)),
        ("ema_9", lambda c: talib.EMA(c.close, 9)),
        ("rsi_14", lambda c: talib.RSI(c.close, 14)),
        ("macd_12_26_9", lambda c: talib.MACD(c.close, 12, 26, 9)[0]),
        ("macd_signal_12_26_9", lambda c: talib.MACD(c.close, 12, 26, 9)[1]),
        ("macd_histogram_12_26_9", lambda c: talib.MACD(c.close, 12, 26, 9)[2]),
        ("atr_14", lambda c: talib.ATR(c.high, c.low, c.close, 14)),
        ("adx_14", lambda c: talib.ADX(c.high, c.low, c.close, 14)),
        ("plus_di_14", lambda c: talib.PLUS_DI(c.high, c.low, c.close, 14)),
        ("minus_di_14", lambda c: talib.MINUS_DI(c.high, c.low, c.close, 14)),
        ("roc_10", lambda c: talib.ROC(c.close, 10)),
        ("momentum_10", lambda c: talib.MOM(c.close, 10)),
        ("williams_r_14", lambda c: talib.WILLR(c.high, c.low, c.close, 14)),
        ("stochastic_k_14_3_3", lambda c: talib.STOCH(c.high, c.low, c.close, 14, 3, 0, 3, 0)[0]),
        ("stochastic_d_14_3_3", lambda c: talib.STOCH(c.high, c.low, c.close, 14, 3, 0, 3, 0)[1]),
        ("cci_20", lambda c: talib.CCI(c.high, c.low, c.close, 20)),
        ("mfi_14", lambda c: talib.MFI(c.high, c.low, c.close, c.volume, 14)),
        ("std_20", lambda c: talib.STDDEV(c.close, 20)),
        ("bollinger_upper_20_2", lambda c: talib.BBANDS(c.close, 20, 2.0, 2.0)[0]),
        ("bollinger_middle_20_2", lambda c: talib.BBANDS(c.close, 20, 2.0, 2.0)[1]),
        ("bollinger_lower_20_2", lambda c: talib.BBANDS(c.close, 20, 2.0, 2.0)[2]),
    ],
)
def test_an_indicator_equals_ta_lib(name, expected):
    columns = walk(1, 400)
    np.testing.assert_allclose(compute((name,), columns)[name], expected(columns), rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(seed=some.integers(0, 10_000), bars_=some.integers(2, 300), cut=some.floats(0.05, 0.99))
def test_features_of_a_prefix_equal_the_prefix_of_the_features(name, seed, bars_, cut):
    columns = walk(seed, bars_)
    shorter = columns.slice(0, max(1, int(bars_ * cut)))
    whole = compute((name,), columns)[name][: len(shorter)]
    np.testing.assert_array_equal(compute((name,), shorter)[name], whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_is_nan_before_its_lookback_and_never_infinite(name):
    values = compute((name,), walk(2, 900))[name]
    assert np.isnan(values[: feature(name).lookback]).all()
    assert not np.isinf(values).any()
    assert np.isfinite(values[feature(name).lookback :]).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_forgets_where_its_candles_begin_after_its_history(name):
    columns = walk(3, 2500)
    long_after = compute((name,), columns)[name][-20:]
    start = len(columns) - feature(name).history - 20
    late = compute((name,), columns.slice(start, len(columns)))[name][-20:]
    np.testing.assert_allclose(late, long_after, rtol=1e-8, atol=1e-8, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_feature_of_almost_no_candles_has_as_many_values(name, count):
    assert compute((name,), walk(4, count))[name].shape == (count,)


def test_what_several_features_share_is_computed_once(monkeypatch):
    calls = []

    def counted(*given):
        calls.append(given)
        return (given[0],) * 3

    monkeypatch.setattr(talib, "MACD", counted)
    compute(("macd_12_26_9", "macd_signal_12_26_9", "macd_histogram_12_26_9"), walk(5, 50))
    assert len(calls) == 1


def test_features_known_already_are_not_computed_again():
    columns, known = walk(5, 50), {"rsi_14": np.ones(50)}
    assert compute(("rsi_14",), columns, known)["rsi_14"] is known["rsi_14"]


def test_an_unknown_feature_is_refused_with_the_families_that_exist():
    with pytest.raises(NotFound, match=r"no feature 'rzi_14'.*rsi"):
        compute(("rzi_14",), walk(1, 20))


@pytest.mark.parametrize("name", ["rsi", "rsi_14_3", "macd_12"])
def test_wrong_windows_are_refused_with_the_form_that_is_expected(name):
    with pytest.raises(InvalidInput, match=r"<window>|<fast>"):
        feature(name)


@pytest.mark.parametrize("name", ["rsi_0", "RSI_14", "rsi_-1", ""])
def test_a_name_that_is_no_name_is_refused(name):
    with pytest.raises(NotFound):
        feature(name)


def test_columns_hold_the_rounded_value_of_every_decimal_and_the_time_in_milliseconds():
    opened = datetime(2021, 1, 1, 0, 5, tzinfo=UTC)
    prices = [Decimal(text) for text in ("29000.11", "29010.5", "28999.99", "29001.03", "12.345678")]
    columns = Columns.from_candles([Candle(opened, opened + timedelta(minutes=5), *prices)], Timeframe(300))
    assert len(columns) == 1
    assert columns.opened_at[0] == 1_609_459_500_000
    assert [columns.open[0], columns.high[0], columns.low[0], columns.close[0], columns.volume[0]] == [
        float(price) for price in prices
    ]


def test_lookback_and_history_of_a_set_are_those_of_its_slowest_member():
    assert features.lookback(("rsi_14", "sma_50")) == 49
    assert features.history(("sma_50", "ema_50")) == feature("ema_50").history
    assert features.lookback(()) == features.history(()) == 0


def test_crosses_are_seen_on_the_bar_of_the_cross_only():
    fast, slow = np.array([np.nan, 1.0, 2.0, 3.0, 1.0]), np.full(5, 1.5)
    assert series.crosses_above(fast, slow).tolist() == [False, False, True, False, False]
    assert series.crosses_below(fast, slow).tolist() == [False, False, False, False, True]


def test_extremes_over_one_bar_are_the_bars_themselves():
    values = np.array([3.0, 1.0])
    assert series.highest(values, 1).tolist() == series.lowest(values, 1).tolist() == [3.0, 1.0]


def test_a_ratio_to_zero_is_undefined():
    assert np.isnan(series.ratio(np.array([1.0]), np.array([0.0]))[0])


def test_volume_ratio_is_this_volume_over_the_mean_and_undefined_where_nothing_traded():
    traded = np.array([1.0, 1.0, 4.0, 0.0, 0.0, 0.0])
    result = volume.volume_ratio(traded, volume.volume_mean(traded, 3))
    np.testing.assert_allclose(result, [np.nan, np.nan, 2.0, 0.0, 0.0, np.nan])


def test_obv_sums_volume_signed_by_the_close_over_its_window():
    result = volume.obv(np.array([1.0, 2.0, 1.0, 1.0, 3.0]), np.array([5.0, 1.0, 2.0, 4.0, 8.0]), 2)
    np.testing.assert_allclose(result, [np.nan, np.nan, -1.0, -2.0, 8.0])


def test_vwap_weighs_typical_prices_by_volume():
    one = np.array([1.0, 2.0])
    np.testing.assert_allclose(volume.vwap(one, one, one, np.array([1.0, 3.0]), 2)[1], 1.75)


def test_trend_needs_the_order_of_averages_and_a_moving_slow_one():
    middle, slow = np.array([2.0, 2.0, 0.5, 2.0]), np.array([1.0, 1.1, 1.0, 0.9])
    np.testing.assert_array_equal(trend.trend(middle, slow), [np.nan, 1.0, -1.0, 0.0])


def test_band_position_is_zero_at_the_lower_and_one_at_the_upper_band():
    upper, lower = np.full(3, 4.0), np.array([2.0, 2.0, 4.0])
    np.testing.assert_array_equal(volatility.band_position(np.array([2.0, 4.0, 4.0]), upper, lower), [0.0, 1.0, np.nan])
    np.testing.assert_array_equal(volatility.band_width(upper, np.full(3, 2.0), lower), [1.0, 1.0, 0.0])


def test_a_lower_low_with_a_higher_oscillator_is_a_bullish_divergence():
    low = np.array([10.0, 10.0, 9.0, 8.0])
    result = momentum.divergence(low, np.full(4, 20.0), np.array([40.0, 30.0, 34.0, 36.0]), 2, 2)
    np.testing.assert_allclose(result, [np.nan, np.nan, np.nan, 20.0])


def test_a_higher_high_with_a_lower_oscillator_is_a_bearish_divergence():
    high = np.array([10.0, 10.0, 11.0, 12.0])
    result = momentum.divergence(np.full(4, 5.0), high, np.array([60.0, 70.0, 66.0, 64.0]), 2, 2)
    np.testing.assert_allclose(result[3], -20.0)


def test_engulfing_needs_the_opposite_colour_before_and_a_larger_body():
    columns = bars([(10, 10, 9, 9), (8.9, 10.2, 8.9, 10.1), (10.2, 10.2, 8.5, 8.8), (8.8, 8.9, 8.7, 8.9)])
    result = patterns.engulfing(columns.open, columns.high, columns.low, columns.close)
    np.testing.assert_array_equal(result, [np.nan, 1.0, -1.0, 0.0])


def test_coloured_and_stepping_candles():
    columns = bars([(1, 2, 1, 2), (2, 3, 1.5, 3), (3, 4, 2, 4), (4, 4, 1, 2), (2, 3, 0.5, 1)])
    np.testing.assert_array_equal(patterns.coloured(columns.open, columns.close, 2), [np.nan, 1, 1, 0, -1])
    np.testing.assert_array_equal(patterns.coloured(columns.open, columns.close, 1), [1, 1, 1, -1, -1])
    np.testing.assert_array_equal(patterns.stepping(columns.high, columns.low), [np.nan, np.nan, 1, 0, 0])


def test_bars_of_one_timeframe_know_it():
    assert walk(1, 3).timeframe is FIVE_MINUTES
