"""What time it is: life's own clock, or the clock of a simulator that runs faster than life."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from threading import Lock

import httpx2

from common.domain.errors import Permanent, Transient

_RATE_MAX = 1_000_000.0


class SystemClock:
    """Life's own clock: venue time is the host's time, at rate one."""

    @property
    def rate(self) -> float:
        """One venue second per second of life."""
        return 1.0

    def now(self) -> datetime:
        """The host's time, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of life since an arbitrary instant."""
        return time.monotonic()

    def transport(self, seconds: float) -> timedelta:
        """The same length of time."""
        return timedelta(seconds=seconds)


class VenueClock:
    """The clock of a venue that runs `rate` times faster than life: `origin_venue` was shown at `origin_real`.

    Both origins are seconds since the Unix epoch. The origin moves when the venue restarts: `adopt` takes a new
    reading, in one assignment, so that a reader in another thread sees either the old clock or the new one.
    """

    def __init__(self, origin_real: float, origin_venue: float, rate: float) -> None:
        self._reading = (origin_real, origin_venue, rate)

    @property
    def rate(self) -> float:
        """Venue seconds per second of life."""
        return self._reading[2]

    @property
    def reading(self) -> tuple[float, float, float]:
        """(origin_real, origin_venue, rate) in force."""
        return self._reading

    def adopt(self, other: VenueClock) -> bool:
        """Go on with the origin and rate of `other`; whether anything changed."""
        changed = self._reading != other.reading
        self._reading = other.reading
        return changed

    def now(self) -> datetime:
        """The instant at the venue."""
        origin_real, origin_venue, rate = self._reading
        return datetime.fromtimestamp(origin_venue + (time.time() - origin_real) * rate, UTC)

    def monotonic(self) -> float:
        """Seconds of life since an arbitrary instant."""
        return time.monotonic()

    def transport(self, seconds: float) -> timedelta:
        """`seconds` of life in venue time."""
        return timedelta(seconds=seconds * self.rate)


class FollowedClock(VenueClock):
    """The clock of the simulator at `url`, read again at most every `refresh_s` seconds of life, and on demand.

    A reading that cannot be had leaves the last one in force: the venue being down must not stop time.
    """

    def __init__(self, url: str, refresh_s: float = 5.0) -> None:
        first = read_simulator_clock(url)
        super().__init__(*first.reading)
        self._url, self._refresh_s = url, refresh_s
        self._read_at = time.monotonic()
        self._lock = Lock()

    def now(self) -> datetime:
        """The instant at the venue, after a fresh reading when the last one is old."""
        if time.monotonic() - self._read_at > self._refresh_s:
            self.refresh()
        return super().now()

    def refresh(self) -> bool:
        """Read the simulator's clock now; whether its origin or rate had changed. False when it cannot be read."""
        if not self._lock.acquire(blocking=False):
            return False  # Another thread is reading it.
        try:
            self._read_at = time.monotonic()
            return self.adopt(read_simulator_clock(self._url, timeout_s=1.0))
        except Transient:
            return False
        finally:
            self._lock.release()


def read_simulator_clock(url: str, timeout_s: float = 5.0) -> VenueClock:
    """The clock of the simulator at `url`; raises Transient when it does not answer, Permanent when it is no clock."""
    address = f"{url.rstrip('/')}/simulator/clock"
    try:
        with httpx2.Client(timeout=timeout_s, trust_env=False) as client:
            answer = client.get(address)
    except httpx2.HTTPError as error:
        raise Transient(f"the simulator's clock at {address} does not answer: {type(error).__name__}") from None
    if answer.status_code >= 500:
        raise Transient(f"the simulator's clock at {address} answers {answer.status_code}")
    return _parse(address, answer.status_code, answer.text)


def _parse(address: str, status: int, text: str) -> VenueClock:
    try:
        told = json.loads(text)
        reading = (float(told["origin_real"]), float(told["origin_venue"]), float(told["rate"]))
    except (ValueError, TypeError, KeyError):
        raise Permanent(f"{address} answers {status} with something that is not a simulator's clock") from None
    if not 0 < reading[2] <= _RATE_MAX:
        raise Permanent(f"{address} tells a rate of {reading[2]}; expected above 0 and at most {_RATE_MAX:.0f}")
    return VenueClock(*reading)
