"""Advice: the model's answer to one signal; it may confirm, reject or abstain, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

from common.domain.signal import NAMESPACE


class AdviceVerdict(StrEnum):
    """What the model says; `UNAVAILABLE` is our word for no usable answer."""

    CONFIRM = "confirm"
    REJECT = "reject"
    ABSTAIN = "abstain"
    UNAVAILABLE = "unavailable"


class AdviceReason(StrEnum):
    """The closed list of reasons a model may give."""

    TREND_ALIGNED = "trend_aligned"
    TREND_AGAINST = "trend_against"
    MOMENTUM_SUPPORTS = "momentum_supports"
    MOMENTUM_AGAINST = "momentum_against"
    OVEREXTENDED = "overextended"
    VOLUME_THIN = "volume_thin"
    VOLATILITY_HIGH = "volatility_high"
    MEAN_REVERSION_SETUP = "mean_reversion_setup"
    REWARD_POOR = "reward_poor"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"


class UnavailableCause(StrEnum):
    """Why there is no usable answer."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    MALFORMED = "malformed"
    WRONG_SUBJECT = "wrong_subject"
    BREAKER_OPEN = "breaker_open"
    BUDGET_SPENT = "budget_spent"
    NO_ADVISOR = "no_advisor"


class AdvisorFallback(StrEnum):
    """What a tenant wants when the model has no usable answer: wait (default), or go on with the technical signal."""

    WAIT = "wait"
    TECHNICAL = "technical"


@dataclass(frozen=True, slots=True)
class Advice:
    """One answer per (signal, advisor profile), kept with prompt and raw text so that it can be shown and replayed.

    `p_target_first` is 0..1: the stated probability that the target is reached before the stop; None when unavailable.
    """

    id: UUID
    signal_id: UUID
    profile: str
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
    occurred_at: datetime


def advice_id(signal: UUID, profile: str) -> UUID:
    """The one id of this question: one call per (signal, advisor profile)."""
    return uuid5(NAMESPACE, f"advice|{signal}|{profile}")
