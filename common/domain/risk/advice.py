"""Level 5, advice: the model may veto or abstain; it never sizes, prices or opens."""

from __future__ import annotations

from collections.abc import Mapping

from common.domain.advice import AdviceVerdict, AdvisorFallback
from common.domain.risk.context import Check, Context, Measure, state
from common.domain.risk.verdict import Rule


def verdict_of(context: Context) -> AdviceVerdict | None:
    """What the model says of this very signal; advice on another is none, and None is when it was not asked at all."""
    advice = context.advice
    if advice is None:
        return AdviceVerdict.UNAVAILABLE if context.book.advisor_required else None
    return advice.verdict if advice.signal_id == context.signal.id else AdviceVerdict.UNAVAILABLE


def _reason(context: Context) -> str:
    advice = context.advice
    if advice is None:
        return "no answer"
    return str(advice.reason or advice.cause or advice.verdict)


def advisor_rejected(context: Context) -> Measure:
    """A rejection counts whether or not the tenant requires an advisor."""
    return state(verdict_of(context) is AdviceVerdict.REJECT, "answer", _reason(context))


def advisor_abstained(context: Context) -> Measure:
    """Abstaining is an answer, and not a confirmation: where one is required, the entry waits."""
    is_bad = context.book.advisor_required and verdict_of(context) is AdviceVerdict.ABSTAIN
    return state(is_bad, "answer", _reason(context))


def advisor_unavailable(context: Context) -> Measure:
    """No usable answer: the entry waits, unless the tenant chose to go on with the technical signal (design 5)."""
    is_missing = verdict_of(context) is AdviceVerdict.UNAVAILABLE
    waits = context.book.advisor_required and context.book.on_advisor_unavailable is AdvisorFallback.WAIT
    return state(is_missing and waits, "answer", _reason(context))


RULES: Mapping[Rule, Check] = {
    Rule.ADVISOR_REJECTED: advisor_rejected,
    Rule.ADVISOR_ABSTAINED: advisor_abstained,
    Rule.ADVISOR_UNAVAILABLE: advisor_unavailable,
}
