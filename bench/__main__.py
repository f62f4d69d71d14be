"""Runs one bench: `python -m bench NAME [--json] [--quick]`."""

from __future__ import annotations

import argparse
import json
import sys

from bench.registry import BENCHES
from common.domain.errors import TradewindsError


def main(argv: list[str]) -> int:
    """Run the bench `argv` names; 0 when its goal holds, 1 when not, 2 when it could not be run."""
    options = _parser().parse_args(argv)
    try:
        report = BENCHES[options.name].run(options.quick)
    except TradewindsError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(report.line() if options.json else json.dumps(report.document(), indent=2))
    return 0 if report.holds else 1


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<12} {bench.measures}" for name, bench in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures the fleet beside its floor. Progress goes to stderr, the result to stdout.",
        epilog=f"benches:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", choices=BENCHES, help="which bench to run")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on the last line")
    parser.add_argument(
        "--quick", action="store_true", help="a short run, to see that it works; its figures mean little"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
