"""An order's life by the real ccxt client: resting, filling, cancelled, amended, triggered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.simulator.conftest import eventually
from tests.simulator_process import SimulatorProcess

BTC = "BTC/USDT:USDT"
SOL = "SOL/USDT:USDT"


def test_a_limit_order_rests_is_found_by_its_client_id_and_is_cancelled(venue: Any) -> None:
    price = venue.fetch_ticker(BTC)["last"] * 0.8
    order = venue.create_order(BTC, "limit", "buy", 0.01, price, {"clientOrderId": "tw-rest-1"})
    assert (order["status"], order["filled"], order["clientOrderId"]) == ("open", 0, "tw-rest-1")
    assert venue.fetch_order(None, BTC, {"clientOrderId": "tw-rest-1"})["id"] == order["id"]
    assert [o["id"] for o in venue.fetch_open_orders(BTC)] == [order["id"]]
    assert venue.fetch_balance()["USDT"]["used"] == pytest.approx(0.01 * order["price"] / 20)
    assert venue.cancel_order(None, BTC, {"clientOrderId": "tw-rest-1"})["status"] == "canceled"
    assert venue.fetch_open_orders(BTC) == []
    assert venue.fetch_orders(BTC)[0]["status"] == "canceled"


def test_a_market_order_fills_from_the_book_and_pays_the_taker_fee(venue: Any) -> None:
    ask = venue.fetch_order_book(BTC)["asks"][0][0]
    order = venue.create_order(BTC, "market", "buy", 0.01)
    assert (order["status"], order["filled"]) == ("closed", 0.01)
    assert order["average"] == pytest.approx(ask, rel=0.01)
    (trade,) = venue.fetch_my_trades(BTC)
    assert trade["takerOrMaker"] == "taker"
    assert trade["fee"]["cost"] == pytest.approx(trade["cost"] * 0.0005, abs=1e-8)
    assert trade["order"] == order["id"]


def test_a_large_market_order_walks_the_book(venue: Any, world: SimulatorProcess, api_key: str) -> None:
    world.open_account(f"{api_key}-rich", balance="100000000")
    venue.apiKey = f"{api_key}-rich"
    asks = eventually(lambda: venue.fetch_order_book(SOL)["asks"])
    size = sum(a[1] for a in asks[:3])
    order = venue.create_order(SOL, "market", "buy", size)
    prices = {t["price"] for t in venue.fetch_my_trades(SOL)}
    assert order["status"] == "closed"
    assert len(prices) > 1


def test_what_the_book_cannot_give_expires(venue: Any, world: SimulatorProcess, api_key: str) -> None:
    world.open_account(f"{api_key}-rich", balance="1000000000")
    venue.apiKey = f"{api_key}-rich"
    book = venue.fetch_order_book(SOL)
    size = sum(a[1] for a in book["asks"]) * 1.5
    venue.set_leverage(2, SOL)
    order = venue.create_order(SOL, "market", "buy", size)
    assert order["status"] == "expired"
    assert 0 < order["filled"] < size


def test_a_crossing_limit_order_takes_what_there_is_and_rests_with_the_rest(
    venue: Any, world: SimulatorProcess, api_key: str
) -> None:
    world.open_account(f"{api_key}-rich", balance="100000000")
    venue.apiKey = f"{api_key}-rich"
    price, offered = eventually(lambda: venue.fetch_order_book(SOL)["asks"])[0][:2]
    wanted = float(venue.amount_to_precision(SOL, min(offered * 40, 1_000_000 / price)))
    order = venue.create_order(SOL, "limit", "buy", wanted, price)
    assert order["status"] in ("open", "closed")
    done = eventually(lambda: _closed(venue, order["id"], SOL), 60)
    trades = venue.fetch_my_trades(SOL)
    assert done["filled"] == pytest.approx(wanted)
    assert len(trades) > 1


def _closed(venue: Any, order_id: str, symbol: str) -> Any:
    order = venue.fetch_order(order_id, symbol)
    return order if order["status"] == "closed" else None


def test_a_resting_order_fills_as_maker_at_its_own_price(venue: Any) -> None:
    book = venue.fetch_order_book(BTC)
    price = book["bids"][5][0]
    order = venue.create_order(BTC, "limit", "buy", 0.01, price)
    eventually(lambda: _closed(venue, order["id"], BTC), 60)
    (trade,) = venue.fetch_my_trades(BTC)
    assert trade["takerOrMaker"] in ("maker", "taker")
    assert trade["price"] <= order["price"]


def test_cancelling_all_leaves_none(venue: Any) -> None:
    price = venue.fetch_ticker(BTC)["last"]
    for part in (0.8, 0.7, 0.6):
        venue.create_order(BTC, "limit", "buy", 0.01, price * part)
    venue.cancel_all_orders(BTC)
    assert venue.fetch_open_orders(BTC) == []
    assert {o["status"] for o in venue.fetch_orders(BTC)} == {"canceled"}


def test_an_amended_order_keeps_its_identity(venue: Any) -> None:
    price = venue.fetch_ticker(BTC)["last"] * 0.8
    order = venue.create_order(BTC, "limit", "buy", 0.01, price)
    amended = venue.edit_order(order["id"], BTC, "limit", "buy", 0.02, price * 0.95)
    assert (amended["id"], amended["amount"]) == (order["id"], 0.02)
    assert amended["price"] < order["price"]


def test_immediate_or_cancel_leaves_nothing_behind(venue: Any) -> None:
    price = venue.fetch_ticker(BTC)["last"] * 0.9
    order = venue.create_order(BTC, "limit", "buy", 0.01, price, {"timeInForce": "IOC"})
    assert (order["status"], order["filled"]) == ("expired", 0)


def test_a_stop_waits_as_a_conditional_order_and_closes_the_position_when_its_price_comes(venue: Any) -> None:
    venue.create_order(BTC, "market", "buy", 0.01)
    last = venue.fetch_ticker(BTC)["last"]
    stop = venue.create_order(
        BTC, "market", "sell", 0.01, None,
        {"stopLossPrice": last * 0.9995, "reduceOnly": True, "clientOrderId": "tw-stop-1"},
    )  # fmt: skip
    target = venue.create_order(
        BTC, "market", "sell", 0.01, None, {"takeProfitPrice": last * 1.0005, "reduceOnly": True}
    )
    assert stop["status"] == "open"
    assert venue.fetch_order(None, BTC, {"clientOrderId": "tw-stop-1", "trigger": True})["id"] == stop["id"]
    eventually(lambda: venue.fetch_positions([BTC]) == [], 90)
    left = {o["id"] for o in venue.fetch_open_orders(BTC, params={"trigger": True})}
    fired = ({stop["id"], target["id"]} - left).pop()
    done = venue.fetch_order(fired, BTC, {"trigger": True})
    actual = venue.fetch_order(done["info"]["actualOrderId"], BTC)
    assert done["status"] == "closed"
    assert (actual["status"], actual["filled"], actual["reduceOnly"]) == ("closed", 0.01, True)
    assert actual["clientOrderId"] == done["clientOrderId"]


def test_a_conditional_order_is_cancelled_by_its_client_id(venue: Any) -> None:
    last = venue.fetch_ticker(BTC)["last"]
    params = {"triggerPrice": last * 0.8, "closePosition": True, "clientOrderId": "tw-stop-2"}
    venue.create_order(BTC, "STOP_MARKET", "sell", None, None, params)
    venue.cancel_order(None, BTC, {"clientOrderId": "tw-stop-2", "trigger": True})
    assert venue.fetch_open_orders(BTC, params={"trigger": True}) == []
    assert venue.fetch_orders(BTC, params={"trigger": True})[0]["status"] == "canceled"


def test_all_conditional_orders_go_at_once(venue: Any) -> None:
    last = venue.fetch_ticker(BTC)["last"]
    for part in (0.8, 0.7):
        venue.create_order(BTC, "market", "sell", 0.01, None, {"stopLossPrice": last * part, "reduceOnly": True})
    venue.cancel_all_orders(BTC, {"trigger": True})
    assert venue.fetch_open_orders(BTC, params={"trigger": True}) == []


def test_a_client_id_is_accepted_again_once_its_order_has_filled(venue: Any) -> None:
    for _ in range(2):
        venue.create_order(BTC, "market", "buy", 0.01, None, {"clientOrderId": "tw-twice"})
    (position,) = venue.fetch_positions([BTC])
    assert position["contracts"] == 0.02


def test_the_statement_tells_the_whole_account_and_its_sums_agree(
    venue: Any, world: SimulatorProcess, api_key: str
) -> None:
    venue.create_order(BTC, "market", "buy", 0.02, None, {"clientOrderId": "tw-in"})
    venue.create_order(BTC, "market", "sell", 0.03, None, {"clientOrderId": "tw-out"})
    found = world.statement(api_key)
    wallet = sum(Decimal(i["income"]) for i in found["income"])
    fees = sum(Decimal(f["fee"]) for f in found["fills"])
    realized = sum(Decimal(f["realizedPnl"]) for f in found["fills"])
    net = sum(Decimal(f["qty"]) * (1 if f["side"] == "BUY" else -1) for f in found["fills"])
    assert Decimal(found["balances"][0]["wallet"]) == wallet == Decimal(10_000) - fees + realized
    assert [Decimal(p["qty"]) for p in found["positions"]] == [net] == [Decimal("-0.01")]
    assert [o["clientOrderId"] for o in found["orders"]] == ["tw-in", "tw-out"]


def test_a_reduce_only_order_closes_no_more_than_the_position(venue: Any) -> None:
    venue.create_order(BTC, "market", "buy", 0.01)
    order = venue.create_order(BTC, "market", "sell", 0.05, None, {"reduceOnly": True})
    assert order["filled"] == 0.01
    assert venue.fetch_positions([BTC]) == []


def test_resting_reductions_expire_when_the_position_is_gone(venue: Any) -> None:
    venue.create_order(BTC, "market", "buy", 0.01)
    high = venue.fetch_ticker(BTC)["last"] * 1.05
    resting = venue.create_order(BTC, "limit", "sell", 0.01, high, {"reduceOnly": True})
    venue.create_order(BTC, "market", "sell", 0.01)
    assert venue.fetch_order(resting["id"], BTC)["status"] == "expired"
