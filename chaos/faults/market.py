"""Faults of the venue as a place: its clock, its markets, its end and return, and money that moves meanwhile."""

from __future__ import annotations

import random
import time

from chaos.faults.kind import kind
from chaos.tenants import BALANCE, throw_signal
from chaos.world import World, patiently
from common.domain.errors import TradewindsError

_LENT = str(BALANCE / 20)


@kind("halt", 20, 2.5, moves_time=True)
def simulator_kill(world: World, dice: random.Random) -> str:
    """kill -9 of the venue itself, and its return."""
    seconds = dice.uniform(0.0, 2.0)
    with world.halt_lock:
        world.venue.kill()
        time.sleep(seconds)
        patiently(world.venue.start, 120.0)
        world.venue_restarted_at = time.monotonic()
    return f"down for {seconds:.1f} s"


@kind("halt", 180, 0.2, moves_time=True)
def venue_clock_step(world: World, dice: random.Random) -> str:
    """Venue time leaps ahead."""
    seconds = dice.choice((1, 60, 600, 3600))
    with world.halt_lock:
        patiently(lambda: world.venue.fault("clock", "jump", params={"seconds": seconds}), 15.0)
        world.venue_restarted_at = time.monotonic()
    return f"{seconds} s ahead"


@kind("clock", 120, 1.5)
def venue_clock_skew(world: World, dice: random.Random) -> str:
    """The venue tells a wrong time for a while."""
    seconds = dice.choice((-3600, -60, -1, 1, 60, 3600))
    patiently(lambda: world.venue.fault("clock", "skew", params={"seconds": seconds}), 15.0)
    time.sleep(dice.uniform(0.5, 2.0))
    patiently(lambda: world.venue.fault("clock", "skew", params={"seconds": 0}), 15.0)
    return f"{seconds} s"


def _held(world: World, dice: random.Random) -> tuple[str, str] | None:
    """(key, symbol) of something that is held at the venue now."""
    statements = patiently(lambda: [world.venue.statement(key) for key in world.tenancy.keys.values()])
    found = [(told["api_key"], item["symbol"]) for told in statements for item in told["positions"]]
    return dice.choice(found) if found else None


@kind("listing", 50, 1.5)
def market_halted(world: World, dice: random.Random) -> str:
    """A market in which something is held takes nothing, or only what reduces, for a while."""
    held, status, seconds = _held(world, dice), dice.choice(("BREAK", "PRE_SETTLE")), dice.uniform(0.5, 2.5)
    if held is None:
        return ""
    patiently(lambda: world.venue.list_as(held[1], status))
    time.sleep(seconds)
    patiently(lambda: world.venue.list_as(held[1], "TRADING"))
    return f"{held[1]} {status} for {seconds:.1f} s"


@kind("listing", 50, 1.5)
def market_settled(world: World, dice: random.Random) -> str:
    """A market in which something is held is settled: the venue closes it all; later it is listed anew."""
    held, seconds = _held(world, dice), dice.uniform(0.5, 2.5)
    if held is None:
        return ""
    patiently(lambda: world.venue.list_as(held[1], "SETTLING"))
    time.sleep(seconds)
    patiently(lambda: world.venue.list_as(held[1], "TRADING"))
    return f"{held[1]} for {seconds:.1f} s"


@kind("listing", 40, 0.3)
def deleveraging(world: World, dice: random.Random) -> str:
    """The venue closes a position of ours by force and leaves its stops where they rest."""
    held = _held(world, dice)
    if held is None:
        return ""
    world.venue.deleverage(*held)
    return f"{held[1]} of {held[0][-6:]}"


@kind("listing", 30, 0.3)
def liquidation(world: World, dice: random.Random) -> str:
    """The venue cancels an account's open orders, closes all it holds and takes its clearance, as when margin runs out."""
    held = _held(world, dice)
    closed = world.venue.liquidate(held[0]) if held is not None else []
    return f"{', '.join(closed)} of {held[0][-6:]}" if held is not None and closed else ""


@kind("listing", 30, 1.5)
def filter_change(world: World, dice: random.Random) -> str:
    """A market's price step grows tenfold or a hundredfold for a while: stops and entries on the old grid are refused."""
    held, steps, seconds = _held(world, dice), dice.choice((1, 2)), dice.uniform(0.5, 3.0)
    if held is None:
        return ""
    tick = next(item.tick_size for item in world.tenancy.instruments if World.wire_name(item.symbol) == held[1])
    coarse = tick.scaleb(min(steps, -int(tick.as_tuple().exponent)))
    if coarse == tick:
        return ""
    patiently(lambda: world.venue.set_tick(held[1], format(coarse, "f")))
    time.sleep(seconds)
    patiently(lambda: world.venue.set_tick(held[1], format(tick, "f")))
    return f"{held[1]} by {coarse:f} for {seconds:.1f} s"


@kind("money", 200, 1.0)
def balance_race(world: World, dice: random.Random) -> str:
    """Money leaves an account and returns while a handful of signals is judged for it at once."""
    key = dice.choice(list(world.tenancy.keys.values()))
    with world.halt_lock:  # A venue that is killed while it pays would leave us in doubt whether it did.
        world.venue.transfer(key, f"-{_LENT}")
    thrown = 0
    try:
        for _ in range(dice.randint(3, 6)):
            try:
                throw_signal(world.fleet, world.tenancy, dice)
                thrown += 1
            except TradewindsError:
                # Servers are down now and then; the race is with those that were thrown.
                continue
    finally:
        with world.halt_lock:
            world.venue.transfer(key, _LENT)
    return f"{_LENT} of {key[-6:]}, {thrown} signals" if thrown else ""
