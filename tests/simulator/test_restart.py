"""What survives kill -9: everything that was answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.simulator.candles import rows_of, write_candles
from tests.simulator.conftest import client_of
from tests.simulator_process import DidNotStart, start

BTC = "BTC/USDT:USDT"


def _trade(venue: Any) -> None:
    last = venue.fetch_ticker(BTC)["last"]
    venue.create_order(BTC, "market", "buy", 0.01, None, {"clientOrderId": "tw-a"})
    venue.create_order(BTC, "limit", "buy", 0.01, last * 0.7, {"clientOrderId": "tw-b"})
    venue.create_order(BTC, "market", "sell", 0.01, None, {"stopLossPrice": last * 0.7, "clientOrderId": "tw-c"})
    venue.set_leverage(7, BTC)


def test_a_killed_venue_goes_on_from_where_it_was(tmp_path: Path) -> None:
    process = start(state=tmp_path, symbols="BTCUSDT", speed=120)
    process.open_account("keeper")
    venue = client_of(process, "keeper")
    _trade(venue)
    key = venue.fapiPrivatePostListenKey()["listenKey"]
    before, candles = process.statement("keeper"), venue.fetch_ohlcv(BTC, "5m", limit=400)
    instant = process.clock()["server_time"]
    process.kill()
    again = start(state=tmp_path, symbols="BTCUSDT", speed=120)
    try:
        after = again.statement("keeper")
        venue = client_of(again, "keeper")
        assert [after[name] for name in ("orders", "algo_orders", "fills", "income")] == [
            before[name] for name in ("orders", "algo_orders", "fills", "income")
        ]
        assert after["balances"][0]["wallet"] == before["balances"][0]["wallet"]
        assert after["positions"][0]["qty"] == before["positions"][0]["qty"]
        assert abs(again.clock()["server_time"] - instant) < 120_000 * 5
        assert venue.fetch_ohlcv(BTC, "5m", since=candles[0][0], limit=300) == candles[:300]
        assert venue.fetch_leverages([BTC])[BTC]["longLeverage"] == 7
        assert venue.fapiPrivatePostListenKey()["listenKey"] == key
        venue.cancel_order(None, BTC, {"clientOrderId": "tw-b"})
    finally:
        again.stop()


def test_downtime_is_not_market_time(tmp_path: Path) -> None:
    first = start(state=tmp_path, symbols="BTCUSDT", speed=1000)
    instant = first.clock()["server_time"]
    assert first.stop() == 0
    again = start(state=tmp_path, symbols="BTCUSDT", speed=1)
    assert instant <= again.clock()["server_time"] < instant + 1000 * 3000
    assert again.stop() == 0


def test_another_market_than_the_kept_one_is_refused(tmp_path: Path) -> None:
    start(state=tmp_path / "state", symbols="BTCUSDT").stop()
    write_candles(tmp_path / "market", "BTC", rows_of(20_000, 50))
    with pytest.raises(DidNotStart, match="belongs to market"):
        start(state=tmp_path / "state", market=tmp_path / "market", extra=("--warmup-candles", "10"))


def test_killing_again_and_again_between_orders_loses_and_doubles_none(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for round_number in range(4):
        process = start(state=tmp_path, symbols="BTCUSDT", speed=600)
        process.open_account("keeper")
        venue = client_of(process, "keeper")
        for n in range(5):
            client_id = f"tw-{round_number}-{n}"
            venue.create_order(BTC, "market", "buy" if n % 2 else "sell", 0.01, None, {"clientOrderId": client_id})
            acknowledged.append(client_id)
        process.kill()
    process = start(state=tmp_path, symbols="BTCUSDT", speed=600)
    found = process.statement("keeper")
    process.stop()
    assert [o["clientOrderId"] for o in found["orders"]] == acknowledged
    assert len({f["tradeId"] for f in found["fills"]}) == len(found["fills"])
    assert {f["clientOrderId"] for f in found["fills"]} == set(acknowledged)
