"""Starts a run: `python -m chaos --faults N --seed S`."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from chaos.options import Options

_LAST = 25
_PLAIN = Options()


def main(argv: list[str]) -> int:
    """Run it; 0 without a violation, 1 with one, 2 when the request makes no sense."""
    options = _options(argv)
    from chaos.storm import chosen_kinds
    from common.domain.errors import InvalidInput

    try:
        chosen_kinds(options.kinds)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    if options.directory is not None:
        return _run(options, options.directory.absolute())
    directory = Path(tempfile.mkdtemp(prefix="tradewinds-chaos-"))
    status = 1
    try:
        status = _run(options, directory)
    finally:
        if status == 0:
            shutil.rmtree(directory, ignore_errors=True)
    return status


def _options(argv: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=_PLAIN.faults)
    parser.add_argument("--seed", type=int, default=_PLAIN.seed)
    parser.add_argument("--kinds", default="", help="only these, separated by commas")
    parser.add_argument("--directory", type=Path, help="folder that keeps the world; a temporary one without it")
    parser.add_argument("--speed", type=float, default=_PLAIN.speed, help="venue seconds per second of life")
    parser.add_argument("--tenants", type=int, default=_PLAIN.tenants)
    parser.add_argument("--replicas", type=int, default=_PLAIN.replicas, help="workers of each stage")
    parser.add_argument("--round-size", type=int, default=_PLAIN.round_size, help="faults between two checks")
    parser.add_argument("--squall", type=int, default=_PLAIN.squall, help="most faults of one squall")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(argv)
    kinds = tuple(part.strip() for part in given.kinds.split(",") if part.strip())
    return Options(**{**vars(given), "kinds": kinds})


def _run(options: Options, directory: Path) -> int:
    from chaos.storm import run_storm
    from chaos.world import open_world

    directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=directory / "chaos.log", level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with open_world(options, directory) as world:
        storm = run_storm(world, say)
        result = storm.result()
    if storm.violations:
        say(f"\n{len(storm.violations)} violations; the world and its logs are kept in {directory}")
        for text in storm.violations[:20]:
            say(f"  {text}")
        say(f"the last {_LAST} faults:")
        for entry in storm.entries[-_LAST:]:
            say(f"  {entry.line(options.seed)}")
        say(f"repeat it with: {options.command()}")
    if options.as_json:
        print(json.dumps(result, default=str))
    else:
        say(json.dumps(result, indent=2, default=str))
    return 1 if storm.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
