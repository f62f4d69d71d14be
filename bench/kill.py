"""Halts strike at random while threads place entries: none may leave whose SUBMITTING was committed after the halt."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from unittest.mock import patch
from uuid import UUID

from bench.arena import Arena, Plan, open_arena
from bench.report import Report, say, spread
from common.domain.order import Order, OrderRole, OrderStatus
from common.domain.risk.book import HaltMode, HaltScope
from common.services import learn, place_order
from common.services.halts import halt, resume
from common.store.halts import Halts
from simulation.database import server
from simulation.venue import Resting, Watch

_HELD_UP_S = 0.02
_PATIENCE_S = 10.0

LIMITS: dict[str, Any] = {
    "position_count_max": 12,
    "orders_per_minute_max": None,
    "orders_per_hour_max": None,
    "consecutive_losses_max": None,
    "daily_loss_max": "0.5",
    "drawdown_max": "0.5",
    "drift_bps_max": 2_000,
    "deviation_bps_max": 2_000,
    "candle_lag_max": 86_400,
}

# Who committed when is written down by Postgres itself: a transaction's number in the log, its commit's time beside it.
_LOG = """
    CREATE TABLE kill_log (number bigserial PRIMARY KEY, what text, subject text, xid xid DEFAULT pg_current_xact_id()::xid);
    CREATE FUNCTION note_submit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN INSERT INTO kill_log (what, subject) VALUES ('submit', NEW.client_order_id); RETURN NULL; END $$;
    CREATE FUNCTION note_halt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO kill_log (what, subject) VALUES (CASE WHEN NEW.lifted_at IS NULL THEN 'halt' ELSE 'resume' END, NEW.epoch::text);
            RETURN NULL;
        END $$;
    CREATE TRIGGER note_submit AFTER UPDATE ON orders FOR EACH ROW
        WHEN (NEW.role = 'entry' AND NEW.status = 'submitting' AND OLD.status = 'intended') EXECUTE FUNCTION note_submit();
    CREATE TRIGGER note_halt AFTER INSERT OR UPDATE ON halts FOR EACH ROW EXECUTE FUNCTION note_halt();
"""
_BY_COMMIT = "SELECT what, subject, pg_xact_commit_timestamp(xid) AS at FROM kill_log ORDER BY at, number"
# A placement takes its number while it holds the epoch, a halt while it holds it alone: where that lock works, the
# numbers are in the order of the commits.
_BY_NUMBER = "SELECT what, subject, NULL FROM kill_log ORDER BY number"


@dataclass(slots=True)
class Gate(Watch):
    """What left for the venue and what it took, by the clock of this process."""

    sent_at: dict[str, float] = field(default_factory=dict)
    accepted_at: dict[str, float] = field(default_factory=dict)

    def sent(self, account_id: UUID, intent: Any, submitted_at: Any) -> None:
        """A request has left."""
        if intent.role is OrderRole.ENTRY:
            self.sent_at[intent.client_order_id] = time.monotonic()

    def accepted(self, account_id: UUID, order: Resting) -> None:
        """The engine took an order."""
        if order.intent.role is OrderRole.ENTRY:
            self.accepted_at[order.intent.client_order_id] = time.monotonic()


@contextmanager
def slow_workers() -> Iterator[None]:
    """Workers that are held up between their look at the halts and the commit of SUBMITTING, as a busy machine does."""
    original = learn.keep

    def keep(uow: Any, before: Order, after: Order, now: datetime) -> Order:
        if after.status is OrderStatus.SUBMITTING and after.intent.role is OrderRole.ENTRY:
            time.sleep(_HELD_UP_S)
        return original(uow, before, after, now)

    with patch.object(place_order, "keep", keep):
        yield


@contextmanager
def halts_read_without_a_lock() -> Iterator[None]:
    """The naive kill switch: placements look at halts, and nothing keeps a halt from committing meanwhile."""
    with patch.object(Halts, "epoch_for_share", Halts.epoch):
        yield


def kill(
    url_superuser: str, database: str, plan: Plan, halts_wanted: int, *, by_commit_time: bool = True
) -> dict[str, Any]:
    """Let `plan` trade, impose and lift halts of the whole platform at random, and read who committed when.

    `by_commit_time` needs a server that tracks it.
    """
    gate = Gate()
    imposed: list[tuple[float, float]] = []
    with open_arena(url_superuser, database, plan, gate) as arena:
        arena.root.execute(_LOG.encode())
        arena.start()
        # On a slow machine few entries leave in a second: signals are raised for as long as halts strike.
        enough = threading.Event()
        feeder = threading.Thread(target=arena.feed, args=(0, plan.intents // len(arena.accounts), enough), daemon=True)
        feeder.start()
        _strike(arena, gate, random.Random(f"kill|{plan.seed}"), halts_wanted, imposed)
        enough.set()
        feeder.join()
        jobs, entries = arena.settle()
        arena.stop()
        commits = arena.root.execute((_BY_COMMIT if by_commit_time else _BY_NUMBER).encode()).fetchall()
        after, abandoned = left_after_a_halt(commits, gate), _count(arena, "abandoned")
        late = [_late(at, imposed) for at in gate.accepted_at.values()]
        in_flight = [seconds for seconds in late if seconds is not None]
        return {
            "halts": len(imposed),
            "submitted": sum(1 for what, _, _ in commits if what == "submit"),
            "sent": len(gate.sent_at),
            "accepted": len(gate.accepted_at),
            "abandoned_by_halts": abandoned,
            "sent_after_commit": len(after),
            "accepted_after_commit": len([name for name in after if name in gate.accepted_at]),
            "on_the_wire_at_commit": len(in_flight),
            "last_of_these_accepted": spread(in_flight),
            "left": {"jobs": jobs, "entries": entries},
            "defects": arena.failures[:3],
        }


def _strike(arena: Arena, gate: Gate, dice: random.Random, count: int, imposed: list[tuple[float, float]]) -> None:
    for _ in range(count):
        # A halt is worth imposing only where entries are leaving.
        _wait_for(gate, len(gate.sent_at) + dice.randint(1, 4))
        time.sleep(dice.uniform(0.0, 0.05))
        halt(arena.fleet, scope=HaltScope.PLATFORM, subject="", mode=HaltMode.HALT_NEW, reason="bench", by="bench")
        committed = time.monotonic()
        time.sleep(dice.uniform(0.05, 0.4))
        imposed.append((committed, time.monotonic()))
        resume(arena.fleet, scope=HaltScope.PLATFORM, subject="", by="bench", reason="bench")


def _wait_for(gate: Gate, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while len(gate.sent_at) < count and time.monotonic() < deadline:
        time.sleep(0.002)


def left_after_a_halt(commits: list[tuple[str, str, Any]], gate: Gate) -> list[str]:
    """Entries that left although their SUBMITTING was committed while a halt was in force."""
    found, is_halted = [], False
    for what, subject, _ in commits:
        if what != "submit":
            is_halted = what == "halt"
        elif is_halted and subject in gate.sent_at:
            found.append(subject)
    return found


def _late(accepted: float, imposed: list[tuple[float, float]]) -> float | None:
    """Seconds since the halt in force had returned, None where none was."""
    return next((accepted - began for began, ended in imposed if began < accepted < ended), None)


def _count(arena: Arena, status: str) -> int:
    query = "SELECT count(*) FROM orders WHERE role = 'entry' AND status = %s AND reason LIKE 'halted%%'"
    row = arena.root.execute(query, [status]).fetchone()
    return int(row[0]) if row else 0


def faults_of(told: dict[str, Any]) -> int:
    """Everything that must be 0."""
    return int(told["sent_after_commit"] + told["left"]["jobs"] + told["left"]["entries"] + len(told["defects"]))


def run(is_quick: bool) -> Report:
    """Strike, and for the floor strike placements that only look at halts."""
    count, plan = (10, Plan(threads=16, tenants=4, accounts=1, intents=2_000, limits=LIMITS, hold_s=0.8)) if is_quick else (
        100, Plan(threads=64, tenants=8, accounts=1, intents=80_000, limits=LIMITS, hold_s=0.8)
    )  # fmt: skip
    with server(track_commits=True) as url, slow_workers():
        say(f"{count} halts strike {plan.threads} threads that place")
        told = kill(url, "kill", plan, count)
        say(f"{told['sent_after_commit']} entries left after a halt had committed; now without the lock on the epoch")
        with halts_read_without_a_lock():
            lost = kill(url, "kill_unlocked", plan, count)
    return Report(
        bench="kill",
        figure=float(faults_of(told)),
        floor=float(lost["sent_after_commit"]),
        unit="entries that left after a halt had committed; the floor is a placement that only looks at halts",
        goal=0.0,
        is_lower_better=True,
        details=told,
    )
