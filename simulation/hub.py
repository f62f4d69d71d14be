"""The seeded scheduler: every call through a door may crash its worker, delay it, or let another worker go first."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
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
    connection_cut: float = 0.0
    commit_lost: float = 0.0
    read_fails: float = 0.0
    delay: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    broker_down: float = 0.0
    flush: float = 0.0
    advisor: float = 0.0
    place: float = 0.0
    lag: float = 0.0
    cancel_race: float = 0.0
    halt: float = 0.0
    stranger: float = 0.0
    beat: float = 0.0
    clock_jump: float = 0.0

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Every kind of fault by name."""
        return tuple(item.name for item in fields(cls))

    @classmethod
    def swarm(cls, rng: random.Random, kinds: Sequence[str]) -> Chances:
        """Chances of one seed: each kind of fault is off, rare or frequent, independently of the others."""
        drawn = {name: most * rng.choice((0.0, 0.3, 1.0)) for name, most in _MOST.items()}
        return cls(**{name: chance if name in kinds else 0.0 for name, chance in drawn.items()})

    def take_back(self, kinds: Sequence[str]) -> None:
        """What is left to chance elsewhere is nearly certain: entries filled in part, halts, and fills before a cancel."""
        for name, chance in _TO_TAKE_BACK.items():
            setattr(self, name, chance if name in kinds else 0.0)


_MOST = {
    "crash": 0.05,
    "database_down": 0.02,
    "connection_cut": 0.004,
    "commit_lost": 0.08,
    "read_fails": 0.08,
    "delay": 0.08,
    "drop": 0.4,
    "duplicate": 0.5,
    "broker_down": 0.1,
    "flush": 0.03,
    "advisor": 0.5,
    "place": 0.6,
    "lag": 0.6,
    "cancel_race": 0.7,
    "halt": 0.06,
    "stranger": 0.02,
    "beat": 0.35,
    "clock_jump": 0.02,
}

_TO_TAKE_BACK = {"place": 0.8, "cancel_race": 0.8, "halt": 0.1, "lag": 0.0}


@dataclass(slots=True)
class Actor:
    """One worker process of the simulated fleet; `body` does one errand, and `has_work` says whether there is one."""

    name: str
    body: Callable[[], None]
    has_work: Callable[[], bool]
    thread: greenlet | None = None
    service: str = ""

    @property
    def is_busy(self) -> bool:
        """Whether it is in the middle of an errand."""
        return self.thread is not None and not self.thread.dead


@dataclass(slots=True)
class Hub:
    """Owns the dice, the order in which actors run, and the record of what was done to them."""

    rng: random.Random
    clock: VirtualClock
    chances: Chances = field(default_factory=Chances)
    aims: frozenset[KillPoint] = frozenset()
    switching: float = 0.5
    actors: list[Actor] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    seen: set[KillPoint] = field(default_factory=set)
    killed: set[KillPoint] = field(default_factory=set)
    trace: list[str] = field(default_factory=list)
    steps: int = 0
    is_healed: bool = False
    _current: Actor | None = None
    _main: greenlet | None = None

    def note(self, text: str) -> None:
        """Add a line to the trace that a failing seed prints."""
        actor = self._current.name if self._current else "-"
        self.trace.append(f"{self.clock.monotonic():9.2f} {actor:9} {text}")

    @property
    def serving(self) -> str:
        """What the running actor works for."""
        return self._current.service if self._current else "-"

    def serve(self, service: str) -> None:
        """The running actor now works for `service`."""
        if self._current is not None:
            self._current.service = service

    def happens(self, kind: str, share: float = 1.0, name: str = "") -> bool:
        """Whether a fault of `kind` strikes now, at `share` of its chance; counted and traced when it does."""
        chance: float = getattr(self.chances, kind) * share
        if self.is_healed or chance <= 0.0 or self.rng.random() >= chance:
            return False
        self.count(name or kind)
        return True

    def count(self, fault: str) -> None:
        """A fault has struck."""
        self.faults[fault] += 1
        self.note(f"fault: {fault}")

    def point(self, door: str, moment: Moment, *, may_pause: bool = True) -> None:
        """A worker passes a door: it may be killed here, and others may run before it goes on."""
        if self._current is None:
            return
        here = KillPoint(self._current.service, door, moment)
        self.seen.add(here)
        if self._is_aimed_at(here) or self.happens("crash"):
            self.killed.add(here)
            self.note(f"killed at {here}")
            raise Crash(str(here))
        if may_pause:
            if self.happens("delay"):
                self.clock.advance(self.rng.choice((0.2, 1.0, 4.0)))
            if self.rng.random() < self.switching:
                self.pause()

    def _is_aimed_at(self, here: KillPoint) -> bool:
        # The first pass is spared sometimes, so that a second attempt is hit as well as a first one.
        if self.is_healed or here not in self.aims or here in self.killed or self.rng.random() < 0.3:
            return False
        self.count("crash")
        return True

    def pause(self) -> None:
        """Let the scheduler choose who goes on."""
        if self._main is not None and getcurrent() is not self._main:
            self._main.switch()

    def turn(self) -> bool:
        """Let one actor that has something to do go on until its next door; False when none has."""
        ready = [actor for actor in self.actors if actor.is_busy or actor.has_work()]
        if not ready:
            return False
        self._run(self.rng.choice(ready))
        return True

    def _run(self, actor: Actor) -> None:
        self._main = getcurrent()
        if actor.thread is None or actor.thread.dead:
            actor.thread = greenlet(_errand(actor))
        self._current = actor
        self.steps += 1
        try:
            actor.thread.switch()
        finally:
            self._current = None

    def heal(self, steps_max: int = 20_000) -> bool:
        """From now on nothing goes wrong, and every worker finishes what it is doing; False when one cannot."""
        self.is_healed = True
        for _ in range(steps_max):
            busy = [actor for actor in self.actors if actor.is_busy]
            if not busy:
                return True
            self._run(busy[0])
        return False

    def abandon(self) -> None:
        """Kill whoever is still in the middle of something, so that the next seed finds no transaction open."""
        for actor in self.actors:
            if actor.is_busy and actor.thread is not None:
                actor.thread.throw(Crash("the seed is over"))

    def skew(self, most_s: float) -> timedelta:
        """How wrong the clock of a process is."""
        return timedelta(milliseconds=self.rng.randint(-int(most_s * 1000), int(most_s * 1000)))


def _errand(actor: Actor) -> Callable[[], None]:
    def life() -> None:
        try:
            actor.body()
        except Crash:
            # The supervisor starts the process again at its next turn.
            return

    return life
