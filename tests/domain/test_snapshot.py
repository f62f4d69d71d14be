"""Snapshots: what book and tape said by a close and nothing later, named as features, NaN where nobody knew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import features, strategies
from common.domain.backtest.checks import evaluated, lookahead_findings, recursive_findings
from common.domain.errors import InvalidInput
from common.domain.indicators.microstructure import Trade
from common.domain.market import Candle, Level, OrderBook, Timeframe
from common.domain.snapshot import FIELDS, TAPE_SPAN, MarketSnapshot, of_book, of_tape
from common.domain.timeframes import bases, merged
from common.domain.watching import FRESH, TRADES_MAX, AsOf, Watched
from tests.domain.features_candles import walk

CLOSE = datetime(2026, 3, 2, 12, 5, tzinfo=UTC)
D = Decimal


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def book(at: datetime, bids: str = "3", asks: str = "1") -> OrderBook:
    """One level a side, a middle of 100 and a spread of 2."""
    return OrderBook((Level(D(99), D(bids)),), (Level(D(101), D(asks)),), at)


def trade(before: float, price: str = "100", quantity: str = "1", is_buy: bool = True) -> Trade:
    return Trade(D(price), D(quantity), is_buy, CLOSE - seconds(before))


# --- What a snapshot tells ------------------------------------------------------------------------------------------


def test_a_book_tells_spread_middle_imbalance_and_depth() -> None:
    told = of_book(book(CLOSE))
    assert (told["spread"], told["mid"], told["spread_bps"]) == (D(2), D(100), D(200))
    assert (told["imbalance"], told["queue_pressure"]) == (D("0.5"), D("0.5"))
    assert (told["bid_volume"], told["ask_volume"]) == (D(3), D(1))


def test_a_side_without_levels_has_no_middle_and_no_spread() -> None:
    told = of_book(replace(book(CLOSE), asks=()))
    assert [told[name] for name in ("spread", "spread_bps", "mid", "queue_pressure")] == [None] * 4
    assert (told["imbalance"], told["ask_volume"]) == (D(1), D(0))


def test_a_tape_tells_the_minute_before_the_close() -> None:
    told = of_tape([trade(60, "1"), trade(59, "90", "3"), trade(0, "110", is_buy=False), trade(-1, "1")], CLOSE)
    assert told["tape_vwap"] == D(95)
    assert told["volume_imbalance"] == D("0.5")
    assert told["tape_velocity"] == D(repr(2 / 60))


def test_a_minute_without_trades_has_velocity_zero_and_no_price() -> None:
    assert of_tape([], CLOSE) == {"tape_vwap": None, "tape_velocity": D("0.0"), "volume_imbalance": None}


def test_what_was_observed_after_the_close_is_refused() -> None:
    MarketSnapshot("v", "s", CLOSE, CLOSE)
    with pytest.raises(InvalidInput, match="observed_at"):
        MarketSnapshot("v", "s", CLOSE, CLOSE + seconds(0.001))


# --- What a stream remembers ----------------------------------------------------------------------------------------


def watched() -> Watched:
    """An instrument whose tape has been heard for long."""
    found = Watched("v", "s")
    found.hears_tape(CLOSE - 2 * TAPE_SPAN)
    return found


def test_the_close_is_told_as_it_was_although_more_has_been_heard_since() -> None:
    seen = watched()
    seen.saw_book(book(CLOSE - seconds(2), bids="1"))
    seen.saw_book(book(CLOSE - seconds(1), bids="3"))
    seen.saw_figures(D(100), D("0.0001"), CLOSE - seconds(3))
    seen.saw_open_interest(D(777), CLOSE - seconds(200))
    seen.saw_trades([trade(5)])
    before = seen.at(CLOSE)
    seen.saw_book(book(CLOSE + seconds(1), bids="9"))
    seen.saw_figures(D(200), None, CLOSE + seconds(1))
    seen.saw_trades([trade(-1, "500")])
    assert seen.at(CLOSE) == before
    assert before is not None
    assert (before.imbalance, before.mark, before.funding_rate) == (D("0.5"), D(100), D("0.0001"))
    assert (before.open_interest, before.tape_vwap) == (D(777), D(100))
    assert before.observed_at == CLOSE - seconds(1)


def test_without_a_fresh_book_there_is_no_snapshot() -> None:
    seen = watched()
    assert seen.at(CLOSE) is None
    seen.saw_book(book(CLOSE - FRESH))
    assert seen.at(CLOSE) is not None
    assert seen.at(CLOSE + seconds(1)) is None


def test_stale_figures_are_not_known() -> None:
    seen = watched()
    seen.saw_book(book(CLOSE - seconds(1)))
    seen.saw_figures(D(100), D(0), CLOSE - FRESH - seconds(1))
    seen.saw_open_interest(D(1), CLOSE - timedelta(hours=1))
    found = seen.at(CLOSE)
    assert found is not None
    assert (found.mark, found.funding_rate, found.open_interest) == (None, None, None)


def test_a_tape_that_was_not_heard_for_its_whole_span_is_not_known() -> None:
    seen = Watched("v", "s")
    seen.hears_tape(CLOSE - TAPE_SPAN + seconds(1))
    seen.saw_book(book(CLOSE - seconds(1)))
    seen.saw_trades([trade(5)])
    at, later = seen.at(CLOSE), None
    seen.saw_book(book(CLOSE + seconds(1)))
    later = seen.at(CLOSE + seconds(2))
    assert at is not None
    assert later is not None
    assert (at.tape_velocity, at.tape_vwap) == (None, None)
    assert later.tape_vwap == D(100)


def test_a_lost_connection_is_not_known_until_it_is_heard_again() -> None:
    seen = watched()
    seen.saw_book(book(CLOSE - seconds(1)))
    seen.saw_trades([trade(5)])
    seen.lost_sight()
    assert seen.at(CLOSE) is None
    seen.hears_tape(CLOSE - seconds(1))
    seen.saw_book(book(CLOSE - seconds(1)))
    found = seen.at(CLOSE)
    assert found is not None
    assert found.tape_velocity is None


def test_a_tape_faster_than_what_is_kept_is_not_known() -> None:
    seen = watched()
    seen.saw_book(book(CLOSE - seconds(1)))
    seen.saw_trades([trade(30)] * TRADES_MAX)
    assert seen.at(CLOSE).tape_vwap == D(100)  # type: ignore[union-attr]
    seen.saw_trades([trade(29)])
    assert seen.at(CLOSE).tape_vwap is None  # type: ignore[union-attr]


def test_old_trades_are_forgotten() -> None:
    seen = watched()
    seen.saw_trades([trade(3600), trade(1)])
    assert list(seen._trades) == [trade(1)]


@given(st.lists(st.floats(0, 600), min_size=1, max_size=40))
def test_a_close_is_answered_with_the_last_value_before_it_or_with_nothing(offsets: list[float]) -> None:
    times = sorted(CLOSE - timedelta(minutes=5) + seconds(round(offset, 3)) for offset in offsets)
    memory: AsOf[int] = AsOf()
    for number, at in enumerate(times):
        memory.add(at, number)
    found = memory.get(CLOSE, timedelta(hours=1))
    expected = max((number for number, at in enumerate(times) if at <= CLOSE), default=None)
    crossed = len({int((at - timedelta(microseconds=1)).timestamp()) // 60 for at in times if at > CLOSE})
    assert (found[1] if found else None) == (expected if crossed <= 3 else found and found[1])


def test_what_comes_out_of_order_changes_nothing() -> None:
    memory: AsOf[str] = AsOf()
    memory.add(CLOSE, "new")
    memory.add(CLOSE - seconds(1), "old")
    assert memory.get(CLOSE, FRESH) == (CLOSE, "new")


# --- Features -------------------------------------------------------------------------------------------------------


def test_a_field_that_nobody_knows_is_nan_for_every_bar() -> None:
    columns = walk(3, 50)
    found = features.compute([*FIELDS, "spread_pct", "bid_vol", "ask_vol", "basis_bps", "price_to_tape_vwap"], columns)
    assert all(np.isnan(series).all() and len(series) == 50 for series in found.values())


def test_what_is_made_of_snapshots_follows_from_what_they_say() -> None:
    known = {name: np.full(3, value) for name, value in (("spread_bps", 2.0), ("bid_volume", 7.0), ("mid", 100.0))}
    known |= {"mark": np.array([100.0, 101.0, np.nan]), "tape_vwap": np.full(3, 50.0), "ask_volume": np.full(3, 1.0)}
    columns = walk(3, 3).knowing(known)
    found = features.compute(["spread_pct", "bid_vol", "ask_vol", "basis_bps", "price_to_tape_vwap"], columns)
    assert found["spread_pct"].tolist() == [0.02] * 3
    assert (found["bid_vol"].tolist(), found["ask_vol"].tolist()) == ([7.0] * 3, [1.0] * 3)
    np.testing.assert_allclose(found["basis_bps"], [0.0, 100.0, np.nan])
    np.testing.assert_allclose(found["price_to_tape_vwap"], columns.close / 50.0 - 1.0)


def test_a_slice_knows_its_part() -> None:
    columns = walk(3, 5).knowing({"mid": np.arange(5.0)})
    assert columns.slice(2, 4).known["mid"].tolist() == [2.0, 3.0]


def test_strategies_on_candles_alone_ask_for_no_snapshot() -> None:
    asking = {name for name in strategies.names() if features.snapshot_features(strategies.get(name).features)}
    assert asking == {"scalper"}
    assert features.snapshot_features(["spread_pct", "basis_bps", "rsi_14", "close"]) == ("mark", "mid", "spread_bps")


# --- The scalper ----------------------------------------------------------------------------------------------------

SCALPED = {"rsi_14": 25.0, "bollinger_position_20_2": 0.5, "macd_histogram_12_26_9": 0.0, "price_to_ema_20": 0.0}


def scalped(imbalance: float, tape: float, **parameters: bool) -> tuple[int, float, tuple[str, ...]]:
    """Side, confidence and reasons on the last of sixty bars whose RSI is oversold and whose candle closes high."""
    strategy, columns = strategies.get("scalper", parameters), walk(5, 60)
    last = SCALPED | {"imbalance": imbalance, "volume_imbalance": tape, "place_in_range_1": 0.9, "obv_10": 0.0}
    last |= {"volume_mean_10": 1.0, "atr_14": 1.0}
    values = {name: np.append(np.full(59, np.nan), last[name]) for name in strategy.features}
    entries = strategy.evaluate(values, columns)
    return int(entries.side[-1]), float(entries.confidence[-1]), entries.reasons(59)


@pytest.mark.parametrize(
    ("imbalance", "tape", "side", "confidence"),
    [
        (0.31, 0.0, 1, 0.5),
        (0.3, 0.0, 0, 0.3),
        (0.31, 0.31, 1, 0.65),
        (-0.31, 0.31, 0, 0.45),
        (np.nan, np.nan, 0, 0.3),
        (np.nan, 0.5, 0, 0.45),
    ],
)
def test_the_scalper_counts_book_and_tape_where_they_are_known(imbalance, tape, side, confidence) -> None:
    found = scalped(imbalance, tape)
    assert found[0] == side
    assert found[1] == pytest.approx(confidence)


def test_candles_stand_in_for_a_book_that_is_not_known_only_where_that_is_wanted() -> None:
    assert scalped(np.nan, np.nan, candles_stand_in=True)[2] == ("RSI +0.30", "close in the outer fifth +0.20")
    assert scalped(0.0, 0.0, candles_stand_in=True)[2] == ("RSI +0.30",)


def observed(seed: int, length: int):
    """A walk whose bars have a book and a tape, but for some."""
    dice = np.random.default_rng(seed)
    book, tape = dice.uniform(-1, 1, length), dice.uniform(-1, 1, length)
    book[dice.random(length) < 0.2] = np.nan
    return walk(seed, length, 0.01).knowing({"imbalance": book, "volume_imbalance": tape})


def test_snapshots_do_not_let_a_strategy_look_ahead_and_history_is_enough() -> None:
    columns, scalper = observed(11, 900), strategies.get("scalper")
    assert np.count_nonzero(evaluated(scalper, columns).entries["side"]) > 10
    assert lookahead_findings(scalper, columns) == []
    assert recursive_findings(scalper, columns) == []


def test_a_book_known_too_late_would_be_noticed() -> None:
    columns, scalper = observed(11, 900), strategies.get("scalper")
    whole = evaluated(scalper, columns).entries["side"]
    early = columns.knowing({name: np.append(values[1:], np.nan) for name, values in columns.known.items()})
    assert not np.array_equal(whole, evaluated(scalper, early).entries["side"])


# --- Timeframes -----------------------------------------------------------------------------------------------------


def frames(text: str) -> list[Timeframe]:
    return [Timeframe.parse(part) for part in text.split()]


@pytest.mark.parametrize(
    ("wanted", "made_of"),
    [("5m", "5m"), ("1m 5m 4h", "1m 1m 1m"), ("3m 5m 15m", "3m 5m 3m"), ("2m 3m 4m", "2m 3m 2m")],
)
def test_every_timeframe_is_made_of_the_shortest_that_divides_it(wanted: str, made_of: str) -> None:
    assert bases(frames(wanted)) == dict(zip(frames(wanted), frames(made_of), strict=True))


def minute(number: int, price: str = "100", volume: str = "1.5") -> Candle:
    at = CLOSE.replace(minute=0) + timedelta(minutes=number)
    one = D(price)
    return Candle(at, at + timedelta(minutes=1), one, one + number, one - number, one + 1, D(volume))


def test_a_longer_candle_is_the_exact_sum_of_its_parts_and_wants_them_all() -> None:
    parts = [minute(number, str(100 + number)) for number in range(12)]
    first, second = merged(parts, Timeframe(300))
    assert (first.open, first.high, first.low, first.close, first.volume) == (D(100), D(108), D(100), D(105), D("7.5"))
    assert (second.opened_at, second.closed_at) == (parts[5].opened_at, parts[10].opened_at)
    assert merged([*parts[:3], *parts[4:]], Timeframe(300)) == [second]
    assert all(b.opened_at == a.closed_at for a, b in pairwise([first, second]))
