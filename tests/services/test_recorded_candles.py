"""Recorded candles in the shared history: imported once, listed, and their gaps told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from common.domain.market import Candle, Timeframe
from common.domain.recording import Recording, traded_as
from common.services.import_candles import import_candles
from common.services.list_candles import list_candles
from common.services.verify_candles import verify_candles
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
