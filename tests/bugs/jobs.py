"""Mistakes in handing work over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

from common.domain.job import JobState, Stage
from common.services import confirm_signal, evaluate_risk, relay_jobs, scan_market, stage
from common.services.routines import ROUTINES
from common.services.stage import Result
from common.store import audit
from common.store.audit import Audit
from tests.bugs.garden import bug, put, set_on, swap


@bug("I1", "nobody rings again for what was lost")
def no_relay() -> None:
    swap(relay_jobs.relay_jobs, lambda fleet: 0)


@bug("I1", "a job is marked done before its work is kept")
def job_done_before_its_work() -> None:
    original = stage._attempt

    def attempt(fleet: Any, routine: Any, ref: Any) -> Any:
        now = fleet.clock.now()
        with fleet.store.unit_of_work(ref.tenant_id) as uow:
            job = uow.jobs.claim(ref.id, now)
            if job is None:
                return Result.NOTHING_TO_CLAIM
            uow.jobs.finish(job, JobState.DONE, "taken", now)
            uow.commit()
        with fleet.store.unit_of_work(ref.tenant_id) as uow:
            routine.handle(fleet, uow, job)
            refs = uow.commit()
        fleet.publish(refs)
        return Result.DONE

    swap(original, attempt)


@bug("I1", "that a signal came too late is recorded nowhere")
def expiry_not_recorded() -> None:
    original = evaluate_risk.evaluate_risk

    def evaluate(fleet: Any, uow: Any, job: Any) -> str:
        signal, _, _ = evaluate_risk._subject(uow, job)
        return "expired" if fleet.clock.now() >= signal.expires_at else original(fleet, uow, job)

    swap(original, evaluate)


@bug("I1", "a question to the model that came too late takes its signal with it")
def late_question_drops_the_signal() -> None:
    put(ROUTINES, Stage.CONFIRM, replace(ROUTINES[Stage.CONFIRM], on_expired=None))


@bug("I1", "without an answer of the model the signal is dropped")
def no_answer_drops_the_signal() -> None:
    original = confirm_signal._hand_on

    def hand_on(fleet: Any, uow: Any, job: Any, signal: Any, profile: str, advice: Any) -> int:
        known = uow.advice.get(advice) if advice else None
        if known is not None and known.cause is not None:
            return 0
        return int(original(fleet, uow, job, signal, profile, advice))

    swap(original, hand_on)


@bug("I1", "risk is asked for one tenant's account in another tenant's name")
def tenants_mixed_up() -> None:
    original = scan_market.ask_risk

    def ask(uow: Any, signal: Any, subscribers: Any, *more: Any) -> int:
        listed = list(subscribers)
        turned = [replace(item, account_id=listed[n - 1].account_id) for n, item in enumerate(listed)]
        return int(original(uow, signal, turned, *more))

    swap(original, ask)


@bug("I1", "one subscriber is asked for all")
def first_subscriber_only() -> None:
    original = scan_market.ask_risk

    def ask(uow: Any, signal: Any, subscribers: Any, *more: Any) -> int:
        return int(original(uow, signal, list(subscribers)[:1], *more))

    swap(original, ask)


@bug("I10", "entries of the audit trail are not linked")
def audit_not_chained() -> None:
    original, flushed = audit._Entry.hash_after, Audit.flush

    def unlinked(entry: Any, prev: str, seq: int) -> str:
        return original(entry, "", seq)

    def flush(self: Any) -> None:
        with patch.object(audit._Entry, "hash_after", unlinked):
            flushed(self)

    set_on(Audit, "flush", flush)


@bug("I1", "what fails for a moment is given up")
def transient_is_permanent() -> None:
    original = stage._put_off

    def put_off(fleet: Any, routine: Any, ref: Any, error: Any, attempts_max: Any) -> Any:
        return original(fleet, replace(routine, is_persistent=False), ref, error, 0)

    swap(original, put_off)


@bug("I1", "a signal that was raised before is not handed on, and the first attempt kept it too early")
def signal_kept_before_its_jobs() -> None:
    original = scan_market.raise_signals

    def raised(fleet: Any, uow: Any, signals: Any, cause: Any) -> None:
        with fleet.store.unit_of_work(None) as early:
            new = early.signals.add_all(signals)
            early.commit()
        for signal in new:
            with fleet.store.unit_of_work(None) as later:
                subscribers = later.subscriptions.subscribers(
                    signal.venue, signal.instrument, signal.timeframe, signal.strategy, fleet.clock.now()
                )
            scan_market.ask_risk(uow, signal, subscribers, None, fleet.clock.now(), cause)

    swap(original, raised)
