"""`tradewinds strategies parameters`: sets of parameters that tenants trade by, from proposal to roll-back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cli.context import asked_fleet
from cli.output import answer, table
from cli.wishes import pair
from common.domain.codec import encode
from common.domain.errors import InvalidInput
from common.domain.parameter_version import DEFAULTS


def propose(
    tenant: str,
    strategy: str,
    changes: Sequence[str],
    by: str,
    reason: str,
    folders: Sequence[Path],
    as_json: bool,
    world: str | None,
) -> None:
    """`tradewinds strategies parameters propose`."""
    from common.services.parameters import propose_parameters

    named = dict(pair(item, "param") for item in changes)
    if len(named) < len(changes):
        raise InvalidInput("param", " ".join(changes), "every parameter once")
    with asked_fleet(world, folders=folders, in_venue_time=True) as fleet:
        made = propose_parameters(fleet, tenant, strategy, named, by=by, reason=reason)
    words = (
        f"set {made.number} of {strategy} is proposed for {tenant}: {told(made.parameters)}\n"
        f"nothing trades by it yet: tradewinds strategies parameters approve {strategy} {made.number} --tenant {tenant}"
    )
    answer(encode(made), as_json, lambda console: console.print(words))


def approve(
    tenant: str,
    strategy: str,
    number: int,
    by: str,
    reason: str,
    folders: Sequence[Path],
    as_json: bool,
    world: str | None,
) -> None:
    """`tradewinds strategies parameters approve`."""
    from common.services.parameters import approve_parameters

    with asked_fleet(world, folders=folders, in_venue_time=True) as fleet:
        active, activation = approve_parameters(fleet, tenant, strategy, number, by=by, reason=reason)
    found = encode(active) | {"active_from": encode(activation.active_from)}
    words = f"{tenant} trades {strategy} by set {number} ({told(active.parameters)}) from {found['active_from']} on"
    answer(found, as_json, lambda console: console.print(words))


def reject(tenant: str, strategy: str, number: int, by: str, reason: str, as_json: bool, world: str | None) -> None:
    """`tradewinds strategies parameters reject`."""
    from common.services.parameters import reject_parameters

    with asked_fleet(world, in_venue_time=True) as fleet:
        rejected = reject_parameters(fleet, tenant, strategy, number, by=by, reason=reason)
    words = f"set {number} of {strategy} is rejected for {tenant}"
    answer(encode(rejected), as_json, lambda console: console.print(words))


def roll_back(
    tenant: str,
    strategy: str,
    to: int | None,
    by: str,
    reason: str,
    folders: Sequence[Path],
    as_json: bool,
    world: str | None,
) -> None:
    """`tradewinds strategies parameters rollback`."""
    from common.services.parameters import roll_back_parameters

    with asked_fleet(world, folders=folders, in_venue_time=True) as fleet:
        activation = roll_back_parameters(fleet, tenant, strategy, by=by, reason=reason, number=to)
    name = "its defaults" if activation.number == DEFAULTS else f"set {activation.number}"
    words = f"{tenant} trades {strategy} by {name} from {encode(activation.active_from)} on"
    answer(encode(activation), as_json, lambda console: console.print(words))


def show(tenant: str | None, strategy: str | None, folders: Sequence[Path], as_json: bool, world: str | None) -> None:
    """`tradewinds strategies parameters list`."""
    from common.services.parameters import list_parameters

    with asked_fleet(world, folders=folders) as fleet:
        rows = list_parameters(fleet, tenant, strategy)

    def print_rows(console: Console) -> None:
        shown = [row | {"parameters": told(row["parameters"])} for row in rows]
        columns = ["tenant", "strategy", "number", "state", "parameters", "digest", "proposed_by", "reason"]
        columns += ["decided_by", "decision", "decided_at", "problem"]
        console.print(table(shown, columns) if rows else "no parameter sets yet: everybody trades by the defaults")

    answer({"parameters": rows}, as_json, print_rows)


def told(parameters: Any) -> str:
    """What differs from the defaults, in words."""
    return ", ".join(f"{name}={value}" for name, value in sorted(parameters.items())) or "the defaults"
