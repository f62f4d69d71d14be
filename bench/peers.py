"""What users would pick instead, run beside us where it is installed: the folder of peer benchmarks and its environments."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from bench.market_data import ROOT, recorded
from common.domain.errors import Permanent

PATIENCE_S = 900.0


def freqtrade_loop(pairs: int, iterations: int) -> dict[str, Any] | None:
    """What freqtrade's own loop takes here with `pairs` and a new candle for each, or None where it is not installed.

    The scripts lie in `TRADEWINDS_PEERS`, the environments in `PEERS`, as their README has it. Its lightest strategy,
    three indicators; `iteration_ms` is the median of the iterations after the first two.
    """
    scripts = Path(os.environ.get("TRADEWINDS_PEERS", str(ROOT.parent / "shared" / "peers")))
    python = Path(os.environ.get("PEERS", str(scripts / ".venvs"))) / "freqtrade" / "bin" / "python"
    script = scripts / "ft_loop.py"
    if not (script.exists() and python.exists()):
        return None
    command = [str(python), "-B", str(script), "PeerEma", str(pairs), str(iterations)]
    try:
        run = subprocess.run(
            command, cwd=scripts, env=os.environ | {"MARKET_DATA": str(recorded())},
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Permanent(f"{' '.join(command)} was still running after {PATIENCE_S:.0f} s") from error
    told = [line.removeprefix("RESULT ") for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    if not told:
        raise Permanent(f"{' '.join(command)} ended with {run.returncode} and no result: {run.stderr[-500:]}")
    answer: dict[str, Any] = json.loads(told[-1])
    return answer
