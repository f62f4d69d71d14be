"""What is walked: the chosen policy on every venue within bounds, and each naive policy until its first flaw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from modelcheck.engine import Flaw, Machine, Walk, check
from modelcheck.halt_machine import HaltMachine
from modelcheck.order_machine import OrderMachine, Venue
from modelcheck.policies import CHOSEN, NAIVE, Naive, Policy
from modelcheck.stop_machine import StopMachine

UNIQUENESS = ("ever", "open", "never")
MACHINES = ("order", "stop", "halt")

Build = tuple[str, Callable[[], Machine]]
"""What a machine is called in reports, and how it is built: one is in memory at a time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one machine under one policy."""

    machine: str
    walk: Walk


def venues(windows: Sequence[int], horizons: Sequence[int]) -> Iterator[Venue]:
    """Every kind of venue: uniqueness of ids × validity window × visibility horizon; its quirks with the shortest window and longest horizon."""
    for uniqueness, window, horizon in product(UNIQUENESS, windows, horizons):
        yield Venue(uniqueness, window, horizon)
        if (window, horizon) == (min(windows), max(horizons)):
            yield Venue(uniqueness, window, horizon, dates_fills=False)
            yield Venue(uniqueness, window, horizon, keeps_horizon=False)


def whole(policy: Policy) -> Iterator[Build]:
    """The machines of the full check."""
    for venue in venues((1, 2), (1, 2)):
        yield "order", lambda venue=venue: OrderMachine(policy, venue, quantity=2, eyes=1)  # type: ignore[misc]
    yield "order", lambda: OrderMachine(policy, Venue(), quantity=2, eyes=2)
    for quantity, deadline in ((2, 1), (2, 2), (3, 1)):
        yield "stop", lambda q=quantity, d=deadline: StopMachine(policy, quantity=q, deadline=d)  # type: ignore[misc]
    yield "halt", lambda: HaltMachine(policy, entries=4, halts=2)
    yield "halt", lambda: HaltMachine(policy, entries=2, halts=3)


def small(policy: Policy, machine: str) -> Iterator[Build]:
    """The machines of one kind in the bounds in which naive policies are tried: a shortest trace needs little room."""
    if machine == "order":
        for venue in venues((1,), (2,)):
            yield machine, lambda venue=venue: OrderMachine(policy, venue, quantity=2, eyes=1)  # type: ignore[misc]
    elif machine == "stop":
        yield machine, lambda: StopMachine(policy, quantity=2, deadline=1)
    else:
        yield machine, lambda: HaltMachine(policy, entries=2, halts=2)


def examine(builds: Iterable[Build]) -> Iterator[Finding]:
    """Walk each machine."""
    for name, build in builds:
        yield Finding(name, check(build()))


def reject(naive: Naive) -> Flaw | None:
    """The shortest way in which `naive` fails on any venue: a state that must not be, else one that cannot be left well."""
    shortest: Flaw | None = None
    dead_end: Flaw | None = None
    for _, build in small(naive.policy, naive.machine):
        machine = build()
        flaw = check(machine, depth_max=len(shortest.trace) - 1 if shortest else None).flaw
        if flaw is None:
            continue
        is_goal = flaw.violates not in {part.words for part in machine.parts["law"]}
        if is_goal and (dead_end is None or len(flaw.trace) < len(dead_end.trace)):
            dead_end = flaw
        elif not is_goal and (shortest is None or len(flaw.trace) < len(shortest.trace)):
            shortest = flaw
    return shortest or dead_end


def report(
    clocks: tuple[Callable[[], float], Callable[[], float]],
    policy: str | None = None,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Everything as one JSON object; `policy` names one naive policy, `chosen`, or nothing for all of them.

    `clocks` count the seconds of life and of the processor, which differ on a busy machine; `tell` hears what is done.
    """
    begun = [clock() for clock in clocks]
    machines = {name: {"states": 0, "transitions": 0} for name in MACHINES}
    bad: list[dict[str, Any]] = []
    count = 0
    for finding in examine(whole(CHOSEN)) if policy in {None, "chosen"} else ():
        machines[finding.machine]["states"] += finding.walk.states
        machines[finding.machine]["transitions"] += finding.walk.transitions
        count += finding.walk.bad
        if finding.walk.flaw is not None:
            bad.append({"machine": finding.machine, **asdict(finding.walk.flaw)})
        tell(f"{finding.machine}: {finding.walk.states:,} states, {finding.walk.bad} bad")
    judged = [_judged(naive, tell) for naive in NAIVE if policy in {None, naive.name}]
    took = [round(clock() - since, 1) for clock, since in zip(clocks, begun, strict=True)]
    return {
        "states": sum(machine["states"] for machine in machines.values()),
        "transitions": sum(machine["transitions"] for machine in machines.values()),
        "bad": count,
        "flaws": bad,
        "seconds": took[0],
        "cpu_seconds": took[1],
        "machines": machines,
        "policies": judged,
    }


def _judged(naive: Naive, tell: Callable[[str], None]) -> dict[str, Any]:
    flaw = reject(naive)
    tell(f"{naive.name}: {'NOT rejected' if flaw is None else f'rejected in {len(flaw.trace)} steps'}")
    return {
        "name": naive.name,
        "does": naive.words,
        "machine": naive.machine,
        "rejected": flaw is not None,
        "violates": flaw.violates if flaw else None,
        "trace": list(flaw.trace) if flaw else [],
    }
