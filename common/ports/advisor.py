"""The advisor port: one question about one signal, market facts only."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from common.domain.advice import AdviceReason, AdviceVerdict, UnavailableCause
from common.domain.signal import Signal


@dataclass(frozen=True, slots=True)
class AdvisorAnswer:
    """What came back, usable or not; `cause` is set exactly when `verdict` is UNAVAILABLE."""

    verdict: AdviceVerdict
    reason: AdviceReason | None
    cause: UnavailableCause | None
    p_target_first: Decimal | None
    rationale: str
    model: str
    prompt: str
    prompt_version: str
    raw_answer: str
    latency_ms: int
    tokens_in: int
    tokens_out: int
    cost_usd: Decimal


class Advisor(Protocol):
    """A model behind a profile (base URL, model id, deadline). Never raises for a bad answer: it answers UNAVAILABLE."""

    @property
    def profile(self) -> str:
        """Name of the profile."""
        ...

    def ask(self, signal: Signal) -> AdvisorAnswer:
        """The model's answer on `signal` within the profile's deadline; an unusable one is UNAVAILABLE with its cause."""
        ...
