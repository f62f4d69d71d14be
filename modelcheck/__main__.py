"""The check as a program: python -m modelcheck [--json] [--policy NAME]."""

from __future__ import annotations

import argparse
import json
import sys
from time import perf_counter, process_time
from typing import Any

from modelcheck.policies import NAIVE
from modelcheck.run import report


def main() -> int:
    """Run the check; 0 when the chosen policy has no bad state and every naive policy is rejected."""
    parser = argparse.ArgumentParser(prog="python -m modelcheck", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument(
        "--policy", choices=["chosen", *(naive.name for naive in NAIVE)], help="the chosen policy alone, or a naive one"
    )
    options = parser.parse_args()
    found = report((perf_counter, process_time), options.policy, lambda line: print(line, file=sys.stderr))
    if options.json:
        print(json.dumps(found, separators=(",", ":")))
    else:
        show(found)
    return 0 if found["bad"] == 0 and all(policy["rejected"] for policy in found["policies"]) else 1


def show(found: dict[str, Any]) -> None:
    """The report for people."""
    if found["states"]:
        took = f"{found['seconds']} s, {found['cpu_seconds']} s of one core"
        print(f"{found['states']:,} states, {found['transitions']:,} transitions, {found['bad']} bad, {took}")
        for name, machine in found["machines"].items():
            print(f"  {name:6} {machine['states']:>10,} states {machine['transitions']:>11,} transitions")
    for flaw in found["flaws"]:
        print(f"\nBAD in the {flaw['machine']} machine: it must hold that {flaw['violates']}")
        _steps(flaw["trace"])
    for policy in found["policies"]:
        print(f"\n{policy['name']}: {policy['does']}")
        if policy["rejected"]:
            print(f"  rejected in {len(policy['trace'])} steps; broken: {policy['violates']}")
            _steps(policy["trace"])
        else:
            print("  NOT rejected: the check has lost its teeth")


def _steps(trace: list[str]) -> None:
    for number, step in enumerate(trace, 1):
        print(f"  {number:>3}. {step}")


if __name__ == "__main__":
    sys.exit(main())
