"""Holds the rules and the use cases to the branches their tests take; run after the tests, on their report."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
ROOMS = ("common/domain", "common/services")


def branch_shares(files: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Taken and existing branches of each room, from the `files` of a coverage report."""
    shares = {}
    for room in ROOMS:
        summaries = [entry["summary"] for path, entry in files.items() if Path(path).as_posix().startswith(f"{room}/")]
        taken = sum(summary["covered_branches"] for summary in summaries)
        shares[room] = (taken, sum(summary["num_branches"] for summary in summaries))
    return shares


def main() -> int:
    """Print each room's share; 1 when one is below the configured minimum."""
    configuration = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]
    minimum = configuration["report"]["fail_under"]
    report = json.loads((PROJECT / configuration["json"]["output"]).read_text(encoding="utf-8"))
    too_low = False
    for room, (taken, existing) in branch_shares(report["files"]).items():
        share = 100 * taken / existing if existing else 100.0
        too_low |= share < minimum
        print(f"branches of {room}: {taken} of {existing} taken, {share:.1f} % (at least {minimum} %)")
    return int(too_low)


if __name__ == "__main__":
    sys.exit(main())
