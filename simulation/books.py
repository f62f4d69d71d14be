"""The laws of a world at rest: the books of ledger and venue are compared, each read from its own source."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from common.domain.decision import Decision, DecisionOutcome
from common.domain.errors import Permanent
from common.domain.fill import Fill, Funding
from common.domain.market import Timeframe
from common.domain.money import ZERO
from common.domain.order import TERMINAL, Order, OrderRole, OrderStatus
from common.domain.position import Position
from common.domain.risk.book import HaltMode
from common.domain.tenant import Account
from common.services.replay_decision import replay_decision
from common.store import UnitOfWork
from simulation.laws import Laws
from simulation.strategy import side_of_throw, throw
from simulation.venue import START_BALANCE, Resting, VirtualAccount
from simulation.world import CANARY, World

MINUTE = Timeframe.parse("1m")
NEVER_LEFT = frozenset({OrderStatus.INTENDED, OrderStatus.ABANDONED})
NOT_THERE = frozenset({OrderStatus.REJECTED, OrderStatus.NOT_PLACED, OrderStatus.ABANDONED})
LATE_MOST = timedelta(seconds=20)

_SECRETS = """
    SELECT 'jobs', id::text FROM jobs WHERE payload::text || outcome LIKE %(canary)s
    UNION ALL SELECT 'audit', seq::text FROM audit WHERE payload::text LIKE %(canary)s
    UNION ALL SELECT 'platform_audit', seq::text FROM platform_audit WHERE payload::text LIKE %(canary)s
    UNION ALL SELECT 'decisions', id::text FROM decisions WHERE inputs::text LIKE %(canary)s
    UNION ALL SELECT 'orders', id::text FROM orders WHERE reason LIKE %(canary)s
    UNION ALL SELECT 'advice', id::text FROM advice WHERE prompt || raw_answer || rationale LIKE %(canary)s
"""

_TRAIL = "SELECT kind, subject, payload FROM audit WHERE kind IN ('order', 'fill') ORDER BY seq"

# Every row that names an account must belong to the account's tenant.
_STRANGE_ROWS = """
    SELECT '{table}', count(*) FROM {table} AS x
    WHERE NOT EXISTS (SELECT FROM accounts AS a WHERE a.id = x.account_id AND a.tenant_id = x.tenant_id)
"""
_OF_ACCOUNTS = ("orders", "fills", "positions", "decisions", "reservations", "quarantine", "equity", "account_balances")


def check_books(world: World, root: Any) -> None:
    """Every law of a world at rest; what does not hold is added to the world's violations."""
    laws, store = world.laws, world.database.store
    _outcomes(world, root)
    for account in laws.accounts.values():
        with store.unit_of_work(account.tenant_id) as uow:
            _account(world, uow, account)
    for tenant in [None, *(tenant.id for tenant in world.tenants)]:
        with store.unit_of_work(tenant) as uow:
            try:
                uow.audit.verify()
            except Permanent as error:
                laws.broken("I10", tenant or "platform", str(error))
    for table, where in root.execute(_SECRETS, {"canary": f"%{CANARY}%"}):
        laws.broken("I14", f"{table} {where}", "a secret is written there")
    counts = " UNION ALL ".join(_STRANGE_ROWS.format(table=name) for name in _OF_ACCOUNTS)
    for table, count in root.execute(counts):
        if count:
            laws.broken("I11", table, f"{count} rows belong to another tenant than their account does")


def check_heard(world: World) -> None:
    """Whatever the venue showed of orders that the ledger knows to be there was told, or found after a gap: it is booked."""
    laws = world.laws
    for account in world.ears.listeners:
        with world.database.store.unit_of_work(laws.accounts[account].tenant_id) as uow:
            booked = {fill.trade_id for fill in uow.fills.of_account(account)}
            known = {o.intent.client_order_id for o in uow.orders.of_account(account) if o.acknowledged_at is not None}
        for item in world.venue.account(account).fills:
            # What the venue hid for a while, a visit right after the gap cannot have found.
            is_shown = item.visible_at == item.fill.occurred_at
            if is_shown and item.client_order_id in known and item.fill.trade_id not in booked:
                laws.broken("GAP", f"fill {item.fill.trade_id}", "the stream lost it and nobody asked for it")


def audit_digest(world: World) -> str:
    """One hash over the heads of all audit chains."""
    with world.database.store.operator() as view:
        heads = view.audit_heads()
    text = "|".join(
        f"{tenant}:{head.seq}:{head.hash}" for tenant, head in sorted(heads.items(), key=lambda i: str(i[0]))
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _outcomes(world: World, root: Any) -> None:
    laws = world.laws
    with world.database.store.operator() as view:
        missing = view.signals_without_outcome(world.clock.now())
    for item in missing:
        laws.broken("I1", f"signal {item.signal_id}", f"it has no outcome for account {item.account_id}")
    for stage, key, outcome in root.execute("SELECT stage, key, outcome FROM jobs WHERE state = 'failed'"):
        laws.broken("I1", f"{stage} {key}", f"it failed for good: {outcome}")
    rows = root.execute(
        "SELECT payload, outcome FROM jobs WHERE stage = 'signal.scan' AND state = 'done' ORDER BY key"
    ).fetchall()
    raised = {(row[0], row[1]) for row in root.execute("SELECT instrument, closed_at FROM signals")}
    for payload, outcome in rows:
        for symbol, closed_at in _expected(world, payload):
            if (symbol, closed_at) not in raised:
                laws.broken("I1", f"{symbol} at {closed_at}", f"it was scanned and the signal is not there: {outcome}")


def _expected(world: World, payload: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    closed_at = datetime.fromisoformat(payload["closed_at"])
    opened = closed_at - MINUTE.duration
    for symbol in payload["instruments"]:
        close = world.venue.candle(symbol, MINUTE, opened).close
        if side_of_throw(throw(int(opened.timestamp() * 1000), close)):
            yield symbol, closed_at


def _account(world: World, uow: UnitOfWork, account: Account) -> None:
    laws, theirs = world.laws, world.venue.account(account.id)
    orders = uow.orders.of_account(account.id)
    fills = uow.fills.of_account(account.id)
    positions = uow.positions.list(10_000, account_id=account.id)
    _orders(laws, account, orders, theirs, {name for owner, name in world.strangers if owner == account.id})
    _fills(laws, account, fills, theirs)
    fundings = [item for position in positions for item in uow.fundings.of_position(position.id)]
    _fundings(laws, account, fundings, theirs)
    _positions(laws, account, positions, fills, theirs)
    _stops(world, account, positions, orders, theirs)
    held = {item.order_id for item in uow.risk.held() if item.account_id == account.id and item.lapses_at is None}
    _reservations(laws, account, orders, held)
    _cash(laws, account, fills, fundings, positions, theirs)
    _trail(laws, uow, account, orders, fills)
    _quarantine(world, uow, account)
    for decision in uow.decisions.list(10_000, account_id=account.id):
        _decision(world, uow, decision)


def _orders(laws: Laws, account: Account, orders: list[Order], theirs: VirtualAccount, strange: set[str]) -> None:
    shown: dict[str, Resting] = {
        o.intent.client_order_id: o for o in theirs.orders if o.intent.client_order_id not in strange
    }
    ours = {order.intent.client_order_id: order for order in orders}
    for name, order in ours.items():
        there = shown.get(name)
        if order.intent.role is OrderRole.ENTRY and order.status not in TERMINAL:
            laws.broken("I1", name, f"the entry is still {order.status}")
        elif there is None and order.status not in NOT_THERE:
            laws.broken("I4", name, f"it is {order.status} in the ledger and not at the venue")
        elif there is not None and (there.status, there.filled) != (order.status, order.filled_quantity):
            detail = f"{order.status} {order.filled_quantity} in the ledger, {there.status} {there.filled} at the venue"
            laws.broken("I4", name, detail)
        if order.status in NEVER_LEFT and laws.sendings[name]:
            laws.broken("I16", name, f"it is {order.status} in the ledger and was sent")
    for name in shown.keys() - ours.keys():
        laws.broken("I3", name, "the venue holds it and the ledger does not")
    for name in laws.sendings:
        if name not in laws.record.by_client_id:
            laws.broken("I16", name, "it was sent and no intent is in the ledger")


def _fills(laws: Laws, account: Account, fills: list[Fill], theirs: VirtualAccount) -> None:
    ours = {fill.trade_id: (fill.instrument, fill.side, fill.quantity, fill.price, fill.fee) for fill in fills}
    if len(ours) != len(fills):
        laws.broken("I5", account.id, "a trade is booked twice")
    names = {order.id: order.intent.client_order_id for order in laws.record.orders.values()}
    owners = {item.fill.trade_id: item.client_order_id for item in theirs.fills}
    for fill in fills:
        if names.get(fill.order_id) != owners.get(fill.trade_id, names.get(fill.order_id)):
            laws.broken("I5", f"fill {fill.trade_id}", f"it is booked to {names.get(fill.order_id)}, not to its order")
    told = {
        item.fill.trade_id: (item.fill.instrument, item.fill.side, item.fill.quantity, item.fill.price, item.fill.fee)
        for item in theirs.fills
    }
    for trade in sorted(ours.keys() | told.keys()):
        if ours.get(trade) != told.get(trade):
            laws.broken("I5", f"fill {trade}", f"ledger {ours.get(trade)}, venue {told.get(trade)}")


def _fundings(laws: Laws, account: Account, fundings: list[Funding], theirs: VirtualAccount) -> None:
    ours = {item.income_id: (item.instrument, item.amount) for item in fundings}
    told = {item.income_id: (item.instrument, item.amount) for item in theirs.fundings}
    if len(ours) != len(fundings):
        laws.broken("I5", account.id, "a funding payment is booked twice")
    for income in sorted(ours.keys() | told.keys()):
        if ours.get(income) != told.get(income):
            laws.broken("I5", f"funding {income}", f"ledger {ours.get(income)}, venue {told.get(income)}")


def _positions(
    laws: Laws, account: Account, positions: list[Position], fills: list[Fill], theirs: VirtualAccount
) -> None:
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    summed: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for position in positions:
        held[position.instrument] += position.quantity * position.side.sign
    for fill in fills:
        summed[fill.instrument] += fill.quantity * fill.side.sign
    for symbol in sorted({*held, *summed, *theirs.held}):
        there = theirs.held.get(symbol, ZERO)
        if not held[symbol] == summed[symbol] == there:
            detail = f"{held[symbol]} in the ledger, {summed[symbol]} by its fills, {there} at the venue"
            laws.broken("I7", f"{account.id} {symbol}", detail)


def _stops(
    world: World, account: Account, positions: list[Position], orders: list[Order], theirs: VirtualAccount
) -> None:
    laws, roles = world.laws, {order.intent.client_order_id: order for order in orders}
    resting: dict[Any, list[Resting]] = defaultdict(list)
    for item in theirs.orders:
        order = roles.get(item.intent.client_order_id)
        if item.is_open and order is not None and order.intent.role is OrderRole.STOP:
            resting[order.intent.position_id].append(item)
    held = {position.id: position for position in positions if position.is_open}
    for identity in resting.keys() - held.keys():
        laws.broken("I8", f"position {identity}", "it is closed and its stop still rests at the venue")
    for position in held.values():
        covered = ZERO
        for item in resting.get(position.id, []):
            trigger = item.intent.trigger_price or ZERO
            is_right = item.intent.side.sign == -position.side.sign and item.intent.reduce_only
            if is_right and (trigger - position.exits.stop) * position.side.sign >= ZERO:
                covered += item.intent.quantity - item.filled
        if covered < position.quantity:
            laws.broken("I8", f"position {position.id}", f"{covered} of {position.quantity} is covered by stops")
        _overstays(world, position)
        _flattened(world, position)


def _overstays(world: World, position: Position) -> None:
    hold, opened = position.exits.max_hold, position.opened_at
    if hold is not None and opened is not None and world.clock.now() > opened + hold + LATE_MOST:
        world.laws.broken("I8", f"position {position.id}", f"it may be held {hold} and is held since {opened}")


def _flattened(world: World, position: Position) -> None:
    for span in world.laws.record.halts:
        is_flatten = span.until is None and span.mode == HaltMode.FLATTEN
        if is_flatten and world.laws.covers(span, position.tenant_id, position.instrument):
            detail = f"it is open under a halt of {span.scope} {span.subject} that flattens"
            world.laws.broken("I9", f"position {position.id}", detail)


def _reservations(laws: Laws, account: Account, orders: list[Order], held: set[Any]) -> None:
    wanted = {o.id for o in orders if o.intent.role is OrderRole.ENTRY and o.status not in TERMINAL}
    for identity in sorted(held ^ wanted):
        state = "held for an order that is over" if identity in held else "missing for an order that is not over"
        laws.broken("I13", f"order {identity}", f"its reservation is {state}")


def _trail(laws: Laws, uow: UnitOfWork, account: Account, orders: list[Order], fills: list[Fill]) -> None:
    """The audit trail alone tells the state of every order and which fills there are."""
    told: dict[str, str] = {}
    booked: set[tuple[str, str]] = set()
    for kind, subject, payload in uow.session.all(_TRAIL):
        if kind == "order":
            told[subject] = payload["to"]
        else:
            booked.add((subject, payload["trade_id"]))
    for order in orders:
        state = told.get(str(order.id), OrderStatus.INTENDED.value)
        if state != order.status.value:
            laws.broken("I10", order.intent.client_order_id, f"the trail says {state}, the ledger {order.status}")
    for fill in fills:
        if (str(fill.order_id), fill.trade_id) not in booked:
            laws.broken("I10", f"fill {fill.trade_id}", "it is in the ledger and not in the audit trail")


def _cash(
    laws: Laws,
    account: Account,
    fills: list[Fill],
    fundings: list[Funding],
    positions: list[Position],
    theirs: VirtualAccount,
) -> None:
    flow = sum((fill.quantity * fill.price * fill.side.sign + fill.fee for fill in fills), ZERO)
    flow -= sum((item.amount for item in fundings), ZERO)
    if START_BALANCE - flow != theirs.cash:
        laws.broken("I15", account.id, f"cash is {theirs.cash} at the venue and {START_BALANCE - flow} by our fills")
    if not any(theirs.held.values()):
        earned = sum((position.net_profit for position in positions), ZERO)
        if START_BALANCE + earned != theirs.cash:
            laws.broken("I15", account.id, f"positions earned {earned}, the venue says {theirs.cash - START_BALANCE}")


def _quarantine(world: World, uow: UnitOfWork, account: Account) -> None:
    laws, listed = world.laws, uow.quarantine.list(account.id)
    strange = {name for owner, name in world.strangers if owner == account.id}
    for row in listed:
        if row.client_order_id not in strange:
            laws.broken(
                "Q", f"{account.id} {row.instrument}", f"ours was quarantined: {row.venue_order_id} {row.detail}"
            )
    for name in sorted(strange - {row.client_order_id for row in listed}):
        laws.broken("Q", name, "a stranger's order is not quarantined")
    current = uow.accounts.get(account.id)
    if current is not None and not current.is_reconciled:
        laws.broken("Q", account.id, "ledger and venue are at rest and the account is not reconciled")


def _decision(world: World, uow: UnitOfWork, decision: Decision) -> None:
    laws = world.laws
    if decision.outcome is DecisionOutcome.APPROVED and uow.orders.get(decision.order_id or decision.id) is None:
        laws.broken("I1", f"decision {decision.id}", "it was approved and there is no order")
    if decision.outcome not in {DecisionOutcome.APPROVED, DecisionOutcome.VETOED}:
        return
    advice = decision.inputs["advice"]
    if decision.outcome is DecisionOutcome.APPROVED and advice is not None and advice["verdict"] == "reject":
        laws.broken("I6", f"decision {decision.id}", "it was approved against the model's rejection")
    again = replay_decision(world.plain, decision.tenant_id, decision.id)
    if not again.is_equal:
        laws.broken("I10", f"decision {decision.id}", f"judged again it is {again.recomputed}, it was {again.stored}")
