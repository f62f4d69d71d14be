"""Shared state for one process alone: the same promises as redis_state, kept in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Lock
from uuid import uuid4

from common.domain.errors import InvalidInput, Transient
from common.ports.shared_state import BreakerState, Permit

Now = Callable[[], float]


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    open_until: float | None = None
    probe: str | None = None
    probe_until: float = 0.0


class MemoryBreakers:
    """Implements ports.shared_state.Breakers for one process."""

    def __init__(
        self, failures_max: int = 5, open_s: float = 30.0, probe_s: float = 15.0, now: Now = time.monotonic
    ) -> None:
        self._failures_max, self._open_s, self._probe_s, self._now = failures_max, open_s, probe_s, now
        self._known: dict[str, _Breaker] = {}
        self._lock = Lock()

    def ask(self, name: str) -> Permit:
        """Whether `name` may be called now."""
        with self._lock:
            breaker, now = self._known.setdefault(name, _Breaker()), self._now()
            if breaker.open_until is None:
                return Permit(BreakerState.CLOSED, is_allowed=True)
            if now < breaker.open_until:
                return Permit(BreakerState.OPEN, is_allowed=False, retry_after_s=breaker.open_until - now)
            if breaker.probe is not None and now < breaker.probe_until:
                return Permit(BreakerState.HALF_OPEN, is_allowed=False, retry_after_s=breaker.probe_until - now)
            breaker.probe, breaker.probe_until = uuid4().hex, now + self._probe_s
            return Permit(BreakerState.HALF_OPEN, is_allowed=True, probe=breaker.probe)

    def succeeded(self, name: str, permit: Permit) -> None:
        """Close the breaker, or clear its count of failures."""
        with self._lock:
            breaker = self._known.setdefault(name, _Breaker())
            if breaker.open_until is None or (permit.probe is not None and permit.probe == breaker.probe):
                self._known[name] = _Breaker()

    def failed(self, name: str, permit: Permit) -> None:
        """Count a failure, and open the breaker when it is one too many or a probe's."""
        with self._lock:
            breaker = self._known.setdefault(name, _Breaker())
            if breaker.open_until is None:
                breaker.failures += 1
                if breaker.failures < self._failures_max:
                    return
            elif permit.probe is None or permit.probe != breaker.probe:
                return
            breaker.open_until, breaker.probe = self._now() + self._open_s, None


@dataclass(slots=True)
class _Flight:
    leader: str | None = None
    lead_until: float = 0.0
    answer: str | None = None
    answer_until: float = 0.0


@dataclass(slots=True)
class MemorySingleFlight:
    """Implements ports.shared_state.SingleFlight for one process."""

    now: Now = time.monotonic
    _flights: dict[str, _Flight] = field(default_factory=dict)
    _changed: Condition = field(default_factory=Condition)

    def once(self, key: str, ttl_s: float, wait_s: float, compute: Callable[[], str]) -> str:
        """The kept answer of `key`, or that of `compute`, called by one caller while the others wait."""
        me, until = uuid4().hex, self.now() + wait_s
        kept = self._lead_or_wait(key, me, wait_s, until)
        if kept is not None:
            return kept
        answer: str | None = None
        try:
            answer = compute()
            return answer
        finally:
            self._land(key, me, answer, ttl_s)

    def _lead_or_wait(self, key: str, me: str, wait_s: float, until: float) -> str | None:
        with self._changed:
            while True:
                now = self.now()
                self._forget(now)
                flight = self._flights.setdefault(key, _Flight())
                if flight.answer is not None:
                    return flight.answer
                if flight.leader is None or now >= flight.lead_until:
                    flight.leader, flight.lead_until = me, now + wait_s
                    return None
                if now >= until:
                    raise Transient(f"no answer within {wait_s} s from who asked first")
                self._changed.wait(max(0.001, min(until, flight.lead_until) - now))

    def _land(self, key: str, me: str, answer: str | None, ttl_s: float) -> None:
        with self._changed:
            flight = self._flights.setdefault(key, _Flight())
            if answer is not None:
                flight.answer, flight.answer_until = answer, self.now() + ttl_s
            if flight.leader == me:
                flight.leader = None
            self._changed.notify_all()

    def _forget(self, now: float) -> None:
        """Drop what is out of date, so that memory holds only what may still be asked for."""
        for key, flight in list(self._flights.items()):
            if flight.answer is not None and now >= flight.answer_until:
                flight.answer = None
            if flight.answer is None and (flight.leader is None or now >= flight.lead_until):
                del self._flights[key]


@dataclass(slots=True)
class MemoryBudgets:
    """Implements ports.shared_state.Budgets for one process."""

    now: Now = time.monotonic
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, name: str, cost: float, capacity: float, refill_per_s: float) -> float:
        """Take `cost` tokens; 0.0 when they were there, else the seconds until they will be."""
        if cost > capacity:
            raise InvalidInput("cost", cost, f"at most the capacity, {capacity}")
        with self._lock:
            now = self.now()
            level, at = self._levels.get(name, (capacity, now))
            level = min(capacity, level + (now - at) * refill_per_s)
            if level >= cost:
                self._levels[name] = (level - cost, now)
                return 0.0
            self._levels[name] = (level, now)
            return (cost - level) / refill_per_s

    def give_back(self, name: str, cost: float, capacity: float) -> None:
        """Put back what was taken and not used."""
        with self._lock:
            level, at = self._levels.get(name, (capacity, self.now()))
            self._levels[name] = (min(capacity, level + cost), at)
