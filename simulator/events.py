"""What the user stream says: orders, conditional orders, balances and positions, in Binance's abbreviations."""

from decimal import Decimal
from typing import Any

from simulator.account import Account
from simulator.money import ZERO, money, text
from simulator.orders import AlgoOrder, Fill, Order


def order_event(order: Order, execution: str, now_ms: int, fill: Fill | None = None) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE for an execution type: NEW, TRADE, CANCELED, EXPIRED, AMENDMENT or CALCULATED."""
    body: dict[str, Any] = {
        "s": order.symbol, "c": order.client_id, "S": order.side, "o": order.type, "f": order.time_in_force,
        "q": text(order.qty), "p": text(order.price), "ap": text(order.average), "sp": text(order.stop_price),
        "x": execution, "X": order.status, "i": order.order_id, "l": "0", "z": text(order.filled), "L": "0",
        "n": "0", "N": "USDT", "T": order.updated_ms, "t": 0, "b": "0", "a": "0", "m": False, "R": order.reduce_only,
        "wt": order.working_type, "ot": order.original_type or order.type, "ps": "BOTH", "cp": order.close_position,
        "rp": "0", "pP": False, "si": 0, "ss": 0, "V": "NONE", "pm": "NONE", "gtd": 0,
    }  # fmt: skip
    if fill is not None:
        body |= {
            "l": text(fill.qty), "L": text(fill.price), "n": text(fill.fee), "t": fill.trade_id, "m": fill.is_maker,
            "rp": text(fill.realized), "T": fill.at_ms,
        }  # fmt: skip
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": body["T"], "o": body}


def algo_event(algo: AlgoOrder, now_ms: int, order: Order | None = None) -> dict[str, Any]:
    """ALGO_UPDATE for the conditional order's present status."""
    body: dict[str, Any] = {
        "caid": algo.client_id, "aid": algo.algo_id, "at": "CONDITIONAL", "o": algo.type, "s": algo.symbol,
        "S": algo.side, "ps": "BOTH", "f": algo.time_in_force, "q": text(algo.qty), "X": algo.status,
        "ai": str(algo.order_id or ""), "tp": text(algo.trigger), "p": text(algo.price), "V": "NONE",
        "wt": algo.working_type, "pm": "NONE", "cp": algo.close_position, "pP": False, "R": algo.reduce_only,
        "tt": algo.triggered_ms, "gtd": 0, "rm": algo.reason,
    }  # fmt: skip
    if order is not None:
        body |= {"ap": text(order.average), "aq": text(order.filled), "act": order.type}
    return {"e": "ALGO_UPDATE", "T": algo.updated_ms, "E": now_ms, "o": body}


def account_event(
    account: Account, reason: str, delta: Decimal, symbols: dict[str, Decimal], at_ms: int, now_ms: int
) -> dict[str, Any]:
    """ACCOUNT_UPDATE for the wallet and the positions of `symbols` (symbol to mark price)."""
    positions = [
        {
            "s": symbol, "pa": text(account.position(symbol).qty), "ep": money(account.position(symbol).entry),
            "bep": money(account.position(symbol).entry), "cr": money(account.position(symbol).realized),
            "up": money(account.position(symbol).unrealized(mark)), "mt": "cross", "iw": "0", "ps": "BOTH",
        }
        for symbol, mark in symbols.items()
    ]  # fmt: skip
    wallet = money(account.wallet)
    balances = [{"a": "USDT", "wb": wallet, "cw": wallet, "bc": money(delta) if reason != "ORDER" else money(ZERO)}]
    return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": at_ms, "a": {"m": reason, "B": balances, "P": positions}}
