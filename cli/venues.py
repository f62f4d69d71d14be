"""The commands about venues: probing one, and what probes have found out."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.text import Text

from cli.context import asked_fleet, child_environ
from cli.interrupts import interrupts
from cli.opening import wait_for_simulator
from cli.output import answer, table
from common.domain.capability import CapabilityRecord, CaseOutcome
from common.domain.codec import encode
from common.domain.errors import InvalidInput
from common.settings import Settings, read_settings

if TYPE_CHECKING:
    from common.machine import ManagedProcess

PRACTICE = "simulator"
_SPEED = 60


def probe(
    name: str, personality: str | None, tenant: str | None, is_sure: bool, as_json: bool, world: str | None
) -> int:
    """`tradewinds venue probe`; 0 when every case passed."""
    settings = read_settings(world=world)
    record, is_kept = (
        _probe_practice(settings, personality)
        if name == PRACTICE
        else _probe_real(settings, name, tenant, is_sure, world)
    )
    show_record(record, is_kept, as_json)
    return 0 if record.is_passing else 1


def _probe_practice(settings: Settings, personality: str | None) -> tuple[CapabilityRecord, bool]:
    """In the world that runs, whose ledger keeps the record; without one, at a practice venue started for it alone."""
    from common.bootstrap import PRACTICE_NATURE, build_fleet, probe_practice
    from common.services.probe_venue import keep_record

    nature = personality or PRACTICE_NATURE
    if settings.simulator_url is None or settings.database_url is None:
        with _own_simulator(settings) as url:
            return probe_practice(url, nature), False
    record = probe_practice(settings.simulator_url, nature)
    fleet = build_fleet(settings, "cli")
    try:
        keep_record(fleet, record)
    finally:
        fleet.store.close()
    return record, True


def _probe_real(
    settings: Settings, name: str, tenant: str | None, is_sure: bool, world: str | None
) -> tuple[CapabilityRecord, bool]:
    from common.bootstrap import probe_account
    from common.services.probe_venue import keep_record

    if tenant is None:
        raise InvalidInput("tenant", tenant, f"the tenant whose account at {name} is to be used")
    if not is_sure:
        typer.confirm(f"Place, fill and leave small real orders on {tenant}'s account at {name}?", abort=True)
    with asked_fleet(world) as fleet:
        record = probe_account(settings, fleet, name, tenant)
        keep_record(fleet, record)
    return record, True


@contextmanager
def _own_simulator(settings: Settings) -> Iterator[str]:
    """A practice venue for as long as the probe takes."""
    from common.machine import ManagedProcess

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = [sys.executable, "-m", "simulator", "--port", "0", "--speed", str(_SPEED), "--weight-limit", "0"]
        command += ["--symbols", "BTCUSDT"]
        log = folder / "simulator.log"
        process: ManagedProcess = ManagedProcess("simulator", command, log=log, env=child_environ(settings)).start()
        stack.callback(process.stop)
        asked = stack.enter_context(interrupts())
        yield wait_for_simulator(process, asked)


def show_record(record: CapabilityRecord, is_kept: bool, as_json: bool) -> None:
    """The cases passed and the capability record."""
    counts = {outcome.value: record.count(outcome) for outcome in CaseOutcome}
    told: dict[str, Any] = {
        "cases": len(record.cases),
        **counts,
        "is_passing": record.is_passing,
        "kept": is_kept,
        "record": encode(record),
    }

    def show(console: Console) -> None:
        rows = [encode(case) for case in record.cases]
        findings = [{"finding": name.replace("_", " "), "is": value} for name, value in record.findings.items()]
        verdict = "may be traded on" if record.is_passing else "is refused for live trading"
        words = Text(f"{record.venue} as {record.personality}: {counts['passed']} of {len(rows)} passed; it {verdict}")
        console.print(
            Group(table(rows, ["number=#", "name=case", "outcome", "seen"]), Text(), table(findings, ["finding", "is"]))
        )
        console.print(words, style="bold green" if record.is_passing else "bold red")

    answer(told, as_json, show)


def show_venues(as_json: bool, world: str | None) -> None:
    """`tradewinds venue list`."""
    with asked_fleet(world) as fleet, fleet.store.operator() as view:
        rows = [
            {
                "venue": record.venue,
                "mode": record.mode,
                "personality": record.personality,
                "passed": record.count(CaseOutcome.PASSED),
                "failed": record.count(CaseOutcome.FAILED),
                "live": "allowed" if record.is_passing else "refused",
                "probed_at": encode(record.probed_at),
                "build": record.build,
            }
            for record in view.capability_records()
        ]
    columns = ["venue", "mode", "personality", "passed", "failed", "live", "probed_at=probed", "build"]
    answer(
        {"venues": rows},
        as_json,
        lambda console: console.print(table(rows, columns) if rows else "no venue probed yet"),
    )
