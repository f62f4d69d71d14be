"""What a run of seeds amounts to, added up as the outcomes come in."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simulation.hub import KillPoint
from simulation.kill_points import KILL_POINTS
from simulation.seed import Outcome

TRACE_LINES = 80


@dataclass(slots=True)
class Report:
    """The sum of all outcomes; `command` repeats a seed."""

    faults_wanted: str
    bug: str | None = None
    seeds: int = 0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    violations: int = 0
    laws: Counter[str] = field(default_factory=Counter)
    first: Outcome | None = None
    killed: set[KillPoint] = field(default_factory=set)
    seen: set[KillPoint] = field(default_factory=set)
    digests: dict[int, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count one more seed."""
        self.seeds += 1
        self.steps += outcome.steps
        self.faults += outcome.faults
        self.deeds += outcome.deeds
        self.killed |= outcome.killed
        self.seen |= outcome.seen
        self.digests[outcome.seed] = outcome.digest
        self.violations += len(outcome.violations)
        self.laws.update({violation.law for violation in outcome.violations})
        if outcome.violations and (self.first is None or outcome.seed < self.first.seed):
            self.first = outcome

    def command(self, seed: int) -> str:
        """What repeats `seed`."""
        more = f" --bug {self.bug}" if self.bug else ""
        more += f" --faults {self.faults_wanted}" if self.faults_wanted != "all" else ""
        return f"tradewinds simulate --seed {seed} --seeds 1{more}"

    def as_json(self, seconds: float) -> dict[str, Any]:
        """The report in plain values."""
        points = KILL_POINTS | self.seen
        heads = "|".join(f"{seed}:{digest}" for seed, digest in sorted(self.digests.items()))
        return {
            "seeds": self.seeds,
            "faults": sum(self.faults.values()),
            "faults_by_kind": dict(sorted(self.faults.items())),
            "violations": self.violations,
            "violated": dict(sorted(self.laws.items())),
            "first_violation": self._first(),
            "kill_points": {
                "hit": len(self.killed),
                "of": len(points),
                "missing": sorted(str(point) for point in points - self.killed),
            },
            "faults_per_s": round(sum(self.faults.values()) / seconds, 1) if seconds else 0.0,
            "seconds": round(seconds, 1),
            "steps": self.steps,
            "orders": dict(sorted(self.deeds.items())),
            "bug": self.bug,
            "audit_heads_digest": hashlib.sha256(heads.encode()).hexdigest(),
        }

    def _first(self) -> dict[str, Any] | None:
        if self.first is None:
            return None
        violation = self.first.violations[0]
        return {
            "seed": self.first.seed,
            "invariant": violation.law,
            "subject": violation.subject,
            "detail": violation.detail,
            "repeat": self.command(self.first.seed),
        }

    def tell_first(self, lines: int = TRACE_LINES) -> None:
        """Print the first violation with the end of its trace and the command that repeats it."""
        if self.first is None:
            return
        trace: Sequence[str] = self.first.trace[-lines:]
        print(
            f"\nseed {self.first.seed}, the last {len(trace)} lines of its trace:", *trace, sep="\n  ", file=sys.stderr
        )
        for violation in self.first.violations[:10]:
            print(f"violated: {violation}", file=sys.stderr)
        print(f"repeat: {self.command(self.first.seed)}", file=sys.stderr)
