"""maintenance.review: judges closed positions afterwards, once each, by what was known and by what came."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from common.domain.advice import Advice
from common.domain.blunder import Evidence, Reviewed, review
from common.domain.codec import decode, encode
from common.domain.decision import Decision, decision_id
from common.domain.evidence import evidence_of, judged_from
from common.domain.market import MarketState, Timeframe
from common.domain.position import Position
from common.domain.risk.book import Book
from common.domain.risk.context import Context, Proposal, context_of
from common.domain.risk.limits import Limits
from common.domain.signal import Signal
from common.services.fleet import Fleet
from common.store import UnitOfWork

BATCH = 100
"""Positions of one account that one visit reviews at most; the next visit goes on."""

GRACE_BARS = 1
"""Bars that the tenth candle may come late; without it the trade is judged by the rest of the evidence."""


def review_positions(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> int:
    """Review what the account has closed and ten bars have passed over; returns how many. Safe to repeat."""
    now = fleet.clock.now()
    with fleet.store.unit_of_work(tenant_id) as uow:
        count = sum(_review(uow, position, now) for position in uow.reviews.due(account_id, BATCH))
        if count:
            uow.commit()
    return count


def _review(uow: UnitOfWork, position: Position, now: datetime) -> bool:
    evidence = _evidence(uow, position, now)
    if evidence is None or position.closed_at is None:
        return False
    found = review(position, evidence)
    reviewed = Reviewed(
        tenant_id=position.tenant_id,
        account_id=position.account_id,
        position_id=position.id,
        review=found,
        evidence=evidence,
        closed_at=position.closed_at,
        reviewed_at=now,
    )
    if not uow.reviews.add(reviewed):
        return False
    payload = {"labels": [label.value for label in found.labels], "severity": found.severity, "grade": found.grade}
    uow.audit.append("review", str(position.id), encode(payload), now)
    return True


def _evidence(uow: UnitOfWork, position: Position, now: datetime) -> Evidence | None:
    """What there is to judge `position` by; None while the bars after its entry have not all closed."""
    signal = uow.signals.get(position.signal_id) if position.signal_id else None
    if signal is None:
        return evidence_of(position, None, None)
    timeframe = Timeframe.parse(signal.timeframe)
    until = judged_from(position, timeframe)
    if until is None or now < until + timeframe.duration * GRACE_BARS:
        return None
    candles = uow.candles.series(position.venue, position.instrument, timeframe, until, 1)
    close = candles[-1].close if candles and candles[-1].closed_at == until else None
    decision = uow.decisions.get(decision_id(position.tenant_id, position.account_id, signal.id))
    return evidence_of(position, None if decision is None else judged_by(decision), close)


def judged_by(decision: Decision) -> Context | None:
    """What the judges saw, from the inputs that were stored with `decision`; None when it was never judged."""
    inputs = decision.inputs
    if "proposal" not in inputs:
        return None
    return context_of(
        decode(Proposal, inputs["proposal"]),
        decode(Signal, inputs["signal"]),
        None if inputs["advice"] is None else decode(Advice, inputs["advice"]),
        decode(MarketState, inputs["market"]),
        decode(Book, inputs["book"]),
        decode(Limits, inputs["limits"]),
        now=decode(datetime, inputs["now"]),
        transit=decode(timedelta, inputs["transit"]),
    )
