"""Recorded candles in the shared history: imported once, listed, and their gaps told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from common.domain.errors import NotFound
from common.domain.market import Candle, Timeframe
from common.domain.recording import Recording, traded_as
from common.services.import_candles import import_candles
from common.services.list_candles import list_candles
from common.services.stored_candles import StoredCandles
from common.services.verify_candles import verify_candles, verify_recordings
from tests.domain.features_candles import walk
from tests.services.tapes import BTC, ETH, Tapes, recording
from tests.services.venue import VENUE
from tests.services.world import World

FIVE = Timeframe(300)
START = datetime(2020, 3, 1, tzinfo=UTC)
RECORDING = Recording("binance", "BTC/USDT", FIVE, "BTC_USDT-5m.parquet")


class Tape:
    """Candles by number, two to a batch."""

    def __init__(self, *bars: int) -> None:
        self.bars = bars

    def batches(self, recording: Recording, size: int) -> Iterator[Sequence[Candle]]:
        one = Decimal(1)
        opened = [START + FIVE.duration * bar for bar in self.bars]
        candles = [Candle(at, at + FIVE.duration, one, one, one, one, one) for at in opened]
        yield from (candles[place : place + 2] for place in range(0, len(candles), 2))

    def instrument(self, recording: Recording):
        return traded_as(recording.venue, recording.symbol, 2, 6)


def test_an_import_is_kept_once_and_can_be_listed(world: World) -> None:
    heard: list[int] = []
    (first,) = import_candles(world.fleet, Tape(0, 1, 4), [RECORDING], lambda _, read: heard.append(read))
    (again,) = import_candles(world.fleet, Tape(0, 1, 4), [RECORDING])
    assert ((first.read, first.kept), (again.read, again.kept), heard) == ((3, 3), (3, 0), [2, 3])
    listed = [item for item in list_candles(world.fleet) if item.recording.venue == "binance"]
    assert [(item.recording.symbol, item.candles, item.first) for item in listed] == [("BTC/USDT", 3, START)]


def test_gaps_of_stored_candles_are_found(world: World) -> None:
    import_candles(world.fleet, Tape(0, 1, 4), [RECORDING])
    (found,) = [item for item in verify_candles(world.fleet) if item.recording.venue == "binance"]
    assert [(gap.first - START, gap.missing) for gap in found.gaps] == [(timedelta(minutes=10), 2)]


def test_gaps_and_late_listings_of_files_are_found_beside_the_files_of_their_folder(world: World) -> None:
    early, late, elsewhere = recording(BTC, name="a/BTC"), recording(ETH, name="a/ETH"), recording(ETH, name="b/ETH")
    whole = walk(1, 900)
    heard: list[Recording] = []
    tapes = Tapes({early: whole, late: whole.slice(600, 900), elsewhere: whole.slice(600, 900)})
    found = {item.recording: item for item in verify_recordings(tapes, tapes.recordings(), heard.append)}
    assert heard == [early, late, elsewhere]
    assert found[late].listed_late_by == FIVE.duration * 600
    assert (found[early].listed_late_by, found[elsewhere].listed_late_by) == (None, None)
    assert verify_recordings(tapes, [early]) == [found[early]]


def test_stored_candles_are_read_as_files_are(world: World) -> None:
    import_candles(world.fleet, Tape(0, 1, 4, 5, 6), [RECORDING])
    stored = StoredCandles(world.fleet, "binance")
    (kept,) = stored.recordings()
    minutes = [(opened - stored.columns(kept).opened_at[0]) // 60_000 for opened in stored.columns(kept).opened_at]
    window = stored.columns(kept, START + FIVE.duration * 2, START + FIVE.duration * 5)
    batches = [[candle.opened_at for candle in batch] for batch in stored.batches(kept, 2)]
    assert (kept.venue, kept.symbol, kept.timeframe) == ("binance", "BTC/USDT", FIVE)
    assert minutes == [0, 5, 20, 25, 30]
    assert len(window) == 1
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert batches[0] == [START, START + FIVE.duration]
    assert stored.instrument(kept) == traded_as("binance", "BTC/USDT", 2, 6)
    assert stored.funding(kept) is None


def test_all_venues_are_meant_where_none_is_named(world: World) -> None:
    import_candles(world.fleet, Tape(0, 1), [RECORDING])
    assert {item.venue for item in StoredCandles(world.fleet).recordings()} == {"binance", VENUE}


def test_candles_of_an_instrument_that_nobody_knows_cannot_be_traded(world: World) -> None:
    stored = StoredCandles(world.fleet)
    with pytest.raises(NotFound, match="DOGE/USDT at binance"):
        stored.instrument(recording("DOGE/USDT"))
