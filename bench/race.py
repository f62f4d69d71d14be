"""Threads race intents against one tenant's limits, while placements are lost, late and filled in part."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import UUID

from bench.arena import Arena, Plan, open_arena
from bench.report import Report, say, spread
from common.domain.order import OrderRole
from common.store.risk import Risk
from simulation.database import server
from simulation.venue import Resting, VirtualVenue, Watch

POSITIONS_MAX = 3
EXPOSURE_MAX = Decimal("0.5")
_SLACK = Decimal("1.05")
"""Between the price risk reckoned with and the price that was paid lie seconds."""

LIMITS: dict[str, Any] = {
    # Half the equity over three positions: now the number binds, now the money.
    "position_count_max": POSITIONS_MAX,
    "exposure_max": str(EXPOSURE_MAX),
    "symbol_exposure_max": "0.3",
    "risk_fraction_max": "0.01",
    "orders_per_minute_max": None,
    "orders_per_hour_max": None,
    "consecutive_losses_max": None,
    "daily_loss_max": "0.5",
    "drawdown_max": "0.5",
    "drift_bps_max": 2_000,
    "deviation_bps_max": 2_000,
    "candle_lag_max": 86_400,
}

# One statement is one snapshot: what is held and what may still be filled, as the ledger knows it.
_BOOK = """
    SELECT account_id, count(DISTINCT position_id), sum(worth) FROM (
        SELECT account_id, id AS position_id, quantity * entry_price AS worth FROM positions WHERE quantity > 0
        UNION ALL
        SELECT account_id, position_id, (quantity - filled_quantity) * price FROM orders WHERE role = 'entry'
            AND status IN ('intended', 'submitting', 'unknown', 'accepted', 'partially_filled')
    ) AS used GROUP BY account_id
"""
_LEAKED = """
    SELECT count(*) FROM reservations AS r JOIN orders AS o ON o.tenant_id = r.tenant_id AND o.id = r.order_id
    WHERE o.status IN ('filled', 'canceled', 'expired', 'rejected', 'not_placed', 'abandoned') AND r.lapses_at IS NULL
"""
_UNRESERVED = """
    SELECT count(*) FROM orders AS o WHERE o.role = 'entry'
        AND o.status IN ('intended', 'submitting', 'unknown', 'accepted', 'partially_filled')
        AND NOT EXISTS (SELECT FROM reservations AS r WHERE r.tenant_id = o.tenant_id AND r.order_id = o.id)
"""
_COUNTS = "SELECT outcome, count(*) FROM decisions GROUP BY outcome ORDER BY outcome"
_ORDERS = "SELECT role || ' ' || status, count(*) FROM orders GROUP BY 1 ORDER BY 1"


@dataclass(slots=True)
class Referee(Watch):
    """Counts breaches, at the venue at every acceptance and in the ledger as fast as it can look."""

    venue: VirtualVenue | None = None
    breaches: list[str] = field(default_factory=list)
    accepted_count: int = 0
    looks: int = 0
    most_positions: int = 0
    most_exposure: Decimal = Decimal(0)

    def accepted(self, account_id: UUID, order: Resting) -> None:
        """The engine took an order; it does so under the venue's lock."""
        if order.intent.role is not OrderRole.ENTRY or self.venue is None:
            return
        self.accepted_count += 1
        account = self.venue.account(account_id)
        entries = [o for o in account.orders if o.is_open and o.intent.role is OrderRole.ENTRY]
        symbols = {s for s, quantity in account.held.items() if quantity} | {o.intent.instrument for o in entries}
        used = sum((abs(q) * self.venue.price(s) for s, q in account.held.items()), Decimal(0))
        used += sum(((o.intent.quantity - o.filled) * o.intent.price for o in entries), Decimal(0))
        self.judge("venue", account_id, len(symbols), used, self.venue.equity(account_id))

    def judge(self, where: str, account_id: UUID, positions: int, used: Decimal, equity: Decimal) -> None:
        """Compare what is used with what is allowed."""
        self.most_positions = max(self.most_positions, positions)
        self.most_exposure = max(self.most_exposure, used / equity)
        if positions > POSITIONS_MAX:
            self.breaches.append(f"{where}: {account_id} has {positions} positions, {POSITIONS_MAX} are allowed")
        if used > EXPOSURE_MAX * equity * _SLACK:
            self.breaches.append(f"{where}: {account_id} uses {used} of {EXPOSURE_MAX} x {equity}")

    def look(self, arena: Arena, done: threading.Event) -> None:
        """Read the ledger again and again until `done`."""
        while not done.wait(0.005):
            self.look_once(arena)

    def look_once(self, arena: Arena) -> None:
        """Read the ledger."""
        self.looks += 1
        for account_id, positions, used in arena.root.execute(_BOOK).fetchall():
            with arena.lock:
                equity = arena.venue.equity(account_id)
            self.judge("ledger", account_id, positions, Decimal(used), equity)


@contextmanager
def without_the_lock() -> Iterator[None]:
    """The same race with nobody holding the tenant's risk row, to see that it can be lost."""
    with patch.object(Risk, "lock", lambda self: None):
        yield


def race(url_superuser: str, database: str, plan: Plan) -> dict[str, Any]:
    """Race as `plan` says, settle, and count what went over a limit and what is still reserved for nothing."""
    referee = Referee()
    with open_arena(url_superuser, database, plan, referee) as arena:
        referee.venue = arena.venue
        done = threading.Event()
        looker = threading.Thread(target=referee.look, args=(arena, done), daemon=True)
        arena.start()
        looker.start()
        began = time.monotonic()
        arena.feed(0, -(-plan.intents // len(arena.accounts)))
        done.set()
        looker.join()
        jobs, entries = arena.settle()
        seconds = time.monotonic() - began
        arena.stop()
        referee.look_once(arena)
        root = arena.root
        decided = dict(root.execute(_COUNTS).fetchall())
        return {
            "threads": plan.threads,
            "intents": sum(decided.values()),
            "decisions": decided,
            "orders": dict(root.execute(_ORDERS).fetchall()),
            "accepted_entries": referee.accepted_count,
            "breaches": len(referee.breaches),
            "first_breach": referee.breaches[0] if referee.breaches else None,
            "leaked_reservations": _one(root, _LEAKED),
            "unreserved_entries": _one(root, _UNRESERVED),
            "left": {"jobs": jobs, "entries": entries},
            "defects": arena.failures[:3],
            "looks": referee.looks,
            "most_positions": referee.most_positions,
            "most_exposure": round(float(referee.most_exposure), 3),
            "intents_per_s": round(sum(decided.values()) / seconds, 1),
            "lock_wait": spread(arena.lock_waits_s),
            "results": dict(sorted(arena.results.items())),
        }


def _one(root: Any, query: str) -> int:
    return int(root.execute(query).fetchone()[0])


def faults_of(told: dict[str, Any]) -> int:
    """Everything that must be 0."""
    left = told["left"]
    wrong = told["breaches"] + told["leaked_reservations"] + told["unreserved_entries"] + len(told["defects"])
    return int(wrong + left["jobs"] + left["entries"])


def run(is_quick: bool) -> Report:
    """Race with the lock, and for the floor a tenth of it without."""
    plan = Plan(limits=LIMITS) if not is_quick else Plan(threads=16, intents=400, limits=LIMITS)
    with server() as url:
        say(f"{plan.threads} threads race {plan.intents} intents")
        told = race(url, "race", plan)
        say(f"{told['breaches']} breaches, {told['intents_per_s']} intents/s; now without the lock")
        with without_the_lock():
            lost = race(url, "race_unlocked", Plan(threads=plan.threads, intents=plan.intents // 10, limits=LIMITS))
    return Report(
        bench="race",
        figure=float(faults_of(told)),
        floor=float(lost["breaches"]),
        unit="breaches and leaks; the floor is a tenth of the race without the lock",
        goal=0.0,
        is_lower_better=True,
        details=told | {"without_the_lock": {"intents": lost["intents"], "breaches": lost["breaches"]}},
    )
