"""What people do in the middle of it: halts of every kind, and cancellations that race with fills."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from uuid import UUID

from chaos.faults.kind import kind, wait_for
from chaos.faults.requests import has_struck, in_force
from chaos.world import World, patiently
from common.bootstrap import SIMULATOR
from common.domain.risk.book import HaltMode, HaltScope
from common.services.halts import halt, resume

STEADY_S = 7.0
"""How long after the venue's clock was moved nobody's clock can be compared with it."""

_RACE_S = 4.0
"""How long an entry to take back is waited for, and then its cancellation."""


def throw_halt(world: World, scope: HaltScope, subject: str, mode: HaltMode, until: Callable[[], object]) -> None:
    """Impose a halt, do `until`, and lift it; remembered by the venue's clock for the comparison with its orders."""
    with world.halt_lock:
        wait_for(lambda: time.monotonic() - world.venue_restarted_at > STEADY_S, STEADY_S + 1)
        span = world.halts.begin(scope, subject, mode)
        patiently(lambda: halt(world.fleet, scope=scope, subject=subject, mode=mode, reason="chaos", by="chaos"))
        span.committed_ms = patiently(world.venue.now_ms)
        until()
        span.lifting_ms = patiently(world.venue.now_ms)
        patiently(lambda: resume(world.fleet, scope=scope, subject=subject, by="chaos"))


@kind("halt", 250, 2.0)
def kill_switch(world: World, dice: random.Random) -> str:
    """A halt of any scope and mode, and its lift some seconds later."""
    scope, subject = _scope(world, dice)
    mode, seconds = dice.choice(list(HaltMode)), dice.uniform(0.5, 2.5)
    throw_halt(world, scope, subject, mode, lambda: time.sleep(seconds))
    return f"{mode} of {scope} {subject} for {seconds:.1f} s"


def _scope(world: World, dice: random.Random) -> tuple[HaltScope, str]:
    scope = dice.choice(list(HaltScope))
    account = dice.choice(world.tenancy.accounts)
    subjects: dict[HaltScope, str] = {
        HaltScope.PLATFORM: "",
        HaltScope.VENUE: SIMULATOR,
        HaltScope.TENANT: str(UUID(str(account.tenant_id))),
        HaltScope.STRATEGY: dice.choice(world.tenancy.strategies),
        HaltScope.INSTRUMENT: dice.choice(list(world.tenancy.instruments)).symbol,
    }
    return scope, subjects[scope]


@kind("halt", 300, 3.0)
def venue_cancel_race(world: World, dice: random.Random) -> str:
    """An entry that is slow to fill is taken back, and fills while, or after, it is cancelled."""
    speed, entries = world.options.speed, {"client_id": f"{world.fleet.policy.order_prefix}e*"}
    how, params = dice.choice(("fill_during_cancel", "late_fill")), {"fraction": dice.choice((0.5, 1.0))}
    slow = {"seconds": 20 * speed}
    params |= {"seconds": dice.uniform(0.5, 3.0) * speed}
    with (
        in_force(world, "fill", "hold", count=1, match=entries, params=slow) as held,
        in_force(world, "cancel", how, count=1, match=entries, params=params) as raced,
    ):
        if not wait_for(lambda: has_struck(world, held), _RACE_S):
            return ""
        symbol = patiently(lambda: world.venue.strikes(held))[0]["symbol"]
        listed = next(item.symbol for item in world.tenancy.instruments if world.wire_name(item.symbol) == symbol)
        throw_halt(
            world,
            HaltScope.INSTRUMENT,
            listed,
            HaltMode.CANCEL_ENTRIES,
            lambda: wait_for(lambda: has_struck(world, raced), _RACE_S),
        )
        return f"{how} of {symbol} {params}" if has_struck(world, raced) else ""
