"""Pages of the ledger for one reader: a tenant behind its wall, or the operator over all of them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from common.domain.codec import encode
from common.domain.decision import Decision
from common.domain.errors import InvalidInput, NotFound
from common.domain.fill import Fill
from common.domain.order import Order
from common.domain.position import Position
from common.domain.risk.book import HaltScope, TradingState
from common.domain.signal import Signal
from common.domain.tenant import Tenant
from common.services.fleet import Fleet
from common.services.read_accounting import review_row
from common.services.tenants import list_tenants
from common.store import UnitOfWork

Row = dict[str, Any]

NOUNS = ("decisions", "orders", "positions", "trades")
LIMIT_MAX = 500

_Fetch = Callable[[int, datetime | None], Sequence[Any]]
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, the newest first; `next_cursor` is None on the last page."""

    items: list[Row]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Cursor:
    """After the row `identity` of `at`; `ties` rows of that instant have been read."""

    at: datetime | None
    identity: str
    ties: int

    def text(self) -> str:
        content = [self.at.isoformat() if self.at else None, self.identity, self.ties]
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        try:
            at, identity, ties = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(datetime.fromisoformat(at) if at else None, str(identity), int(ties))
        except (ValueError, TypeError, binascii.Error):
            raise InvalidInput("cursor", text, "the next_cursor of an earlier answer") from None


def read_page(
    fleet: Fleet,
    noun: str,
    *,
    tenant_id: UUID | None,
    as_operator: bool,
    limit: int = 50,
    cursor: str | None = None,
    **filters: Any,
) -> Page:
    """One page of `noun` (decisions, orders, positions or trades).

    A tenant reads behind its wall; the operator reads all tenants, or the one `tenant_id` names. A page is cut by
    instant and row, so rows that arrive meanwhile neither repeat nor hide others. `filters`: `open_only` of positions.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput("limit", limit, f"a number from 1 to {LIMIT_MAX}")
    after = _Cursor.parse(cursor) if cursor else None
    if as_operator:
        with fleet.store.operator() as view:
            names = {tenant.id: tenant.name for tenant in view.tenants()}
            fetch = _operators(view, noun, tenant_id, filters)
            return _page(fleet, fetch, names, limit, after)
    if tenant_id is None:
        raise InvalidInput("tenant", None, "a tenant, or the operator")
    with fleet.store.unit_of_work(tenant_id) as uow:
        tenant = uow.tenants.get(tenant_id)
        names = {tenant_id: tenant.name if tenant else str(tenant_id)}
        return _page(fleet, _tenants(uow, noun, filters), names, limit, after)


def decision_trail(fleet: Fleet, tenant_id: UUID | None, decision: UUID) -> Row:
    """Everything about one decision: signal, advice, verdict with its inputs, orders, fills, position, review.

    `tenant_id` None is the operator, who may see any. Raises NotFound for a decision that does not exist or is another
    tenant's, without telling which.
    """
    owner = tenant_id if tenant_id is not None else _owner_of(fleet, decision)
    with fleet.store.unit_of_work(owner) as uow:
        found = uow.decisions.get(decision)
        if found is None:
            raise NotFound("decision", decision)
        tenant = uow.tenants.get(owner)
        names = {owner: tenant.name if tenant else str(owner)}
        signal = uow.signals.get(found.signal_id)
        advice = uow.advice.get(found.advice_id) if found.advice_id else None
        entry = uow.orders.get(found.order_id) if found.order_id else None
        position = entry.intent.position_id if entry else None
        orders = uow.orders.of_position(position) if position else []
        fills = uow.fills.of_position(position) if position else []
        held = uow.positions.get(position) if position else None
        reviewed = uow.reviews.get(position) if position else None
    return {
        "decision": decision_row(found, signal, names) | {"inputs": encode(found.inputs)},
        "signal": encode(signal),
        # The prompt and raw answer are market facts only, so a tenant may read what was asked on its behalf.
        "advice": encode(advice),
        "orders": [order_row(order, names) for order in orders],
        "fills": [fill_row(fill, names) for fill in fills],
        "position": position_row(held, names) if held else None,
        "review": review_row(reviewed, held) if reviewed and held else None,
    }


def visible_tenants(fleet: Fleet, tenant_id: UUID | None) -> Sequence[Tenant]:
    """All tenants for the operator (None), itself for a tenant."""
    if tenant_id is None:
        return list_tenants(fleet)
    with fleet.store.unit_of_work(tenant_id) as uow:
        own = uow.tenants.get(tenant_id)
    return [own] if own else []


def tenant_status(fleet: Fleet, tenant_id: UUID) -> Row:
    """What a tenant is told of the fleet: its own state and the halts that concern it."""
    with fleet.store.unit_of_work(tenant_id) as uow:
        own = uow.tenants.get(tenant_id)
        seen = uow.halts.list()
    if own is None:
        raise NotFound("tenant", tenant_id)
    # The platform's halts of other tenants are nobody else's business.
    halts = [halt for halt in seen if halt.scope is not HaltScope.TENANT or halt.subject == str(tenant_id)]
    may_enter = own.state is TradingState.ACTIVE and not any(
        halt.scope in {HaltScope.PLATFORM, HaltScope.TENANT} for halt in halts
    )
    return {
        "tenant": own.name,
        "state": own.state.value,
        "trading": "active" if may_enter else "halted",
        "halts": [encode(halt) for halt in halts],
        "venue_time": encode(fleet.clock.now()),
        "speed": fleet.clock.rate,
    }


def _owner_of(fleet: Fleet, decision: UUID) -> UUID:
    with fleet.store.operator() as view:
        trail = view.trail(decision) or {"decisions": []}
    owners: list[UUID] = [item.tenant_id for item in trail["decisions"] if item.id == decision]
    if not owners:
        raise NotFound("decision", decision)
    return owners[0]


def decision_row(decision: Decision, signal: Signal | None, names: Mapping[UUID, str]) -> Row:
    """A decision without its inputs, with what it was about and the rule that said no."""
    about = encode(signal) if signal else {}
    return {
        "id": str(decision.id),
        "tenant": names.get(decision.tenant_id),
        "tenant_id": str(decision.tenant_id),
        "account_id": str(decision.account_id),
        "signal_id": str(decision.signal_id),
        **{name: about.get(name) for name in ("venue", "instrument", "timeframe", "strategy", "side", "confidence")},
        "outcome": decision.outcome.value,
        "veto": None if decision.veto is None else encode(decision.veto) | {"level": decision.veto.level.name.lower()},
        "reason": decision.inputs.get("reason"),
        "order_id": encode(decision.order_id),
        "advice_id": encode(decision.advice_id),
        "occurred_at": encode(decision.occurred_at),
    }


def order_row(order: Order, names: Mapping[UUID, str]) -> Row:
    """An order with its intent on one level."""
    row: Row = encode(order)
    intent = row.pop("intent")
    return {"id": intent.pop("order_id"), "tenant": names.get(order.intent.tenant_id), **intent, **row}


def position_row(position: Position, names: Mapping[UUID, str]) -> Row:
    """A position with its profit after fees and funding."""
    row: Row = encode(position)
    return {
        "id": row.pop("id"),
        "tenant": names.get(position.tenant_id),
        **row,
        "net_profit": encode(position.net_profit),
        "is_open": position.is_open,
    }


def fill_row(fill: Fill, names: Mapping[UUID, str]) -> Row:
    """A fill."""
    return {"tenant": names.get(fill.tenant_id), **encode(fill)}


def _operators(view: Any, noun: str, tenant: UUID | None, filters: Mapping[str, Any]) -> _Fetch:
    read = getattr(view, {"trades": "fills"}.get(noun, noun))
    return lambda limit, before: read(tenant, limit=limit, before=before, **filters)


def _tenants(uow: UnitOfWork, noun: str, filters: Mapping[str, Any]) -> _Fetch:
    read = getattr(uow, {"trades": "fills"}.get(noun, noun)).list
    return lambda limit, before: read(limit, before, **filters)


def _page(fleet: Fleet, fetch: _Fetch, names: Mapping[UUID, str], limit: int, after: _Cursor | None) -> Page:
    if after is None:
        found = list(fetch(limit + 1, None))
    else:
        # The instant of the cursor is read again, because several rows may share it.
        before = after.at + _INSTANT if after.at else None
        found = _behind(list(fetch(limit + 1 + after.ties, before)), after)
    rows, more = found[:limit], len(found) > limit
    cursor = _cursor_of(rows, after).text() if more else None
    return Page(_shown(fleet, rows, names), cursor)


def _behind(rows: list[Any], after: _Cursor) -> list[Any]:
    ties = [row for row in rows if _at(row) == after.at]
    seen = next((number for number, row in enumerate(ties, 1) if _identity(row) == after.identity), after.ties)
    return rows[seen:]


def _cursor_of(rows: Sequence[Any], after: _Cursor | None) -> _Cursor:
    last = rows[-1]
    ties = sum(_at(row) == _at(last) for row in rows)
    if after is not None and after.at == _at(last):
        ties += after.ties
    return _Cursor(_at(last), _identity(last), ties)


def _at(row: Any) -> datetime | None:
    if isinstance(row, Order):
        return row.created_at
    at: datetime | None = row.opened_at if isinstance(row, Position) else row.occurred_at
    return at


def _identity(row: Any) -> str:
    return f"{row.account_id}|{row.instrument}|{row.trade_id}" if isinstance(row, Fill) else str(row.id)


def _shown(fleet: Fleet, rows: Sequence[Any], names: Mapping[UUID, str]) -> list[Row]:
    signals = _signals(fleet, {row.signal_id for row in rows if isinstance(row, Decision)})
    return [_row(row, signals, names) for row in rows]


def _signals(fleet: Fleet, ids: set[UUID]) -> dict[UUID, Signal | None]:
    if not ids:
        return {}
    with fleet.store.unit_of_work(None) as uow:
        return {identity: uow.signals.get(identity) for identity in sorted(ids)}


def _row(row: Any, signals: Mapping[UUID, Signal | None], names: Mapping[UUID, str]) -> Row:
    if isinstance(row, Decision):
        return decision_row(row, signals.get(row.signal_id), names)
    if isinstance(row, Order):
        return order_row(row, names)
    return position_row(row, names) if isinstance(row, Position) else fill_row(row, names)
