"""What the venue refuses, with Binance's codes, as the real ccxt client meets them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ccxt
import pytest

from tests.simulator.conftest import client_of, eventually
from tests.simulator_process import DidNotStart, SimulatorProcess, start

BTC = "BTC/USDT:USDT"
Raw = dict[str, Any]


def _raw(venue: Any, **changes: Any) -> Any:
    """A limit order as it goes over the wire, with something wrong in it."""
    last = venue.fetch_ticker(BTC)["last"]
    body: Raw = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010",
        "price": venue.price_to_precision(BTC, last * 0.8), "newOrderRespType": "RESULT",
    }  # fmt: skip
    return venue.fapiPrivatePostOrder({k: v for k, v in (body | changes).items() if v is not None})


CASES: list[tuple[str, str, Raw]] = [
    ("an unknown symbol", "-1121", {"symbol": "NOPEUSDT"}),
    ("too many decimals", "-1111", {"quantity": "0.0101234"}),
    ("a price off the grid", "-1111", {"price": "30000.123"}),
    ("a size of nothing", "-4003", {"quantity": "0"}),
    ("a size beyond the filter", "-4005", {"quantity": "999999999"}),
    ("a price beyond the filter", "-1013", {"price": "99999999999"}),
    ("too small a notional", "-4164", {"quantity": "0.001"}),
    ("more than the margin bears", "-2019", {"quantity": "8"}),
    ("a reduction of nothing", "-2022", {"reduceOnly": "true"}),
    ("a missing price", "-1102", {"price": None}),
    ("an unknown side", "-1117", {"side": "HOLD"}),
    ("an unknown type", "-1116", {"type": "ICEBERG"}),
    ("an unknown time in force", "-1115", {"timeInForce": "DAY"}),
    ("a side of a hedge", "-4061", {"positionSide": "LONG"}),
    ("an id too long", "-4015", {"newClientOrderId": "x" * 37}),
    ("a stop sent as an order", "-1116", {"type": "STOP_MARKET", "stopPrice": "20000"}),
]


@pytest.mark.parametrize(("what", "code", "changes"), CASES, ids=[c[0] for c in CASES])
def test_an_order_is_refused_for(what: str, code: str, changes: Raw, venue: Any) -> None:
    with pytest.raises(ccxt.ExchangeError, match=f'"code":{code}[,}}]'):
        _raw(venue, **changes)
    assert venue.fetch_orders(BTC) == []


def test_the_same_wire_order_without_a_fault_is_accepted(venue: Any) -> None:
    assert _raw(venue)["status"] == "NEW"


def test_a_position_larger_than_its_leverage_allows_is_refused(venue: Any) -> None:
    venue.set_leverage(125, BTC)
    with pytest.raises(ccxt.ExchangeError, match="-2027"):
        _raw(venue, quantity="2")


def test_a_client_id_of_an_open_order_is_refused(venue: Any) -> None:
    _raw(venue, newClientOrderId="tw-dup")
    with pytest.raises(ccxt.InvalidOrder, match="-4116"):
        _raw(venue, newClientOrderId="tw-dup")


def test_a_post_only_order_that_would_take_is_refused(venue: Any) -> None:
    price = venue.fetch_ticker(BTC)["last"] * 1.01
    with pytest.raises(ccxt.InvalidOrder, match="-5022"):
        venue.create_order(BTC, "limit", "buy", 0.01, price, {"postOnly": True})


def test_fill_or_kill_is_refused_when_the_book_is_short(venue: Any, world: SimulatorProcess, api_key: str) -> None:
    price = venue.fetch_ticker(BTC)["last"] * 0.95
    with pytest.raises(ccxt.InvalidOrder, match="-5021"):
        venue.create_order(BTC, "limit", "buy", 0.01, price, {"timeInForce": "FOK"})


def test_a_stop_on_the_wrong_side_would_trigger_at_once(venue: Any) -> None:
    last = venue.fetch_ticker(BTC)["last"]
    with pytest.raises(ccxt.ExchangeError, match="-2021"):
        venue.create_order(BTC, "market", "sell", 0.01, None, {"stopLossPrice": last * 1.05, "reduceOnly": True})


def test_a_second_stop_that_closes_everything_is_refused(venue: Any) -> None:
    params = {"triggerPrice": venue.fetch_ticker(BTC)["last"] * 0.8, "closePosition": True}
    venue.create_order(BTC, "STOP_MARKET", "sell", None, None, params)
    with pytest.raises(ccxt.ExchangeError, match="-4130"):
        venue.create_order(BTC, "STOP_MARKET", "sell", None, None, params)


def test_unknown_orders_cannot_be_found_or_cancelled(venue: Any) -> None:
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        venue.fetch_order(None, BTC, {"clientOrderId": "tw-never"})
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        venue.cancel_order(None, BTC, {"clientOrderId": "tw-never"})
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        venue.fetch_order(None, BTC, {"clientOrderId": "tw-never", "trigger": True})


def test_an_order_of_another_account_does_not_exist(venue: Any, world: SimulatorProcess, api_key: str) -> None:
    order = _raw(venue)
    world.open_account(f"{api_key}-other")
    other = client_of(world, f"{api_key}-other")
    with pytest.raises(ccxt.OrderNotFound):
        other.fetch_order(order["orderId"], BTC)


def _wrong_secret(venue: Any) -> None:
    venue.secret = "not-the-secret"


def _unknown_key(venue: Any) -> None:
    venue.apiKey = "nobody-knows-me"


def _misshapen_key(venue: Any) -> None:
    venue.apiKey = "a b"


def _stale_clock(venue: Any) -> None:
    now = venue.nonce()
    venue.nonce = lambda: now - 3_600_000


def _fast_clock(venue: Any) -> None:
    now = venue.nonce()
    venue.nonce = lambda: now + 3_600_000


IDENTITY: list[tuple[str, Callable[[Any], None], type[Exception]]] = [
    ("-1022", _wrong_secret, ccxt.AuthenticationError),
    ("-2015", _unknown_key, ccxt.AuthenticationError),
    ("-2014", _misshapen_key, ccxt.AuthenticationError),
    ("-1021", _stale_clock, ccxt.InvalidNonce),
    ("-1021", _fast_clock, ccxt.InvalidNonce),
]


@pytest.mark.parametrize(("code", "spoil", "error"), IDENTITY, ids=[f"{c[0]}{c[1].__name__}" for c in IDENTITY])
def test_a_request_that_does_not_prove_itself_is_refused(
    code: str, spoil: Callable[[Any], None], error: type[Exception], venue: Any
) -> None:
    venue.load_markets()
    spoil(venue)
    with pytest.raises(error, match=code):
        venue.fetch_balance()


def test_a_request_on_time_by_the_stretched_window_is_accepted(venue: Any, world: SimulatorProcess) -> None:
    venue.load_markets()
    nonce = venue.nonce
    venue.options["recvWindow"] = 10_000
    venue.nonce = lambda: nonce() - 5_000 * 60  # five seconds of the wall clock at sixty times life
    assert venue.fetch_balance()["USDT"]["total"] == 10000.0


@pytest.fixture
def strict_world() -> Any:
    process = start(speed=1, symbols="BTCUSDT", weight_limit=60)
    yield process
    process.stop()


def test_too_many_requests_are_refused_and_then_banned(strict_world: SimulatorProcess) -> None:
    venue = client_of(strict_world, "")
    seen: list[str] = []

    def hammer() -> str | None:
        try:
            venue.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "5m", "limit": 1000})
        except ccxt.DDoSProtection as error:
            seen.append(str(error).split()[1])
        return seen[-1] if seen and seen[-1] == "418" else None

    eventually(hammer, 60)
    assert seen[0] == "429"
    assert int(venue.last_response_headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("--speed", "fast"), ("--market", "nowhere"), ("--start", "yesterday"), ("--symbols", "NOPEUSDT")],
)
def test_arguments_that_make_no_sense_are_named_with_what_is_accepted(field: str, value: str) -> None:
    with pytest.raises(DidNotStart, match=field) as caught:
        start(extra=(field, value))
    assert value in str(caught.value)
    assert "accepted" in str(caught.value)
