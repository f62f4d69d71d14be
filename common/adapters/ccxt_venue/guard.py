"""Keeps reads away from a venue that is ill: a breaker that the whole fleet shares, asked for rarely while all is well."""

from __future__ import annotations

import logging
import time
from threading import Lock

from common.adapters.ccxt_venue.client import Exchange
from common.domain.errors import AskAgain, Transient
from common.ports.shared_state import Breakers, BreakerState, Permit

log = logging.getLogger(__name__)

_TRUSTED_S = 0.25  # How long a closed breaker is taken to be closed: as late as that a process hears that it opened.


class Guard:
    """One venue's breaker as one process sees it. Placements and cancellations pass it by: exits are never kept back.

    A venue is ill when it does not answer or answers 5xx; a refusal is an answer. Where the shared state cannot be
    reached nobody is kept back.
    """

    def __init__(self, breakers: Breakers | None, name: str) -> None:
        self._breakers, self._name = breakers, name
        self._closed_until = float("-inf")
        self._has_failed = False
        self._lock = Lock()

    def check(self) -> Permit:
        """The permit to ask; raises AskAgain while the breaker is open."""
        with self._lock:
            is_trusted = time.monotonic() < self._closed_until
        if self._breakers is None or is_trusted:
            return Permit(BreakerState.CLOSED, is_allowed=True)
        try:
            permit = self._breakers.ask(self._name)
        except Transient as error:
            log.warning("breaker of %s: %s; asking all the same", self._name, error)
            return Permit(BreakerState.CLOSED, is_allowed=True)
        if not permit.is_allowed:
            text = f"{self._name} is not well; it is asked again in {permit.retry_after_s:.1f} s"
            raise AskAgain(text, permit.retry_after_s)
        if permit.state is BreakerState.CLOSED:
            with self._lock:
                self._closed_until = time.monotonic() + _TRUSTED_S
        return permit

    def report(self, permit: Permit, last: Exchange | None) -> None:
        """Tell what came of a request; None when none was sent, of which nothing is learnt."""
        if self._breakers is None or last is None:
            return
        is_well = last.status is not None and last.status < 500
        with self._lock:
            is_news = not is_well or self._has_failed or permit.state is not BreakerState.CLOSED
            self._has_failed = not is_well
            if not is_well:
                self._closed_until = float("-inf")
        if not is_news:
            return
        try:
            (self._breakers.succeeded if is_well else self._breakers.failed)(self._name, permit)
        except Transient as error:
            log.warning("breaker of %s: %s; the next result will count", self._name, error)
