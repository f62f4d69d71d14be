"""risk.evaluate: what one tenant's account may do about one signal, decided under the lock of its risk row."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from common.domain.advice import Advice
from common.domain.codec import encode
from common.domain.decision import Decision, DecisionOutcome, decision_id
from common.domain.errors import NotFound
from common.domain.job import Job, Stage
from common.domain.market import Timeframe
from common.domain.order import Order, OrderStatus
from common.domain.risk.judge import judge, propose
from common.domain.risk.limits import resolve
from common.domain.risk.verdict import Approved, Verdict
from common.domain.signal import Signal
from common.domain.tenant import Account
from common.services.fleet import Fleet, instrument_of
from common.services.market_view import market_now, with_candles
from common.services.read_feedback import feedback_on
from common.store import UnitOfWork


def evaluate_risk(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
    """Judge the signal for the account and keep the verdict with all its inputs; an approval reserves and is ordered.

    The market is asked before the risk row is locked; nothing is waited for while it is held.
    """
    signal, account, advice = _subject(uow, job)
    if fleet.clock.now() >= signal.expires_at:
        return _record(fleet, uow, job, signal, account, DecisionOutcome.EXPIRED, None, advice, {})
    instrument = instrument_of(uow, signal.venue, signal.instrument)
    market = market_now(fleet, instrument)
    market = with_candles(fleet, uow, market, Timeframe.parse(signal.timeframe), fleet.clock.now())
    limits = resolve(account.profile, account.limits, strict=False)
    record = feedback_on(uow, signal.instrument)
    now = fleet.clock.now()
    book = uow.risk.lock_book(account.id, now, signal)
    book = replace(book, live_allowed=book.live_allowed and fleet.policy.live_trading)
    transit = fleet.clock.transport(fleet.policy.transit_s) if fleet.clock.rate > 1 else timedelta(0)
    proposal = propose(signal, account, market, book, limits, now=now, order_prefix=fleet.policy.order_prefix)
    verdict = judge(proposal, signal, advice, market, book, limits, now=now, transit=transit)
    inputs = {
        "proposal": encode(proposal),
        "transit": encode(transit),
        "signal": encode(signal),
        "advice": encode(advice) if advice else None,
        "market": encode(market),
        "book": encode(book),
        "limits": encode(limits),
        "account": encode(account),
        "now": encode(now),
        "order_prefix": fleet.policy.order_prefix,
        # What the tenant's last trades say: kept to be read, judged by nobody.
        "feedback": encode(record),
    }
    if isinstance(verdict, Approved):
        _order(fleet, uow, job, verdict)
    outcome = DecisionOutcome.APPROVED if isinstance(verdict, Approved) else DecisionOutcome.VETOED
    return _record(fleet, uow, job, signal, account, outcome, verdict, advice, inputs)


def record_failure(fleet: Fleet, uow: UnitOfWork, job: Job, reason: str) -> None:
    """The evaluation cannot be done at all: that is the signal's outcome for this tenant, with the reason."""
    signal, account, advice = _subject(uow, job)
    _record(fleet, uow, job, signal, account, DecisionOutcome.FAILED, None, advice, {"reason": reason})


def _subject(uow: UnitOfWork, job: Job) -> tuple[Signal, Account, Advice | None]:
    signal = uow.signals.get(UUID(job.payload["signal_id"]))
    if signal is None:
        raise NotFound("signal", job.payload["signal_id"])
    account = uow.accounts.get(UUID(job.payload["account_id"]))
    if account is None:
        raise NotFound("account", job.payload["account_id"])
    advice = job.payload.get("advice_id")
    return signal, account, uow.advice.get(UUID(advice)) if advice else None


def _order(fleet: Fleet, uow: UnitOfWork, job: Job, approved: Approved) -> None:
    intent = approved.intent
    now = fleet.clock.now()
    order = Order(intent=intent, status=OrderStatus.INTENDED, version=0, created_at=now)
    uow.orders.add(order)
    uow.risk.add_reservation(intent.order_id, intent.account_id, approved.reservation)
    request_placement(uow, order, job.id, now)


def request_placement(uow: UnitOfWork, order: Order, cause: UUID | None, now: datetime) -> None:
    """Add the one placement job of `order`."""
    uow.jobs.add(
        Stage.PLACE,
        f"place:{order.intent.client_order_id}",
        tenant_id=order.intent.tenant_id,
        payload={"order_id": str(order.id)},
        now=now,
        correlation_id=order.intent.signal_id or order.intent.position_id,
        causation_id=cause,
    )


def _record(
    fleet: Fleet,
    uow: UnitOfWork,
    job: Job,
    signal: Signal,
    account: Account,
    outcome: DecisionOutcome,
    verdict: Verdict | None,
    advice: Advice | None,
    inputs: dict[str, Any],
) -> str:
    approved = verdict if isinstance(verdict, Approved) else None
    veto = verdict if verdict is not None and not isinstance(verdict, Approved) else None
    now = fleet.clock.now()
    decision = Decision(
        id=decision_id(account.tenant_id, account.id, signal.id),
        tenant_id=account.tenant_id,
        account_id=account.id,
        signal_id=signal.id,
        outcome=outcome,
        veto=veto,
        order_id=approved.intent.order_id if approved else None,
        advice_id=advice.id if advice else None,
        inputs=inputs,
        occurred_at=now,
    )
    if uow.decisions.add(decision):
        uow.audit.append("decision", str(decision.id), _audit(decision, job), now)
    return f"{outcome}" + (f" by {veto.rule}: {veto.measured} against {veto.limit}" if veto else "")


def _audit(decision: Decision, job: Job) -> dict[str, Any]:
    return {
        "signal": str(decision.signal_id),
        "account": str(decision.account_id),
        "outcome": decision.outcome.value,
        "veto": encode(decision.veto),
        "order": encode(decision.order_id),
        "job": str(job.id),
    }
