"""Venue time: it runs `rate` times faster than life and goes on, after a restart, from the last instant that was kept.

What follows venue time: server time, candles, funding, order expiry, listen keys (60 minutes).
What follows the wall clock, because the network does not run faster with the market: rate-limit windows (per
minute, per 10 seconds) and bans. `recvWindow` is stretched by the rate: a request is in time when
`server_time - timestamp <= recvWindow * rate` and `timestamp <= server_time + 1000 ms * rate`.
"""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class VenueClock:
    """venue time = origin_venue + (time.time() - origin_real) * rate; seconds since the epoch, milliseconds out."""

    origin_venue: float
    rate: float = 1.0
    origin_real: float = field(default_factory=time.time)
    skew_ms: int = 0  # a fault: what the venue says its clock shows, away from what it is

    def now_ms(self) -> int:
        """The instant the venue works with, in milliseconds."""
        return int((self.origin_venue + (time.time() - self.origin_real) * self.rate) * 1000)

    def server_time_ms(self) -> int:
        """The instant the venue tells, which a clock fault may falsify."""
        return self.now_ms() + self.skew_ms

    def shift(self, seconds: float) -> None:
        """Step venue time; only ever forward, since booked history cannot be unbooked."""
        self.origin_venue += max(0.0, seconds)

    def describe(self) -> dict[str, float | int]:
        """What `GET /simulator/clock` answers and what the fleet's clock follows."""
        return {
            "rate": self.rate,
            "origin_real": self.origin_real,
            "origin_venue": self.origin_venue,
            "server_time": self.server_time_ms(),
        }


def in_time(server_ms: int, timestamp_ms: int, recv_window_ms: int, rate: float) -> bool:
    """Whether a signed request is inside its validity window, stretched by the rate (never shrunk below life)."""
    stretch = max(1.0, rate)
    return server_ms - timestamp_ms <= recv_window_ms * stretch and timestamp_ms <= server_ms + 1000 * stretch
