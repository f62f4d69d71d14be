"""Keeps requests under a venue's rate limit: those of one process by itself, those of the fleet through its broker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from common.domain.errors import Transient
from common.ports.rate_limits import Caller, Charge, Grant, RateBroker, caller

log = logging.getLogger(__name__)

_HOLD_MAX_S = 3600.0
_NAP_S = 0.25
_ORDERS = ((300.0, 10), (1200.0, 60))
"""Orders an account may send, and in how many seconds; Binance's, and far below what others grant."""


class Crowded(Transient):
    """The request was not sent, because the venue's rate limit has no room for it; says nothing about the venue's health."""


class Pace(Protocol):
    """What a client asks before each request, and tells after it."""

    @property
    def held_s(self) -> float:
        """Seconds until requests may leave again; 0.0 when they may now."""
        ...

    def admit(self, weight: float, seconds: float, *, is_order: bool) -> None:
        """Wait until a request may leave that costs `weight`, or `seconds` of ccxt's own reckoning.

        Raises Crowded when that would take longer than there is patience for.
        """
        ...

    def learn(self, used: float) -> None:
        """The venue says what was used of its current minute."""
        ...

    def hold(self, seconds: float) -> None:
        """The venue wants no requests for so long."""
        ...


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

    def admit(self, weight: float, seconds: float, *, is_order: bool) -> None:
        """Wait until the request may leave."""
        self.take(seconds)

    def learn(self, used: float) -> None:
        """Nothing: this process keeps to its own measure."""


@dataclass(slots=True)
class BrokeredPace:
    """Asks the fleet's broker, for one account or for market data; its own pacer is the net under a lost broker.

    `cap` is what the venue grants an address a minute. Waiting is bounded by `patience_s`: an order that waited longer
    than its window would be refused by the venue, and a read is better tried again by who wants it.
    """

    broker: RateBroker
    venue: str
    cap: Callable[[], float]
    who: Caller
    account: str = ""
    net: Pacer = field(default_factory=Pacer)
    patience_s: float = 5.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _last_used: float = 0.0

    @property
    def held_s(self) -> float:
        """What this process was told itself; the others' holds are found when asking."""
        return self.net.held_s

    def admit(self, weight: float, seconds: float, *, is_order: bool) -> None:
        """Take the request's weight out of the fleet's budgets, waiting for it in turn."""
        charges = [Charge(self.venue, weight, self.cap())]
        if is_order and self.account:
            charges += [Charge(f"{self.venue}:orders:{self.account}:{w}", 1, n, w) for n, w in _ORDERS]
        until = self.now() + self.patience_s
        while True:
            try:
                grant = self.broker.ask(charges, caller(self.who))
            except Transient as error:
                log.warning("rate broker: %s; pacing alone", error)
                self.net.take(seconds)
                return
            if grant.wait_s <= 0:
                self._last_used = grant.used
                return
            self._wait(grant, until)

    def _wait(self, grant: Grant, until: float) -> None:
        if grant.is_held:
            self.net.hold(grant.wait_s)
        if grant.is_held or self.now() >= until:
            why = "the venue wants silence" if grant.is_held else "the rate budget is used up"
            raise Crowded(f"{self.venue}: {why} for another {grant.wait_s:.1f} s")
        self.sleep(min(grant.wait_s, _NAP_S, max(0.001, until - self.now())))

    def learn(self, used: float) -> None:
        """Tell the fleet what the venue counted, where that is more than we knew."""
        known = self._last_used
        if used > known:
            self._tell(lambda: self.broker.learn(self.venue, used, known))

    def hold(self, seconds: float) -> None:
        """Nobody in the fleet asks for so long."""
        self.net.hold(seconds)
        self._tell(lambda: self.broker.hold(self.venue, seconds))

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Transient as error:
            log.warning("rate broker: %s; what the venue said stays here", error)
