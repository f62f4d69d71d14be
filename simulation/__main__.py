"""`python -m simulation`: what `tradewinds simulate` starts."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys

from simulation.crew import Wishes, bugs, run_all
from simulation.hub import Chances
from simulation.report import Report


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 0 when every invariant held, 1 when one did not, 2 for a request that makes no sense."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.list_bugs:
        return _list_bugs(asked.json)
    kinds = Chances.kinds() if asked.faults == "all" else tuple(asked.faults.split(","))
    unknown = sorted(set(kinds) - set(Chances.kinds()))
    if unknown:
        parser.error(f"--faults: {', '.join(unknown)} is not one of: all, {', '.join(Chances.kinds())}")
    if asked.bug is not None and asked.bug not in bugs():
        parser.error(f"--bug: {asked.bug} is none; --list-bugs names them")
    # Being told to end is an end like any other: servers and processes of our own go with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report(asked.faults, asked.bug)
    wishes = Wishes(
        first=asked.seed,
        count=asked.seeds,
        kinds=kinds,
        jobs=asked.jobs,
        bug=asked.bug,
        stop_at_first=asked.bug is not None,
        database_url=asked.database_url,
        database_name=asked.database,
        quiet=asked.quiet,
    )
    seconds = run_all(wishes, report)
    print(file=sys.stderr)
    report.tell_first(asked.trace)
    print(json.dumps(report.as_json(seconds)) if asked.json else _summary(report, seconds))
    return 1 if report.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tradewinds simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--faults", default="all", help="kinds of faults, separated by commas")
    parser.add_argument("--bug", help="plant a seeded bug; the run ends at the first violation")
    parser.add_argument("--list-bugs", action="store_true", help="name the seeded bugs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--trace", type=int, default=80, help="how many lines of a failing seed's trace to print")
    parser.add_argument("--json", action="store_true", help="the last line is the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument("--database-url", help="a superuser's URL of a server to use instead of one of our own")
    parser.add_argument("--database", default="simulation", help="what its databases are called, a number apart")
    return parser


def _list_bugs(as_json: bool) -> int:
    listed = {name: {"breaks": bug.breaks, "what": bug.what} for name, bug in bugs().items()}
    if as_json:
        print(json.dumps(listed))
    else:
        for name, bug in listed.items():
            print(f"{name:36} {bug['breaks']:10} {bug['what']}")
    return 0


def _summary(report: Report, seconds: float) -> str:
    told = report.as_json(seconds)
    points = told["kill_points"]
    return (
        f"{told['seeds']} seeds, {told['faults']} faults ({told['faults_per_s']}/s), {told['violations']} violations, "
        f"kill points {points['hit']} of {points['of']}, audit heads {told['audit_heads_digest'][:16]}"
    )


if __name__ == "__main__":
    sys.exit(main())
