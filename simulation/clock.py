"""Clocks that move only when the simulation says so, and the ids and the vault that go with them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from common.domain.errors import Permanent

START = datetime(2024, 3, 1, tzinfo=UTC)
ZERO = timedelta(0)


class VirtualClock:
    """The Clock port in virtual time; `skewed` gives the clock of a process that reads it a little wrongly."""

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

    def advance_to(self, instant: datetime) -> None:
        """Let virtual time pass until `instant`; nothing when that is over."""
        self._now = max(self._now, instant)


class SkewedClock(VirtualClock):
    """One process's reading of the one virtual time: `skew` ahead of it, or behind it when negative."""

    def __init__(self, truth: VirtualClock, skew: timedelta) -> None:
        super().__init__()
        self._truth, self.skew = truth, skew

    def now(self) -> datetime:
        """What this process believes the venue's time to be."""
        return self._truth.now() + self.skew

    def monotonic(self) -> float:
        """Seconds of life: a step of the wall clock does not touch them."""
        return self._truth.monotonic()


class SeededIds:
    """The Ids port, drawn from the seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def new(self) -> UUID:
        """The next id of the seed."""
        return UUID(int=self._rng.getrandbits(128), version=4)

    def token(self) -> str:
        """The next secret of the seed."""
        return f"{self._rng.getrandbits(256):064x}"


class GlassVault:
    """The Vault port without its lock: seals are bound to their context and hide the secret from a reader of the table."""

    def seal(self, secret: bytes, context: str) -> bytes:
        """`secret` reversed, behind its context."""
        return context.encode() + b"\0" + bytes(byte ^ 0x5A for byte in secret)

    def open(self, sealed: bytes, context: str) -> bytes:
        """The secret; raises Permanent when it was sealed for another place."""
        bound, _, hidden = sealed.partition(b"\0")
        if bound.decode() != context:
            raise Permanent("this secret was sealed for another place")
        return bytes(byte ^ 0x5A for byte in hidden)


class Silence:
    """The Notifier port for a world in which nobody listens."""

    def notify(self, tenant: str, kind: str, title: str, body: str) -> None:
        """Nothing is sent."""
