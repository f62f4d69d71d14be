"""Clocks and ids for tests: time that moves only when it is told to, and ids that are the same in every run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


class ManualClock:
    """A clock that stands still until `advance` moves it; implements ports.clock.Clock."""

    def __init__(self, now: datetime = NOON, rate: float = 1.0) -> None:
        self._now, self._rate, self._life = now, rate, 0.0

    @property
    def rate(self) -> float:
        """Venue seconds per second of life."""
        return self._rate

    def now(self) -> datetime:
        """The instant it was left at."""
        return self._now

    def monotonic(self) -> float:
        """Seconds of life that were advanced so far."""
        return self._life

    def transport(self, seconds: float) -> timedelta:
        """`seconds` of life in venue time."""
        return timedelta(seconds=seconds * self._rate)

    def advance(self, length: timedelta) -> datetime:
        """Move venue time on by `length`; the new instant."""
        self._now += length
        self._life += length.total_seconds() / self._rate
        return self._now


class SeededIds:
    """Ids and tokens drawn from a seed; implements ports.ids.Ids."""

    def __init__(self, seed: int = 0) -> None:
        self._dice = Random(seed)

    def new(self) -> UUID:
        """The next id of this seed, a version 4 UUID in form."""
        return UUID(int=self._dice.getrandbits(128), version=4)

    def token(self) -> str:
        """The next token of this seed."""
        return f"{self._dice.getrandbits(256):064x}"
