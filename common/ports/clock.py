"""The clock port: what time it is at the venue, and how fast that time runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Venue time, UTC and aware. `rate` is venue seconds per second of life: 1.0 except against a fast simulator."""

    @property
    def rate(self) -> float:
        """Venue seconds per second of life."""
        ...

    def now(self) -> datetime:
        """The instant at the venue."""
        ...

    def monotonic(self) -> float:
        """Seconds of life since an arbitrary instant, never going back; for measuring latency only."""
        ...

    def transport(self, seconds: float) -> timedelta:
        """How much venue time passes while `seconds` of life pass; windows of HTTP requests are measured in it."""
        ...
