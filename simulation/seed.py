"""One seed from beginning to end: a while in which everything goes wrong, then peace, then the books."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from common.domain.risk.book import Environment
from simulation.books import audit_digest, check_books, check_heard
from simulation.database import Database
from simulation.doors import Errand
from simulation.hub import KillPoint
from simulation.laws import DEFECT, Violation
from simulation.world import World

LENGTHS_S = (105.0, 105.0, 165.0)
"""How long everything goes wrong: until well after one candle has closed, or two; what follows from an outcome needs the second."""

STEPS_MOST = 1_200
ROUNDS_MOST = 40
IN_DOUBT_S = 33.0
"""Longer than window and horizon of any venue here."""

_WAITING = "SELECT count(*), min(available_at) FROM jobs WHERE state = 'pending'"
_STUCK = "SELECT stage, key, attempts, outcome FROM jobs WHERE state = 'pending' ORDER BY key LIMIT 5"


@dataclass(slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    seen: set[KillPoint] = field(default_factory=set)
    killed: set[KillPoint] = field(default_factory=set)
    steps: int = 0
    violations: list[Violation] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    digest: str = ""
    deeds: Counter[str] = field(default_factory=Counter)


class _Listener(logging.Handler):
    """Puts what the services log into the trace."""

    world: World | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.world is None:
            return
        text = record.getMessage()
        self.world.hub.note(f"log: {text}")
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            self.world.laws.broken(DEFECT, text, f"{type(error).__name__}: {error}")
        if "canary" in text:
            self.world.laws.broken("I14", "log", text)


_listener = _Listener(logging.WARNING)


def listen() -> None:
    """Hear the services' log, once per process."""
    log = logging.getLogger("common")
    log.setLevel(logging.WARNING)
    log.propagate = False
    log.handlers = [_listener]


def run_seed(database: Database, seed: int, kinds: tuple[str, ...], aims: frozenset[KillPoint]) -> Outcome:
    """Everything that `seed` brings about; the same seed brings about the same."""
    database.empty()
    world = World(database, seed, kinds, aims)
    _listener.world = world
    try:
        _trouble(world)
        if not world.laws.violations:
            _peace(world, database)
        digest = audit_digest(world) if not world.laws.violations else ""
    finally:
        world.hub.abandon()
        _listener.world = None
    hub = world.hub
    return Outcome(
        seed, hub.faults, hub.seen, hub.killed, hub.steps, world.laws.violations, hub.trace, digest, _deeds(world)
    )


def _deeds(world: World) -> Counter[str]:
    deeds = Counter(f"{order.intent.role} {order.status}" for order in world.laws.record.orders.values())
    deeds["positions"] = len(world.laws.record.positions)
    live = {a.id for a in world.laws.accounts.values() if a.environment is Environment.LIVE}
    deeds["positions of live accounts"] = sum(p.account_id in live for p in world.laws.record.positions.values())
    deeds["halts"] = len(world.laws.record.halts)
    deeds["strangers"] = len(world.strangers)
    return deeds


def _trouble(world: World) -> None:
    hub, rng = world.hub, world.rng
    pace = rng.choice((0.03, 0.06, 0.12))
    hub.switching = rng.choice((0.2, 0.5, 1.0))
    length = rng.choice(LENGTHS_S)
    if world.takes_back:
        length = LENGTHS_S[-1]
    world.pass_time()
    while world.clock.monotonic() < length and hub.steps < STEPS_MOST and not world.laws.violations:
        if world.takes_back and hub.killed & hub.aims:
            return
        if rng.random() < pace or not hub.turn():
            world.pass_time()


def _peace(world: World, database: Database) -> None:
    """Heal, give every question the time to be answered, stop the market, and visit everybody until nothing waits."""
    laws = world.laws
    if not world.hub.heal():
        laws.broken("I1", "workers", "a worker does not come to the end of what it is doing")
        return
    world.venue.lag = 0.0
    _hear(world)
    _advance(world, IN_DOUBT_S)
    _visit(world)
    world.venue.frozen_at = world.clock.now()
    for _ in range(ROUNDS_MOST):
        moves = laws.record.moves
        _advance(world, 4.0)
        _visit(world)
        waiting, first = database.root.execute(_WAITING).fetchone() or (0, None)
        if not waiting and moves == laws.record.moves and not world.venue.is_moving:
            break
        if first is not None:
            world.clock.advance_to(first)
    else:
        stuck = database.root.execute(_STUCK).fetchall()
        laws.broken("I1", "fleet", f"it does not come to rest: {stuck}")
    check_books(world, database.root)


def _hear(world: World) -> None:
    """Let the listener come to the end: what was told, or was lost in a gap, is in the ledger before any beat ticks."""
    for _ in range(2_000):
        if not world.ears.has_work:
            check_heard(world)
            return
        world.ears.listen(world.hub)
    world.laws.broken("GAP", "listener", "it does not come to the end of what it owes")


def _advance(world: World, seconds: float) -> None:
    world.clock.advance(seconds)
    world.venue.tick()


def _visit(world: World) -> None:
    # Everybody is looked at, due or not, as the drain does before it compares the books.
    errands = world.errands("position.monitor") + world.errands("maintenance.reconcile")
    errands.append(Errand("maintenance.relay"))
    for errand in errands:
        world.perform(world.plain, errand)
    for _ in range(5_000):
        if not world.bus.bag:
            return
        world.perform(world.plain, world.bus.bag.pop(0))
    world.laws.broken("I1", "fleet", "its messages do not end")
