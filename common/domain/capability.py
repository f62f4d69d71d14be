"""What a probe found out about a venue: numbered cases, findings, and whether live trading may follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CaseOutcome(StrEnum):
    """PASSED: the venue does what our orders rely on. FAILED: it does not. NOT_OFFERED: it has no such thing to rely on."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_OFFERED = "not_offered"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One numbered case: what was expected, and what was seen."""

    number: int
    name: str
    outcome: CaseOutcome
    seen: str


@dataclass(frozen=True, slots=True)
class CapabilityRecord:
    """The outcome of a probe of one mode (`swap/one-way`) of a venue; `build` names adapter and library.

    `findings` are what differs from venue to venue and was measured: how long ids are unique, what an answer shows.
    """

    venue: str
    mode: str
    personality: str
    build: str
    probed_at: datetime
    findings: Mapping[str, str]
    cases: tuple[CaseResult, ...]

    def count(self, outcome: CaseOutcome) -> int:
        """How many cases ended so."""
        return sum(case.outcome is outcome for case in self.cases)

    @property
    def is_passing(self) -> bool:
        """Whether the venue may be traded on: cases were run, and none failed."""
        return bool(self.cases) and self.count(CaseOutcome.FAILED) == 0
