"""Orders, conditional orders and fills as the venue keeps them, and the words Binance describes them with."""

from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from typing import Any, Self

from simulator.money import ZERO, booked, text

OPEN_STATES = ("NEW", "PARTIALLY_FILLED")


class Kept:
    """What is written to the state as JSON and read back: Decimals travel as text."""

    __slots__ = ()

    def dump(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return {k: str(v) if isinstance(v, Decimal) else v for k, v in asdict(self).items()}  # type: ignore[call-overload]

    @classmethod
    def load(cls, doc: dict[str, Any]) -> Self:
        """The object from its JSON."""
        decimals = {f.name for f in fields(cls) if f.type in (Decimal, "Decimal")}  # type: ignore[arg-type]
        return cls(**{k: Decimal(v) if k in decimals else v for k, v in doc.items()})


@dataclass(slots=True)
class Order(Kept):
    """An order in the matching engine; `visible_ms` hides it from queries until then (a fault)."""

    order_id: int
    account: str
    client_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    price: Decimal
    reduce_only: bool
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    filled: Decimal = ZERO
    quote: Decimal = ZERO
    close_position: bool = False
    stop_price: Decimal = ZERO
    original_type: str = ""
    working_type: str = "CONTRACT_PRICE"
    algo_id: int = 0
    visible_ms: int = 0
    frozen_until_ms: int = 0
    is_forced: bool = False

    @property
    def is_buy(self) -> bool:
        """Whether it buys."""
        return self.side == "BUY"

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in OPEN_STATES

    @property
    def remaining(self) -> Decimal:
        """What is not filled yet."""
        return self.qty - self.filled

    @property
    def average(self) -> Decimal:
        """Mean price of its fills, zero without any."""
        return booked(self.quote / self.filled) if self.filled else ZERO

    def describe(self) -> dict[str, Any]:
        """The order as REST answers it."""
        return {
            "orderId": self.order_id, "symbol": self.symbol, "status": self.status, "clientOrderId": self.client_id,
            "price": text(self.price), "avgPrice": text(self.average), "origQty": text(self.qty),
            "executedQty": text(self.filled), "cumQty": text(self.filled), "cumQuote": text(self.quote),
            "timeInForce": self.time_in_force, "type": self.type, "reduceOnly": self.reduce_only,
            "closePosition": self.close_position, "side": self.side, "positionSide": "BOTH",
            "stopPrice": text(self.stop_price), "workingType": self.working_type, "priceProtect": False,
            "origType": self.original_type or self.type, "priceMatch": "NONE", "selfTradePreventionMode": "NONE",
            "goodTillDate": 0, "time": self.created_ms, "updateTime": self.updated_ms,
        }  # fmt: skip


@dataclass(slots=True)
class AlgoOrder(Kept):
    """A conditional order, waiting outside the engine for its trigger price."""

    algo_id: int
    account: str
    client_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    price: Decimal
    trigger: Decimal
    reduce_only: bool
    close_position: bool
    working_type: str
    created_ms: int
    updated_ms: int
    status: str = "NEW"
    triggered_ms: int = 0
    order_id: int = 0
    reason: str = ""
    visible_ms: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it still waits."""
        return self.status == "NEW"

    @property
    def is_buy(self) -> bool:
        """Whether it buys."""
        return self.side == "BUY"

    @property
    def fires_upward(self) -> bool:
        """Whether it fires when the price rises to the trigger: stops of shorts and targets of longs."""
        return self.is_buy if self.type.startswith("STOP") else not self.is_buy

    def fires_at(self, price: Decimal) -> bool:
        """Whether a price sets it off."""
        return price >= self.trigger if self.fires_upward else price <= self.trigger

    def describe(self, average: Decimal = ZERO) -> dict[str, Any]:
        """The conditional order as REST answers it."""
        return {
            "algoId": self.algo_id, "clientAlgoId": self.client_id, "algoType": "CONDITIONAL", "orderType": self.type,
            "symbol": self.symbol, "side": self.side, "positionSide": "BOTH", "timeInForce": self.time_in_force,
            "quantity": text(self.qty), "algoStatus": self.status, "actualOrderId": str(self.order_id or ""),
            "actualPrice": text(average), "triggerPrice": text(self.trigger), "price": text(self.price),
            "icebergQuantity": None, "selfTradePreventionMode": "NONE", "workingType": self.working_type,
            "priceMatch": "NONE", "closePosition": self.close_position, "priceProtect": False,
            "reduceOnly": self.reduce_only, "createTime": self.created_ms, "updateTime": self.updated_ms,
            "triggerTime": self.triggered_ms, "goodTillDate": 0, "tpTriggerPrice": "0.000", "tpPrice": "0.000",
            "slTriggerPrice": "0.000", "slPrice": "0.000", "tpOrderType": "",
        }  # fmt: skip


@dataclass(slots=True)
class Fill(Kept):
    """One execution; never changed once written."""

    trade_id: int
    order_id: int
    account: str
    client_id: str
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    quote: Decimal
    fee: Decimal
    realized: Decimal
    is_maker: bool
    at_ms: int
    visible_ms: int = 0

    def describe(self) -> dict[str, Any]:
        """The fill as userTrades answers it."""
        return {
            "buyer": self.side == "BUY", "commission": text(self.fee), "commissionAsset": "USDT", "id": self.trade_id,
            "maker": self.is_maker, "orderId": self.order_id, "price": text(self.price), "qty": text(self.qty),
            "quoteQty": text(self.quote), "realizedPnl": text(self.realized), "side": self.side, "positionSide": "BOTH",
            "symbol": self.symbol, "time": self.at_ms,
        }  # fmt: skip


@dataclass(slots=True)
class Income(Kept):
    """One movement of the wallet; the wallet is their sum."""

    tran_id: int
    account: str
    kind: str
    amount: Decimal
    symbol: str
    at_ms: int
    trade_id: str = ""
    info: str = field(default="")

    def describe(self) -> dict[str, Any]:
        """The movement as income answers it."""
        return {
            "symbol": self.symbol, "incomeType": self.kind, "income": text(self.amount), "asset": "USDT",
            "info": self.info, "time": self.at_ms, "tranId": self.tran_id, "tradeId": self.trade_id,
        }  # fmt: skip
