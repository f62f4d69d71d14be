"""A listing that halts, closes down, is settled and goes: what the venue then accepts, closes and tells."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from simulator.delisting import deleverage, set_status
from simulator.desk import place_algo, place_order
from simulator.errors import VenueError
from tests.simulator.conftest import client_of
from tests.simulator.worlds import Stage
from tests.simulator_process import SimulatorProcess

KEY = "key-1"
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
BACK = MARKET | {"side": "SELL", "reduceOnly": "true"}


@pytest.fixture
def stage(still_market: Path) -> Stage:
    """A venue where an account holds a tenth of a bitcoin with a stop under it."""
    stage = Stage(still_market)
    stage.account(KEY, "10000")
    place_order(stage.venue, KEY, MARKET, stage.now_ms)
    place_algo(
        stage.venue, KEY,
        {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.1", "triggerPrice": "15000",
         "reduceOnly": "true"}, stage.now_ms,
    )  # fmt: skip
    return stage


def turn(stage: Stage, status: str) -> None:
    """Bring the listing into a state."""
    set_status(stage.venue, "BTCUSDT", status, stage.now_ms)


@pytest.mark.parametrize(
    ("status", "entry", "exit_"),
    [("TRADING", True, True), ("BREAK", False, False), ("PRE_SETTLE", False, True), ("SETTLING", False, False)],
)
def test_a_state_says_what_is_accepted(stage: Stage, status: str, entry: bool, exit_: bool) -> None:
    turn(stage, status)

    def answered(order: dict[str, str]) -> int:
        try:
            place_order(stage.venue, KEY, order, stage.now_ms)
        except VenueError as refusal:
            return refusal.code
        return 0

    assert [answered(BACK), answered(MARKET)] == [0 if is_fine else -4108 for is_fine in (exit_, entry)]


def test_a_settlement_cancels_what_rests_and_closes_what_is_held_at_the_last_price(stage: Stage) -> None:
    turn(stage, "SETTLING")
    fill = stage.venue.fills[KEY][-1]
    assert fill.client_id.startswith("settlement_autoclose-")
    assert (fill.qty, fill.price) == (Decimal("0.1"), stage.venue.last_price("BTCUSDT", stage.now_ms))
    assert stage.position_by_fills(KEY, "BTCUSDT") == 0
    assert {algo.status for algo in stage.venue.algos.values()} == {"CANCELED"}
    assert stage.venue.accounts[KEY].wallet == stage.wallet_by_income(KEY)
    turn(stage, "CLOSE")
    assert len(stage.venue.fills[KEY]) == 2


def test_nothing_is_matched_while_a_listing_is_halted(stage: Stage) -> None:
    bid = stage.venue.last_price("BTCUSDT", stage.now_ms) * 2
    turn(stage, "BREAK")
    algo = next(iter(stage.venue.algos.values()))
    algo.trigger = bid
    stage.venue.interest_version += 1
    stage.pass_time(1200)
    assert algo.status == "NEW"
    turn(stage, "TRADING")
    stage.pass_time(1200)
    assert algo.status != "NEW"


def test_a_state_survives_in_the_venues_memory(stage: Stage) -> None:
    turn(stage, "BREAK")
    assert stage.venue.store.fact("statuses") == '{"BTCUSDT": "BREAK"}'


@pytest.mark.parametrize(("symbol", "status"), [("FOOUSDT", "BREAK"), ("BTCUSDT", "SLEEPING")])
def test_what_is_not_known_is_refused_with_what_is(stage: Stage, symbol: str, status: str) -> None:
    with pytest.raises(VenueError, match="known are"):
        set_status(stage.venue, symbol, status, stage.now_ms)


@pytest.fixture
def listing(world: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The world for a test that changes a listing; it trades again afterwards."""
    yield world
    world.call("POST", "/simulator/instruments", {"symbol": "SOLUSDT", "status": "TRADING"})


def test_the_listing_tells_its_state_and_a_closed_one_is_gone(
    listing: SimulatorProcess, venue: Any, api_key: str
) -> None:
    assert listing.call("POST", "/simulator/instruments", {"symbol": "SOLUSDT", "status": "BREAK"})["status"] == "BREAK"
    assert venue.load_markets(True)["SOL/USDT:USDT"]["active"] is False
    with pytest.raises(ccxt.ExchangeError, match="-4108"):
        client_of(listing, api_key).create_order("SOL/USDT:USDT", "market", "buy", 1)
    listing.call("POST", "/simulator/instruments", {"symbol": "SOLUSDT", "status": "CLOSE"})
    assert "SOL/USDT:USDT" not in venue.load_markets(True)
    assert "SOL/USDT:USDT" not in venue.fetch_tickers()
    told = listing.call("GET", "/simulator/instruments")
    assert told["instruments"]["SOLUSDT"] == "CLOSE"
    assert set(told["statuses"]) == {"TRADING", "BREAK", "PRE_SETTLE", "SETTLING", "CLOSE"}


def test_a_malformed_wish_is_refused(listing: SimulatorProcess) -> None:
    assert listing.call("POST", "/simulator/instruments", {"symbol": "SOLUSDT"})["code"] == -1130


def test_a_deleveraging_closes_what_is_held_and_leaves_its_stop_where_it_rests(stage: Stage) -> None:
    last = stage.venue.last_price("BTCUSDT", stage.now_ms)
    deleverage(stage.venue, stage.venue.accounts[KEY], "BTCUSDT", stage.now_ms)
    fill = stage.venue.fills[KEY][-1]
    assert fill.client_id.startswith("adl_autoclose")
    assert (fill.side, fill.qty, fill.price) == ("SELL", Decimal("0.1"), last)
    assert list(stage.venue.accounts[KEY].held()) == []
    assert [algo.status for algo in stage.venue.open_algos["BTCUSDT"].values()] == ["NEW"]


def test_nothing_is_deleveraged_where_nothing_is_held(stage: Stage) -> None:
    with pytest.raises(VenueError) as caught:
        deleverage(stage.venue, stage.venue.accounts[KEY], "ETHUSDT", stage.now_ms)
    assert caught.value.code == -2022


def test_the_worlds_own_route_deleverages_an_account(world: SimulatorProcess, api_key: str) -> None:
    def ask(key: str, symbol: str) -> Any:
        return world.call("POST", f"/simulator/accounts/{key}/deleverage", {"symbol": symbol}).get("code")

    client_of(world, api_key).create_order("BTC/USDT:USDT", "market", "buy", 0.01)
    assert [ask("nobody", "BTCUSDT"), ask(api_key, "FOOUSDT"), ask(api_key, "ETHUSDT")] == [-2015, -1121, -2022]
    assert ask(api_key, "BTCUSDT") is None
    assert world.statement(api_key)["positions"] == []


def test_the_worlds_own_route_liquidates_all_that_an_account_holds(world: SimulatorProcess, api_key: str) -> None:
    client = client_of(world, api_key)
    for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT"):
        client.create_order(symbol, "market", "buy", 0.1)
    resting = client.create_order("BTC/USDT:USDT", "limit", "buy", 0.1, 2000)

    def ask(key: str) -> Any:
        return world.call("POST", f"/simulator/accounts/{key}/liquidate")

    assert ask("nobody")["code"] == -2015
    assert ask(api_key)["closed"] == ["BTCUSDT", "ETHUSDT"]
    told = world.statement(api_key)
    assert told["positions"] == []
    assert [o["status"] for o in told["orders"] if o["orderId"] == int(resting["id"])] == ["CANCELED"]
    assert sorted(i["symbol"] for i in told["income"] if i["incomeType"] == "INSURANCE_CLEAR") == ["BTCUSDT", "ETHUSDT"]
    assert ask(api_key)["closed"] == []


def test_prices_keep_the_step_of_the_day(stage: Stage) -> None:
    limit = MARKET | {"type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}

    def answered(price: str) -> int:
        try:
            place_order(stage.venue, KEY, limit | {"price": price}, stage.now_ms)
        except VenueError as refusal:
            return refusal.code
        return 0

    finest = stage.venue.rules["BTCUSDT"].tick
    fine, coarse = Decimal(15000) + finest, finest.scaleb(1)
    stage.venue.set_tick("BTCUSDT", coarse)
    assert [answered(str(fine)), answered(str(fine + finest / 10)), answered("15000")] == [-4014, -1111, 0]
    described = stage.venue.rules["BTCUSDT"].describe("TRADING")["filters"][0]
    assert (described["filterType"], Decimal(described["tickSize"])) == ("PRICE_FILTER", coarse)
    stage.venue.restore_ticks()
    assert answered(str(fine)) == 0


def test_a_step_off_the_markets_grid_is_refused_with_those_there_are(world: SimulatorProcess) -> None:
    def ask(symbol: str, tick: str) -> Any:
        return world.call("POST", f"/simulator/instruments/{symbol}/tick", {"tick": tick})

    assert [ask("FOOUSDT", "0.1")["code"], ask("BTCUSDT", "nothing")["code"]] == [-1121, -1130]
    refused = ask("BTCUSDT", "0.03")
    assert refused["code"] == -1130
    assert "tick 0.03 of BTCUSDT is not accepted; accepted are" in refused["msg"]
    assert ask("BTCUSDT", "1") == {"symbol": "BTCUSDT", "tick": "1"}
    world.call("DELETE", "/simulator/faults")
