"""The invariants of a quiet fleet as they show from outside: the venue's own statement against the ledger's rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from chaos.tenants import BALANCE, EXPOSURE_MAX, POSITIONS_MAX
from chaos.world import World, patiently
from common.domain.errors import TradewindsError
from common.domain.order import TERMINAL, OrderStatus
from common.domain.tenant import Account
from common.services.drain import compare_books
from common.services.replay_decision import replay_decision

NOT_THERE = {OrderStatus.REJECTED, OrderStatus.NOT_PLACED, OrderStatus.ABANDONED, OrderStatus.INTENDED}
PENNY = Decimal("0.01")
VALIDITY_S = 5.0
"""How long after its SUBMITTING was committed the venue may still accept an entry, in seconds of life."""

_ATTEMPTS = 4
_SLACK = Decimal("1.10")
"""Between the price risk reckoned with and the price that was paid lie seconds, and at this speed minutes."""

_ORDERS = """
    SELECT o.client_order_id, o.role, o.status, o.quantity, o.filled_quantity, o.instrument, o.submitted_at,
        coalesce(s.strategy, '') AS strategy
    FROM orders AS o LEFT JOIN signals AS s ON s.id = o.signal_id WHERE o.account_id = %s
"""
_FILLS = "SELECT trade_id, instrument, quantity, price, fee FROM fills WHERE account_id = %s"
_RECKONED = """
    SELECT (SELECT coalesce(sum(amount), 0) FROM cash_flows WHERE account_id = %(account)s)
        + (SELECT coalesce(sum(gross_profit - fees + funding), 0) FROM positions WHERE account_id = %(account)s)
"""
_RESERVATIONS = """
    SELECT o.client_order_id, o.status, r.order_id IS NOT NULL FROM orders AS o
    LEFT JOIN reservations AS r ON r.tenant_id = o.tenant_id AND r.order_id = o.id AND r.lapses_at IS NULL
    WHERE o.role = 'entry' AND (r.order_id IS NOT NULL) <> NOT (o.status = ANY (%s))
"""
_FAILED = "SELECT stage, key, outcome FROM jobs WHERE state = 'failed' AND key NOT LIKE 'refused:%%'"
_QUARANTINE = "SELECT client_order_id, detail FROM quarantine WHERE cleared_at IS NULL"
_DECISIONS = """
    SELECT tenant_id, id FROM decisions WHERE outcome IN ('approved', 'vetoed') ORDER BY occurred_at DESC LIMIT %s
"""
_CANARIES = """
    SELECT 'jobs' FROM jobs WHERE payload::text || outcome LIKE %(c)s UNION ALL
    SELECT 'audit' FROM audit WHERE payload::text LIKE %(c)s UNION ALL
    SELECT 'orders' FROM orders WHERE reason LIKE %(c)s UNION ALL
    SELECT 'advice' FROM advice WHERE prompt || raw_answer LIKE %(c)s
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One of our orders as the ledger holds it."""

    client_id: str
    role: str
    status: OrderStatus
    quantity: Decimal
    filled: Decimal
    instrument: str
    submitted_at: datetime | None
    strategy: str


def violations(world: World, replays: int = 200) -> list[str]:
    """What does not hold, each as `I4: …`; a difference counts only when it is still there after some visits."""
    found: list[str] = []
    for _ in range(_ATTEMPTS):
        found = [*patiently(lambda: _once(world)), *patiently(lambda: _decisions(world, replays))]
        if not found:
            break
    return found


def _once(world: World) -> list[str]:
    books = compare_books(world.fleet)
    found = [f"books: {item}" for item in books["differences"]]
    found += [f"I1: {stage} {key} failed for good: {outcome}" for stage, key, outcome in world.rows(_FAILED)]
    found += [f"Q: ours was quarantined: {client} {detail}" for client, detail in world.rows(_QUARANTINE)]
    over = [status.value for status in TERMINAL]
    for client, status, is_held in world.rows(_RESERVATIONS, [over]):
        found.append(f"I13: entry {client} is {status} and its reservation is {'held' if is_held else 'missing'}")
    for account in world.tenancy.accounts:
        if account.id in world.tenancy.keys:
            found += _account(world, account)
    for secret in world.tenancy.secrets:
        found += [f"I14: a secret stands in {place}" for (place,) in world.rows(_CANARIES, {"c": f"%{secret}%"})]
    return found


def _account(world: World, account: Account) -> list[str]:
    told = world.venue.statement(world.tenancy.keys[account.id])
    rows = [Row(r[0], r[1], OrderStatus(r[2]), r[3], r[4], r[5], r[6], r[7]) for r in world.rows(_ORDERS, [account.id])]
    ours = {row.client_id: row for row in rows}
    name = f"{world.tenancy.keys[account.id][-6:]}"
    found = [
        *_placed_once(told),
        *_orders(told, ours),
        *_fills(told, world.rows(_FILLS, [account.id])),
        *_protection(told),
        *_limits(told, ours),
        *_cash(told, world.rows(_RECKONED, {"account": account.id})[0][0]),
        *_halted(world, account, told, ours),
    ]
    return [f"{item} ({name})" for item in found]


def _entities(told: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """(client id, order, conditional order) of everything the venue ever took; one that fired is both."""
    fired = {order["algoId"]: order for order in told["orders"] if order["algoId"]}
    for order in told["orders"]:
        if not order["algoId"]:
            yield order["clientOrderId"], order, None
    for algo in told["algo_orders"]:
        yield algo["clientAlgoId"], fired.get(algo["algoId"]), algo


def _placed_once(told: Mapping[str, Any]) -> Iterator[str]:
    for client, count in Counter(client for client, _, _ in _entities(told)).items():
        if count > 1:
            yield f"I2: the venue accepted {client} {count} times"


def _orders(told: Mapping[str, Any], ours: Mapping[str, Row]) -> Iterator[str]:
    theirs = {client: (order, algo) for client, order, algo in _entities(told)}
    for client in sorted(theirs.keys() - ours.keys()):
        yield f"I3: the venue holds {client} and no intent was committed"
    for client, row in sorted(ours.items()):
        if client not in theirs:
            if row.status not in NOT_THERE:
                yield f"I4: {row.role} {client} is {row.status} in the ledger and not at the venue"
            continue
        order, algo = theirs[client]
        filled = Decimal(order["executedQty"]) if order else Decimal(0)
        is_open = (order is not None and order["status"] in {"NEW", "PARTIALLY_FILLED"}) or (
            algo is not None and algo["algoStatus"] == "NEW"
        )
        shown = f"{order['status'] if order else '-'}/{algo['algoStatus'] if algo else '-'} {filled}"
        if (
            filled != row.filled
            or is_open is (row.status in TERMINAL)
            or row.status in NOT_THERE - {OrderStatus.REJECTED}
        ):
            yield f"I4: {row.role} {client} is {row.status} {row.filled} in the ledger and {shown} at the venue"


def _fills(told: Mapping[str, Any], rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    ours = {(row[1].split(":")[0].replace("/", ""), row[0]): tuple(row[2:5]) for row in rows}
    theirs = {
        (item["symbol"], str(item["tradeId"])): (Decimal(item["qty"]), Decimal(item["price"]), Decimal(item["fee"]))
        for item in told["fills"]
    }
    if len(ours) != len(rows):
        yield "I5: a trade is booked twice"
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"I5: trade {key} is {ours.get(key)} in the ledger and {theirs.get(key)} at the venue"


def _protection(told: Mapping[str, Any]) -> Iterator[str]:
    held = {item["symbol"]: Decimal(item["qty"]) for item in told["positions"]}
    resting: dict[str, Decimal] = defaultdict(Decimal)
    for algo in told["algo_orders"]:
        if algo["algoStatus"] == "NEW":
            position = held.get(algo["symbol"], Decimal(0))
            if (position > 0) == (algo["side"] == "BUY") or not position or not algo["reduceOnly"]:
                yield f"I8: stop {algo['clientAlgoId']} rests without a position of {algo['symbol']} to protect"
            resting[algo["symbol"]] += Decimal(algo["quantity"])
    for symbol, quantity in held.items():
        if quantity and resting[symbol] < abs(quantity):
            yield f"I8: {resting[symbol]} of {quantity} {symbol} is protected"


def _limits(told: Mapping[str, Any], ours: Mapping[str, Row]) -> Iterator[str]:
    held: dict[str, Decimal] = defaultdict(Decimal)
    prices: dict[str, Decimal] = {}
    for fill in sorted(told["fills"], key=lambda item: (item["time"], item["tradeId"])):
        symbol, sign = fill["symbol"], 1 if fill["side"] == "BUY" else -1
        grows = abs(held[symbol] + sign * Decimal(fill["qty"])) > abs(held[symbol])
        held[symbol] += sign * Decimal(fill["qty"])
        prices[symbol] = Decimal(fill["price"])
        if not grows:
            continue
        count = sum(1 for quantity in held.values() if quantity)
        worth = sum((abs(quantity) * prices[name] for name, quantity in held.items() if quantity), Decimal(0))
        if count > POSITIONS_MAX:
            yield f"I6: {count} positions held after trade {fill['tradeId']}, {POSITIONS_MAX} are allowed"
        if worth > EXPOSURE_MAX * BALANCE * _SLACK:
            yield f"I6: {worth} held after trade {fill['tradeId']}, {EXPOSURE_MAX * BALANCE} is allowed"
    for row in ours.values():
        if row.filled > row.quantity:
            yield f"I6: {row.client_id} filled {row.filled} of {row.quantity}"


def _cash(told: Mapping[str, Any], reckoned: Decimal) -> Iterator[str]:
    """What was paid in, out and taken besides trades has been booked by the comparison of cash just before."""
    if any(Decimal(item["qty"]) for item in told["positions"]):
        return  # What an open position has earned is told by its entry price, which the venue rounds.
    wallet = Decimal(told["balances"][0]["wallet"])
    if abs(reckoned - wallet) > PENNY:
        yield f"I15: the wallet holds {wallet} and the ledger reckons {reckoned}"


def _halted(world: World, account: Account, told: Mapping[str, Any], ours: Mapping[str, Row]) -> Iterator[str]:
    for order in told["orders"]:
        row = ours.get(order["clientOrderId"])
        if row is None or row.role != "entry" or row.submitted_at is None:
            continue
        accepted, submitted = order["time"], row.submitted_at.timestamp() * 1000
        for span in world.halts.spans:
            if not span.covers(str(account.tenant_id), row.strategy, row.instrument) or not span.holds_at(accepted):
                continue
            lag_s = (accepted - (span.committed_ms or 0)) / 1000 / world.options.speed
            if span.holds_at(submitted) and submitted <= accepted:
                yield f"I9: {row.client_id} was submitted {lag_s:.2f} s after {span.mode} of {span.scope} had committed"
            elif lag_s > VALIDITY_S + 1:
                yield f"I9: {row.client_id} was accepted {lag_s:.2f} s after {span.mode} of {span.scope} had committed"
            else:
                world.halts.in_flight_s.append(round(lag_s, 2))


def _decisions(world: World, limit: int) -> list[str]:
    found = []
    for tenant, decision in world.rows(_DECISIONS, [limit]):
        try:
            replay = replay_decision(world.fleet, UUID(str(tenant)), UUID(str(decision)))
        except TradewindsError as error:
            found.append(f"I10: decision {decision} cannot be judged again: {error}")
            continue
        if not replay.is_equal:
            found.append(f"I10: decision {decision} judged again is {replay.recomputed['outcome']}")
    return found
