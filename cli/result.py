"""What a run came to: the JSON object of `up` and `standalone`, and the same for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.text import Text

from cli.output import answer, cell, table

COUNTS = ("signals", "advice", "verdicts", "vetoes", "orders", "fills", "positions_opened", "positions_closed")


def scans_finished(status: Mapping[str, Any]) -> int:
    """Finished scans since the world began."""
    return finished_by_stage(status).get("signal.scan", 0)


def finished_by_stage(status: Mapping[str, Any]) -> dict[str, int]:
    """Finished jobs of each stage since the world began."""
    return {str(stage): int(count) for stage, count in status.get("finished", {}).items()}


def one_line(status: Mapping[str, Any]) -> str:
    """The counts on one line of progress."""
    return ", ".join(f"{name.replace('_', ' ')} {_flat(status.get(name, 0))}" for name in COUNTS if name != "vetoes")


def tenants(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, state, profit after costs and equity of every tenant."""
    return [row | {"profit": row.get("net_profit", row.get("profit"))} for row in status.get("tenants", ())]


def summary(
    status: Mapping[str, Any], invariants: Mapping[str, Any], *, started_s: float | None, **extra: Any
) -> dict[str, Any]:
    """The result of a run; its keys are promised in the README."""
    return {
        **{name: status.get(name, 0) for name in COUNTS},
        "tenants": tenants(status),
        "protection": dict(status.get("protection", {})),
        "invariants": dict(invariants),
        "started_s": started_s,
        "venue_time": status.get("venue_time"),
        "speed": status.get("speed"),
        **extra,
    }


def holds(result: Mapping[str, Any]) -> bool:
    """Whether every invariant is true."""
    return all(value for value in result["invariants"].values() if isinstance(value, bool))


def show_result(result: Mapping[str, Any], as_json: bool) -> None:
    """Print the result of a run."""

    def show(console: Console) -> None:
        rows = [{"what": name.replace("_", " "), "count": _flat(result[name])} for name in COUNTS]
        facts = Text("\n").join(
            Text.assemble(("✓ " if value else "✗ ", "green" if value else "red"), name.replace("_", " "))
            for name, value in result["invariants"].items()
            if isinstance(value, bool)
        )
        console.print(
            Group(
                table(rows, ["what", "count"]),
                Text(),
                table(result["tenants"], ["name=tenant", "profit=profit after costs", "equity"]),
                Text(_protected(result.get("protection", {}))),
                Text(),
                facts,
                *(Text(f"  {item}", style="red") for item in result["invariants"].get("differences", ())),
            )
        )

    answer(result, as_json, show)


def _protected(found: Mapping[str, Any]) -> str:
    """How soon stops rested, on one line."""
    if not found.get("covered"):
        return "fill to stop: nothing was filled"
    times = f"p50 {found['p50_s']} s, p99 {found['p99_s']} s, longest {found['max_s']} s"
    return f"fill to stop: {times}; {found['covered']} of {found['fills']} fills covered, {found['late']} late"


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "0"
    return cell(value)
