"""The live view of a running world: stages, processes, decisions, positions and profit on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.output import because, cell, table
from cli.result import tenants
from common.domain.job import Stage

if TYPE_CHECKING:
    from cli.crew import Member

_COLOURS = {
    "running": "green",
    "waiting": "yellow",
    "failing": "red",
    "stopped": "dim",
    "approved": "green",
    "vetoed": "yellow",
    "expired": "dim",
}
_ROWS = 8


@dataclass(slots=True)
class Throughput:
    """Events per second of life between two looks at growing counters."""

    looked_at: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    def look(self, now: float, counts: Mapping[str, int]) -> None:
        """Take `counts` as of `now`; rates are those since the last look that is at least a second old."""
        passed = now - self.looked_at
        if passed < 1.0:
            return
        if self.counts:
            self.rates = {name: max(0, count - self.counts.get(name, 0)) / passed for name, count in counts.items()}
        self.looked_at, self.counts = now, dict(counts)


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything one picture shows."""

    world: str
    phase: str
    status: Mapping[str, Any]
    rates: Mapping[str, float]
    members: Sequence[Member]
    decisions: Sequence[Mapping[str, Any]]
    positions: Sequence[Mapping[str, Any]]
    addresses: Mapping[str, str]

    def __rich__(self) -> RenderableType:
        grid = Table.grid(expand=True, padding=(0, 2))
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(self._stages(), self._processes())
        grid.add_row(self._tenants(), self._counts())
        return Panel(
            Group(
                grid,
                Text(),
                _decisions(self.decisions),
                Text(),
                table(
                    self.positions[:_ROWS],
                    [
                        "tenant",
                        "instrument",
                        "side",
                        "quantity",
                        "entry_price=entry",
                        "net_profit=profit",
                        "close_reason=left by",
                    ],
                    "Positions",
                ),
            ),
            title=self._title(),
            subtitle=self._subtitle(),
            title_align="left",
            subtitle_align="left",
        )

    def _title(self) -> Text:
        title = Text.assemble(("Tradewinds", "bold"), f" · world {self.world} · {self.phase}")
        if self.status:
            title.append(f" · venue time {cell(self.status.get('venue_time'))} at {self.status.get('speed', 1):g}x")
        return title

    def _subtitle(self) -> str:
        places = "  ".join(f"{name} {address}" for name, address in self.addresses.items())
        return f"{places}  ·  Ctrl-C drains and stops"

    def _stages(self) -> Table:
        waiting = {row["stage"]: row for row in self.status.get("stages", ())}
        rows = [
            {
                "stage": stage.value,
                "pending": waiting.get(stage.value, {}).get("pending", 0),
                "age": f"{float(waiting.get(stage.value, {}).get('oldest_age_s', 0)):.1f} s",
                "rate": f"{self.rates.get(stage.value, 0.0):.1f}/s",
            }
            for stage in Stage
        ]
        return table(rows, ["stage", "pending=waiting", "age=oldest", "rate=done"], "Stages")

    def _processes(self) -> Table:
        result = Table(title="Processes", title_justify="left", box=None, pad_edge=False, header_style="bold")
        for heading in ("process", "state", "starts"):
            result.add_column(heading)
        for member in self.members:
            result.add_row(member.name, Text(member.state, style=_COLOURS[member.state]), str(member.starts))
        return result

    def _tenants(self) -> Table:
        return table(tenants(self.status), ["name=tenant", "profit=profit after costs", "equity", "state"], "Tenants")

    def _counts(self) -> Table:
        names = ("signals", "advice", "verdicts", "orders", "fills", "positions_opened", "positions_closed")
        rows = [{"what": name.replace("_", " "), "count": _count(self.status.get(name))} for name in names]
        return table(rows, ["what=so far", "count"], "Ledger")


def _count(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "0"
    return cell(value)


def _decisions(rows: Sequence[Mapping[str, Any]]) -> Table:
    result = Table(title="Latest decisions", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in ("at", "tenant", "instrument", "strategy", "outcome", "because"):
        result.add_column(heading, overflow="fold")
    for row in rows[:_ROWS]:
        outcome = str(row.get("outcome"))
        result.add_row(
            cell(row.get("occurred_at")),
            cell(row.get("tenant")),
            cell(row.get("instrument")),
            cell(row.get("strategy")),
            Text(outcome, style=_COLOURS.get(outcome, "")),
            because(row),
        )
    return result
