"""Puts what the fleet did beside what the backtest did, and names the first field in which each pair differs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from common.domain.backtest import Result
from common.domain.codec import encode
from common.domain.market import EPOCH
from common.domain.order import OrderRole
from common.domain.position import CloseReason, Position
from common.domain.risk.verdict import Veto
from simulation.parity.live import Lived

NEAR = 1e-8
"""Relative difference that a measured number may have: the beginning of a recursive average leaves 1e-9, a rest that is
counted from a moment before its bar's end 3e-9 of five minutes.
"""


@dataclass(slots=True)
class Comparison:
    """How many pairs of each kind were compared, and what differed."""

    compared: dict[str, int] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str, live: Mapping[Any, Mapping[str, Any]], told: Mapping[Any, Mapping[str, Any]]) -> None:
        """Compare two sets of rows by key: the first field that differs, or which side lacks the row."""
        self.compared[kind] = len(live.keys() | told.keys())
        for key in sorted(live.keys() | told.keys(), key=str):
            if key not in live or key not in told:
                lacking = "live" if key not in live else "backtest"
                self.differences.append({"kind": kind, "key": str(key), "field": f"lacking in {lacking}"})
                continue
            for name, value in live[key].items():
                if not alike(value, told[key].get(name)):
                    other = told[key].get(name)
                    self.differences.append(
                        {"kind": kind, "key": str(key), "field": name, "live": str(value), "backtest": str(other)}
                    )
                    break


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same; numbers that were computed, to eight digits."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR)
    return bool(one == other)


def compare(lived: Lived, result: Result, last_ms: int) -> Comparison:
    """Signals, verdicts, orders and exits of both; exits up to `last_ms`, when the last bar opened."""
    found = Comparison()
    signals = {signal.id: signal for signal in lived.signals}
    told = {item: result.signal(item) for item in result.decisions}
    found.of("signals", {i: encode(s) for i, s in signals.items()}, {s.id: encode(s) for s in told.values()})
    found.of(
        "verdicts",
        {item.signal_id: verdict(item.outcome.value, item.veto) for item in lived.decisions},
        {signal.id: verdict("vetoed" if item.veto else "approved", item.veto) for item, signal in told.items()},
    )
    entries = [order for order in lived.orders if order.intent.role is OrderRole.ENTRY]
    found.of(
        "orders",
        {
            order.intent.signal_id: {"quantity": order.intent.quantity, "leverage": order.intent.leverage}
            | entered(next(item for item in lived.positions if item.id == order.intent.position_id))
            for order in entries
        },
        {
            position.signal_id: {"quantity": position.opened_quantity, "leverage": position.leverage}
            | entered(position)
            for position in result.positions
        },
    )
    found.of(
        "exits",
        {position.signal_id: left(position) for position in lived.positions if _is_left(position, last_ms)},
        {position.signal_id: left(position) for position in result.positions if _is_left(position, last_ms)},
    )
    # What diverged first comes first: the rest may only follow from it.
    moments = {str(signal.id): signal.closed_at for signal in (*signals.values(), *told.values())}
    for item in found.differences:
        item["at"] = moments[item["key"]].isoformat()
    found.differences.sort(key=lambda item: item["at"])
    return found


def verdict(outcome: str, veto: Veto | None) -> dict[str, Any]:
    """A verdict as it is compared."""
    if veto is None:
        return {"outcome": outcome}
    numbers = {"measured": float(veto.measured), "limit": float(veto.limit)}
    # Where one is stacked the judge counts what is held; both say which rule, and that is the verdict.
    return {"outcome": outcome, "rule": veto.rule.value, **numbers}


def entered(position: Position) -> dict[str, Any]:
    """The entry of a position as it is compared."""
    return {
        "side": position.side.value,
        "entry_price": position.entry_price,
        "opened_at": position.opened_at,
        "exits": encode(position.exits),
    }


def left(position: Position) -> dict[str, Any]:
    """The end of a position as it is compared."""
    return {
        "reason": position.close_reason.value if position.close_reason else None,
        # What ends within a candle ends a moment before it in the fleet.
        "closed_at": None if position.closed_at is None else _ms(position.closed_at),
        "exit_price": position.exit_price,
        "fees": position.fees,
        "net_profit": position.net_profit,
    }


def _is_left(position: Position, last_ms: int) -> bool:
    """Whether somebody decided its end by `last_ms`: what is held after the last candle of a backtest is closed by nobody."""
    closed_at, reason = position.closed_at, position.close_reason
    return closed_at is not None and _ms(closed_at) <= last_ms and reason is not CloseReason.MANUAL


def _ms(moment: datetime) -> int:
    return round((moment - EPOCH).total_seconds() * 1000)
