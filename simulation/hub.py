"""The seeded scheduler: every call through a door may crash its worker, delay it, or let another worker go first."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from greenlet import getcurrent, greenlet

from simulation.clock import VirtualClock


class Crash(BaseException):
    """kill -9: not an error anybody may handle; whatever was not committed is gone."""


class Moment(StrEnum):
    """On which side of a door a worker is."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, order=True)
class KillPoint:
    """One place at which a worker can be killed: the service it runs, the door it goes through, and the side."""

    service: str
    door: str
    moment: Moment

    def __str__(self) -> str:
        return f"{self.service}/{self.door}/{self.moment}"


@dataclass(slots=True)
class Chances:
    """How often what goes wrong, drawn once per seed so that every seed stresses something else."""

    crash: float = 0.0
    database_down: float = 0.0
    commit_lost: float = 0.0
    read_fails: float = 0.0
    delay: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    broker_down: float = 0.0
    flush: float = 0.0
    advisor: float = 0.0

    @classmethod
    def swarm(cls, rng: random.Random, strength: float = 1.0) -> Chances:
        """Chances of one seed: each kind of fault is off, rare or frequent, independently of the others."""
        scale = {"crash": 0.06, "database_down": 0.02, "commit_lost": 0.04, "read_fails": 0.08, "delay": 0.3}
        scale |= {"drop": 0.4, "duplicate": 0.4, "broker_down": 0.1, "flush": 0.03, "advisor": 0.5}
        drawn = {name: most * rng.choice([0.0, 0.3, 1.0]) * strength for name, most in scale.items()}
        return cls(**drawn)


@dataclass(slots=True)
class Actor:
    """One worker process of the simulated fleet."""

    name: str
    body: Callable[[], None]
    thread: greenlet | None = None
    service: str = ""
    is_done: bool = False


@dataclass(slots=True)
class Hub:
    """Owns the dice, the order in which actors run, and the record of what was done to them."""

    rng: random.Random
    clock: VirtualClock
    chances: Chances = field(default_factory=Chances)
    actors: list[Actor] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    seen: set[KillPoint] = field(default_factory=set)
    killed: set[KillPoint] = field(default_factory=set)
    trace: list[str] = field(default_factory=list)
    is_healed: bool = False
    only: KillPoint | None = None
    _current: Actor | None = None
    _main: greenlet | None = None

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Add an actor; it runs when the scheduler picks it."""
        self.actors.append(Actor(name, body))

    def note(self, text: str) -> None:
        """Add a line to the trace that a failing seed prints."""
        actor = self._current.name if self._current else "-"
        self.trace.append(f"{self.clock.monotonic():9.2f} {actor:12} {text}")

    def serve(self, service: str) -> None:
        """The running actor now works for `service`."""
        if self._current is not None:
            self._current.service = service

    def happens(self, fault: str, chance: float) -> bool:
        """Whether a fault of this kind strikes now; counted and traced when it does."""
        if self.is_healed or self.rng.random() >= chance:
            return False
        self.faults[fault] += 1
        self.note(f"fault {fault}")
        return True

    def point(self, door: str, moment: Moment, *, may_pause: bool = True) -> None:
        """A worker passes a door: it may be killed here, and others may run before it goes on."""
        if self._current is None:
            return
        here = KillPoint(self._current.service, door, moment)
        self.seen.add(here)
        chance = self.chances.crash
        if not self.is_healed and here not in self.killed:
            chance = max(chance, 0.1 if self.chances.crash else 0.0)
        if self.happens("crash", chance):
            self.killed.add(here)
            self.note(f"killed at {here}")
            raise Crash(str(here))
        if may_pause:
            if self.happens("delay", self.chances.delay):
                self.clock.advance(self.rng.uniform(0.0, 2.0))
            self.pause()

    def pause(self) -> None:
        """Let the scheduler choose who runs next."""
        if self._main is not None and getcurrent() is not self._main:
            self._main.switch()

    def run(self, steps: int, between: Callable[[], None]) -> None:
        """Let actors run for `steps` turns in an order of the dice, calling `between` after each."""
        self._main = getcurrent()
        for _ in range(steps):
            ready = [actor for actor in self.actors if not actor.is_done]
            if not ready:
                return
            self._turn(self.rng.choice(ready))
            between()

    def _turn(self, actor: Actor) -> None:
        if actor.thread is None or actor.thread.dead:
            actor.thread = greenlet(self._live(actor))
        self._current = actor
        try:
            actor.thread.switch()
        finally:
            self._current = None

    def _live(self, actor: Actor) -> Callable[[], None]:
        def life() -> None:
            try:
                actor.body()
            except Crash:
                # The supervisor starts the process again at its next turn.
                return

        return life

    def finish(self, steps_max: int = 10_000) -> bool:
        """Let every paused actor come to the end of what it is doing; False when that takes too long."""
        for _ in range(steps_max):
            busy = [actor for actor in self.actors if actor.thread is not None and not actor.thread.dead]
            if not busy:
                return True
            self._turn(busy[0])
        return False
