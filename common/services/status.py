"""What the fleet is doing, and why: read for operators, tenants, the terminal and the API."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.domain.codec import encode
from common.domain.errors import NotFound
from common.services.flatness import flatness
from common.services.fleet import Fleet
from common.services.tenants import find_tenant
from common.store import Protection

Row = dict[str, Any]


def fleet_status(fleet: Fleet) -> Row:
    """Counts of everything that flowed through the stages, depths of their queues, and profit per tenant."""
    now = fleet.clock.now()
    flattening = flatness(fleet)
    with fleet.store.operator() as view:
        counts: Row = encode(view.counts())
        return counts | {
            "stages": [encode(depth) for depth in view.depths(now)],
            "tenants": [encode(row) for row in view.tenant_profits()],
            "halts": [encode(halt) for halt in view.halts()],
            "flatness": flattening,
            "protection": _protection(fleet, view.protection(now, fleet.clock.transport(fleet.policy.stop_deadline_s))),
            "workers": [encode(beat) for beat in view.heartbeats()],
            "venue_time": encode(now),
            "speed": fleet.clock.rate,
        }


def _protection(fleet: Fleet, found: Protection) -> Row:
    """Fill to acknowledged stop in seconds of life; `late` fills were naked beyond the deadline."""

    def life(seconds: Decimal | None) -> float | None:
        return None if seconds is None else round(float(seconds) / fleet.clock.rate, 3)

    return {
        "fills": found.fills,
        "covered": found.covered,
        "p50_s": life(found.p50),
        "p99_s": life(found.p99),
        "max_s": life(found.longest),
        "late": found.late,
    }


def decisions(fleet: Fleet, tenant: str | None = None, limit: int = 50) -> list[Row]:
    """The newest decisions, one row per (signal, account), with the first rule that said no."""
    with fleet.store.operator() as view:
        return _rows(view.decisions(_tenant(fleet, tenant), limit))


def orders(fleet: Fleet, tenant: str | None = None, limit: int = 50) -> list[Row]:
    """The newest orders with their state, fills and reason."""
    with fleet.store.operator() as view:
        return _rows(view.orders(_tenant(fleet, tenant), limit))


def positions(fleet: Fleet, tenant: str | None = None, limit: int = 50, *, open_only: bool = False) -> list[Row]:
    """The newest positions with their profit after fees and funding."""
    with fleet.store.operator() as view:
        return _rows(view.positions(_tenant(fleet, tenant), limit, open_only=open_only))


def trades(fleet: Fleet, tenant: str | None = None, limit: int = 50) -> list[Row]:
    """The newest fills."""
    with fleet.store.operator() as view:
        return _rows(view.fills(_tenant(fleet, tenant), limit))


def why(fleet: Fleet, subject: str) -> Row:
    """The whole trail of one signal, decision, order (also by client order id), position or manual job."""
    with fleet.store.operator() as view:
        trail: Row | None = view.trail(subject)
    if trail is None:
        raise NotFound("signal, decision, order, position or job", subject)
    encoded: Row = encode(trail)
    return encoded


def _tenant(fleet: Fleet, name: str | None) -> UUID | None:
    return None if name is None else find_tenant(fleet, name).id


def _rows(items: Sequence[Any]) -> list[Row]:
    return [encode(item) for item in items]
