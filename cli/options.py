"""What may be typed: durations, shares of workers, and options that several commands have in common."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from common.domain.errors import InvalidInput

STAGES = ("signal", "llm", "risk", "execution", "position", "maintenance")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|)")

AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object on the last line.")]
World = Annotated[str | None, typer.Option("--world", help="Name of the world; without it, the one that runs.")]
TenantName = Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant, by name or id.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="How many at most, newest first.")]
Market = Annotated[
    Path | None,
    typer.Option("--market", help="Folder of recorded candles to replay; without it the simulator makes a market."),
]


def seconds(text: str) -> float:
    """Seconds of a duration such as `90s`, `5m` or `90`; raises InvalidInput."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise InvalidInput("duration", text, "a number above 0 followed by s, m, h or d, such as 90s")
    return float(match[1]) * _UNITS[match[2]]


def shares(items: list[str]) -> dict[str, int]:
    """Concurrency by stage of items such as `execution=4`; raises InvalidInput naming the stages there are."""
    found: dict[str, int] = {}
    for item in items:
        stage, _, number = item.partition("=")
        check_stage(stage)
        if not number.isdigit() or not 1 <= int(number) <= 64:
            raise InvalidInput(f"concurrency of {stage}", number, "a number from 1 to 64, such as execution=4")
        found[stage] = int(number)
    return found


def check_stage(stage: str) -> None:
    """Raises InvalidInput unless `stage` has workers of its own."""
    if stage not in STAGES:
        raise InvalidInput("stage", stage, f"one of {', '.join(STAGES)}")
