"""Which halts were in force when, by the venue's own clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.domain.risk.book import HaltMode, HaltScope


@dataclass(slots=True)
class Span:
    """One halt: it had surely committed at `committed_ms` and was surely still in force at `lifting_ms`."""

    scope: HaltScope
    subject: str
    mode: HaltMode
    committed_ms: int | None = None
    lifting_ms: int | None = None

    def covers(self, tenant: str, strategy: str, instrument: str) -> bool:
        """Whether it keeps back an entry of `tenant` by `strategy` on `instrument`; there is one venue."""
        return self.scope in {HaltScope.PLATFORM, HaltScope.VENUE} or self.subject in {tenant, strategy, instrument}

    def holds_at(self, instant_ms: float) -> bool:
        """Whether it was surely in force at this instant of venue time."""
        if self.committed_ms is None or self.lifting_ms is None:
            return False
        return self.committed_ms < instant_ms < self.lifting_ms


@dataclass(slots=True)
class Halts:
    """Every halt of the run, and how long after its commit the venue still took an entry that had left before."""

    spans: list[Span] = field(default_factory=list)
    in_flight_s: list[float] = field(default_factory=list)

    def begin(self, scope: HaltScope, subject: str, mode: HaltMode) -> Span:
        """A halt that is about to be put in force."""
        span = Span(scope, subject, mode)
        self.spans.append(span)
        return span
