"""tradewinds chaos: the run is a program of its own, which this process becomes."""

from __future__ import annotations

from typing import NoReturn

from cli.context import become
from cli.worlds import world_of
from common.settings import read_settings


def run_chaos(
    faults: int,
    seed: int,
    kinds: str | None,
    world: str | None,
    as_json: bool,
    *,
    speed: float,
    tenants: int,
    replicas: int,
    round_size: int,
) -> NoReturn:
    """Break a running fleet of its own; the exit status is the run's: 0 without a violation, 1 with one."""
    arguments = ["--faults", str(faults), "--seed", str(seed), "--speed", f"{speed:g}", "--tenants", str(tenants)]
    arguments += ["--replicas", str(replicas), "--round-size", str(round_size)]
    arguments += ["--kinds", kinds] if kinds else []
    if world is not None:
        arguments += ["--directory", str(world_of(read_settings(attach=False), world).directory)]
    become("chaos", *arguments, *(("--json",) if as_json else ()))
