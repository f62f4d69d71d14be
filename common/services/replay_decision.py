"""Judges a stored decision again from its own inputs: the same inputs must give the same verdict, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from common.domain.advice import Advice
from common.domain.codec import decode, encode
from common.domain.decision import Decision, DecisionOutcome
from common.domain.errors import InvalidInput, NotFound
from common.domain.market import MarketState
from common.domain.risk.book import Book
from common.domain.risk.judge import judge, propose
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Approved, Verdict
from common.domain.signal import Signal
from common.domain.tenant import Account
from common.services.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Replay:
    """A verdict as it was stored and as the rules of today give it on the same inputs; both as plain JSON."""

    decision_id: UUID
    stored: Mapping[str, Any]
    recomputed: Mapping[str, Any]

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs: outcome, veto with its numbers, order id and proposal."""
        return self.stored == self.recomputed


def replay_decision(fleet: Fleet, tenant_id: UUID, decision_id: UUID) -> Replay:
    """Propose and judge once more on the inputs of a decision.

    Raises NotFound for a decision the tenant does not have, InvalidInput for one that was never judged (it expired, or
    the evaluation failed).
    """
    with fleet.store.unit_of_work(tenant_id) as uow:
        decision = uow.decisions.get(decision_id)
    if decision is None:
        raise NotFound("decision", decision_id)
    if "proposal" not in decision.inputs:
        raise InvalidInput("decision", decision_id, f"a decision that was judged; this one {decision.outcome}")
    return Replay(decision_id, _stored(decision), _recomputed(decision.inputs))


def _stored(decision: Decision) -> dict[str, Any]:
    return {
        "outcome": decision.outcome.value,
        "veto": encode(decision.veto),
        "order_id": encode(decision.order_id),
        "proposal": decision.inputs["proposal"],
    }


def _recomputed(inputs: Mapping[str, Any]) -> dict[str, Any]:
    signal, market, book = (
        decode(Signal, inputs["signal"]),
        decode(MarketState, inputs["market"]),
        decode(Book, inputs["book"]),
    )
    limits, account = decode(Limits, inputs["limits"]), decode(Account, inputs["account"])
    advice = decode(Advice, inputs["advice"]) if inputs["advice"] is not None else None
    now = decode(datetime, inputs["now"])
    proposal = propose(signal, account, market, book, limits, now=now, order_prefix=inputs["order_prefix"])
    transit = decode(timedelta, inputs["transit"])
    verdict: Verdict = judge(proposal, signal, advice, market, book, limits, now=now, transit=transit)
    if isinstance(verdict, Approved):
        outcome, veto, order_id = DecisionOutcome.APPROVED, None, encode(verdict.intent.order_id)
    else:
        outcome, veto, order_id = DecisionOutcome.VETOED, encode(verdict), None
    return {"outcome": outcome.value, "veto": veto, "order_id": order_id, "proposal": encode(proposal)}
