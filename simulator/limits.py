"""Rate limits by the wall clock: request weight per address, order counts per account, 429 first, then a 418 ban."""

import time
from dataclasses import dataclass, field

from simulator.errors import TEXTS, VenueError

MINUTE = 60.0
FORGIVEN = 20  # requests a client may still send after its first 429 before it is banned
FIRST_BAN = 120.0
LONGEST_BAN = 3 * 86_400.0


@dataclass(slots=True)
class _Visitor:
    """What one address has used of the current minute, and its record."""

    minute: int = 0
    used: int = 0
    refused: int = 0
    banned_until: float = 0.0
    next_ban: float = FIRST_BAN


@dataclass(slots=True)
class Limits:
    """The venue's counters; a limit of zero switches the counting's consequences off."""

    weight_per_minute: int = 2400
    orders_per_minute: int = 1200
    orders_per_ten_seconds: int = 300
    _visitors: dict[str, _Visitor] = field(default_factory=dict)
    _orders: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def admit(self, address: str, weight: int) -> int:
        """Count a request; the weight used this minute. Refuses with 429, then 418."""
        now = time.time()
        visitor = self._visitors.setdefault(address, _Visitor())
        if visitor.minute != int(now // MINUTE):
            visitor.minute, visitor.used, visitor.refused = int(now // MINUTE), 0, 0
        if visitor.banned_until > now:
            raise _ban(address, visitor.banned_until, now)
        visitor.used += weight
        if not self.weight_per_minute or visitor.used <= self.weight_per_minute:
            return visitor.used
        visitor.refused += 1
        if visitor.refused > FORGIVEN:
            visitor.banned_until = now + visitor.next_ban
            visitor.next_ban = min(LONGEST_BAN, visitor.next_ban * 2)
            raise _ban(address, visitor.banned_until, now)
        wait = max(1, int(MINUTE - now % MINUTE))
        text = TEXTS[-1003].format(limit=self.weight_per_minute)
        raise VenueError(-1003, text, 429, {"Retry-After": str(wait), "X-MBX-USED-WEIGHT-1M": str(visitor.used)})

    def count_order(self, api_key: str) -> dict[str, str]:
        """Count an order of an account; the headers that tell how many. Refuses with -1015."""
        now = time.time()
        counts = self._orders.setdefault(api_key, {})
        headers = {}
        for name, seconds, limit, words in (
            ("10S", 10, self.orders_per_ten_seconds, "10 seconds"), ("1M", 60, self.orders_per_minute, "1 minute"),
        ):  # fmt: skip
            window, used = counts.get(name, (0, 0))
            used = used + 1 if window == int(now // seconds) else 1
            counts[name] = (int(now // seconds), used)
            headers[f"X-MBX-ORDER-COUNT-{name}"] = str(used)
            if limit and used > limit:
                wait = max(1, int(seconds - now % seconds))
                raise VenueError(-1015, TEXTS[-1015].format(limit=limit, window=words), 429, {"Retry-After": str(wait)})
        return headers

    def describe(self) -> list[dict[str, object]]:
        """The limits as exchangeInfo tells them."""
        return [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": self.weight_per_minute,
            },
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": self.orders_per_minute},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": self.orders_per_ten_seconds},
        ]


def _ban(address: str, until: float, now: float) -> VenueError:
    text = f"Way too many requests; IP({address}) banned until {int(until * 1000)}."
    return VenueError(-1003, text, 418, {"Retry-After": str(max(1, int(until - now)))})
