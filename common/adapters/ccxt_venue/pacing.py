"""Keeps the requests of one process under a venue's rate limit, however many clients send them."""

from __future__ import annotations

import time
from threading import Lock

_HOLD_MAX_S = 3600.0


class Pacer:
    """A budget of seconds of the venue's time: each request costs some, one second is given back every second.

    Up to `burst_s` may be spent at once. Share one Pacer among all clients that leave from the same address, for
    venues count requests per address.
    """

    def __init__(self, burst_s: float = 1.0) -> None:
        self._burst_s = burst_s
        self._spent_until = self._held_until = 0.0
        self._lock = Lock()

    def wait_s(self, cost_s: float) -> float:
        """Take `cost_s` out of the budget; how long to wait before sending."""
        with self._lock:
            now = time.monotonic()
            start = max(self._spent_until, now - self._burst_s)
            self._spent_until = start + cost_s
            return max(0.0, start - now)

    def hold(self, seconds: float) -> None:
        """Let nothing through for `seconds`, because the venue said so; at most an hour."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + min(seconds, _HOLD_MAX_S))

    @property
    def held_s(self) -> float:
        """Seconds until requests may leave again; 0.0 when they may now."""
        with self._lock:
            return max(0.0, self._held_until - time.monotonic())

    def take(self, cost_s: float) -> None:
        """Wait until a request that costs `cost_s` may be sent."""
        delay = self.wait_s(cost_s)
        if delay > 0:
            time.sleep(delay)
