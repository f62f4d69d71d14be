"""Recorded candles: what is read from files is what was written, to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.adapters.recorded import RecordedFolder
from common.adapters.recorded.names import parse
from common.domain.errors import InvalidInput
from common.domain.market import Timeframe

PRICES = ["0.1", "19695.87", "9007199254740993.07", "3.3"]
START = datetime(2021, 1, 1, tzinfo=UTC)


def written(folder: Path, name: str, prices: list[str] = PRICES, minutes: list[int] | None = None) -> Path:
    """A file of candles whose four prices are equal; 5-minute steps unless `minutes` says otherwise."""
    values = pa.array([Decimal(price) for price in prices], pa.decimal128(38, 2))
    volume = pa.array([Decimal("1.5")] * len(prices), pa.decimal128(18, 6))
    at = minutes or [5 * number for number in range(len(prices))]
    dates = pa.array([int(START.timestamp() * 1000) + 60_000 * minute for minute in at], pa.timestamp("ms", tz="UTC"))
    columns = {"date": dates, **dict.fromkeys(("open", "high", "low", "close"), values), "volume": volume}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def test_floats_are_the_nearest_of_the_decimals_however_large(tmp_path: Path) -> None:
    written(tmp_path, "BTC_USDT-5m.parquet")
    folder = RecordedFolder(tmp_path)
    columns = folder.columns(folder.recordings()[0])
    assert columns.close.tolist() == [float(price) for price in PRICES]
    assert columns.timeframe == Timeframe(300)


def test_a_window_begins_at_its_first_candle_and_ends_before_its_last(tmp_path: Path) -> None:
    written(tmp_path, "BTC_USDT-5m.parquet")
    folder = RecordedFolder(tmp_path)
    part = folder.columns(folder.recordings()[0], START.replace(minute=5), datetime(2021, 1, 1, 0, 15, tzinfo=UTC))
    assert part.close.tolist() == [19695.87, 9007199254740993.07]


def test_candles_come_as_exact_decimals_in_batches(tmp_path: Path) -> None:
    written(tmp_path, "BTC_USDT-5m.parquet")
    folder = RecordedFolder(tmp_path)
    batches = list(folder.batches(folder.recordings()[0], 3))
    assert [len(batch) for batch in batches] == [3, 1]
    assert [candle.close for batch in batches for candle in batch] == [
        Decimal("0.10"), Decimal("19695.87"), Decimal("9007199254740993.07"), Decimal("3.30"),
    ]  # fmt: skip


def test_ticks_and_steps_are_the_digits_of_the_file(tmp_path: Path) -> None:
    written(tmp_path / "binance-spot-5m", "BTC_USDT-5m.parquet")
    folder = RecordedFolder(tmp_path)
    instrument = folder.instrument(folder.recordings()[0])
    assert (instrument.venue, instrument.symbol) == ("binance", "BTC/USDT")
    assert (instrument.tick_size, instrument.step_size) == (Decimal("0.01"), Decimal("0.000001"))


def test_text_files_hold_the_same_candles(tmp_path: Path) -> None:
    lines = [
        "timestamp,open,high,low,close,volume",
        "1609459200000,1.10,1.25,1.0,1.2,5",
        "1609459500000,1.2,1.3,1.1,1.3,0.5",
    ]
    (tmp_path / "ETH_USDT-5m.csv").write_text("\n".join(lines) + "\n")
    folder = RecordedFolder(tmp_path)
    (recording,) = folder.recordings()
    columns = folder.columns(recording)
    assert columns.opened_at.tolist() == [1609459200000, 1609459500000]
    assert columns.high.tolist() == [1.25, 1.3]
    assert folder.instrument(recording).tick_size == Decimal("0.01")


def test_times_in_text_files_may_be_written_out(tmp_path: Path) -> None:
    lines = ["date,open,high,low,close,volume", "2021-01-01 00:00:00+00:00,1,1,1,1,1", "2021-01-01T00:05:00Z,1,1,1,1,1"]
    (tmp_path / "ETH_USDT-5m.csv").write_text("\n".join(lines) + "\n")
    folder = RecordedFolder(tmp_path)
    opened = folder.columns(folder.recordings()[0]).opened_at
    assert opened.tolist() == [1609459200000, 1609459500000]


def test_funding_rates_beside_a_perpetual_are_found(tmp_path: Path) -> None:
    written(tmp_path, "XRP_USDT_USDT-1h-futures.parquet")
    written(tmp_path, "XRP_USDT_USDT-8h-funding_rate.parquet", ["0.01", "-0.02"], [0, 480])
    folder = RecordedFolder(tmp_path)
    (recording,) = folder.recordings()
    rates = folder.funding(recording)
    assert recording.symbol == "XRP/USDT:USDT"
    assert rates is not None
    assert np.array_equal(rates.rates, [0.01, -0.02])


@pytest.mark.parametrize(
    ("name", "symbol", "timeframe"),
    [
        ("BTC_USDT-5m.parquet", "BTC/USDT", "5m"),
        ("XRP_USDT_USDT-1h-futures.parquet", "XRP/USDT:USDT", "1h"),
        ("KRAKEN_XBTUSDT-1m.parquet", "BTC/USDT", "1m"),
        ("ETH_BTC-4h.csv", "ETH/BTC", "4h"),
    ],
)
def test_the_name_of_a_file_says_what_it_holds(name: str, symbol: str, timeframe: str) -> None:
    named = parse(Path(name))
    assert named is not None
    assert (named.symbol, str(named.timeframe)) == (symbol, timeframe)


@pytest.mark.parametrize(
    "name", ["catalog.csv", "XRP_ETH-trades.parquet", "BINANCE_BTCUSDT-quotes.parquet", "x.parquet"]
)
def test_other_files_are_left_alone(name: str) -> None:
    assert parse(Path(name)) is None


def test_the_catalogue_says_how_many_candles_to_expect(tmp_path: Path) -> None:
    written(tmp_path / "some", "BTC_USDT-5m.parquet")
    (tmp_path / "catalog.csv").write_text("file,rows\nsome/BTC_USDT-5m.parquet,5\n")
    assert [item.expected for item in RecordedFolder(tmp_path).recordings()] == [5]


@pytest.mark.parametrize("minutes", [[0, 10, 5, 15], [0, 5, 5, 10]])
def test_candles_out_of_order_are_refused(tmp_path: Path, minutes: list[int]) -> None:
    written(tmp_path, "BTC_USDT-5m.parquet", minutes=minutes)
    folder = RecordedFolder(tmp_path)
    with pytest.raises(InvalidInput, match="ascending order"):
        folder.columns(folder.recordings()[0])


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "BTC_USDT-5m.parquet").write_bytes(b"no candles")
    folder = RecordedFolder(tmp_path)
    with pytest.raises(InvalidInput, match=r"BTC_USDT-5m\.parquet"):
        folder.columns(folder.recordings()[0])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="data"):
        RecordedFolder(tmp_path / "nowhere")
