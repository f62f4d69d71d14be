"""Faults on demand: each does what it says, once or as often as asked, and is gone when healed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import ccxt
import pytest

from simulator.errors import VenueError
from simulator.faults import Faults
from tests.simulator.conftest import client_of, eventually
from tests.simulator_process import SimulatorProcess

BTC = "BTC/USDT:USDT"


def _buy(venue: Any, client_id: str) -> Any:
    return venue.create_order(BTC, "market", "buy", 0.01, None, {"clientOrderId": client_id})


def _ids(world: SimulatorProcess, key: str) -> list[str]:
    return [o["clientOrderId"] for o in world.statement(key)["orders"]]


@pytest.fixture
def loaded(venue: Any, healed: SimulatorProcess) -> Any:
    """A client with its markets read, so that a fault meets the order and nothing before it."""
    venue.load_markets()
    venue.timeout = 700
    return venue


ORDER = {"path": "/fapi/v1/order", "method": "POST"}


@pytest.mark.parametrize(
    ("site", "is_booked"), [("rest.before_accept", False), ("rest.after_accept", True)], ids=["before", "after"]
)
@pytest.mark.parametrize(
    ("kind", "params", "error"),
    [
        ("reset", {}, ccxt.ExchangeError),
        ("hang", {"seconds": 3}, ccxt.RequestTimeout),
        ("http", {"answer": "unknown"}, ccxt.BaseError),
        ("http", {"answer": "unavailable"}, ccxt.BaseError),
        ("http", {"answer": "bad_gateway"}, ccxt.ExchangeNotAvailable),
        ("http", {"answer": "timeout"}, ccxt.RequestTimeout),
        ("http", {"answer": "rate_limited"}, ccxt.DDoSProtection),
        ("http", {"answer": "banned"}, ccxt.DDoSProtection),
    ],
    ids=["reset", "hang", "503 unknown", "503 unavailable", "502", "-1007", "429", "418"],
)
def test_a_lost_answer_says_nothing_about_the_order(
    kind: str,
    params: dict[str, Any],
    error: type[Exception],
    site: str,
    is_booked: bool,
    loaded: Any,
    healed: SimulatorProcess,
    api_key: str,
) -> None:
    healed.fault(site, kind, params=params, match=ORDER | {"api_key": api_key})
    with pytest.raises((error, ccxt.NetworkError)):
        _buy(loaded, "tw-lost")
    assert _ids(healed, api_key) == (["tw-lost"] if is_booked else [])
    assert _buy(loaded, "tw-next")["status"] == "closed"


def test_a_delayed_answer_comes(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    healed.fault("rest.after_accept", "delay", params={"seconds": 0.2}, match=ORDER | {"api_key": api_key})
    assert _buy(loaded, "tw-slow")["status"] == "closed"


def test_a_late_request_arrives_after_its_sender_gave_up(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    healed.fault("rest.before_accept", "late", params={"seconds": 0.5}, match=ORDER | {"api_key": api_key})
    with pytest.raises(ccxt.BaseError):
        _buy(loaded, "tw-late")
    assert _ids(healed, api_key) == []
    assert eventually(lambda: _ids(healed, api_key)) == ["tw-late"]


def test_a_request_later_than_its_window_is_refused_when_it_arrives(
    loaded: Any, healed: SimulatorProcess, api_key: str
) -> None:
    loaded.options["recvWindow"] = 300
    healed.fault("rest.before_accept", "late", params={"seconds": 1}, match=ORDER | {"api_key": api_key})
    with pytest.raises(ccxt.BaseError):
        _buy(loaded, "tw-late")
    seen = eventually(
        lambda: [e for e in healed.call("GET", "/simulator/faults")["log"] if "-1021" in e.get("refused", "")]
    )
    assert seen
    assert _ids(healed, api_key) == []


def test_an_order_is_hidden_until_its_lag_is_over(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    healed.fault("visibility", "lag", params={"seconds": 60}, match={"account": api_key})
    order = _buy(loaded, "tw-hidden")
    with pytest.raises(ccxt.OrderNotFound):
        loaded.fetch_order(order["id"], BTC)
    assert loaded.fetch_my_trades(BTC) == []
    assert _ids(healed, api_key) == ["tw-hidden"]
    found = eventually(lambda: _try(lambda: loaded.fetch_order(order["id"], BTC)))
    assert found["status"] == "closed"
    assert len(loaded.fetch_my_trades(BTC)) == 1


def _try(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ccxt.OrderNotFound:
        return None


def test_a_part_fills_and_then_nothing_for_a_while(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    healed.fault("fill", "partial_then_silence", params={"fraction": 0.4, "seconds": 90}, match={"account": api_key})
    order = loaded.create_order(BTC, "market", "buy", 0.1)
    assert (order["status"], order["filled"]) == ("open", 0.04)
    done = eventually(lambda: _closed(loaded, order["id"]))
    assert done["filled"] == 0.1


def _closed(venue: Any, order_id: str) -> Any:
    order = venue.fetch_order(order_id, BTC)
    return order if order["status"] == "closed" else None


def _resting(venue: Any) -> Any:
    price = venue.fetch_ticker(BTC)["last"] * 0.9
    return venue.create_order(BTC, "limit", "buy", 0.02, price)


def test_a_cancel_may_lose_the_race(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    order = _resting(loaded)
    healed.fault("cancel", "fill_during_cancel", match={"account": api_key})
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        loaded.cancel_order(order["id"], BTC)
    assert loaded.fetch_order(order["id"], BTC)["status"] == "closed"


def test_a_cancel_may_come_after_a_part_has_filled(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    order = _resting(loaded)
    healed.fault("cancel", "fill_during_cancel", params={"fraction": 0.5}, match={"account": api_key})
    cancelled = loaded.cancel_order(order["id"], BTC)
    assert (cancelled["status"], cancelled["filled"]) == ("canceled", 0.01)


def test_a_fill_may_come_after_the_cancel_was_acknowledged(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    order = _resting(loaded)
    healed.fault("cancel", "late_fill", params={"fraction": 0.5, "seconds": 30}, match={"account": api_key})
    assert loaded.cancel_order(order["id"], BTC)["filled"] == 0
    eventually(lambda: loaded.fetch_my_trades(BTC))
    after = loaded.fetch_order(order["id"], BTC)
    assert (after["status"], after["filled"]) == ("canceled", 0.01)


def test_a_late_fill_of_a_reduction_takes_off_no_more_than_is_held(
    loaded: Any, healed: SimulatorProcess, api_key: str
) -> None:
    _buy(loaded, "tw-held")
    price = loaded.fetch_ticker(BTC)["last"] * 1.1
    order = loaded.create_order(BTC, "limit", "sell", 0.02, price, {"reduceOnly": True})
    healed.fault("cancel", "late_fill", params={"seconds": 30}, match={"account": api_key})
    loaded.cancel_order(order["id"], BTC)
    eventually(lambda: len(loaded.fetch_my_trades(BTC)) > 1)
    assert loaded.fetch_order(order["id"], BTC)["filled"] == 0.01
    assert healed.statement(api_key)["positions"] == []


@pytest.mark.parametrize("kind", ["garble", "empty", "other_order"])
def test_an_answer_may_be_nonsense(kind: str, loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    healed.fault("rest.reply", kind, match=ORDER | {"api_key": api_key})
    try:
        answer = _buy(loaded, "tw-nonsense")
    except ccxt.BaseError:
        answer = None
    assert answer is None or answer["clientOrderId"] != "tw-nonsense"
    assert _ids(healed, api_key) == ["tw-nonsense"]


def _hear(world: SimulatorProcess, key: str, act: Callable[[], Any], count: int) -> list[str]:
    """What an account's socket hears while something is done."""

    async def go() -> list[str]:
        out: list[str] = []
        address = world.url.replace("http", "ws")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{address}/private/ws?listenKey={key}") as socket,
        ):
            await asyncio.to_thread(act)
            while len(out) < count:
                try:
                    message = await socket.receive(timeout=1)
                except TimeoutError:
                    return [*out, "silence"]
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return [*out, "closed"]
                out.append(message.json()["e"])
        return out

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        ("drop", 1, ["ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "silence"]),
        ("duplicate", 1, ["ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]),
        ("zombie", 1, ["silence"]),
        ("disconnect", 1, ["closed"]),
    ],
)
def test_a_stream_may_lose_double_or_fall_silent(
    kind: str, count: int, expected: list[str], loaded: Any, healed: SimulatorProcess, api_key: str
) -> None:
    key = loaded.fapiPrivatePostListenKey()["listenKey"]
    healed.fault("ws.send", kind, count=count, match={"api_key": api_key})
    assert _hear(healed, key, lambda: _buy(loaded, "tw-heard"), 4) == expected


def test_a_listen_key_may_die_at_once(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    key = loaded.fapiPrivatePostListenKey()["listenKey"]
    heard = _hear(healed, key, lambda: healed.fault("listen_key", "expire", params={"api_key": api_key}), 1)
    assert heard == ["listenKeyExpired"]
    with pytest.raises(ccxt.BaseError, match="-1125"):
        loaded.fapiPrivatePutListenKey()


def test_the_venues_clock_may_lie_and_heals(loaded: Any, healed: SimulatorProcess) -> None:
    healed.fault("clock", "skew", params={"seconds": 36_000})
    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        loaded.fetch_balance()
    healed.heal()
    assert loaded.fetch_balance()["USDT"]["total"] == 10_000


@pytest.mark.parametrize(
    "wish",
    [
        {"site": "nowhere", "kind": "delay"},
        {"site": "fill", "kind": "explode"},
        {"site": "rest.before_accept", "kind": "http", "params": {"answer": "teapot"}},
    ],
)
def test_a_fault_nobody_would_ask_for_is_refused(wish: dict[str, Any], world: SimulatorProcess) -> None:
    answer = world.call("POST", "/simulator/faults", wish)
    assert answer["code"] == -1130
    assert "known are" in answer["msg"]


def test_a_fault_strikes_as_often_as_asked_and_is_listed(world: SimulatorProcess) -> None:
    faults = Faults()
    faults.add({"site": "fill", "kind": "hold", "count": 2, "match": {"symbol": "BTC*"}})
    hits = [faults.consult("fill", 0, symbol=s) is not None for s in ("ETHUSDT", "BTCUSDT", "BTCUSDT", "BTCUSDT")]
    assert hits == [False, True, True, False]
    assert [entry["symbol"] for entry in faults.log] == ["BTCUSDT", "BTCUSDT"]


def test_the_same_seed_strikes_at_the_same_moments() -> None:
    def strikes() -> list[bool]:
        faults = Faults()
        faults.add({"site": "fill", "kind": "hold", "probability": 0.3, "seed": 5})
        return [faults.consult("fill", 0) is not None for _ in range(200)]

    assert strikes() == strikes()
    assert 30 < sum(strikes()) < 90


def test_a_fault_without_a_kind_is_refused() -> None:
    with pytest.raises(VenueError):
        Faults().add({"site": "fill"})


def test_two_clients_meet_only_their_own_faults(loaded: Any, healed: SimulatorProcess, api_key: str) -> None:
    healed.open_account(f"{api_key}-calm")
    calm = client_of(healed, f"{api_key}-calm")
    healed.fault("rest.before_accept", "reset", match=ORDER | {"api_key": api_key}, count=1)
    assert _buy(calm, "tw-calm")["status"] == "closed"


def test_a_rate_limit_says_for_how_long_as_it_was_told_to(world: SimulatorProcess, venue: Any) -> None:
    params = {"answer": "rate_limited", "retry_after": 2}
    world.fault("rest.before_accept", "http", params=params, match={"path": "/fapi/v1/time"}, count=1)
    with pytest.raises(ccxt.DDoSProtection):
        venue.fetch_time()
    assert venue.last_response_headers["Retry-After"] == "2"
