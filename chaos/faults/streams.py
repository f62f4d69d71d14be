"""Faults of the venue's websockets: silent, cut, refused, doubled, out of date."""

from __future__ import annotations

import random

from chaos.faults.kind import kind, wait_for
from chaos.faults.requests import has_struck, in_force, strike
from chaos.world import World, patiently

_REFUSED_S = 5.0


@kind("stream", 50, 0.5)
def stream_kill(world: World, dice: random.Random) -> str:
    """kill -9 of the market's stream, or of the accounts'."""
    hand = dice.choice([*world.crew.of("stream"), *world.crew.of("accounts")])
    return f"{hand.name} pid {world.crew.kill(hand)}"


@kind("stream", 150, 0.6)
def stream_fault(world: World, dice: random.Random) -> str:
    """The websocket goes silent, is cut, or says something twice or not at all."""
    return strike(world, "ws.send", dice.choice(("zombie", "disconnect", "duplicate", "drop")))


@kind("stream", 50, 2.0)
def stream_refused(world: World, dice: random.Random) -> str:
    """The websocket is cut, and not let in again at once."""
    with in_force(world, "ws.handshake", "refuse", count=dice.randint(1, 3)) as armed:
        told = strike(world, "ws.send", "disconnect")
        is_refused = wait_for(lambda: has_struck(world, armed), _REFUSED_S)
    return told if is_refused else ""


@kind("stream", 30, 0.3)
def listen_key_expiry(world: World, dice: random.Random) -> str:
    """Every listen key ends at once."""
    patiently(lambda: world.venue.fault("listen_key", "expire"), 15.0)
    return "all"
