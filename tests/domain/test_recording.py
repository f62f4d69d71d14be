"""Recordings: gaps are found and counted, and who came late is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from common.domain.market import Timeframe
from common.domain.recording import Recording, by_listing, chosen, compared, coverage, holes, traded_as

FIVE = Timeframe(300)
START_MS = 1_609_459_200_000
BTC = Recording("binance", "BTC/USDT", FIVE, "BTC_USDT-5m.parquet", expected=4)


def opened(*bars: int) -> np.ndarray:
    return START_MS + 300_000 * np.array(bars, dtype=np.int64)


def test_a_gap_names_its_first_and_last_missing_candle() -> None:
    found = coverage(BTC, opened(0, 1, 4, 5))
    (gap,) = found.gaps
    assert (gap.first, gap.last, gap.missing) == (
        datetime(2021, 1, 1, 0, 10, tzinfo=UTC), datetime(2021, 1, 1, 0, 15, tzinfo=UTC), 2,
    )  # fmt: skip
    assert (found.candles, found.missing, found.misplaced, found.is_as_promised) == (4, 2, 0, True)


def test_holes_are_what_a_window_lacks_at_its_edges_too() -> None:
    since, until = datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, 0, 50, tzinfo=UTC)
    found = holes(opened(-3, 2, 3, 6, 20), FIVE, since, until)
    assert [((gap.first - since) / FIVE.duration, gap.missing) for gap in found] == [(0, 2), (4, 2), (7, 3)]
    assert holes(opened(), FIVE, since, until)[0].missing == 10
    assert holes(opened(*range(10)), FIVE, since, until) == ()


def test_candles_off_the_grid_and_repeated_ones_are_counted() -> None:
    assert coverage(BTC, np.append(opened(0, 1, 1), START_MS + 600_001)).misplaced == 2


def test_nothing_is_covered_by_no_candles() -> None:
    found = coverage(BTC, opened())
    assert (found.candles, found.first, found.gaps, found.is_as_promised) == (0, None, (), False)
    assert compared([found]) == [found]


def test_a_late_listing_and_an_early_end_are_told_beside_the_others() -> None:
    day = 288
    whole, late, early = (coverage(BTC, opened(*bars)) for bars in ([0, 9 * day], [3 * day, 9 * day], [0, 5 * day]))
    told = [(item.listed_late_by, item.ended_early_by) for item in compared([whole, late, early])]
    assert told == [(None, None), (timedelta(days=3), None), (None, timedelta(days=4))]


def test_a_series_kept_later_than_another_of_its_market_is_no_late_listing() -> None:
    day = 288
    hourly = coverage(Recording("binance", "ETH/USDT", Timeframe(3600), "h"), START_MS + 3_600_000 * np.arange(216))
    eth = Recording("binance", "ETH/USDT", FIVE, "e")
    new = Recording("binance", "NEW/USDT", FIVE, "n")
    group = [coverage(BTC, opened(0, 9 * day)), coverage(eth, opened(3 * day, 5 * day)), coverage(new, opened(4 * day))]
    found = by_listing([*compared(group), hourly, coverage(new, opened())])
    told = [(item.recording.symbol, item.listed_late_by, item.ended_early_by) for item in found[:3]]
    assert told == [
        ("BTC/USDT", None, None), ("ETH/USDT", None, None), ("NEW/USDT", timedelta(days=4), timedelta(days=5)),
    ]  # fmt: skip


def test_what_is_asked_for_is_chosen_in_the_order_of_asking() -> None:
    perpetual = Recording("binance", "XRP/USDT:USDT", FIVE, "x")
    hourly = Recording("binance", "BTC/USDT", Timeframe(3600), "h")
    assert chosen([BTC, perpetual, hourly], ["XRP/USDT", "BTC/USDT"], FIVE) == [perpetual, BTC]
    assert chosen([BTC, perpetual, hourly], [], None) == [BTC, perpetual, hourly]


def test_digits_become_the_grid_and_a_settle_asset_makes_a_perpetual() -> None:
    spot, perpetual = traded_as("binance", "BTC/USDT", 2, 6), traded_as("binance", "XRP/USDT:USDT", 5, 0)
    assert (spot.tick_size, spot.step_size, spot.max_leverage) == (Decimal("0.01"), Decimal("0.000001"), 1)
    assert (perpetual.tick_size, perpetual.step_size, perpetual.max_leverage) == (Decimal("0.00001"), Decimal(1), 50)
