"""A clock that moves only when the simulation says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2024, 3, 1, tzinfo=UTC)


class VirtualClock:
    """The Clock port in virtual time: one venue second per second, and no second passes by itself."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._start = start

    @property
    def rate(self) -> float:
        """Venue seconds per second of life."""
        return 1.0

    def now(self) -> datetime:
        """The virtual instant."""
        return self._now

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return (self._now - self._start).total_seconds()

    def transport(self, seconds: float) -> timedelta:
        """`seconds` themselves, for the virtual venue does not run ahead of its network."""
        return timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._now += timedelta(seconds=seconds)
