"""The backtest's bench: the reference strategy by our whole program, beside a program that does nothing else."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.market_data import recorded_or_made
from bench.report import Report, say
from common.domain.errors import Permanent

ROOT = Path(__file__).resolve().parent.parent
GOAL, MEMORY_GOAL_MB = 2.5, 400.0
ROUNDS, ROUNDS_QUICK = 7, 1


def run(is_quick: bool) -> Report:
    """Both programs in turn, several times; medians, and the trades of both compared."""
    with recorded_or_made("binance-spot-5m", instruments=2 if is_quick else 15) as (folder, origin):
        ours_call = [
            "-m", "cli", "backtest", "run", "--strategy", "ema_rsi_reference", "--data", str(folder), "--json",
            "--from", "2021-01-01", "--to", "2021-07-01",
        ]  # fmt: skip
        floor_call = [str(ROOT / "bench" / "floors" / "reference.py"), str(folder)]
        say("warming file caches and compiling the floor's loop")
        floor_answer, ours_answer = process(floor_call)["answer"], process(ours_call)["answer"]
        same(ours_answer, floor_answer)
        rounds = []
        for number in range(ROUNDS_QUICK if is_quick else ROUNDS):
            rounds.append((process(ours_call), process(floor_call)))
            say(f"round {number + 1}: ours {rounds[-1][0]['wall_s']:.2f} s, floor {rounds[-1][1]['wall_s']:.2f} s")
    ours, floor = ([pair[side] for pair in rounds] for side in (0, 1))
    peak = max(item["peak_mb"] for item in ours)
    if peak >= MEMORY_GOAL_MB:
        raise Permanent(f"the backtest took {peak:.0f} MB, more than {MEMORY_GOAL_MB:.0f}")
    seconds = statistics.median(item["wall_s"] for item in ours)
    return Report(
        bench="backtest",
        figure=seconds,
        floor=statistics.median(item["wall_s"] for item in floor),
        unit="seconds of the whole process",
        goal=GOAL,
        is_lower_better=True,
        details={
            "market": origin,
            "candles": ours_answer["candles"],
            "candles_per_s": round(ours_answer["candles"] / seconds),
            "trades": ours_answer["trades"],
            "same_trades_as_floor": True,
            "rounds": len(rounds),
            "peak_mb": peak,
            "peak_mb_goal": MEMORY_GOAL_MB,
            "processor_s": _median(ours, "cpu_s"),
            "floor_processor_s": _median(floor, "cpu_s"),
            "floor_peak_mb": max(item["peak_mb"] for item in floor),
            "ratio_pairwise": round(statistics.median(a["wall_s"] / b["wall_s"] for a, b in rounds), 3),
            "ratio_processor": round(statistics.median(a["cpu_s"] / b["cpu_s"] for a, b in rounds), 3),
            "seconds": ours[-1]["answer"]["seconds"],
        },
    )


def _median(items: list[dict[str, Any]], name: str) -> float:
    return round(statistics.median(item[name] for item in items), 3)


def same(ours: dict[str, Any], floor: dict[str, Any]) -> None:
    """Raises Permanent unless candles, trades and exits of both are the same and the profit is to the ticks."""
    exits = {name: item["trades"] for name, item in ours["by_exit"].items()}
    theirs = {name: count for name, count in floor["exits"].items() if count}
    apart = abs(Decimal(ours["net_profit"]) - Decimal(str(floor["profit"])))
    # Our stops and targets lie on the venue's ticks and our sizes on its steps: a cent or so a trade.
    is_near = apart <= Decimal("0.02") * ours["trades"]
    if (ours["candles"], ours["trades"], exits) != (floor["candles"], floor["trades"], theirs) or not is_near:
        raise Permanent(f"not the trades of the floor: {ours['trades']} {exits} against {floor['trades']} {theirs}")


def process(arguments: list[str]) -> dict[str, Any]:
    """Run Python with `arguments`: wall and processor seconds of the whole process, its peak memory and its answer."""
    # Bytecode is kept, as that of an installed program is and as the floor's compiled loop is: no run compiles.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with _scratch() as path:
        began = time.perf_counter()
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            environment | {"PYTHONPATH": str(ROOT)},
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)],
        )
        _, status, usage = os.wait4(child, 0)
        wall = time.perf_counter() - began
        lines = path.read_text(encoding="utf-8").splitlines()
    if os.waitstatus_to_exitcode(status) != 0 or not lines:
        raise Permanent(f"python {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    answer = json.loads(lines[-1])
    return {
        "wall_s": wall,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": float(answer["peak_mb"]),
        "answer": answer,
    }


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tradewinds-bench-") as folder:
        yield Path(folder) / "out"
