"""Market snapshots in the store: written once, settled once, aligned to candles, forgotten by the month."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pytest

from common.domain.errors import Permanent
from common.domain.features import Columns
from common.domain.market import Timeframe
from common.domain.snapshot import FIELDS, MarketSnapshot
from common.store import Store
from tests.store.test_market import saved
from tests.store.world import SYMBOL, TIMEFRAME, VENUE, candle, signal, somebody_waits

OTHER = "ETH/USDT:USDT"


def snapshot(number: int = 0, symbol: str = SYMBOL, **changes: Any) -> MarketSnapshot:
    """The market when the `number`-th candle of noon closed."""
    closed_at = candle(number).closed_at
    seen = MarketSnapshot(VENUE, symbol, closed_at, closed_at - timedelta(seconds=1), mid=Decimal(40000 + number))
    return replace(seen, **changes)


def kept(store: Store, *snapshots: MarketSnapshot) -> int:
    """Save `snapshots`; how many were kept."""
    with store.unit_of_work(None) as uow:
        count = uow.snapshots.save(snapshots)
        uow.commit()
    return count


def settled(store: Store, *symbols: str, number: int = 0) -> int:
    """Settle a close; of how many symbols there was nothing."""
    with store.unit_of_work(None) as uow:
        count = uow.snapshots.settle(VENUE, symbols, candle(number).closed_at)
        uow.commit()
    return count


def seen(store: Store, candles: int = 3, names: tuple[str, ...] = ("mid",), symbol: str = SYMBOL) -> list[list[float]]:
    """Fields at the closes of the first `candles` candles of noon."""
    columns = Columns.from_candles([candle(number) for number in range(candles)], Timeframe.parse(TIMEFRAME))
    with store.unit_of_work(None) as uow:
        found = uow.snapshots.series(VENUE, {symbol: columns}, names)[symbol]
    return [found[name].tolist() for name in names]


def test_a_snapshot_belongs_to_the_candle_that_closed_then_and_others_have_none(store: Store) -> None:
    assert kept(store, snapshot(1), snapshot(0, OTHER)) == 2
    np.testing.assert_array_equal(seen(store), [[np.nan, 40001.0, np.nan]])
    np.testing.assert_array_equal(seen(store, symbol=OTHER), [[40000.0, np.nan, np.nan]])
    np.testing.assert_array_equal(seen(store, symbol="NONE"), [[np.nan] * 3])


def test_every_field_comes_back_as_the_number_it_was_and_what_is_not_known_as_nan(store: Store) -> None:
    values = {name: Decimal(repr(0.1 * (number + 1))) for number, name in enumerate(FIELDS)}
    kept(store, snapshot(0, **values), snapshot(1, mid=None))
    assert seen(store, 1, FIELDS) == [[float(value)] for value in values.values()]
    assert np.isnan(seen(store, 2, FIELDS)).T[1].all()


def test_a_close_is_written_once(store: Store) -> None:
    assert (kept(store, snapshot()), kept(store, snapshot(mid=Decimal(1)))) == (1, 0)
    assert seen(store, 1) == [[40000.0]]
    assert kept(store) == 0


def test_what_comes_after_a_scan_looked_for_it_is_not_believed(store: Store) -> None:
    kept(store, snapshot(0, OTHER))
    assert settled(store, SYMBOL, OTHER) == 1
    assert settled(store, SYMBOL, OTHER) == 0
    assert kept(store, snapshot(), snapshot(0, OTHER)) == 0
    assert np.isnan(seen(store, 1)).all()
    assert seen(store, 1, symbol=OTHER) == [[40000.0]]


def test_a_scan_waits_for_a_snapshot_that_is_being_written(store: Store, root: psycopg.Connection[Any]) -> None:
    with ThreadPoolExecutor(1) as pool, store.unit_of_work(None) as writer:
        writer.snapshots.save([snapshot()])
        scan = pool.submit(settled, store, SYMBOL)
        while not scan.done() and not somebody_waits(root):
            pass
        writer.commit()
        assert scan.result(timeout=10) == 0
    assert seen(store, 1) == [[40000.0]]


def test_no_candles_and_no_names_mean_nothing_to_look_for(store: Store) -> None:
    kept(store, snapshot())
    assert seen(store, 0) == [[]]
    assert seen(store, 1, ()) == []


def test_a_snapshot_cannot_be_changed_by_those_who_work(store: Store) -> None:
    kept(store, snapshot())
    with store.unit_of_work(None) as uow, pytest.raises(Permanent):
        uow.session.execute("UPDATE market_snapshots SET mid = 1")
    with store.unit_of_work(None) as uow, pytest.raises(Permanent):
        uow.session.execute("DELETE FROM market_snapshots")


def test_the_list_counts_what_there_is_and_what_was_looked_for_in_vain(store: Store) -> None:
    kept(store, snapshot(0, imbalance=Decimal(0), mark=Decimal(1)), snapshot(1))
    settled(store, SYMBOL, number=2)
    with store.unit_of_work(None) as uow:
        (row,) = uow.snapshots.kept()
    assert row == (VENUE, SYMBOL, 2, 1, candle(0).closed_at, candle(2).closed_at, 1, 0, 1, 0)


def test_months_that_ended_before_the_cutoff_are_forgotten_whole(store: Store, root: psycopg.Connection[Any]) -> None:
    turn = datetime(2033, 1, 1, tzinfo=UTC)
    old, new = (replace(snapshot(), closed_at=at, observed_at=at) for at in (turn - timedelta(minutes=5), turn))
    assert kept(store, old, new) == 2
    with store.unit_of_work(None) as uow:
        uow.prune({"market_snapshots": turn - timedelta(days=31)})  # Whatever other tests have left.
        assert uow.prune({"market_snapshots": turn - timedelta(seconds=1)})["market_snapshots"] == 0
        assert uow.prune({"market_snapshots": turn + timedelta(days=30)})["market_snapshots"] == 1
        uow.commit()
    rows = root.execute("SELECT tableoid::regclass::text, closed_at FROM market_snapshots").fetchall()
    assert rows == [("market_snapshots_y2033m01", turn)]
    assert kept(store, old) == 1


# --- Revised candles ------------------------------------------------------------------------------------------------


def test_a_revised_candle_leaves_what_it_was_and_how_many_signals_saw_it(store: Store) -> None:
    saved(store, candle(0), candle(1))
    with store.unit_of_work(None) as uow:
        uow.signals.add(signal(1))
        uow.signals.add(signal(2))
        uow.commit()
    saved(store, candle(0), candle(1, "41000"))
    saved(store, candle(1, "42000"))
    with store.unit_of_work(None) as uow:
        newest, oldest = uow.candles.revisions(VENUE)
        assert uow.candles.revisions("elsewhere") == []
    assert (oldest.before, newest.before) == (candle(1), candle(1, "41000"))
    assert (oldest.symbol, oldest.timeframe, oldest.signals) == (SYMBOL, Timeframe.parse(TIMEFRAME), 1)
    assert newest.revised_at >= oldest.revised_at
