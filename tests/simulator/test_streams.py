"""The WebSocket side by the real ccxt.pro client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import ccxt.pro
import pytest

from tests.simulator.conftest import client_of, point_at
from tests.simulator_process import SimulatorProcess, start

BTC = "BTC/USDT:USDT"


@asynccontextmanager
async def _pro(process: SimulatorProcess, api_key: str) -> AsyncIterator[Any]:
    exchange = point_at(ccxt.pro.binanceusdm({"apiKey": api_key, "secret": "secret"}), process.url)
    clock = process.clock()
    exchange.nonce = lambda: int((clock["origin_venue"] + (time.time() - clock["origin_real"]) * clock["rate"]) * 1000)
    try:
        yield exchange
    finally:
        await exchange.close()


def _run(process: SimulatorProcess, api_key: str, play: Callable[[Any], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with _pro(process, api_key) as exchange, asyncio.timeout(30):
            return await play(exchange)

    return asyncio.run(go())


def test_candles_arrive_open_and_closed_and_equal_those_of_rest(world: SimulatorProcess, api_key: str) -> None:
    async def play(exchange: Any) -> tuple[list[Any], list[Any]]:
        seen: dict[int, Any] = {}
        while len(seen) < 4:
            for candle in await exchange.watch_ohlcv(BTC, "1m"):
                seen[candle[0]] = candle
        closed = sorted(seen)[:3]
        rest = await exchange.fetch_ohlcv(BTC, "1m", since=closed[0], limit=3)
        return [seen[t] for t in closed], rest

    streamed, rest = _run(world, api_key, play)
    assert streamed[1:] == rest[1:]


@pytest.fixture
def calm_world() -> Any:
    process = start(speed=10, symbols="BTCUSDT")
    process.open_account("calm-key")
    yield process
    process.stop()


def test_the_book_of_the_stream_equals_the_book_of_rest(calm_world: SimulatorProcess) -> None:
    async def play(exchange: Any) -> tuple[Any, Any]:
        for _ in range(8):
            await exchange.watch_order_book(BTC)
        while True:
            live = await exchange.watch_order_book(BTC)
            rest = await exchange.fetch_order_book(BTC)
            if live["nonce"] == rest["nonce"]:
                return (live["bids"][:40], live["asks"][:40]), (rest["bids"], rest["asks"])

    live, rest = _run(calm_world, "calm-key", play)
    assert [list(map(list, side)) for side in live] == [list(map(list, side)) for side in rest]


@pytest.mark.parametrize(
    "watch",
    [
        lambda e: e.watch_trades(BTC),
        lambda e: e.watch_ticker(BTC),
        lambda e: e.watch_tickers([BTC]),
        lambda e: e.watch_mark_price(BTC),
        lambda e: e.watch_bids_asks([BTC]),
        lambda e: e.watch_trades(BTC, params={"name": "aggTrade"}),
        lambda e: e.watch_mark_prices(),
    ],
    ids=["trades", "ticker", "miniTicker", "markPrice", "bookTicker", "aggTrade", "all marks"],
)
def test_a_public_channel_speaks(watch: Callable[[Any], Awaitable[Any]], world: SimulatorProcess, api_key: str) -> None:
    assert _run(world, api_key, watch)


def test_an_order_its_fill_the_balance_and_the_position_are_told(world: SimulatorProcess, api_key: str) -> None:
    async def play(exchange: Any) -> tuple[Any, Any, Any, Any]:
        await exchange.load_markets()
        watches = [
            asyncio.create_task(w)
            for w in (exchange.watch_orders(BTC), exchange.watch_my_trades(BTC), exchange.watch_balance())
        ]
        await asyncio.sleep(0.5)
        await exchange.create_order(BTC, "market", "buy", 0.01, None, {"clientOrderId": "tw-told"})
        orders, trades, balance = await asyncio.gather(*watches)
        while orders[-1]["status"] != "closed":
            orders = await exchange.watch_orders(BTC)
        await exchange.fetch_positions()
        return orders, trades, balance, exchange.positions

    orders, trades, balance, positions = _run(world, api_key, play)
    assert (orders[-1]["clientOrderId"], orders[-1]["filled"]) == ("tw-told", 0.01)
    assert trades[-1]["fee"]["cost"] > 0
    assert balance["USDT"]["total"] < 10_000
    assert positions["linear"][-1]["contracts"] == 0.01


def test_a_conditional_order_is_told_from_birth_to_trigger(world: SimulatorProcess, api_key: str) -> None:
    async def play(exchange: Any) -> list[str]:
        await exchange.load_markets()
        watching = asyncio.create_task(exchange.watch_orders(BTC))
        await asyncio.sleep(0.5)
        last = (await exchange.fetch_ticker(BTC))["last"]
        for side, part in (("sell", 0.9997), ("buy", 1.0003)):
            await exchange.create_order(BTC, "market", side, 0.01, None, {"triggerPrice": last * part})
        seen = [o["info"].get("X") for o in await watching]
        while "FINISHED" not in seen:
            seen += [o["info"].get("X") for o in await exchange.watch_orders(BTC)]
        return seen

    assert {"NEW", "FILLED", "FINISHED"} <= set(_run(world, api_key, play))


def test_raw_sockets_subscribe_list_and_are_refused_unknown_streams(world: SimulatorProcess) -> None:
    async def go() -> list[Any]:
        address = world.url.replace("http", "ws")
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/market/ws/3") as socket:
            out = []
            for method, params in (
                ("SUBSCRIBE", ["btcusdt@kline_5m"]), ("LIST_SUBSCRIPTIONS", []), ("SUBSCRIBE", ["nope@kline_5m"]),
                ("UNSUBSCRIBE", ["btcusdt@kline_5m"]), ("LIST_SUBSCRIPTIONS", []),
            ):  # fmt: skip
                await socket.send_json({"method": method, "params": params, "id": 1})
                answer = await socket.receive_json()
                while "id" not in answer:
                    answer = await socket.receive_json()
                out.append(answer)
            return out

    answers = asyncio.run(go())
    assert answers[0] == {"result": None, "id": 1}
    assert answers[1]["result"] == ["btcusdt@kline_5m"]
    assert answers[2]["error"]["code"] == 2
    assert answers[4]["result"] == []


def test_the_combined_form_wraps_what_it_says(world: SimulatorProcess) -> None:
    async def go() -> Any:
        address = world.url.replace("http", "ws")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{address}/stream?streams=btcusdt@kline_1m/ethusdt@bookTicker") as socket,
        ):
            return [await socket.receive_json() for _ in range(6)]

    assert {m["stream"] for m in asyncio.run(go())} == {"btcusdt@kline_1m", "ethusdt@bookTicker"}


@pytest.fixture
def fast_world() -> Any:
    process = start(speed=3600, symbols="BTCUSDT")
    process.open_account("fast-key")
    yield process
    process.stop()


def test_a_listen_key_lives_an_hour_of_venue_time_and_says_when_it_dies(fast_world: SimulatorProcess) -> None:
    key = client_of(fast_world, "fast-key").fapiPrivatePostListenKey()["listenKey"]

    async def go() -> Any:
        address = fast_world.url.replace("http", "ws")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{address}/private/ws?listenKey={key}") as socket,
            asyncio.timeout(10),
        ):
            return json.loads(await socket.receive_str())

    event = asyncio.run(go())
    assert (event["e"], event["listenKey"]) == ("listenKeyExpired", key)
    assert client_of(fast_world, "fast-key").fapiPrivatePostListenKey()["listenKey"] != key


def test_an_unknown_listen_key_is_turned_away(world: SimulatorProcess) -> None:
    async def go() -> int:
        address = world.url.replace("http", "ws")
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(f"{address}/private/ws?listenKey=nobody")
            return caught.value.status

    assert asyncio.run(go()) == 400
