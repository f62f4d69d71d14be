"""What a placement through ccxt sends, and what every kind of answer to it is taken for."""

from __future__ import annotations

import traceback
from datetime import timedelta
from decimal import Decimal, getcontext
from typing import Any

import pytest

from common.adapters.ccxt_venue import capability
from common.domain.errors import NotNow, OutcomeUnknown, Refused, Transient
from common.domain.order import OrderStatus, OrderType
from tests.adapters.binance_script import KEY, SECRET, intent, order, stop_intent, takes_orders, venue
from tests.adapters.scripted_server import Answer, Reply, Request, ScriptedServer
from tests.clocks import NOON, ManualClock

ORDER = ("POST", "/fapi/v1/order")


@pytest.fixture(autouse=True)
def _venue_is_up(server: ScriptedServer) -> None:
    takes_orders(server)


def refusal(code: int, text: str = "no", status: int = 400) -> Answer:
    return Answer(status, {"code": code, "msg": text})


def test_a_market_entry_goes_out_once_with_our_id_exact_quantity_and_venue_time(
    server: ScriptedServer, clock: ManualClock
) -> None:
    placed = venue(server, clock).place(intent(), clock.now())
    (request,) = server.asked(*ORDER)
    assert request.form["newClientOrderId"] == "twe" + "a" * 24
    assert request.form["quantity"] == "0.002"
    assert request.form["type"] == "MARKET"
    assert request.form["recvWindow"] == "5000"
    assert request.form["timestamp"] == str(int(NOON.timestamp() * 1000))
    assert "reduceOnly" not in request.form
    assert (placed.client_order_id, placed.venue_order_id) == ("twe" + "a" * 24, "22542179")
    assert (placed.status, placed.quantity, placed.filled_quantity) == (
        OrderStatus.ACCEPTED,
        Decimal("0.002"),
        Decimal(0),
    )


def test_a_fill_in_the_acknowledgement_is_read_without_losing_a_digit(
    server: ScriptedServer, clock: ManualClock
) -> None:
    filled = {"status": "FILLED", "executedQty": "0.002", "avgPrice": "60000.123456789012345"}
    server.on(*ORDER, lambda request: Answer(200, order(request, **filled)))
    placed = venue(server, clock).place(intent(), clock.now())
    assert placed.status is OrderStatus.FILLED
    assert placed.average_price == Decimal("60000.123456789012345")


def test_a_protective_stop_goes_to_the_conditional_endpoint_with_its_own_id_field(
    server: ScriptedServer, clock: ManualClock
) -> None:
    def take(request: Request) -> Answer:
        said = request.form
        return Answer(200, {
            "algoId": 7, "clientAlgoId": said["clientAlgoId"], "algoType": "CONDITIONAL", "orderType": said["type"],
            "symbol": "BTCUSDT", "side": said["side"], "positionSide": "BOTH", "quantity": said["quantity"],
            "algoStatus": "NEW", "triggerPrice": said["triggerPrice"], "price": "0", "reduceOnly": True,
            "createTime": 1793620800000, "updateTime": 1793620800000,
        })  # fmt: skip

    server.on("POST", "/fapi/v1/algoOrder", take)
    placed = venue(server, clock).place(stop_intent(), clock.now())
    (request,) = server.asked("POST", "/fapi/v1/algoOrder")
    assert request.form["clientAlgoId"] == "tws" + "b" * 24
    assert request.form["algoType"] == "CONDITIONAL"
    assert request.form["type"] == "STOP_MARKET"
    assert Decimal(request.form["triggerPrice"]) == Decimal(59000)
    assert request.form["reduceOnly"] == "true"
    assert request.form["workingType"] == "MARK_PRICE"
    assert "newClientOrderId" not in request.form
    assert (placed.status, placed.is_conditional) == (OrderStatus.ACCEPTED, True)


@pytest.mark.parametrize("code", [-1013, -1021, -1111, -2015, -2019, -2021, -2022, -4164])
def test_a_code_of_the_allow_list_is_a_refusal(server: ScriptedServer, clock: ManualClock, code: int) -> None:
    server.on(*ORDER, refusal(code, "Margin is insufficient."))
    with pytest.raises(Refused) as caught:
        venue(server, clock).place(intent(), clock.now())
    assert (caught.value.code, caught.value.message) == (str(code), "Margin is insufficient.")
    assert len(server.asked(*ORDER)) == 1


def test_a_refused_time_stamp_sets_the_clock_and_is_a_refusal_for_now(
    server: ScriptedServer, clock: ManualClock
) -> None:
    read: list[bool] = []
    clock.refresh = lambda: read.append(True)  # type: ignore[attr-defined]
    server.on(*ORDER, refusal(-1021, "Timestamp for this request is outside of the recvWindow."))
    with pytest.raises(NotNow):
        venue(server, clock).place(intent(), clock.now())
    assert read == [True]


def test_what_ccxt_does_to_the_arithmetic_of_a_thread_stays_in_its_room(
    server: ScriptedServer, clock: ManualClock
) -> None:
    server.on(*ORDER, refusal(-2019, "Margin is insufficient."))
    before = getcontext().copy()
    with pytest.raises(Refused):
        venue(server, clock).place(intent(), clock.now())
    after = getcontext()
    assert (after.rounding, after.prec, after.traps) == (before.rounding, before.prec, before.traps)


@pytest.mark.parametrize("answer", [Answer(502, "<html></html>"), Answer(reset=True), Answer(403, {"code": -2015})])
def test_a_listing_that_cannot_be_read_leaves_no_order_in_doubt(
    server: ScriptedServer, clock: ManualClock, answer: Answer
) -> None:
    server.on("GET", "/fapi/v1/exchangeInfo", answer)
    with pytest.raises(NotNow) as caught:
        venue(server, clock).place(intent(), clock.now())
    assert caught.value.code == "NOT_SENT"
    assert server.asked(*ORDER) == []


def test_a_venue_that_lists_nothing_is_not_believed_and_is_asked_again(
    server: ScriptedServer, clock: ManualClock
) -> None:
    account = venue(server, clock)
    server.on("GET", "/fapi/v1/exchangeInfo", Answer(200, {}))
    with pytest.raises(NotNow):
        account.place(intent(), clock.now())
    with pytest.raises(Transient):
        account.set_leverage(intent().instrument, 3)
    takes_orders(server)
    assert account.place(intent(), clock.now()).status is OrderStatus.ACCEPTED


def test_a_venue_that_suddenly_lists_nothing_is_known_by_what_it_listed_before(
    server: ScriptedServer, clock: ManualClock
) -> None:
    account = venue(server, clock, connections=1)
    assert account.place(intent(), clock.now()).status is OrderStatus.ACCEPTED
    server.on("GET", "/fapi/v1/exchangeInfo", Answer(200, {}))
    clock.advance(timedelta(hours=2))
    with pytest.raises(Transient, match="empty listing"):
        account.find(intent())
    assert account.place(intent(), clock.now()).status is OrderStatus.ACCEPTED


def test_leverage_that_is_not_set_now_is_set_later(server: ScriptedServer, clock: ManualClock) -> None:
    server.on("POST", "/fapi/v1/leverage", refusal(-1021, "Timestamp for this request is outside of the recvWindow."))
    with pytest.raises(Transient):
        venue(server, clock).set_leverage(intent().instrument, 3)


AMBIGUOUS: dict[str, Reply] = {
    "unknown execution status": refusal(-1007, "Send status unknown; execution status unknown.", 408),
    "service unavailable": refusal(-1001, "Service Unavailable.", 503),
    "unknown error": refusal(-1000, "Unknown error, please check your request or try again later.", 503),
    "a refusal's code under a server error": refusal(-2019, "Margin is insufficient.", 500),
    "a code nobody knows": refusal(-9999),
    "a rate limit": refusal(-1003, "Too many requests.", 429),
    "a ban": refusal(-1003, "Way too many requests.", 418),
    "a duplicate id": refusal(-4116, "ClientOrderId is duplicated."),
    "a gateway's page": Answer(502, "<html>502 Bad Gateway</html>"),
    "an empty body": Answer(200, ""),
    "broken JSON": Answer(200, '{"orderId": 12'),
    "a list": Answer(200, []),
    "JSON that is no order": Answer(200, {"hello": "world"}),
    "a quantity that is no number": lambda request: Answer(200, order(request, executedQty="many", origQty="NaN")),
    "a status nobody knows": lambda request: Answer(200, order(request, status="THINKING")),
    "another order": lambda request: Answer(200, order(request, clientOrderId="somebody-else")),
    "a cut connection": Answer(reset=True),
    "silence": Answer(hang=True),
}


@pytest.mark.parametrize("reply", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_whatever_is_no_acknowledgement_and_no_listed_refusal_is_an_unknown_outcome_and_sent_once(
    server: ScriptedServer, clock: ManualClock, reply: Reply
) -> None:
    server.on(*ORDER, reply)
    with pytest.raises(OutcomeUnknown):
        venue(server, clock).place(intent(), clock.now())
    assert len(server.asked(*ORDER)) == 1


@pytest.mark.parametrize("reply", [refusal(-2019, f"key {KEY}"), refusal(-9999, SECRET), Answer(hang=True)])
def test_no_failure_carries_a_key_a_signature_or_an_exception_of_the_library(
    server: ScriptedServer, clock: ManualClock, reply: Answer
) -> None:
    server.on(*ORDER, reply)
    with pytest.raises((Refused, OutcomeUnknown)) as caught:
        venue(server, clock).place(intent(), clock.now())
    (request,) = server.asked(*ORDER)
    shown = "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    assert not [hidden for hidden in (KEY, SECRET, request.form["signature"], "ccxt.base") if hidden in shown]


UNSENDABLE: dict[str, tuple[dict[str, Any], str]] = {
    "off the grid": ({"quantity": Decimal("0.0025")}, "0.0025"),
    "below the smallest step": ({"quantity": Decimal("0.0001")}, "0.0001|InvalidOrder"),
    "limit price off the grid": ({"type": OrderType.LIMIT, "price": Decimal("60000.05")}, "60000.05"),
    "instrument unknown": ({"instrument": "NOPE/USDT:USDT"}, "NOPE"),
    "id too long": ({"client_order_id": "x" * 37}, "x{37}"),
}


@pytest.mark.parametrize(("changes", "said"), UNSENDABLE.values(), ids=UNSENDABLE.keys())
def test_an_order_that_would_not_be_the_one_risk_approved_is_refused_before_it_leaves(
    server: ScriptedServer, clock: ManualClock, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said) as caught:
        venue(server, clock).place(intent(**changes), clock.now())
    assert caught.value.code == "NOT_SENT"
    assert server.asked(*ORDER) == []


def test_a_fast_venue_stretches_window_and_horizon_by_its_rate(server: ScriptedServer) -> None:
    slow, fast = venue(server, ManualClock()), venue(server, ManualClock(rate=600))
    assert fast.validity == slow.validity * 600
    assert fast.visibility == slow.visibility * 600
    assert slow.validity == capability("binanceusdm").validity


def test_error_codes_keep_their_classes_on_a_local_address(server: ScriptedServer, clock: ManualClock) -> None:
    account = venue(server, clock)
    with account._clients.lease(1) as client:
        table = client.get_exceptions_by_url(f"{server.url}/fapi/v1/order", "exact")
    assert table["-2019"].__name__ == "InsufficientFunds"


def test_a_placement_bears_the_time_of_its_commit_however_late_it_leaves(
    server: ScriptedServer, clock: ManualClock
) -> None:
    account = venue(server, clock)
    clock.advance(timedelta(seconds=3))
    account.place(intent(), NOON)
    account.find(intent())
    (placement,), (question,) = server.asked(*ORDER), server.asked("GET", "/fapi/v1/order")
    assert placement.form["timestamp"] == str(int(NOON.timestamp() * 1000))
    assert question.query["timestamp"] == str(int(clock.now().timestamp() * 1000))
