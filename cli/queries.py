"""The commands that only ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.text import Text
from rich.tree import Tree

from cli.context import asked_fleet
from cli.output import answer, because, cell, table
from cli.result import COUNTS, tenants

COLUMNS: Mapping[str, Sequence[str]] = {
    "decisions": (
        "occurred_at=at",
        "tenant",
        "instrument",
        "strategy",
        "side",
        "outcome",
        "because",
        "signal_id=signal",
    ),
    "orders": (
        *("created_at=at", "tenant", "instrument", "role", "side", "quantity", "status", "filled_quantity=filled"),
        *("average_price=price", "client_order_id", "reason"),
    ),
    "positions": (
        *("opened_at=opened", "tenant", "instrument", "side", "quantity=held", "entry_price=entry", "exit_price=exit"),
        *("net_profit=profit", "fees", "funding", "close_reason=left by", "id"),
    ),
    "trades": ("occurred_at=at", "tenant", "instrument", "side", "quantity", "price", "fee", "fee_asset", "trade_id"),
}


def show_status(as_json: bool, world: str | None) -> None:
    """`tradewinds status`."""
    from common.services.status import fleet_status

    with asked_fleet(world) as fleet:
        found = fleet_status(fleet)

    def show(console: Console) -> None:
        console.print(
            Group(
                Text(f"venue time {cell(found['venue_time'])} at {found['speed']:g}x", style="bold"),
                table(
                    [{"what": n.replace("_", " "), "count": _flat(found.get(n, 0))} for n in COUNTS], ["what", "count"]
                ),
                Text(),
                table(found["stages"], ["stage", "pending=waiting", "oldest_age_s=oldest, s"], "Stages"),
                Text(),
                table(tenants(found), ["name=tenant", "state", "profit=profit after costs", "equity"], "Tenants"),
                *(
                    (Text(), table(found["halts"], ["scope", "subject", "mode", "reason", "by", "since"], "Halts"))
                    if found["halts"]
                    else ()
                ),
                *(
                    (
                        Text(),
                        table(_flattening(found["flatness"]), ["halt", "flat", "time to flat", "open"], "Flattening"),
                    )
                    if found["flatness"]
                    else ()
                ),
            )
        )

    answer(found, as_json, show)


def _flattening(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How far each FLATTEN is, as the venues show it."""
    return [
        {
            "halt": f"{row['scope']} {row['subject']}".rstrip(),
            "flat": f"{row['flat']} of {row['accounts']} accounts",
            "time to flat": "not yet" if row["time_to_flat_s"] is None else f"{row['time_to_flat_life_s']:g} s",
            "open": [f"{item['tenant']}: {', '.join(item['at_venue'] + item['in_ledger'])}" for item in row["open"]],
        }
        for row in rows
    ]


def show_rows(noun: str, tenant: str | None, limit: int, as_json: bool, world: str | None, **filters: Any) -> None:
    """`tradewinds decisions | orders | positions | trades`."""
    from common.services.read_pages import read_page
    from common.services.tenants import find_tenant

    with asked_fleet(world) as fleet:
        owner = find_tenant(fleet, tenant).id if tenant else None
        rows = read_page(fleet, noun, tenant_id=owner, as_operator=True, limit=limit, **filters).items

    def show(console: Console) -> None:
        shown = [row | {"because": because(row)} for row in rows] if noun == "decisions" else rows
        console.print(table(shown, COLUMNS[noun]) if rows else f"no {noun} yet")

    answer({noun: rows}, as_json, show)


def show_trail(subject: str, as_json: bool, world: str | None) -> None:
    """`tradewinds why`."""
    from common.services.status import why

    with asked_fleet(world) as fleet:
        trail = why(fleet, subject)

    def show(console: Console) -> None:
        root = Tree(Text(subject, style="bold"))
        for name, part in trail.items():
            _grow(root, name, part)
        console.print(root)

    answer(trail, as_json, show)


def show_tenants(as_json: bool, world: str | None) -> None:
    """`tradewinds tenant list`."""
    from common.domain.codec import encode
    from common.services.tenants import list_tenants

    with asked_fleet(world) as fleet:
        rows = [encode(tenant) for tenant in list_tenants(fleet)]
    answer(
        {"tenants": rows}, as_json, lambda console: console.print(table(rows, ["name", "state", "created_at", "id"]))
    )


def show_one_tenant(name: str, as_json: bool, world: str | None) -> None:
    """`tradewinds tenant show`."""
    from common.services.tenants import show_tenant

    with asked_fleet(world) as fleet:
        found = show_tenant(fleet, name)

    def show(console: Console) -> None:
        root = Tree(Text(found["tenant"]["name"], style="bold"))
        for part, value in found.items():
            _grow(root, part, value)
        console.print(root)

    answer(found, as_json, show)


def show_config(as_json: bool) -> None:
    """`tradewinds config show`."""
    from common.settings import read

    rows = read().table()
    answer(
        {row["variable"]: {"value": row["value"], "origin": row["origin"]} for row in rows},
        as_json,
        lambda console: console.print(table(rows, ["variable", "value", "origin", "description"])),
    )


def _grow(tree: Tree, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        branch = tree.add(Text(name.replace("_", " "), style="bold"))
        for inner, item in value.items():
            _grow(branch, str(inner), item)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for number, item in enumerate(value, 1):
            _grow(tree, f"{name} {number}" if len(value) > 1 else name, item)
    else:
        tree.add(Text.assemble((f"{name.replace('_', ' ')}: ", "dim"), cell(value) if value != [] else "–"))


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "0"
    return cell(value)
