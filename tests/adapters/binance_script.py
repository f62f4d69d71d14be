"""What a Binance USD-M venue says, as far as the wire tests need it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.adapters.ccxt_venue import CcxtMarketData, CcxtVenue, Connection, capability
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderType
from common.ports.clock import Clock
from common.ports.venue import Credentials
from tests.adapters.scripted_server import Answer, Request, ScriptedServer
from tests.clocks import NOON

SYMBOL = "BTC/USDT:USDT"
KEY, SECRET = "key-that-must-not-show-0123456789", "secret-that-must-not-show-0123456789"
ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"]


def market(symbol: str = "BTCUSDT", base: str = "BTC", status: str = "TRADING") -> dict[str, Any]:
    """One entry of exchangeInfo."""
    return {
        "symbol": symbol, "pair": symbol, "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000, "status": status, "baseAsset": base, "quoteAsset": "USDT", "marginAsset": "USDT",
        "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8, "quotePrecision": 8,
        "underlyingType": "COIN", "orderTypes": ORDER_TYPES, "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
            {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "120"},
            {"filterType": "MIN_NOTIONAL", "notional": "100"},
        ],
    }  # fmt: skip


def order(request: Request, **changes: Any) -> dict[str, Any]:
    """What the venue answers to an order it took, unless `changes` say otherwise."""
    said = request.said
    return {
        "orderId": 22542179, "symbol": "BTCUSDT", "status": "NEW", "positionSide": "BOTH",
        "clientOrderId": said.get("newClientOrderId", said.get("origClientOrderId", "")),
        "price": said.get("price", "0"), "avgPrice": "0.00", "origQty": said.get("quantity", "0.002"),
        "executedQty": "0", "cumQty": "0", "cumQuote": "0", "timeInForce": "GTC", "type": said.get("type", "LIMIT"),
        "reduceOnly": said.get("reduceOnly") == "true", "side": said.get("side", "BUY"), "stopPrice": "0",
        "origType": said.get("type", "LIMIT"), "updateTime": 1793620800000, "time": 1793620800000,
    } | changes  # fmt: skip


def takes_orders(server: ScriptedServer) -> None:
    """Let `server` answer as a venue with one market that takes every order."""
    info = {"timezone": "UTC", "serverTime": 1793620800000, "rateLimits": [], "assets": [], "symbols": [market()]}
    server.on("GET", "/fapi/v1/exchangeInfo", Answer(200, info))
    server.on("POST", "/fapi/v1/order", lambda request: Answer(200, order(request)))
    server.on("GET", "/fapi/v1/order", lambda request: Answer(200, order(request)))
    server.on("DELETE", "/fapi/v1/order", lambda request: Answer(200, order(request, status="CANCELED")))


def link(server: ScriptedServer, **changes: Any) -> Connection:
    """A connection to `server` that waits at most half a second for an answer."""
    settings = {"read_timeout_s": 0.5, "place_timeout_s": 0.5, "is_paced": False} | changes
    return Connection(capability("binanceusdm"), "testnet", base_url=server.url, **settings)


def venue(server: ScriptedServer, clock: Clock, **changes: Any) -> CcxtVenue:
    """An account at `server`."""
    return CcxtVenue(link(server, **changes), clock, Credentials(KEY, SECRET, {}))


def market_data(server: ScriptedServer, clock: Clock) -> CcxtMarketData:
    """The public side of `server`."""
    return CcxtMarketData(link(server), clock)


def intent(**changes: Any) -> OrderIntent:
    """A market entry of 0.002 BTC, unless `changes` say otherwise."""
    fields: dict[str, Any] = {
        "order_id": UUID(int=1), "tenant_id": UUID(int=2), "account_id": UUID(int=3), "venue": "testnet",
        "instrument": SYMBOL, "role": OrderRole.ENTRY, "side": OrderSide.BUY, "type": OrderType.MARKET,
        "quantity": Decimal("0.002"), "price": Decimal("60000.0"), "trigger_price": None,
        "client_order_id": "twe" + "a" * 24, "signal_id": UUID(int=4), "position_id": UUID(int=5), "leverage": 3,
        "halt_epoch": 0, "expires_at": NOON + timedelta(minutes=5),
    }  # fmt: skip
    return OrderIntent(**(fields | changes))


def stop_intent(**changes: Any) -> OrderIntent:
    """A protective stop for the entry of `intent`."""
    fields: dict[str, Any] = {
        "role": OrderRole.STOP, "side": OrderSide.SELL, "type": OrderType.STOP_MARKET,
        "trigger_price": Decimal("59000.0"), "client_order_id": "tws" + "b" * 24,
    }  # fmt: skip
    return intent(**(fields | changes))
