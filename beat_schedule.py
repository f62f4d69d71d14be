"""Every heartbeat of the fleet as data: task, period and expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from common.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Beat:
    """A tick: `every` is the period and `expires` how long an unheard tick may still be heard.

    Market ticks (`in_venue_time`) follow the venue's clock: against a practice venue that runs faster than life the
    period shrinks with it, but never below `floor`, which is in life's seconds.
    """

    name: str
    every: timedelta
    expires: timedelta
    in_venue_time: bool = False
    floor: timedelta = timedelta(milliseconds=250)

    def __post_init__(self) -> None:
        if self.expires > self.every:
            raise InvalidInput(f"{self.name}.expires", self.expires, f"no more than its period, {self.every}")
        if self.every <= timedelta(0):
            raise InvalidInput(f"{self.name}.every", self.every, "a period above zero")

    def period(self, rate: float) -> timedelta:
        """Seconds of life between ticks while the venue's clock runs `rate` times faster than life."""
        if not self.in_venue_time:
            return self.every
        return max(self.every / rate, min(self.floor, self.every))

    def entry(self, rate: float = 1.0) -> dict[str, Any]:
        """The tick as Celery's beat wants it."""
        period = self.period(rate)
        expires = max(min(self.expires, period), timedelta(seconds=1))
        return {"task": self.name, "schedule": period, "options": {"expires": expires.total_seconds()}}


def seconds(number: float) -> timedelta:
    """`number` seconds."""
    return timedelta(seconds=number)


BEATS = (
    # Scans: idempotent by (venue, timeframe, shard, candle), so ticking often costs one cheap statement.
    Beat("signal.schedule", every=seconds(2), expires=seconds(2), in_venue_time=True),
    Beat("position.tick", every=seconds(2), expires=seconds(2), in_venue_time=True, floor=seconds(0.5)),
    Beat("maintenance.relay", every=seconds(0.5), expires=seconds(0.5)),
    Beat("maintenance.reconcile", every=seconds(60), expires=seconds(60), in_venue_time=True, floor=seconds(5)),
    Beat("maintenance.cash", every=seconds(60), expires=seconds(60), in_venue_time=True, floor=seconds(5)),
    Beat("maintenance.review", every=seconds(300), expires=seconds(300), in_venue_time=True, floor=seconds(5)),
    Beat("maintenance.equity", every=seconds(300), expires=seconds(300), in_venue_time=True, floor=seconds(5)),
    Beat("maintenance.candidates", every=seconds(3600), expires=seconds(3600), in_venue_time=True, floor=seconds(60)),
    Beat("maintenance.instruments", every=seconds(3600), expires=seconds(3600), in_venue_time=True, floor=seconds(60)),
    Beat("maintenance.retention", every=seconds(3600), expires=seconds(3600)),
)
