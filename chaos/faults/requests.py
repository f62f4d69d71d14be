"""Faults that strike one request to the venue or the model each: several may be in force at once, for several requests."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from chaos.faults.kind import kind, wait_for
from chaos.practice import Armed
from chaos.world import PRACTICE_VISIBILITY_S, World, patiently
from common.domain.errors import Transient

LAG_S_MAX = PRACTICE_VISIBILITY_S - 2.0
"""How long faults hide an order at most, in seconds of life: the venue keeps what its capability record promises."""

STRIKE_S = 9.0
"""How long a fault waits for the request that it is to strike."""

ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_LOOK_S = 0.25
_ERRORS = ("unknown", "unavailable", "internal", "server_error", "bad_gateway", "timeout")


@contextmanager
def in_force(world: World, site: str, how: str, **wish: Any) -> Iterator[Armed]:
    """A fault of the venue that is in force within the block."""
    armed = patiently(lambda: world.venue.fault(site, how, **wish), 15.0)
    try:
        yield armed
    finally:
        with suppress(Transient):  # A venue that is down has forgotten the fault when it returns.
            world.venue.end(armed)


def has_struck(world: World, armed: Armed) -> bool:
    """Whether a fault has struck; not known and so not counted while the venue is down."""
    return patiently(lambda: world.venue.struck(armed), 5.0) > 0


def strike(world: World, site: str, how: str, **wish: Any) -> str:
    """Let a fault of the venue strike once; what it was, or nothing when no request came its way."""
    with in_force(world, site, how, count=1, **wish) as armed:
        is_over = wait_for(lambda: has_struck(world, armed), STRIKE_S, _LOOK_S)
    return f"{site} {how} {wish}" if is_over or has_struck(world, armed) else ""


def _placements(dice: random.Random) -> dict[str, str]:
    return {"method": "POST", "path": dice.choice((ORDER, ORDER, ALGO))}


@kind("", 800)
def venue_timeout_after_accept(world: World, dice: random.Random) -> str:
    """The order is accepted, the answer never comes."""
    how = dice.choice(("hang", "reset"))
    params = {"seconds": dice.uniform(1.0, 12.0)}
    return strike(world, "rest.after_accept", how, params=params, match=_placements(dice))


@kind("", 300)
def venue_error_before_accept(world: World, dice: random.Random) -> str:
    """5xx, and the order was not taken."""
    return strike(world, "rest.before_accept", "http", params={"answer": dice.choice(_ERRORS)}, match=_placements(dice))


@kind("", 300)
def venue_error_after_accept(world: World, dice: random.Random) -> str:
    """5xx, and the order was taken."""
    return strike(world, "rest.after_accept", "http", params={"answer": dice.choice(_ERRORS)}, match=_placements(dice))


@kind("", 400)
def venue_late_request(world: World, dice: random.Random) -> str:
    """The connection is lost, and the order arrives seconds later all the same."""
    params = {"seconds": dice.uniform(0.5, 8.0)}
    return strike(world, "rest.before_accept", "late", params=params, match=_placements(dice))


@kind("", 150)
def venue_cancel_lost(world: World, dice: random.Random) -> str:
    """A cancellation is refused, taken and not answered, or lost: also the second half of a stop that is moved."""
    site, how = dice.choice((("before", "http"), ("after", "http"), ("before", "reset"), ("after", "reset")))
    match = {"method": "DELETE", "path": dice.choice((ALGO, ALGO, ORDER))}
    return strike(world, f"rest.{site}_accept", how, params={"answer": dice.choice(_ERRORS)}, match=match)


@kind("ban", 400, 3.0)
def venue_rate_limited(world: World, dice: random.Random) -> str:
    """429 or 418 with Retry-After, for anything."""
    seconds = dice.choice((1, 1, 2, 3, 5))
    answer = dice.choice(("rate_limited", "rate_limited", "banned"))
    told = strike(world, "rest.before_accept", "http", params={"answer": answer, "retry_after": seconds})
    if told:
        time.sleep(seconds)  # The silence the venue asked for belongs to the fault.
    return told


@kind("", 250)
def venue_slow_answer(world: World, dice: random.Random) -> str:
    """Anything asked is answered, late."""
    site, seconds = dice.choice(("rest.before_accept", "rest.after_accept")), dice.uniform(0.2, 3.0)
    told = strike(world, site, "delay", params={"seconds": seconds})
    if told:
        time.sleep(seconds)  # It is over once the answer is there.
    return told


@kind("", 100)
def venue_garbled_answer(world: World, dice: random.Random) -> str:
    """An answer that is no answer."""
    match: dict[str, str] = dice.choice(({}, _placements(dice)))
    return strike(world, "rest.reply", dice.choice(("garble", "empty")), match=match)


@kind("", 50)
def venue_wrong_order(world: World, dice: random.Random) -> str:
    """The answer is about another order."""
    return strike(world, "rest.reply", "other_order", match={"method": dice.choice(("POST", "GET")), "path": ORDER})


@kind("", 350)
def venue_partial_fill(world: World, dice: random.Random) -> str:
    """A part is filled, then silence."""
    params = {"fraction": dice.choice((0.3, 0.5)), "seconds": dice.uniform(1.0, 5.0) * world.options.speed}
    return strike(world, "fill", dice.choice(("partial_then_silence", "hold")), params=params)


@kind("", 350)
def venue_visibility_lag(world: World, dice: random.Random) -> str:
    """An order that is there and is not shown for a while."""
    return strike(world, "visibility", "lag", params={"seconds": dice.uniform(0.5, LAG_S_MAX) * world.options.speed})


@kind("", 300)
def model_fault(world: World, dice: random.Random) -> str:
    """The model is slow, silent, or talks nonsense."""
    hows = ("delay", "hang", "bad_json", "fenced_json", "wrong_symbol", "truncated", "empty", "refusal", "http", "drip")
    return strike(world, "model.reply", dice.choice(hows), params={"seconds": dice.uniform(1.0, 12.0)})
