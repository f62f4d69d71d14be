"""What tenants share comes back as it was written: instruments, candles, signals, advice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import psycopg
import pytest

from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.domain.market import Candle, InstrumentStatus, Timeframe
from common.store import Store
from common.store.session import quoted_array
from tests.clocks import NOON
from tests.store.world import STRATEGY, SYMBOL, TIMEFRAME, VENUE, advice, candle, instrument, signal

Connection = psycopg.Connection[tuple[object, ...]]


def saved(store: Store, *candles: Candle, symbol: str = SYMBOL) -> int:
    """Save `candles`; how many were new or different."""
    with store.unit_of_work(None) as uow:
        count = uow.candles.save(VENUE, symbol, TIMEFRAME, candles)
        uow.commit()
    return count


def test_an_instrument_is_replaced_by_what_was_seen_last(store: Store) -> None:
    delisted = replace(instrument(), status=InstrumentStatus.DELISTED, tick_size=Decimal("0.01"))
    with store.unit_of_work(None) as uow:
        uow.instruments.save([instrument("ETH/USDT:USDT"), instrument()])
        uow.instruments.save([delisted])
        assert uow.instruments.get(VENUE, SYMBOL) == delisted
        assert uow.instruments.list(VENUE) == [delisted, instrument("ETH/USDT:USDT")]
        assert uow.instruments.get(VENUE, "DOGE/USDT:USDT") is None
        assert uow.instruments.some(VENUE, [SYMBOL, "DOGE/USDT:USDT"]) == {SYMBOL: delisted}
        assert uow.instruments.some(VENUE, []) == {}


def test_a_candle_is_counted_when_it_is_new_or_revised_and_not_when_it_is_the_same(store: Store) -> None:
    assert saved(store, candle(0), candle(1)) == 2
    assert saved(store, candle(0), candle(1)) == 0
    assert saved(store, candle(0), candle(1, "41000.25"), candle(2)) == 2
    with store.unit_of_work(None) as uow:
        kept = uow.candles.series(VENUE, SYMBOL, TIMEFRAME, candle(2).closed_at, 10)
    assert kept == [candle(0), candle(1, "41000.25"), candle(2)]


def test_a_candle_that_comes_twice_in_one_batch_is_kept_as_it_came_last(store: Store) -> None:
    assert saved(store, candle(0), candle(0, "41000")) == 1
    with store.unit_of_work(None) as uow:
        assert uow.candles.series(VENUE, SYMBOL, TIMEFRAME, candle(0).closed_at, 10) == [candle(0, "41000")]


def test_candles_of_several_markets_are_kept_at_once_and_counted_together(store: Store) -> None:
    frame = Timeframe.parse(TIMEFRAME)
    odd = 'A"B\\,{C}/USDT:USDT'
    markets = {(SYMBOL, frame): [candle(1), candle(0), candle(1, "41000")], (odd, frame): [candle(0)], ("X", frame): []}
    with store.unit_of_work(None) as uow:
        assert uow.candles.save_all(VENUE, markets) == 3
        assert uow.candles.save_all(VENUE, markets) == 0
        assert uow.candles.save_all(VENUE, {}) == 0
        assert uow.candles.series(VENUE, SYMBOL, TIMEFRAME, candle(1).closed_at, 10) == [candle(0), candle(1, "41000")]
        assert uow.candles.series(VENUE, odd, TIMEFRAME, candle(1).closed_at, 10) == [candle(0)]


def test_more_candles_than_fit_one_statement_are_all_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.store.market._ROWS_AT_ONCE", 2)
    assert saved(store, *(candle(number) for number in range(5))) == 5


def test_a_month_whose_transaction_failed_is_opened_again(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        uow.candles.save(VENUE, SYMBOL, TIMEFRAME, [candle(0)])
    assert saved(store, candle(0)) == 1
    assert saved(store, candle(1)) == 1


def test_a_series_holds_only_what_had_closed(store: Store) -> None:
    saved(store, *(candle(number) for number in range(5)))
    with store.unit_of_work(None) as uow:
        just_before = uow.candles.series(VENUE, SYMBOL, TIMEFRAME, candle(3).closed_at - timedelta(microseconds=1), 2)
        at_close = uow.candles.series(VENUE, SYMBOL, Timeframe.parse(TIMEFRAME), candle(3).closed_at, 2)
    assert just_before == [candle(1), candle(2)]
    assert at_close == [candle(2), candle(3)]


def test_a_candle_of_another_length_is_refused(store: Store) -> None:
    long = replace(candle(0), closed_at=NOON + timedelta(hours=1))
    with store.unit_of_work(None) as uow, pytest.raises(InvalidInput, match=r"candle\.closed_at"):
        uow.candles.save(VENUE, SYMBOL, TIMEFRAME, [long])


def test_candles_of_every_month_find_their_partition(store: Store, root: Connection) -> None:
    new_year = datetime(2027, 12, 31, 23, 55, tzinfo=UTC)
    turn = [
        replace(candle(0), opened_at=at, closed_at=at + timedelta(minutes=5))
        for at in (new_year, new_year + timedelta(minutes=5), datetime(1999, 2, 1, tzinfo=UTC))
    ]
    assert saved(store, *turn) == 3
    rows = root.execute("SELECT DISTINCT tableoid::regclass::text FROM candles ORDER BY 1").fetchall()
    assert [row[0] for row in rows] == ["candles_y1999m02", "candles_y2027m12", "candles_y2028m01"]


def test_two_writers_may_open_the_same_month(store: Store) -> None:
    month = datetime(2031, 5, 1, tzinfo=UTC)
    with store.unit_of_work(None) as first, store.unit_of_work(None) as second:
        first.session.execute("SELECT add_candle_month(:month)", {"month": month})
        first.commit()
        second.session.execute("SELECT add_candle_month(:month)", {"month": month})
        second.commit()


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def test_a_writer_that_waited_for_another_finds_the_month_it_opened(store: Store, root: Connection) -> None:
    month = {"month": datetime(2031, 6, 1, tzinfo=UTC)}

    def open_month() -> None:
        with store.unit_of_work(None) as second:
            second.session.execute("SELECT add_candle_month(:month)", month)
            second.commit()

    with ThreadPoolExecutor(1) as pool, store.unit_of_work(None) as first:
        first.session.execute("SELECT add_candle_month(:month)", month)
        waiting = pool.submit(open_month)
        while not waiting.done() and root.execute(WAITING).fetchone() == (0,):
            pass
        first.commit()
        waiting.result(timeout=10)


def test_arrays_are_the_series_as_columns(store: Store) -> None:
    fine = replace(candle(2), volume=Decimal("0.1234567890123456789"))
    saved(store, candle(0), candle(1), fine)
    saved(store, candle(1), symbol="ETH/USDT:USDT")
    with store.unit_of_work(None) as uow:
        symbols = [SYMBOL, "ETH/USDT:USDT", "NONE/USDT:USDT"]
        arrays = uow.candles.arrays(VENUE, symbols, TIMEFRAME, candle(2).closed_at, 2)
    expected = Columns.from_candles([candle(1), fine], Timeframe.parse(TIMEFRAME))
    ours = arrays[SYMBOL]
    for name in ("opened_at", "open", "high", "low", "close", "volume"):
        column = getattr(ours, name)
        assert np.array_equal(column, getattr(expected, name)), name
        assert column.dtype == getattr(expected, name).dtype
        assert column.flags.writeable
        assert column.flags.c_contiguous
    assert len(arrays["ETH/USDT:USDT"].close) == 1
    assert len(arrays["NONE/USDT:USDT"].close) == 0


def test_the_last_close_of_each_instrument_is_known(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        uow.instruments.save([instrument(), instrument("ETH/USDT:USDT")])
        uow.candles.save(VENUE, SYMBOL, TIMEFRAME, [candle(0), candle(1)])
        assert uow.candles.last_closed_at(VENUE, TIMEFRAME) == {SYMBOL: candle(1).closed_at}
        assert uow.candles.last_closed_at(VENUE, TIMEFRAME, [SYMBOL, "X"]) == {SYMBOL: candle(1).closed_at}
        assert uow.candles.last_closed_at(VENUE, TIMEFRAME, ["X"]) == {}
        assert uow.candles.last_closed_at(VENUE, "1h") == {}


def revision(store: Store, symbol: str = SYMBOL) -> int:
    """The number that tells whether what was there of the series has changed."""
    with store.unit_of_work(None) as uow:
        told = uow.candles.told(VENUE, [(symbol, 0, 0)], Timeframe.parse(TIMEFRAME), candle(99).closed_at)
    return told.revisions[0]


def ends(store: Store) -> tuple[datetime | None, datetime | None]:
    """When the series begins, and when its last candle closed."""
    with store.unit_of_work(None) as uow:
        uow.instruments.save([instrument()])
        first = uow.candles.first_opened_at(VENUE, TIMEFRAME, [SYMBOL])
        return first.get(SYMBOL), uow.candles.last_closed_at(VENUE, TIMEFRAME, [SYMBOL]).get(SYMBOL)


def test_a_candle_that_goes_on_a_series_leaves_it_what_it_was(store: Store) -> None:
    saved(store, candle(1), candle(2))
    before = revision(store)
    saved(store, candle(3))
    saved(store, candle(5), candle(4))
    saved(store, candle(5), candle(6))
    assert (revision(store), ends(store)) == (before, (candle(1).opened_at, candle(6).closed_at))


@pytest.mark.parametrize("number", [0, 3, 5])
def test_whatever_else_is_written_to_a_series_makes_it_another(store: Store, number: int) -> None:
    saved(store, candle(1), candle(2), candle(4), candle(5))
    saved(store, candle(1), symbol="ETH/USDT:USDT")
    before, other = revision(store), revision(store, "ETH/USDT:USDT")
    saved(store, candle(number, "41000"), candle(6))
    assert revision(store) == before + 1
    assert revision(store, "ETH/USDT:USDT") == other
    assert ends(store) == (candle(min(number, 1)).opened_at, candle(6).closed_at)


def test_what_is_deleted_makes_a_series_another_even_if_it_is_written_again(store: Store) -> None:
    saved(store, candle(0), candle(1))
    before = revision(store)
    with store.unit_of_work(None) as uow:
        uow.candles.delete_before(TIMEFRAME, candle(1).opened_at)
        uow.commit()
    assert (revision(store), ends(store)) == (before + 1, (candle(1).opened_at, candle(1).closed_at))
    with store.unit_of_work(None) as uow:
        uow.candles.delete_before(TIMEFRAME, candle(9).opened_at)
        uow.commit()
    assert (revision(store), ends(store)) == (before + 2, (None, None))
    saved(store, candle(0))
    assert (revision(store), ends(store)) == (before + 2, (candle(0).opened_at, candle(0).closed_at))


def test_of_two_who_write_a_series_at_once_the_second_to_commit_sees_what_it_comes_before(store: Store) -> None:
    saved(store, candle(0))
    before = revision(store)
    with ThreadPoolExecutor(1) as pool, store.unit_of_work(None) as first:
        first.candles.save(VENUE, SYMBOL, TIMEFRAME, [candle(2)])
        late = pool.submit(saved, store, candle(1))
        first.commit()
        assert late.result(timeout=10) == 1
    assert revision(store) == before + 1


def test_what_can_be_traded_now_is_known_by_symbol(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        halted = replace(instrument("ETH/USDT:USDT"), status=InstrumentStatus.HALTED)
        uow.instruments.save([instrument(), halted])
        assert uow.instruments.traded(VENUE, [SYMBOL, "ETH/USDT:USDT", "NONE/USDT:USDT"]) == {SYMBOL}


def test_texts_in_arrays_may_hold_whatever_a_text_holds(store: Store) -> None:
    odd = ['a"b', "c\\d", "e,f", "{g}", "NULL", "", " h "]
    with store.unit_of_work(None) as uow:
        assert uow.session.scalar("SELECT CAST(:texts AS text[])", {"texts": quoted_array(odd)}) == odd


def test_old_candles_of_one_length_can_be_forgotten(store: Store) -> None:
    saved(store, *(candle(number) for number in range(3)))
    with store.unit_of_work(None) as uow:
        assert uow.candles.delete_before("1h", NOON + timedelta(days=1)) == 0
        assert uow.candles.delete_before(TIMEFRAME, candle(1).opened_at) == 1
        assert uow.candles.series(VENUE, SYMBOL, TIMEFRAME, candle(9).closed_at, 9) == [candle(1), candle(2)]


def test_a_signal_comes_back_bit_for_bit_and_is_kept_once(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        assert uow.signals.add(signal())
        assert not uow.signals.add(signal())
        kept = uow.signals.get(signal().id)
    assert kept == signal()
    assert str(kept.price) == "40000.50"
    assert {name: value.hex() for name, value in kept.features.items()} == {
        name: value.hex() for name, value in signal().features.items()
    }


def test_signals_are_listed_newest_first(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        for number in range(3):
            uow.signals.add(signal(number))
        assert [item.id for item in uow.signals.list(limit=2)] == [signal(2).id, signal(1).id]
        assert [item.id for item in uow.signals.list(before=signal(1).closed_at)] == [signal(0).id]
        assert len(uow.signals.list(venue=VENUE, instrument=SYMBOL, strategy=STRATEGY)) == 3
        assert uow.signals.list(strategy="another") == []


def test_a_question_is_answered_once(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        assert uow.advice.add(advice())
        assert not uow.advice.add(replace(advice(), rationale="on second thoughts"))
        assert uow.advice.get(advice().id) == advice()
        assert uow.advice.of_signal(signal().id) == [advice()]
        assert uow.advice.get(signal().id) is None
        assert (uow.advice.of_profile("default"), uow.advice.profiles()) == ([advice()], ["default"])
        assert uow.advice.of_profile("nobody") == []
