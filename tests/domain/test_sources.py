"""Coins beside instruments, and the mood beside candles: nothing is known before it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import features
from common.domain.features import FEAR_GREED, Columns
from common.domain.market import EPOCH, Timeframe
from common.domain.sources import (
    MOOD_KNOWN_AFTER,
    MOOD_LASTS,
    Coin,
    Mood,
    coin_of,
    coins_by_symbol,
    deviation_bps,
    with_mood,
)
from tests.services.doors import instrument

HOUR = Timeframe.parse("1h")
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)


def coin(name: str, symbol: str, cap: int, price: str = "2") -> Coin:
    """A coin."""
    return Coin("coingecko", name, symbol, Decimal(price), Decimal(cap), Decimal(1), MIDNIGHT)


def test_of_coins_with_one_symbol_the_largest_is_meant() -> None:
    found = coins_by_symbol([coin("pepe-fake", "PEPE", 1), coin("pepe", "PEPE", 9), coin("uni", "UNI", 5)])
    assert {symbol: item.coin for symbol, item in found.items()} == {"PEPE": "pepe", "UNI": "uni"}


@pytest.mark.parametrize(
    ("symbol", "price"),
    [("PEPE/USDT:USDT", "2"), ("1000PEPE/USDT:USDT", "2000"), ("1000000PEPE/USDT:USDT", "2000000"), ("UNI/USDT", None)],
)
def test_an_instrument_of_a_thousand_coins_costs_a_thousand_times_as_much(symbol: str, price: str | None) -> None:
    found = coin_of(instrument(symbol), coins_by_symbol([coin("pepe", "PEPE", 9)]))
    assert (found and found.price) == (None if price is None else Decimal(price))


def test_what_is_not_quoted_in_dollars_is_not_compared() -> None:
    in_bitcoin = replace(instrument("PEPE/BTC"), quote="BTC")
    assert coin_of(in_bitcoin, coins_by_symbol([coin("pepe", "PEPE", 9)])) is None


def test_a_deviation_has_no_sign_and_none_against_nothing() -> None:
    assert deviation_bps(Decimal(90), Decimal(100)) == deviation_bps(Decimal(110), Decimal(100)) == 1000
    assert deviation_bps(Decimal(90), Decimal(0)) == 0


def hours(first: datetime, count: int) -> Columns:
    """`count` flat hours."""
    opened = np.array(
        [(first - EPOCH) // timedelta(milliseconds=1) + n * 3_600_000 for n in range(count)], dtype=np.int64
    )
    flat = np.ones(count)
    return Columns(opened, flat, flat, flat, flat, flat, HOUR)


def test_a_value_counts_for_candles_that_close_after_it_was_known() -> None:
    known = with_mood(hours(MIDNIGHT - timedelta(hours=2), 6), [Mood(MIDNIGHT, 70, "Greed")]).known[FEAR_GREED]
    # The candle that closes at two o'clock closes when the value becomes known, which is not after it.
    assert timedelta(hours=2) == MOOD_KNOWN_AFTER
    assert known[4:].tolist() == [70.0, 70.0]
    assert np.isnan(known[:4]).all()


def test_a_stale_value_says_nothing() -> None:
    columns = hours(MIDNIGHT, 24 * 5)
    known = with_mood(columns, [Mood(MIDNIGHT, 70, "Greed")]).known[FEAR_GREED]
    ends = MIDNIGHT + MOOD_KNOWN_AFTER + MOOD_LASTS
    first_stale = (ends - MIDNIGHT) // HOUR.duration - 1
    assert known[first_stale - 1] == 70.0
    assert np.isnan(known[first_stale:]).all()


def test_without_values_or_candles_nothing_is_added() -> None:
    columns = hours(MIDNIGHT, 3)
    assert with_mood(columns, []) is columns
    empty = hours(MIDNIGHT, 0)
    assert with_mood(empty, [Mood(MIDNIGHT, 70, "")]) is empty


@given(values=st.lists(st.integers(0, 100), min_size=2, max_size=8), cut=st.integers(1, 150))
def test_the_future_of_the_index_does_not_change_its_past(values: list[int], cut: int) -> None:
    moods = [Mood(MIDNIGHT + timedelta(days=number), value, "") for number, value in enumerate(values)]
    columns = hours(MIDNIGHT, 160)
    whole = with_mood(columns, moods).known[FEAR_GREED]
    until = EPOCH + timedelta(milliseconds=int(columns.opened_at[cut])) + HOUR.duration
    part = with_mood(columns, [mood for mood in moods if mood.published_at + MOOD_KNOWN_AFTER < until])
    np.testing.assert_array_equal(whole[: cut + 1], part.known.get(FEAR_GREED, np.full(160, np.nan))[: cut + 1])


def test_the_index_is_a_feature_of_columns_that_carry_it_and_nan_of_others() -> None:
    columns = hours(MIDNIGHT, 6)
    assert np.isnan(features.compute([FEAR_GREED], columns)[FEAR_GREED]).all()
    told = with_mood(columns, [Mood(MIDNIGHT - timedelta(days=1), 33, "Fear")])
    assert features.compute([FEAR_GREED], told.slice(2, 5))[FEAR_GREED].tolist() == [33.0, 33.0, 33.0]
    assert features.vector(told)[FEAR_GREED][-1] == 33.0
    assert features.lookback([FEAR_GREED]) == features.history([FEAR_GREED]) == 0
