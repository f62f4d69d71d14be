"""The rate-limit broker for one process alone: the same promises as the one on Redis, kept in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from common.ports.rate_limits import CEILINGS, NEWCOMERS, CallClass, Caller, Charge, Grant

ACTIVE_S = 10
UNFAIR_WAIT_S = 0.2
HOLD_MAX_S = 3600.0
MINUTE_S = 60


@dataclass(slots=True)
class _Tenant:
    """What a tenant used in this window and the one before, and when it last asked."""

    window: int = 0
    used: float = 0.0
    before: float = 0.0
    asked_at: float = 0.0
    share: float = 1.0

    def turn(self, now: float, window_s: int) -> float:
        """Begin a new window where one is due; the use in the `window_s` seconds that end now, by interpolation."""
        window = int(now // window_s)
        if window != self.window:
            self.before = self.used if window == self.window + 1 else 0.0
            self.used, self.window = 0.0, window
        return self.used + self.before * (1 - now % window_s / window_s)


@dataclass(slots=True)
class _Budget:
    seconds: dict[int, float] = field(default_factory=dict)
    tenants: dict[str, _Tenant] = field(default_factory=dict)
    held_until: float = 0.0


class MemoryRateBroker:
    """Implements ports.rate_limits.RateBroker for one process; `now` in seconds, of any origin."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._budgets: dict[str, _Budget] = {}
        self._lock = Lock()

    def ask(self, charges: Sequence[Charge], caller: Caller) -> Grant:
        """Take every charge or none."""
        with self._lock:
            now = self._now()
            for charge in charges:
                refused = self._refusal(charge, caller, now)
                if refused is not None:
                    return refused
            for charge in charges:
                self._take(charge, caller, now)
            return Grant(used=self._of_minute(self._budget(charges[0].budget), now) if charges else 0.0)

    def _budget(self, name: str) -> _Budget:
        return self._budgets.setdefault(name, _Budget())

    def _refusal(self, charge: Charge, caller: Caller, now: float) -> Grant | None:
        budget = self._budget(charge.budget)
        if budget.held_until > now:
            return Grant(budget.held_until - now, is_held=True)
        oldest = int(now) - charge.window_s
        budget.seconds = {second: used for second, used in budget.seconds.items() if second >= oldest}
        gone = now - 2 * charge.window_s - ACTIVE_S
        budget.tenants = {name: tenant for name, tenant in budget.tenants.items() if tenant.asked_at >= gone}
        total, limit = sum(budget.seconds.values()), charge.cap * CEILINGS[caller.kind]
        if caller.tenant:
            tenant = budget.tenants.setdefault(caller.tenant, _Tenant())
            tenant.asked_at, tenant.share = now, caller.share
        if total + charge.weight > limit:
            return Grant(self._until_free(budget, total + charge.weight - limit, charge.window_s, now))
        if caller.tenant and caller.kind is not CallClass.PROTECTIVE:
            return self._unfair(budget, charge, caller, total, limit, now)
        return None

    @staticmethod
    def _until_free(budget: _Budget, missing: float, window_s: int, now: float) -> float:
        for second in sorted(budget.seconds):
            missing -= budget.seconds[second]
            if missing <= 0:
                return max(0.001, second + window_s + 1 - now)
        return float(window_s)

    @staticmethod
    def _unfair(
        budget: _Budget, charge: Charge, caller: Caller, total: float, limit: float, now: float
    ) -> Grant | None:
        """Beyond its own share a tenant takes only what nobody else is entitled to."""
        active = {
            name: (tenant, tenant.turn(now, charge.window_s))
            for name, tenant in budget.tenants.items()
            if now - tenant.asked_at <= ACTIVE_S
        }
        per_share = (1 - NEWCOMERS) * limit / sum(tenant.share for tenant, _ in active.values())
        mine, used = active.pop(caller.tenant)
        if used + charge.weight <= per_share * mine.share:
            return None
        reserved = sum(max(0.0, per_share * tenant.share - used) for tenant, used in active.values())
        if total + charge.weight + reserved + NEWCOMERS * limit <= limit:
            return None
        return Grant(UNFAIR_WAIT_S)

    def _take(self, charge: Charge, caller: Caller, now: float) -> None:
        budget = self._budget(charge.budget)
        budget.seconds[int(now)] = budget.seconds.get(int(now), 0.0) + charge.weight
        if caller.tenant:
            tenant = budget.tenants[caller.tenant]
            tenant.turn(now, charge.window_s)
            tenant.used += charge.weight

    @staticmethod
    def _of_minute(budget: _Budget, now: float) -> float:
        return sum(used for second, used in budget.seconds.items() if second >= now // MINUTE_S * MINUTE_S)

    def learn(self, budget: str, used: float, known: float = 0.0) -> None:
        """What the venue counted and we did not is added."""
        with self._lock:
            now, kept = self._now(), self._budget(budget)
            unknown = used - max(self._of_minute(kept, now), known)
            if unknown > 0:
                kept.seconds[int(now)] = kept.seconds.get(int(now), 0.0) + unknown

    def hold(self, budget: str, seconds: float) -> None:
        """Nobody asks for `seconds`, at most an hour."""
        with self._lock:
            known = self._budget(budget)
            known.held_until = max(known.held_until, self._now() + min(seconds, HOLD_MAX_S))
