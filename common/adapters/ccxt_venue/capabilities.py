"""What is known of each venue and what ccxt 4.5.90 does with it: one row per venue, data only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import metadata
from typing import Any

from common.domain.errors import NotFound
from common.domain.position import CloseReason


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BINANCE_FUTURES_REFUSALS = _codes(
    # Filters, parameters, precision; key, signature and time (checked before the matching engine is reached).
    "-1013 -1014 -1020 -1021 -1022 -1100 -1101 -1102 -1103 -1104 -1105 -1106 -1108 -1111 -1112 -1114 -1115 -1116 -1117 "
    "-1118 -1119 -1120 -1121 -1125 -1128 -1130 -1136 -2014 -2015 "
    # Margin, reduce-only, position side, immediate trigger, leverage, limits.
    "-2018 -2019 -2020 -2021 -2022 -2023 -2024 -2025 -2026 -2027 -2028 "
    "-4000 -4001 -4002 -4003 -4004 -4005 -4006 -4007 -4013 -4014 -4015 -4016 -4023 -4024 -4028 -4029 -4030 -4031 -4032 "
    "-4045 -4060 -4061 -4062 -4087 -4108 -4118 -4120 -4129 -4130 -4131 -4135 -4136 -4137 -4138 -4140 -4141 -4142 -4164 "
    "-4183 -4184 -4192 -4202 -4203 -5021 -5022"
)
_BINANCE_SPOT_REFUSALS = _codes(
    "-1013 -1014 -1020 -1021 -1022 -1100 -1101 -1102 -1103 -1104 -1105 -1106 -1111 -1112 -1114 -1115 -1116 -1117 -1118 "
    "-1119 -1121 -1128 -1130 -1131 -2010 -2014 -2015 -2021 -2022"
)
_BYBIT_REFUSALS = _codes(
    "10001 10002 10003 10004 10005 10009 10010 10024 10029 110003 110004 110006 110007 110009 110011 110012 110013 "
    "110014 110017 110018 110020 110021 110022 110023 110029 110030 110032 110040 110044 110045 110047 110049 110055 "
    "110056 110057 110066 110068 110090 110092 110093 110094 110095 110098 110126 170121 170124 170130 170131 170132 "
    "170133 170134 170135 170136 170137 170140 170148 170149 170193 170194 170201 170202 170203 170204"
)


@dataclass(frozen=True, slots=True)
class Capability:
    """How one venue names, answers and forgets orders; every text and code is the venue's own.

    `refusal_codes` is the allow-list of definite refusals: whatever is not on it means that the outcome is unknown.
    `duplicates` are (code, text fragment) pairs that say "an order with this id exists", evidence that ours arrived.
    `recv_window_ms` is sent with every request and bounds how late a placement can still be accepted; where a venue
    has no such window, `validity` is how long its nonce stays acceptable. `visibility` is the horizon after which an
    order that the venue holds is surely shown. `forced_ids` are beginnings of the ids of orders by which the venue closes
    a position itself. `is_proved` = it passes the contract suite against the practice venue; the venue itself wants a probe of its own before money moves.
    """

    venue: str
    ccxt_id: str
    market_type: str
    settles: frozenset[str]
    id_wire: str
    id_param: str
    id_length_max: int
    id_pattern: str
    find_param: str | None
    code_field: str
    refusal_codes: frozenset[str]
    duplicates: tuple[tuple[str, str], ...]
    recv_window_ms: int | None
    validity: timedelta
    visibility: timedelta
    real_base: str
    find_by_listing: bool = False
    conditional_id_param: str | None = None
    conditional_params: Mapping[str, Any] = field(default_factory=dict)
    conditional_flag: Mapping[str, Any] = field(default_factory=dict)
    market_order_needs_price: bool = False
    id_is_hex: bool = False
    private_key_login: bool = False
    max_leverage: int = 1
    book_depths: tuple[int, ...] = ()
    candles_per_page: int = 1000
    weight_per_minute: int = 600
    options: Mapping[str, Any] = field(default_factory=dict)
    is_proved: bool = False
    forced_ids: tuple[tuple[str, CloseReason], ...] = ()

    def forced_by(self, client_order_id: str | None) -> CloseReason | None:
        """Why the venue closed by itself, where the order's id is one of those it gives to its own orders."""
        return next((why for prefix, why in self.forced_ids if (client_order_id or "").startswith(prefix)), None)

    def wire_id(self, client_order_id: str) -> str:
        """The id as this venue takes it; Hyperliquid's is 128 bits of hexadecimal, derived from ours."""
        if not self.id_is_hex:
            return client_order_id
        return "0x" + hashlib.sha256(client_order_id.encode()).hexdigest()[:32]

    def accepts(self, wire_id: str) -> bool:
        """Whether the venue takes this id."""
        return len(wire_id) <= self.id_length_max and re.fullmatch(self.id_pattern, wire_id) is not None

    def is_duplicate(self, code: str, text: str) -> bool:
        """Whether this refusal says that an order with the same id exists."""
        return any(code == known and fragment.lower() in text.lower() for known, fragment in self.duplicates)


_BINANCE_ID = r"[\.A-Z\:/a-z0-9_-]{1,36}"
# developers.binance.com, USD-M user data streams, event order update: "special client order ID".
_BINANCE_FORCED = (
    ("autoclose-", CloseReason.LIQUIDATION),
    ("adl_autoclose", CloseReason.DELEVERAGED),
    ("settlement_autoclose-", CloseReason.DELISTED),
    ("delivery_autoclose-", CloseReason.DELISTED),
)
_QUIET = {"fetchCurrencies": False, "adjustForTimeDifference": False}
_STOP_ON_MARK = {"workingType": "MARK_PRICE"}

_BINANCE_FUTURES = Capability(
    venue="binanceusdm",
    ccxt_id="binanceusdm",
    market_type="swap",
    settles=frozenset({"USDT", "USDC"}),
    id_wire="newClientOrderId",
    id_param="newClientOrderId",
    id_length_max=36,
    id_pattern=_BINANCE_ID,
    find_param="origClientOrderId",
    code_field="code",
    refusal_codes=_BINANCE_FUTURES_REFUSALS,
    duplicates=(("-4116", ""), ("-20132", ""), ("-2010", "duplicate")),
    recv_window_ms=5_000,
    validity=timedelta(seconds=5),
    visibility=timedelta(seconds=60),
    weight_per_minute=2400,
    real_base="https://fapi.binance.com",
    conditional_id_param="clientAlgoId",
    conditional_params=_STOP_ON_MARK,
    conditional_flag={"trigger": True},
    max_leverage=20,
    book_depths=(5, 10, 20, 50, 100, 500, 1000),
    candles_per_page=1500,
    options=_QUIET | {"warnOnFetchOpenOrdersWithoutSymbol": False},
    is_proved=True,
    forced_ids=_BINANCE_FORCED,
)

_ROWS = (
    _BINANCE_FUTURES,
    Capability(
        venue="binance",
        ccxt_id="binance",
        market_type="spot",
        settles=frozenset({"USDT", "USDC"}),
        id_wire="newClientOrderId",
        id_param="newClientOrderId",
        id_length_max=36,
        id_pattern=_BINANCE_ID,
        find_param="origClientOrderId",
        code_field="code",
        refusal_codes=_BINANCE_SPOT_REFUSALS,
        duplicates=(("-2010", "duplicate order"),),
        recv_window_ms=5_000,
        validity=timedelta(seconds=5),
        visibility=timedelta(seconds=60),
        weight_per_minute=6000,
        real_base="https://api.binance.com",
        book_depths=(),
        options=_QUIET | {"warnOnFetchOpenOrdersWithoutSymbol": False, "defaultType": "spot", "fetchMarkets": ["spot"]},
    ),
    Capability(
        venue="bybit",
        ccxt_id="bybit",
        market_type="swap",
        settles=frozenset({"USDT", "USDC"}),
        id_wire="orderLinkId",
        id_param="clientOrderId",
        id_length_max=36,
        id_pattern=r"[A-Za-z0-9_-]{1,36}",
        # fetch_order of ccxt sends `orderId=&clientOrderId=X`, a filter that Bybit ignores: its own field it is.
        find_param="orderLinkId",
        find_by_listing=True,
        code_field="retCode",
        refusal_codes=_BYBIT_REFUSALS,
        duplicates=(("110072", ""), ("170141", ""), ("10014", "")),
        recv_window_ms=5_000,
        validity=timedelta(seconds=5),
        visibility=timedelta(minutes=5),
        real_base="https://api.bybit.com",
        conditional_params={"triggerBy": "MarkPrice"},
        conditional_flag={"trigger": True},
        max_leverage=50,
        options=_QUIET | {"defaultType": "swap", "enableUnifiedAccount": True, "enableUnifiedMargin": False},
    ),
    Capability(
        venue="hyperliquid",
        ccxt_id="hyperliquid",
        market_type="swap",
        settles=frozenset({"USDC"}),
        id_wire="c",
        id_param="clientOrderId",
        id_length_max=34,
        id_pattern=r"0x[0-9a-f]{32}",
        id_is_hex=True,
        find_param="clientOrderId",
        code_field="",
        # Refusals carry texts, no codes: nothing is a definite refusal until a probe has shown it.
        refusal_codes=frozenset(),
        duplicates=(),
        recv_window_ms=None,
        # A nonce is accepted while it is younger than two days; ccxt 4.5.90 sends no `expiresAfter` with orders.
        validity=timedelta(days=2),
        visibility=timedelta(minutes=5),
        weight_per_minute=1200,
        real_base="https://api.hyperliquid.xyz",
        market_order_needs_price=True,
        private_key_login=True,
        conditional_flag={"trigger": True},
        max_leverage=20,
        options=_QUIET | {"refSet": True, "builderFee": False, "approvedBuilderFee": False, "defaultType": "swap"},
    ),
    Capability(
        venue="aster",
        ccxt_id="aster",
        market_type="swap",
        settles=frozenset({"USDT"}),
        id_wire="newClientOrderId",
        id_param="newClientOrderId",
        id_length_max=36,
        id_pattern=_BINANCE_ID,
        find_param="origClientOrderId",
        code_field="code",
        refusal_codes=_codes(
            "-1013 -1021 -1022 -1100 -1102 -1111 -1121 -2014 -2015 -2018 -2019 -2021 -2022 -2027 -4003 -4005 -4014 "
            "-4016 -4024 -4164"
        ),
        duplicates=(("-4116", ""), ("-2010", "duplicate")),
        recv_window_ms=5_000,
        # ccxt signs v3 requests with a nonce instead of timestamp and recvWindow; how long it stays good is unproved.
        validity=timedelta(minutes=1),
        visibility=timedelta(minutes=5),
        weight_per_minute=2400,
        forced_ids=_BINANCE_FORCED,
        real_base="https://fapi.asterdex.com",
        private_key_login=True,
        conditional_params=_STOP_ON_MARK,
        max_leverage=20,
        book_depths=(5, 10, 20, 50, 100, 500, 1000),
        candles_per_page=1500,
        options=_QUIET | {"builderFee": False, "approvedBuilderFee": False, "defaultType": "swap"},
    ),
    Capability(
        venue="coinbase",
        ccxt_id="coinbase",
        market_type="spot",
        settles=frozenset({"USD", "USDC"}),
        id_wire="client_order_id",
        # `clientOrderId` is dropped silently and a random id goes out; the native name is kept.
        id_param="client_order_id",
        id_length_max=128,
        id_pattern=r"[A-Za-z0-9_-]{1,128}",
        # No query by client id in ccxt (it asks `/historical/` for an empty id): listings are searched.
        find_param=None,
        find_by_listing=True,
        code_field="error",
        refusal_codes=_codes(
            "INSUFFICIENT_FUND INVALID_PRODUCT_ID INVALID_SIDE INVALID_SIZE_PRECISION INVALID_PRICE_PRECISION "
            "INVALID_LIMIT_PRICE_POST_ONLY INVALID_LIMIT_PRICE INVALID_NO_LIQUIDITY INVALID_REQUEST "
            "INVALID_ORDER_CONFIG UNSUPPORTED_ORDER_CONFIGURATION"
        ),
        duplicates=(),
        recv_window_ms=None,
        # The login token of a request is good for two minutes.
        validity=timedelta(minutes=2),
        visibility=timedelta(minutes=5),
        real_base="https://api.coinbase.com",
        market_order_needs_price=True,
        candles_per_page=300,
        options=_QUIET,
    ),
    Capability(
        venue="kraken",
        ccxt_id="kraken",
        market_type="spot",
        settles=frozenset({"USD", "USDT", "EUR"}),
        id_wire="cl_ord_id",
        id_param="cl_ord_id",
        id_length_max=36,
        id_pattern=r"[A-Za-z0-9_-]{1,36}",
        # fetch_order sends `userref`, another field: only listings tell the client id.
        find_param=None,
        find_by_listing=True,
        code_field="error",
        refusal_codes=frozenset(
            {
                "EOrder:Insufficient funds",
                "EOrder:Order minimum not met",
                "EOrder:Invalid price",
                "EGeneral:Permission denied",
                "EAPI:Invalid key",
                "EAPI:Invalid signature",
                "EAPI:Invalid nonce",
            }
        ),
        duplicates=(("EOrder:Duplicate client order id", ""),),
        recv_window_ms=None,
        validity=timedelta(minutes=1),
        visibility=timedelta(minutes=5),
        real_base="https://api.kraken.com",
        candles_per_page=720,
        options=_QUIET,
    ),
)

CAPABILITIES: dict[str, Capability] = {row.venue: row for row in _ROWS}
"""Every venue the fleet can speak to, by its ccxt name."""


def capability(venue: str) -> Capability:
    """The row of `venue`; raises NotFound naming the rows there are."""
    if venue not in CAPABILITIES:
        raise NotFound("venue", venue, CAPABILITIES)
    return CAPABILITIES[venue]


def build_of(row: Capability) -> str:
    """What a probe of `row` examined: the library's version and a digest of the row; another build wants another probe."""
    digest = hashlib.sha256(repr(row).encode()).hexdigest()[:12]
    return f"ccxt {metadata.version('ccxt')}, {row.venue} {digest}"
