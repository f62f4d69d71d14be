"""Faults of Valkey and Postgres: restarted, emptied, cut off, locked, full of connections."""

from __future__ import annotations

import random
import time

from chaos.faults.kind import kind, wait_for
from chaos.proxy import CutAt, Mode
from chaos.world import World, patiently

_STRIKE_S = 3.0
_START_S = 180.0


@kind("valkey", 50, 0.3)
def valkey_flush(world: World, dice: random.Random) -> str:
    """FLUSHALL."""
    patiently(world.flush_valkey, 10.0)
    return "everything"


@kind("valkey", 150, 1.5)
def valkey_restart(world: World, dice: random.Random) -> str:
    """kill -9 or a clean stop of Valkey, and its return."""
    how, seconds = dice.choice(("kill", "stop")), dice.uniform(0.0, 2.0)
    getattr(world.valkey, how)()
    time.sleep(seconds)
    world.valkey = patiently(world.valkey_home.start, _START_S)
    return f"{how}, down for {seconds:.1f} s"


@kind("valkey", 200, 2.0)
def valkey_partition(world: World, dice: random.Random) -> str:
    """No wire between fleet and Valkey."""
    return partition(world, "valkey", dice)


@kind("postgres", 150, 1.0)
def postgres_restart(world: World, dice: random.Random) -> str:
    """A fast shutdown or kill -9 of Postgres, and its return."""
    how = dice.choice(("kill", "stop"))
    getattr(world.postgres, how)()
    world.postgres = patiently(world.postgres_home.start, _START_S)
    return how


@kind("postgres", 120, 0.2)
def postgres_terminate(world: World, dice: random.Random) -> str:
    """pg_terminate_backend of some of the fleet's connections."""
    share = dice.choice((0.2, 0.5, 1.0))
    rows = patiently(
        lambda: world.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'tradewinds' AND pid <> pg_backend_pid() AND random() < %s",
            [share],
        )
    )
    return f"{len(rows)} connections" if rows else ""


@kind("postgres", 320, 0.4)
def postgres_cut_commit(world: World, dice: random.Random) -> str:
    """The wire is cut at a COMMIT, before Postgres heard of it or after it answered."""
    times: tuple[CutAt, ...] = ("before", "after")
    when = dice.choice(times)
    proxy = world.proxies["postgres"]
    before = proxy.cut_commits
    proxy.cut_at_commit(when, 1)
    wait_for(lambda: proxy.cut_commits > before, _STRIKE_S, 0.02)
    proxy.cuts.clear()
    return when if proxy.cut_commits > before else ""


@kind("postgres", 100, 1.2)
def postgres_lock(world: World, dice: random.Random) -> str:
    """A stranger's transaction sits on the tenants' risk rows and on the epoch of halts for some seconds."""
    seconds = dice.uniform(0.5, 2.0)
    patiently(lambda: world.sit_on("SELECT FROM tenant_risk FOR UPDATE; SELECT FROM halt_epoch FOR UPDATE", seconds))
    return f"for {seconds:.1f} s"


@kind("postgres", 100, 4.0)
def postgres_full(world: World, dice: random.Random) -> str:
    """Every connection that Postgres grants is taken, and the fleet has lost some of its own."""
    seconds = dice.uniform(0.5, 2.0)
    taken = patiently(lambda: world.take_all_connections(seconds), 15.0)
    return f"{taken} connections for {seconds:.1f} s"


@kind("postgres", 80, 1.8)
def postgres_partition(world: World, dice: random.Random) -> str:
    """No wire between fleet and Postgres."""
    return partition(world, "postgres", dice)


@kind("wire", 500, 1.8)
def venue_partition(world: World, dice: random.Random) -> str:
    """No wire between fleet and venue."""
    return partition(world, "venue", dice)


def partition(world: World, name: str, dice: random.Random) -> str:
    """Drop, half open, slow or reset every connection to `name` for some seconds."""
    proxy = world.proxies[name]
    modes: tuple[Mode, ...] = ("drop", "half_open", "slow", "reset")
    mode = dice.choice(modes)
    seconds, cut = dice.uniform(0.5, 3.0), dice.random() < 0.5
    touched = proxy.connections
    proxy.worsen(mode, delay_s=dice.uniform(0.05, 0.4))
    time.sleep(seconds)
    proxy.heal(cut=cut)
    return f"{mode} for {seconds:.1f} s, {touched} connections" + (", cut at the end" if cut else "")
