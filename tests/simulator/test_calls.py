"""Every REST call that the platform makes, by the real ccxt client."""

from __future__ import annotations

import itertools
from typing import Any

import ccxt
import pytest

from tests.simulator.conftest import client_of
from tests.simulator_process import SimulatorProcess

BTC = "BTC/USDT:USDT"


def test_markets_load_with_grid_and_limits(venue: Any) -> None:
    market = venue.load_markets()[BTC]
    assert market["swap"]
    assert market["linear"]
    assert market["precision"] == {"amount": 0.001, "price": 0.1, "base": 1e-08, "quote": 1e-08}
    assert market["limits"]["cost"]["min"] == 100


def test_time_is_the_venues(venue: Any, world: SimulatorProcess) -> None:
    assert abs(venue.fetch_time() - world.clock()["server_time"]) < 2000 * 60


def test_candles_come_in_every_timeframe_and_end_at_now(venue: Any) -> None:
    five = venue.fetch_ohlcv(BTC, "5m", limit=500)
    hours = venue.fetch_ohlcv(BTC, "1h", limit=24)
    assert [b[0] - a[0] for a, b in itertools.pairwise(five)] == [300_000] * 499
    assert len(hours) == 24
    assert five[-1][0] <= venue.fetch_time() < five[-1][0] + 2 * 300_000


def test_an_hour_is_the_sum_of_its_minutes(venue: Any) -> None:
    hour = venue.fetch_ohlcv(BTC, "1h", limit=3)[0]
    minutes = venue.fetch_ohlcv(BTC, "1m", since=hour[0], limit=60)
    assert hour[1] == minutes[0][1]
    assert hour[2] == max(m[2] for m in minutes)
    assert hour[3] == min(m[3] for m in minutes)
    assert hour[4] == minutes[-1][4]
    assert hour[5] == pytest.approx(sum(m[5] for m in minutes))


def test_book_is_sorted_and_uncrossed(venue: Any) -> None:
    book = venue.fetch_order_book(BTC, limit=20)
    bids, asks = [b[0] for b in book["bids"]], [a[0] for a in book["asks"]]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert book["nonce"] > 0


def test_tickers_agree_with_one_another(venue: Any) -> None:
    ticker, best = venue.fetch_ticker(BTC), venue.fetch_bids_asks([BTC])[BTC]
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    assert best["bid"] < best["ask"]
    assert set(venue.fetch_tickers()) == {"BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"}
    assert venue.fetch_last_prices([BTC])[BTC]["price"] > 0


def test_funding_rate_and_its_history(venue: Any) -> None:
    rate = venue.fetch_funding_rate(BTC)
    assert abs(rate["fundingRate"]) <= 0.003
    assert rate["fundingTimestamp"] % (8 * 3_600_000) == 0
    history = venue.fetch_funding_rate_history(BTC, limit=5)
    assert [b["timestamp"] - a["timestamp"] for a, b in itertools.pairwise(history)] == [28_800_000] * 4


def test_trades_of_the_tape(venue: Any) -> None:
    trades = venue.fetch_trades(BTC, limit=50)
    assert len(trades) == 50
    assert {t["side"] for t in trades} == {"buy", "sell"}


def test_open_interest_is_a_number(venue: Any) -> None:
    assert venue.fetch_open_interest(BTC)["openInterestAmount"] > 0


def test_balance_is_the_deposit(venue: Any) -> None:
    assert venue.fetch_balance()["USDT"] == {"free": 10000.0, "used": 0.0, "total": 10000.0}
    assert venue.fetch_balance({"useV2": True})["USDT"]["total"] == 10000.0


def test_positions_are_empty_at_first_and_shown_by_both_versions(venue: Any) -> None:
    assert venue.fetch_positions() == []
    venue.create_order(BTC, "market", "buy", 0.01)
    (position,) = venue.fetch_positions([BTC])
    assert (position["side"], position["contracts"]) == ("long", 0.01)
    (old,) = [p for p in venue.fetch_positions([BTC], {"useV2": True}) if p["contracts"]]
    assert old["leverage"] == 20.0
    assert position["liquidationPrice"] is None


def test_leverage_margin_mode_and_position_mode(venue: Any) -> None:
    assert venue.set_leverage(5, BTC)["leverage"] == 5
    with pytest.raises(ccxt.MarginModeAlreadySet):
        venue.set_margin_mode("cross", BTC)
    with pytest.raises(ccxt.ExchangeError, match="-4168"):
        venue.set_margin_mode("isolated", BTC)
    assert venue.fetch_position_mode(BTC)["hedged"] is False
    assert venue.fetch_leverage_tiers([BTC])[BTC][0]["maxLeverage"] == 125
    assert venue.fetch_leverages([BTC])[BTC]["longLeverage"] == 5


def test_fees_are_two_and_five_basis_points(venue: Any) -> None:
    fee = venue.fetch_trading_fee(BTC)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)


def test_key_permissions_tell_that_nothing_can_be_withdrawn(venue: Any) -> None:
    rights = venue.sapiGetAccountApiRestrictions()
    assert rights["enableFutures"] is True
    assert rights["enableWithdrawals"] is False
    assert rights["permitsUniversalTransfer"] is False


def test_ledger_of_incomes(venue: Any) -> None:
    venue.create_order(BTC, "market", "buy", 0.01)
    kinds = [entry["type"] for entry in venue.fetch_ledger("USDT")]
    assert kinds == ["transfer", "commission"]
    assert venue.fetch_funding_history(BTC) == []


def test_a_client_without_a_key_reads_markets(world: SimulatorProcess) -> None:
    public = client_of(world, "")
    assert BTC in public.load_markets()


def test_weights_are_told(venue: Any) -> None:
    venue.fetch_ohlcv(BTC, "5m", limit=1000)
    before = int(venue.last_response_headers["X-Mbx-Used-Weight-1m"])
    venue.fetch_ohlcv(BTC, "5m", limit=1000)
    after = int(venue.last_response_headers["X-Mbx-Used-Weight-1m"])
    assert after in (before + 5, 5)
