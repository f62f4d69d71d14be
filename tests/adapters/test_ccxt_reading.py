"""What is read from a venue through ccxt: complete, exact, and never the answer to another question."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import ccxt
import pytest

from common.adapters.ccxt_venue import CAPABILITIES, CcxtVenue, Connection, capability, parsing
from common.adapters.ccxt_venue.client import Guarded, connect, rebase
from common.adapters.ccxt_venue.redaction import redact
from common.domain.errors import InvalidInput, NotFound, Permanent, Refused, Transient
from common.domain.market import InstrumentStatus, Timeframe
from common.domain.order import OrderSide, OrderStatus
from common.domain.postings import EntryKind
from common.ports.venue import Credentials
from tests.adapters.binance_script import (
    KEY,
    SECRET,
    SYMBOL,
    intent,
    link,
    market,
    market_data,
    order,
    stop_intent,
    takes_orders,
    venue,
)
from tests.adapters.scripted_server import Answer, Reply, Request, ScriptedServer
from tests.clocks import NOON, ManualClock

FIVE = Timeframe.parse("5m")
NOON_MS = int(NOON.timestamp() * 1000)


@pytest.fixture(autouse=True)
def _venue_is_up(server: ScriptedServer) -> None:
    takes_orders(server)


def test_instruments_carry_grid_filters_fees_and_status(server: ScriptedServer, clock: ManualClock) -> None:
    symbols = [market(), market("ETHUSDT", "ETH", "SETTLING"), market("NEWUSDT", "NEW", "PENDING_TRADING")]
    server.on("GET", "/fapi/v1/exchangeInfo", Answer(200, {"symbols": symbols, "assets": [], "rateLimits": []}))
    btc, eth, new = market_data(server, clock).instruments()
    assert (btc.symbol, btc.venue, btc.base, btc.quote, btc.settle) == (SYMBOL, "testnet", "BTC", "USDT", "USDT")
    assert (btc.tick_size, btc.step_size, btc.min_notional) == (Decimal("0.10"), Decimal("0.001"), Decimal(100))
    assert (btc.min_quantity, btc.max_quantity) == (Decimal("0.001"), Decimal(120))
    assert (btc.maker_fee, btc.taker_fee) == (Decimal("0.0002"), Decimal("0.0005"))
    assert [item.status for item in (btc, eth, new)] == [
        InstrumentStatus.TRADING, InstrumentStatus.DELISTED, InstrumentStatus.HALTED,
    ]  # fmt: skip


def kline(opened: datetime, price: str = "60000.10", **changes: Any) -> list[Any]:
    start = int(opened.timestamp() * 1000)
    return [start, price, price, price, changes.get("close", price), "1.5", start + 299_999, "0", 1, "0", "0", "0"]


def test_candles_are_exact_closed_and_oldest_first(server: ScriptedServer, clock: ManualClock) -> None:
    rows = [kline(NOON - timedelta(minutes=minutes), "60000.123456789") for minutes in (10, 5)] + [kline(NOON)]
    server.on("GET", "/fapi/v1/klines", Answer(200, rows))
    candles = market_data(server, clock).candles(SYMBOL, FIVE, NOON - timedelta(minutes=10), 10)
    assert [candle.opened_at for candle in candles] == [NOON - timedelta(minutes=10), NOON - timedelta(minutes=5)]
    assert candles[0].close == Decimal("60000.123456789")
    assert candles[-1].closed_at == NOON


@pytest.mark.parametrize("close", ["70000", "NaN", "-1", "many", None])
def test_a_candle_that_cannot_be_true_is_left_out_and_hides_no_other(
    server: ScriptedServer, clock: ManualClock, close: str | None
) -> None:
    start = NOON - timedelta(minutes=10)
    server.on("GET", "/fapi/v1/klines", Answer(200, [kline(start, close=close), kline(start + timedelta(minutes=5))]))
    (candle,) = market_data(server, clock).candles(SYMBOL, FIVE, start, 2)
    assert candle.opened_at == start + timedelta(minutes=5)


def test_no_candles_at_all_is_no_question(server: ScriptedServer, clock: ManualClock) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        market_data(server, clock).candles(SYMBOL, FIVE, NOON, 0)


@pytest.mark.parametrize("status", [418, 429])
def test_a_venue_that_wants_fewer_requests_gets_none_until_it_says_so(
    server: ScriptedServer, clock: ManualClock, status: int
) -> None:
    account = venue(server, clock)
    account.find(intent())
    server.on("GET", "/fapi/v1/order", Answer(status, {"code": -1003, "msg": "Too many requests."}))
    with pytest.raises(Transient):
        account.find(intent())
    takes_orders(server)
    with pytest.raises(Transient, match="wants no requests"):
        account.find(intent())
    with pytest.raises(Refused, match="NOT_SENT"):
        account.place(intent(), NOON)
    assert len(server.asked("GET", "/fapi/v1/order")) == 2
    assert server.asked("POST", "/fapi/v1/order") == []


def test_an_unknown_symbol_names_those_that_are_like_it(server: ScriptedServer, clock: ManualClock) -> None:
    with pytest.raises(NotFound, match="BTC/USDT:USDT"):
        market_data(server, clock).candles("BTC/USDT", FIVE, NOON, 1)


def test_a_book_is_sorted_as_numbers_and_cut_to_its_depth(server: ScriptedServer, clock: ManualClock) -> None:
    book = {"lastUpdateId": 1, "E": NOON_MS, "T": NOON_MS, "bids": [["999.9", "1"], ["1000.1", "2"], ["998", "3"]],
            "asks": [["1000.3", "1"], ["1000.2", "2"], ["10000", "3"]]}  # fmt: skip
    server.on("GET", "/fapi/v1/depth", Answer(200, book))
    found = market_data(server, clock).book(SYMBOL, 2)
    assert [level.price for level in found.bids] == [Decimal("1000.1"), Decimal("999.9")]
    assert [level.price for level in found.asks] == [Decimal("1000.2"), Decimal("1000.3")]
    assert server.asked("GET", "/fapi/v1/depth")[0].query["limit"] == "5"


def test_the_venues_clock_is_compared_with_ours(server: ScriptedServer, clock: ManualClock) -> None:
    server.on("GET", "/fapi/v1/time", Answer(200, {"serverTime": NOON_MS + 700}))
    assert venue(server, clock).clock_offset() == timedelta(milliseconds=700)
    server.on("GET", "/fapi/v1/time", Answer(200, {"serverTime": NOON_MS - 1500}))
    with pytest.raises(Transient, match="off the venue"):
        venue(server, clock).clock_offset()


def trade(number: int, when: datetime, order_id: int = 5) -> dict[str, Any]:
    return {
        "id": number, "orderId": order_id, "symbol": "BTCUSDT", "side": "BUY", "price": "60000.10", "qty": "0.001",
        "quoteQty": "60", "commission": "0.030000051", "commissionAsset": "USDT", "maker": False, "buyer": True,
        "positionSide": "BOTH", "realizedPnl": "0", "time": int(when.timestamp() * 1000),
    }  # fmt: skip


def test_fills_are_read_to_the_last_page_across_weeks_without_trades(
    server: ScriptedServer, clock: ManualClock
) -> None:
    since = NOON - timedelta(days=20)
    trades = [trade(number, NOON - timedelta(hours=3) + timedelta(seconds=number)) for number in range(1, 2301)]

    def page(request: Request) -> Answer:
        said = request.query
        if "fromId" in said:
            return Answer(200, [item for item in trades if item["id"] >= int(said["fromId"])][:1000])
        start, end = int(said["startTime"]), int(said["endTime"])
        assert end - start <= 7 * 86_400_000 + 1
        return Answer(200, [item for item in trades if start <= item["time"] <= end][:1000])

    server.on("GET", "/fapi/v1/userTrades", page)
    fills = venue(server, clock).fills(SYMBOL, since)
    assert [fill.trade_id for fill in fills] == [str(number) for number in range(1, 2301)]
    assert fills[0].fee == Decimal("0.030000051")


def test_fills_name_our_order_which_is_asked_for_once(server: ScriptedServer, clock: ManualClock) -> None:
    server.on(
        "GET", "/fapi/v1/userTrades", lambda request: Answer(200, [] if "fromId" in request.query else [trade(1, NOON)])
    )
    server.on("GET", "/fapi/v1/order", lambda request: Answer(200, order(request, clientOrderId="twemine", orderId=5)))
    account = venue(server, clock)
    assert [account.fills(SYMBOL, NOON - timedelta(hours=1))[0].client_order_id for _ in range(2)] == ["twemine"] * 2
    assert len(server.asked("GET", "/fapi/v1/order")) == 1


def income(number: int, kind: str, amount: str, at_ms: int, symbol: str = "BTCUSDT", trade: str = "") -> dict[str, Any]:
    return {
        "symbol": symbol, "incomeType": kind, "income": amount, "asset": "USDT", "info": "", "time": at_ms,
        "tranId": number, "tradeId": trade,
    }  # fmt: skip


def test_the_statement_tells_every_movement_of_the_wallet_apart(server: ScriptedServer, clock: ManualClock) -> None:
    rows = [
        income(7, "COMMISSION", "-0.01200000", NOON_MS, trade="55"),
        income(7, "REALIZED_PNL", "1.23456789", NOON_MS, trade="55"),
        income(8, "FUNDING_FEE", "-0.5", NOON_MS + 1),
        income(9, "TRANSFER", "250.5", NOON_MS + 2, symbol=""),
        income(9, "WELCOME_BONUS", "5", NOON_MS + 3, symbol=""),
        income(1, "TRANSFER", "99", NOON_MS - 1, symbol=""),
    ]
    server.on("GET", "/fapi/v1/income", Answer(200, rows))
    told = venue(server, clock).statement(NOON)
    assert {(item.kind, item.reference, item.instrument, item.amount) for item in told} == {
        (EntryKind.FEE, "55", SYMBOL, Decimal("-0.01200000")),
        (EntryKind.REALISED, "55", SYMBOL, Decimal("1.23456789")),
        (EntryKind.FUNDING, "8", SYMBOL, Decimal("-0.5")),
        (EntryKind.TRANSFER, "TRANSFER 9", "", Decimal("250.5")),
        (EntryKind.OTHER, "WELCOME_BONUS 9", "", Decimal(5)),
    }
    assert [item.occurred_at for item in told] == sorted(item.occurred_at for item in told)
    assert {item.asset for item in told} == {"USDT"}


def test_a_long_statement_is_read_to_its_last_page_each_line_once(server: ScriptedServer, clock: ManualClock) -> None:
    rows = [income(number, "TRANSFER", "1", NOON_MS + number, symbol="") for number in range(1500)]

    def page(request: Request) -> Answer:
        start = int(request.said["startTime"])
        return Answer(200, [row for row in rows if row["time"] >= start][: int(request.said["limit"])])

    server.on("GET", "/fapi/v1/income", page)
    told = venue(server, clock).statement(NOON)
    assert [item.reference for item in told] == [f"TRANSFER {number}" for number in range(1500)]


@pytest.mark.parametrize(
    ("direction", "kind", "amounts"),
    [("in", "deposit", ["7"]), ("out", "withdrawal", ["-7"]), ("out", "transfer", ["-7"]), ("in", "trade", [])],
)
def test_of_other_venues_transfers_alone_are_told(direction: str, kind: str, amounts: list[str]) -> None:
    entry = {
        "id": "x1", "timestamp": NOON_MS, "currency": "USDC", "amount": "7", "direction": direction, "type": kind,
        "info": {},
    }  # fmt: skip
    found = parsing.movement_of(entry, None)
    assert [str(item.amount) for item in [found] if item] == amounts


def test_a_spot_account_has_no_statement(server: ScriptedServer, clock: ManualClock) -> None:
    link_ = Connection(capability("binance"), "testnet", base_url=server.url, is_paced=False)
    assert list(CcxtVenue(link_, clock, Credentials(KEY, SECRET, {})).statement(NOON)) == []


@pytest.mark.parametrize(("told", "mark", "requests"), [("65000.12", "65000.12", 0), ("", "64999.5", 1)])
def test_the_last_price_stands_in_for_a_mark_that_is_not_told(
    server: ScriptedServer, clock: ManualClock, told: str, mark: str, requests: int
) -> None:
    premium = {"symbol": "BTCUSDT", "markPrice": told, "lastFundingRate": "0.0001", "time": NOON_MS}
    ticker = {"symbol": "BTCUSDT", "lastPrice": "64999.5", "closeTime": NOON_MS}
    server.on("GET", "/fapi/v1/premiumIndex", lambda request: Answer(200, premium))
    server.on("GET", "/fapi/v1/ticker/24hr", lambda request: Answer(200, ticker))
    assert market_data(server, clock).mark(SYMBOL) == Decimal(mark)
    assert len(server.asked("GET", "/fapi/v1/ticker/24hr")) == requests


def test_fundings_are_read_to_the_last_page_each_once(server: ScriptedServer, clock: ManualClock) -> None:
    paid: list[dict[str, Any]] = [
        {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.01234567", "asset": "USDT", "tranId": number,
         "time": NOON_MS - (1500 - number) * 1000, "info": "", "tradeId": ""}
        for number in range(1500)
    ]  # fmt: skip
    server.on("GET", "/fapi/v1/income", lambda request: Answer(
        200, [item for item in paid if item["time"] >= int(request.query["startTime"])][: int(request.query["limit"])]
    ))  # fmt: skip
    found = venue(server, clock).fundings(NOON - timedelta(days=1))
    assert len({item.income_id for item in found}) == len(found) == 1500
    assert (found[0].amount, found[0].instrument, found[0].asset) == (Decimal("-0.01234567"), SYMBOL, "USDT")
    assert server.asked("GET", "/fapi/v1/income")[0].query["incomeType"] == "FUNDING_FEE"


def test_a_triggered_stop_is_found_as_the_order_it_became(server: ScriptedServer, clock: ManualClock) -> None:
    parent = {
        "algoId": 7, "clientAlgoId": stop_intent().client_order_id, "algoType": "CONDITIONAL", "symbol": "BTCUSDT",
        "orderType": "STOP_MARKET", "side": "SELL", "positionSide": "BOTH", "quantity": "0.002", "price": "0",
        "algoStatus": "TRIGGERED", "actualOrderId": "99", "triggerPrice": "59000", "createTime": NOON_MS,
        "updateTime": NOON_MS,
    }  # fmt: skip
    child = {"orderId": 99, "status": "FILLED", "executedQty": "0.002", "avgPrice": "58990.5", "side": "SELL"}
    server.on("GET", "/fapi/v1/algoOrder", Answer(200, parent))
    server.on("GET", "/fapi/v1/order", lambda request: Answer(200, order(request, **child)))
    found = venue(server, clock).find(stop_intent())
    assert found is not None
    assert (found.venue_order_id, found.status, found.average_price) == ("99", OrderStatus.FILLED, Decimal("58990.5"))
    assert found.client_order_id == stop_intent().client_order_id
    assert server.asked("GET", "/fapi/v1/order")[0].query["orderId"] == "99"


def test_an_order_is_asked_for_by_our_id_and_not_found_is_none(server: ScriptedServer, clock: ManualClock) -> None:
    account = venue(server, clock)
    assert account.find(intent()) is not None
    assert server.asked("GET", "/fapi/v1/order")[0].query["origClientOrderId"] == intent().client_order_id
    server.on("GET", "/fapi/v1/order", Answer(400, {"code": -2013, "msg": "Order does not exist."}))
    assert account.find(intent()) is None


def test_the_answer_to_another_question_is_not_taken(server: ScriptedServer, clock: ManualClock) -> None:
    server.on("GET", "/fapi/v1/order", lambda request: Answer(200, order(request, clientOrderId="another")))
    with pytest.raises(Transient, match="another order"):
        venue(server, clock).find(intent())


READ_FAILURES: dict[str, tuple[Reply, type[Exception]]] = {
    "rate limit": (Answer(429, {"code": -1003, "msg": "Too many requests."}), Transient),
    "ban": (Answer(418, {"code": -1003, "msg": "banned"}), Transient),
    "server error": (Answer(500, {"code": -1000, "msg": "unknown"}), Transient),
    "gateway": (Answer(502, "<html>"), Transient),
    "cut": (Answer(reset=True), Transient),
    "silence": (Answer(hang=True), Transient),
    "broken JSON": (Answer(200, "{"), Transient),
    "nonsense": (lambda request: Answer(200, order(request, status="THINKING")), Transient),
    "clock": (
        Answer(400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}),
        Transient,
    ),
    "wrong key": (Answer(401, {"code": -2015, "msg": f"Invalid API-key {KEY}"}), Permanent),
}


@pytest.mark.parametrize(("reply", "kind"), READ_FAILURES.values(), ids=READ_FAILURES.keys())
def test_a_read_that_fails_says_whether_asking_again_may_help_and_tells_no_secret(
    server: ScriptedServer, clock: ManualClock, reply: Reply, kind: type[Exception]
) -> None:
    server.on("GET", "/fapi/v1/order", reply)
    with pytest.raises(kind) as caught:
        venue(server, clock).find(intent())
    signature = server.asked("GET", "/fapi/v1/order")[0].query["signature"]
    shown = "".join(traceback.format_exception(caught.value))
    assert not [hidden for hidden in (KEY, SECRET, signature) if hidden in shown]
    assert len(server.asked("GET", "/fapi/v1/order")) == 1


def test_a_cancellation_of_what_is_not_there_is_no_error_and_of_an_ill_venue_is_transient(
    server: ScriptedServer, clock: ManualClock
) -> None:
    account = venue(server, clock)
    server.on("DELETE", "/fapi/v1/order", Answer(400, {"code": -2011, "msg": "Unknown order sent."}))
    account.cancel(intent())
    server.on("DELETE", "/fapi/v1/order", Answer(503, {"code": -1000, "msg": "Unknown error"}))
    with pytest.raises(Transient):
        account.cancel(intent())
    assert server.asked("DELETE", "/fapi/v1/order")[0].query["origClientOrderId"] == intent().client_order_id


def test_positions_and_balance_are_read_exactly(server: ScriptedServer, clock: ManualClock) -> None:
    position = {
        "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.002", "entryPrice": "60000.1234567891",
        "markPrice": "60001.5", "unRealizedProfit": "0", "liquidationPrice": "90000.5", "isolatedMargin": "0",
        "notional": "-120", "marginAsset": "USDT", "isolatedWallet": "0", "initialMargin": "24", "maintMargin": "0.5",
        "updateTime": NOON_MS,
    }  # fmt: skip
    asset = {"asset": "USDT", "walletBalance": "10000.12345678", "marginBalance": "9999.5", "availableBalance": "9000.25",
             "updateTime": 0}  # fmt: skip
    server.on("GET", "/fapi/v3/positionRisk", Answer(200, [position, position | {"positionAmt": "0.000"}]))
    server.on("GET", "/fapi/v1/leverageBracket", Answer(200, []))
    server.on("GET", "/fapi/v3/account", Answer(200, {"assets": [asset], "positions": []}))
    account = venue(server, clock)
    (held,) = account.positions()
    assert (held.quantity, held.entry_price, held.liquidation_price) == (
        Decimal("-0.002"), Decimal("60000.1234567891"), Decimal("90000.5"),
    )  # fmt: skip
    balance = account.balance()
    assert (balance.wallet, balance.equity, balance.available) == (
        Decimal("10000.12345678"), Decimal("9999.5"), Decimal("9000.25"),
    )  # fmt: skip


def test_open_orders_include_the_conditional_ones(server: ScriptedServer, clock: ManualClock) -> None:
    def mine(request: Request) -> Answer:
        return Answer(200, [order(request, clientOrderId="tweplain")])

    parent = {
        "algoId": 7, "clientAlgoId": "twsstop", "algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL",
        "orderType": "STOP_MARKET", "positionSide": "BOTH", "quantity": "0.002", "price": "0", "algoStatus": "NEW",
        "triggerPrice": "59000", "createTime": NOON_MS, "updateTime": NOON_MS,
    }  # fmt: skip
    server.on("GET", "/fapi/v1/openOrders", mine)
    server.on("GET", "/fapi/v1/openAlgoOrders", Answer(200, [parent]))
    found = venue(server, clock).open_orders()
    assert [(item.client_order_id, item.is_conditional) for item in found] == [("tweplain", False), ("twsstop", True)]


# --- The table of venues, and what their clients put on the wire ------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CAPABILITIES))
def test_every_client_is_made_without_retries_and_without_anything_sent_to_third_parties(
    name: str, clock: ManualClock
) -> None:
    row = capability(name)
    secret = "0x" + "1" * 64 if row.private_key_login else SECRET
    kind = getattr(ccxt, row.ccxt_id)
    client = connect(kind, Guarded, Connection(row, name), clock, Credentials("0x" + "2" * 40, secret, {}))
    assert client.options["maxRetriesOnFailure"] == 0
    assert client.options["fetchCurrencies"] is False
    assert client.options.get("builderFee", False) is False
    assert client.options.get("approvedBuilderFee", False) is False
    assert client.milliseconds() == NOON_MS


def test_a_client_that_would_retry_by_itself_is_refused(server: ScriptedServer, clock: ManualClock) -> None:
    class Stubborn(ccxt.binanceusdm):
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config)
            self.options["maxRetriesOnFailure"] = 3

    with pytest.raises(Permanent, match="maxRetriesOnFailure"):
        connect(Stubborn, Guarded, link(server), clock)


def test_hyperliquid_signs_no_fee_approval_and_no_referrer(server: ScriptedServer, clock: ManualClock) -> None:
    server.on("POST", "/info", Answer(200, {}))
    server.on("POST", "/exchange", Answer(200, {"status": "ok", "response": {"type": "default"}}))
    row = capability("hyperliquid")
    keys = Credentials("0x" + "2" * 40, "0x" + "1" * 64, {})
    client = connect(ccxt.hyperliquid, Guarded, Connection(row, "hl", base_url=server.url), clock, keys)
    client.initialize_client()
    client.set_markets([{
        "id": "0", "symbol": "BTC/USDC:USDC", "base": "BTC", "quote": "USDC", "settle": "USDC", "baseId": "0",
        "type": "swap", "swap": True, "spot": False, "contract": True, "linear": True, "active": True,
        "precision": {"amount": "0.001", "price": "0.1"}, "limits": {"amount": {}, "price": {}, "cost": {}}, "info": {},
    }])  # fmt: skip
    request = client.create_orders_request([
        {"symbol": "BTC/USDC:USDC", "type": "limit", "side": "buy", "amount": "0.001", "price": "60000",
         "params": {"clientOrderId": row.wire_id("twe" + "a" * 24)}},
    ])  # fmt: skip
    assert server.asked("POST", "/exchange") == []
    assert "builder" not in request["action"]
    assert request["action"]["orders"][0]["c"] == row.wire_id("twe" + "a" * 24)


SPOT_MARKET = {
    "id": "BTC-USD", "symbol": "BTC/USD", "base": "BTC", "quote": "USD", "baseId": "BTC", "quoteId": "USD",
    "type": "spot", "spot": True, "swap": False, "contract": False, "active": True, "option": False, "future": False,
    "precision": {"amount": "0.001", "price": "0.1"}, "limits": {"amount": {}, "price": {}, "cost": {}},
    "info": {"orderTypes": ["LIMIT", "MARKET"]},
}  # fmt: skip
SWAP_MARKET = SPOT_MARKET | {
    "id": "BTCUSDT", "symbol": "BTC/USDT:USDT", "quote": "USDT", "settle": "USDT", "quoteId": "USDT", "type": "swap",
    "spot": False, "swap": True, "contract": True, "linear": True, "inverse": False, "contractSize": 1,
}  # fmt: skip
WIRE = {
    "binance": (SPOT_MARKET, "newClientOrderId"),
    "bybit": (SWAP_MARKET, "orderLinkId"),
    "aster": (SWAP_MARKET, "newClientOrderId"),
    "coinbase": (SPOT_MARKET, "client_order_id"),
    "kraken": (SPOT_MARKET, "cl_ord_id"),
}


class _Stopped(Exception):
    """Ends a call at the wire."""


@pytest.mark.parametrize("name", sorted(WIRE))
def test_our_id_reaches_the_wire_under_the_venues_own_name(name: str, clock: ManualClock) -> None:
    row = capability(name)
    described, wire_name = WIRE[name]
    secret = "0x" + "1" * 64 if row.private_key_login else "c2VjcmV0c2VjcmV0c2VjcmV0"
    client = connect(getattr(ccxt, row.ccxt_id), Guarded, Connection(row, name, is_paced=False), clock,
                     Credentials("0x" + "2" * 40, secret, {}))  # fmt: skip
    sent: list[str] = []

    def wire(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        sent.append(f"{url} {body}")
        raise _Stopped

    client.set_markets([described])
    client.fetch = wire
    params = {row.id_param: "tweabcdefgh"}
    with pytest.raises(_Stopped):
        client.create_order(described["symbol"], "limit", "buy", "0.001", "60000", params)
    assert wire_name == row.id_wire
    assert sum(text.count("tweabcdefgh") for text in sent) == 1
    assert wire_name in sent[-1]


def test_bybit_is_asked_by_its_own_field_and_the_right_order_is_picked(clock: ManualClock) -> None:
    account = CcxtVenue(Connection(capability("bybit"), "bybit"), clock, Credentials("k" * 10, "s" * 10, {}))
    asked: list[dict[str, Any]] = []
    mine = intent().client_order_id

    class Listing:
        has: ClassVar = {"fetchOpenOrders": True}

        def fetch_open_orders(
            self, symbol: str, since: Any, limit: Any, params: dict[str, Any]
        ) -> list[dict[str, Any]]:
            asked.append(params)
            return [{"clientOrderId": "other"}, {"clientOrderId": mine, "id": "9"}]

    assert account._listed(Listing(), intent(), mine) == {"clientOrderId": mine, "id": "9"}
    assert asked == [{"orderLinkId": mine}]


@pytest.mark.parametrize("name", sorted(CAPABILITIES))
def test_every_venue_takes_our_ids_and_no_ambiguous_code_counts_as_a_refusal(name: str) -> None:
    row = capability(name)
    assert row.accepts(row.wire_id("twe" + "a" * 24))
    assert not row.accepts("x" * 200)
    ambiguous = {"-1000", "-1001", "-1006", "-1007", "-1003", "-1008", "-1015", "-4116", "-20132", "10000", "10006",
                 "10016", "170007", "110072", "170141", "10014"}  # fmt: skip
    assert not row.refusal_codes & ambiguous


def test_spots_duplicate_is_evidence_and_its_other_rejections_under_the_same_code_are_refusals() -> None:
    row = capability("binance")
    assert row.is_duplicate("-2010", "Duplicate order sent.")
    assert not row.is_duplicate("-2010", "Account has insufficient balance for requested action.")


def test_every_address_moves_to_the_simulator_nested_ones_and_websockets_too() -> None:
    urls = {
        "fapiPublic": "https://fapi.binance.com/fapi/v1",
        "ws": {"future": "wss://fstream.binance.com/ws"},
        "no": None,
    }
    assert rebase(urls, "http://127.0.0.1:8081") == {
        "fapiPublic": "http://127.0.0.1:8081/fapi/v1", "ws": {"future": "ws://127.0.0.1:8081/ws"}, "no": None,
    }  # fmt: skip


def test_texts_lose_keys_signatures_and_query_strings() -> None:
    text = (
        f"GET https://x/fapi/v1/order?symbol=BTC&signature=abc X-MBX-APIKEY: {KEY} secret={SECRET} "
        f"listenKey=pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1 {'f' * 64}"
    )
    cleaned = redact(text, (KEY,))
    assert not [bad for bad in ("abc", KEY, SECRET, "pqia91", "f" * 64) if bad in cleaned]
    assert len(redact("x " * 5000)) <= 300


def test_sides_and_times_survive_the_journey(server: ScriptedServer, clock: ManualClock) -> None:
    server.on("GET", "/fapi/v1/order", lambda request: Answer(200, order(request, side="SELL", updateTime=NOON_MS + 7)))
    found = venue(server, clock).find(intent())
    assert found is not None
    assert (found.side, found.occurred_at) == (OrderSide.SELL, NOON + timedelta(milliseconds=7))
    assert found.occurred_at.tzinfo is UTC
