"""Keeps the requests of one process under a venue's rate limit, however many clients send them."""

from __future__ import annotations

import time
from threading import Lock


class Pacer:
    """A budget of seconds of the venue's time: each request costs some, one second is given back every second.

    Up to `burst_s` may be spent at once. Share one Pacer among all clients that leave from the same address, for
    venues count requests per address.
    """

    def __init__(self, burst_s: float = 1.0) -> None:
        self._burst_s = burst_s
        self._spent_until = 0.0
        self._lock = Lock()

    def wait_s(self, cost_s: float) -> float:
        """Take `cost_s` out of the budget; how long to wait before sending."""
        with self._lock:
            now = time.monotonic()
            start = max(self._spent_until, now - self._burst_s)
            self._spent_until = start + cost_s
            return max(0.0, start - now)

    def take(self, cost_s: float) -> None:
        """Wait until a request that costs `cost_s` may be sent."""
        delay = self.wait_s(cost_s)
        if delay > 0:
            time.sleep(delay)
