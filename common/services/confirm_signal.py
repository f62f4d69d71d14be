"""llm.confirm: one question per signal and advisor profile, never per tenant."""

from __future__ import annotations

from uuid import UUID

from common.domain.advice import Advice, advice_id
from common.domain.errors import NotFound
from common.domain.job import Job
from common.domain.parameter_version import digest_of
from common.domain.signal import Signal
from common.ports.advisor import AdvisorAnswer
from common.services.fleet import Fleet
from common.services.scan_market import ask_risk
from common.store import UnitOfWork


def confirm_signal(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
    """Ask the model and hand its answer, usable or not, to the risk of every subscriber of this profile."""
    signal, profile = _subject(uow, job)
    answer = fleet.advisor(profile).ask(signal)
    advice = _advice(fleet, signal, profile, answer)
    uow.advice.add(advice)
    return f"{answer.verdict} for {_hand_on(fleet, uow, job, signal, profile, advice.id)} accounts"


def skip_confirmation(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
    """The question came too late: risk is asked all the same, so that every subscriber's outcome is recorded."""
    signal, profile = _subject(uow, job)
    return f"expired for {_hand_on(fleet, uow, job, signal, profile, None)} accounts"


def give_up_confirmation(fleet: Fleet, uow: UnitOfWork, job: Job, reason: str) -> None:
    """The question cannot be asked at all: risk decides without an answer, so that no subscriber is left without outcome."""
    signal, profile = _subject(uow, job)
    _hand_on(fleet, uow, job, signal, profile, None)


def _subject(uow: UnitOfWork, job: Job) -> tuple[Signal, str]:
    signal = uow.signals.get(UUID(job.payload["signal_id"]))
    if signal is None:
        raise NotFound("signal", job.payload["signal_id"])
    return signal, job.payload["advisor"]


def _hand_on(fleet: Fleet, uow: UnitOfWork, job: Job, signal: Signal, profile: str, advice: UUID | None) -> int:
    now = fleet.clock.now()
    subscribers = [
        subscriber
        for subscriber in uow.subscriptions.subscribers(
            signal.venue,
            signal.instrument,
            signal.timeframe,
            signal.strategy,
            now,
            digest=digest_of(signal.strategy_version),
            closed_at=signal.closed_at,
        )
        if subscriber.advisor == profile
    ]
    return ask_risk(uow, signal, subscribers, advice, now, job.id)


def _advice(fleet: Fleet, signal: Signal, profile: str, answer: AdvisorAnswer) -> Advice:
    return Advice(
        id=advice_id(signal.id, profile),
        signal_id=signal.id,
        profile=profile,
        verdict=answer.verdict,
        reason=answer.reason,
        cause=answer.cause,
        p_target_first=answer.p_target_first,
        rationale=answer.rationale,
        model=answer.model,
        prompt=answer.prompt,
        prompt_version=answer.prompt_version,
        raw_answer=answer.raw_answer,
        latency_ms=answer.latency_ms,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        cost_usd=answer.cost_usd,
        occurred_at=fleet.clock.now(),
    )
