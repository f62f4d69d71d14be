"""Reads ccxt's unified structures into the words of our ports, in exact decimals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from common.adapters.ccxt_venue.capabilities import Capability
from common.domain.errors import Transient
from common.domain.market import Candle, Instrument, InstrumentStatus, Level, OrderBook, Timeframe
from common.domain.money import ZERO
from common.domain.order import OrderSide, OrderStatus
from common.domain.postings import EntryKind, Movement
from common.ports.venue import VenueFill, VenueFunding, VenueOrder, VenuePosition

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNLIMITED = Decimal("1e15")


def exact(value: object, field: str) -> Decimal:
    """`value` as a finite Decimal; raises Transient naming `field`, for an answer that is no answer."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Transient(f"the venue answered {value!r} as {field}") from None
    if not number.is_finite():
        raise Transient(f"the venue answered {value!r} as {field}")
    return number


def exact_or(value: object, otherwise: Decimal) -> Decimal:
    """`value` as a Decimal, or `otherwise` where the venue said nothing."""
    return otherwise if value in (None, "") else exact(value, "a number")


def instant(milliseconds: object, field: str = "a time") -> datetime:
    """Milliseconds since the epoch as an aware time, to the millisecond exactly."""
    return EPOCH + timedelta(milliseconds=int(exact(milliseconds, field)))


def milliseconds(when: datetime) -> int:
    """`when` in milliseconds since the epoch, rounded down."""
    return (when - EPOCH) // timedelta(milliseconds=1)


def status_of(order: Mapping[str, Any], filled: Decimal) -> OrderStatus:
    """Where the order stands; raises Transient for a word we do not know, rather than guessing."""
    said = order.get("status")
    if said in ("open", "canceling", "ok"):
        return OrderStatus.PARTIALLY_FILLED if filled > ZERO else OrderStatus.ACCEPTED
    known = {
        "closed": OrderStatus.FILLED,
        "canceled": OrderStatus.CANCELED,
        "expired": OrderStatus.EXPIRED,
        "rejected": OrderStatus.REJECTED,
    }
    if said not in known:
        raise Transient(f"the venue answered {said!r} as the status of an order")
    return known[said]


def order_of(order: Mapping[str, Any], client_order_id: str | None, now: datetime) -> VenueOrder:
    """ccxt's order; `client_order_id` overrides the wire's where ours was derived. Raises Transient on nonsense."""
    info = order.get("info") or {}
    filled = exact_or(order.get("filled"), ZERO)
    said_at = order.get("lastUpdateTimestamp") or order.get("lastTradeTimestamp") or order.get("timestamp")
    if not order.get("id") or order.get("side") not in ("buy", "sell") or not order.get("symbol"):
        raise Transient("the venue answered an order without id, side or symbol")
    return VenueOrder(
        client_order_id=client_order_id or str(order.get("clientOrderId") or ""),
        venue_order_id=str(order["id"]),
        instrument=str(order["symbol"]),
        side=OrderSide(order["side"]),
        status=status_of(order, filled),
        quantity=exact(order.get("amount"), "the quantity of an order"),
        filled_quantity=filled,
        average_price=exact_or(order.get("average"), ZERO),
        is_conditional="algoId" in info or bool(order.get("triggerPrice")),
        occurred_at=instant(said_at) if said_at else now,
    )


def fill_of(trade: Mapping[str, Any], client_order_id: str | None, row: Capability) -> VenueFill:
    """ccxt's trade as an execution of ours, or of the venue's own; raises Transient on nonsense."""
    fee = trade.get("fee") or {}
    if not trade.get("id") or trade.get("side") not in ("buy", "sell"):
        raise Transient("the venue answered a trade without id or side")
    return VenueFill(
        trade_id=str(trade["id"]),
        venue_order_id=str(trade.get("order") or ""),
        client_order_id=client_order_id,
        instrument=str(trade["symbol"]),
        side=OrderSide(trade["side"]),
        quantity=exact(trade.get("amount"), "the quantity of a trade"),
        price=exact(trade.get("price"), "the price of a trade"),
        fee=exact_or(fee.get("cost"), ZERO),
        fee_asset=str(fee.get("currency") or ""),
        is_maker=trade.get("takerOrMaker") == "maker",
        occurred_at=instant(trade.get("timestamp"), "the time of a trade"),
        forced_by=row.forced_by(client_order_id),
    )


def position_of(position: Mapping[str, Any]) -> VenuePosition | None:
    """ccxt's position, or None when it is flat."""
    info = position.get("info") or {}
    size = exact_or(position.get("contracts"), ZERO) * exact_or(position.get("contractSize"), Decimal(1))
    signed = exact(info["positionAmt"], "a position") if "positionAmt" in info else size
    if signed == ZERO:
        return None
    if "positionAmt" not in info and position.get("side") == "short":
        signed = -abs(signed)
    liquidation = exact_or(position.get("liquidationPrice") or info.get("liquidationPrice"), ZERO)
    return VenuePosition(
        instrument=str(position["symbol"]),
        quantity=signed,
        entry_price=exact_or(position.get("entryPrice") or info.get("entryPrice"), ZERO),
        mark=exact_or(position.get("markPrice") or info.get("markPrice"), ZERO),
        liquidation_price=liquidation if liquidation > ZERO else None,
    )


def funding_of(income: Mapping[str, Any]) -> VenueFunding:
    """ccxt's funding payment; an id is made of time and symbol where the venue gives none."""
    when = instant(income.get("timestamp"), "the time of a funding payment")
    return VenueFunding(
        income_id=str(income.get("id") or f"{milliseconds(when)}|{income.get('symbol')}"),
        instrument=str(income.get("symbol") or ""),
        amount=exact(income.get("amount"), "a funding payment"),
        asset=str(income.get("code") or ""),
        occurred_at=when,
    )


_BINANCE_INCOMES = {
    "REALIZED_PNL": EntryKind.REALISED,
    "COMMISSION": EntryKind.FEE,
    "FUNDING_FEE": EntryKind.FUNDING,
    "TRANSFER": EntryKind.TRANSFER,
    "INTERNAL_TRANSFER": EntryKind.TRANSFER,
    "CROSS_COLLATERAL_TRANSFER": EntryKind.TRANSFER,
    "COIN_SWAP_DEPOSIT": EntryKind.TRANSFER,
    "COIN_SWAP_WITHDRAW": EntryKind.TRANSFER,
    "STRATEGY_UMFUTURES_TRANSFER": EntryKind.TRANSFER,
}
"""Binance USD-M incomeType; what is not named here (bonus, rebate, insurance, …) is money from elsewhere."""

_OF_TRADES = frozenset({EntryKind.REALISED, EntryKind.FEE})
_TRANSFERS = frozenset({"transfer", "deposit", "withdrawal"})


def movement_of(entry: Mapping[str, Any], client: Any) -> Movement | None:
    """ccxt's ledger entry as a movement of the wallet; None for what this venue tells elsewhere (trades, fees, funding).

    Binance tells every kind apart and gives ids that are unique within one kind; raises Transient on nonsense.
    """
    info = entry.get("info") or {}
    when = instant(entry.get("timestamp"), "the time of a movement")
    asset, identity = str(entry.get("currency") or ""), str(entry.get("id") or "")
    if "incomeType" in info:
        word = str(info["incomeType"])
        kind = _BINANCE_INCOMES.get(word, EntryKind.OTHER)
        market_id = str(info.get("symbol") or "")
        symbol = str(client.safe_symbol(market_id, None, None, "swap")) if market_id else ""
        amount = exact(info.get("income"), "a movement of the wallet")
        reference = str(info.get("tradeId") or "") if kind in _OF_TRADES else identity
        if kind in {EntryKind.OTHER, EntryKind.TRANSFER}:
            reference, symbol = f"{word} {identity}", ""
        return Movement(kind, reference, symbol, amount, asset, when, word)
    if entry.get("type") not in _TRANSFERS:
        return None
    amount = abs(exact(entry.get("amount"), "a movement of the wallet"))
    signed = -amount if entry.get("direction") == "out" else amount
    return Movement(
        EntryKind.TRANSFER, identity or f"{milliseconds(when)}", "", signed, asset, when, str(entry["type"])
    )


def candle_of(row: Sequence[Any], timeframe: Timeframe) -> Candle:
    """ccxt's candle, checked; raises InvalidInput when it cannot be true."""
    opened_at = instant(row[0], "the time of a candle")
    prices = [exact(value, "a candle's number") for value in row[1:6]]
    return Candle(opened_at, opened_at + timeframe.duration, *prices).check()


def book_of(book: Mapping[str, Any], depth: int, now: datetime) -> OrderBook:
    """ccxt's order book, `depth` levels a side; `now` where the venue gives no time."""
    bids, asks = (
        tuple(Level(exact(row[0], "a price"), exact(row[1], "a quantity")) for row in book[side][:depth])
        for side in ("bids", "asks")
    )
    return OrderBook(bids, asks, instant(book["timestamp"]) if book.get("timestamp") else now)


def instrument_of(market: Mapping[str, Any], name: str, row: Capability) -> Instrument:
    """ccxt's market with its grid and filters; raises Transient when a filter is missing."""
    limits, precision = market["limits"], market["precision"]
    sizes = (limits.get("amount") or {}, limits.get("market") or {})
    minima = [exact(size["min"], "a minimum") for size in sizes if size.get("min")]
    maxima = [exact(size["max"], "a maximum") for size in sizes if size.get("max")]
    step = exact(precision.get("amount"), "the step of a quantity")
    leverage = exact_or((limits.get("leverage") or {}).get("max"), Decimal(row.max_leverage))
    return Instrument(
        venue=name,
        symbol=str(market["symbol"]),
        base=str(market["base"]),
        quote=str(market["quote"]),
        settle=str(market.get("settle") or market["quote"]),
        tick_size=exact(precision.get("price"), "the tick of a price"),
        step_size=step,
        min_quantity=max([step, *minima]),
        max_quantity=min([_UNLIMITED, *maxima]),
        min_notional=exact_or((limits.get("cost") or {}).get("min"), ZERO),
        max_leverage=int(leverage),
        maker_fee=exact_or(market.get("maker"), Decimal("0.001")),
        taker_fee=exact_or(market.get("taker"), Decimal("0.001")),
        status=_status(market),
    )


def _status(market: Mapping[str, Any]) -> InstrumentStatus:
    said = str((market.get("info") or {}).get("status") or (market.get("info") or {}).get("contractStatus") or "")
    if said in ("SETTLING", "DELIVERING", "DELIVERED", "CLOSE", "CLOSED", "Closed", "Settling"):
        return InstrumentStatus.DELISTED
    return InstrumentStatus.TRADING if market.get("active") is not False else InstrumentStatus.HALTED
