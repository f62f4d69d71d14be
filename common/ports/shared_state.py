"""State that processes share and may lose, for none of it is truth: breakers, answers asked for once, rate budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class BreakerState(StrEnum):
    """CLOSED lets everything through, OPEN nothing; HALF_OPEN lets one probe through to find out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Permit:
    """The answer to whether a dependency may be called: `is_allowed`, and `retry_after_s` of life when it may not.

    `probe` is set for the one caller that was chosen to find out; it goes back with the result.
    """

    state: BreakerState
    is_allowed: bool
    retry_after_s: float = 0.0
    probe: str | None = None


class Breakers(Protocol):
    """Circuit breakers by the name of the dependency, shared by all who call it; all times are seconds of life.

    After a number of failures in a row a breaker opens for a while; then exactly one caller at a time is let through
    as a probe, for no longer than its lease. Its success closes the breaker, its failure opens it again.
    """

    def ask(self, name: str) -> Permit:
        """Whether `name` may be called now. Raises Transient when the shared state cannot be reached."""
        ...

    def succeeded(self, name: str, permit: Permit) -> None:
        """The call under `permit` went well; a probe that lost its lease changes nothing."""
        ...

    def failed(self, name: str, permit: Permit) -> None:
        """The call under `permit` failed; a probe that lost its lease changes nothing."""
        ...


class SingleFlight(Protocol):
    """Answers by exact key: asked for once, however many want them at the same time."""

    def once(self, key: str, ttl_s: float, wait_s: float, compute: Callable[[], str]) -> str:
        """The kept answer of `key`, or that of `compute`, called by one caller while the others wait.

        The answer is kept for `ttl_s`. `wait_s` bounds both how long others wait and how long the one may take before
        somebody else takes its place; what `compute` raises reaches its caller, and the next in line tries for itself.
        Raises Transient when no answer came within `wait_s`.
        """
        ...


class Budgets(Protocol):
    """Token buckets by name: `capacity` tokens at most, `refill_per_s` of them back every second of life."""

    def take(self, name: str, cost: float, capacity: float, refill_per_s: float) -> float:
        """Take `cost` tokens; 0.0 when they were there, else nothing is taken and the seconds until they will be.

        Raises InvalidInput when `cost` is above `capacity`, which no waiting would help.
        """
        ...

    def give_back(self, name: str, cost: float, capacity: float) -> None:
        """Put back what was taken and not used."""
        ...
