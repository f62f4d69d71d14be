"""tradewinds simulate: the simulation is a program of its own, which this process becomes."""

from __future__ import annotations

from typing import NoReturn

from cli.context import become


def run_simulation(
    seeds: int, seed: int, faults: str, bug: str | None, jobs: int | None, *, list_bugs: bool, as_json: bool
) -> NoReturn:
    """Drive the services through `seeds` disasters; the exit status is the simulation's own."""
    arguments = ["--seeds", str(seeds), "--seed", str(seed), "--faults", faults]
    arguments += ["--bug", bug] if bug else []
    arguments += ["--jobs", str(jobs)] if jobs else []
    arguments += ["--list-bugs"] if list_bugs else []
    arguments += ["--json"] if as_json else []
    become("simulation", *arguments)
