"""An advisor that a whole fleet shares: asked once per question, spared while it is down, held to a budget of calls."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from common.adapters.openai_advisor.prompts import question
from common.domain.advice import AdviceReason, AdviceVerdict, UnavailableCause
from common.domain.errors import Transient
from common.domain.signal import Signal
from common.ports.advisor import Advisor, AdvisorAnswer
from common.ports.shared_state import Breakers, Budgets, Permit, SingleFlight

# What says that the endpoint is ill, not that it disliked one question.
_ILL = frozenset({UnavailableCause.TIMEOUT, UnavailableCause.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class SharingPolicy:
    """Seconds of life an answer is kept and waited for, and how many calls there may be."""

    answer_ttl_s: float = 300.0
    wait_s: float = 10.0
    calls_max: float = 60.0
    calls_per_s: float = 1.0


class _NotKept(Exception):  # An unusable answer goes to who asked, and is not kept for others.
    def __init__(self, answer: AdvisorAnswer) -> None:
        super().__init__("not kept")
        self.answer = answer


class SharedAdvisor:
    """`inner` behind a shared cache, breaker and budget; implements ports.advisor.Advisor.

    The key is everything the model would see and nothing else, so no tenant can be in it. When the shared state itself
    cannot be reached the model is asked directly: it guards costs, not money at risk.
    """

    def __init__(
        self,
        inner: Advisor,
        prompt_version: str,
        model: str,
        flights: SingleFlight,
        breakers: Breakers,
        budgets: Budgets,
        policy: SharingPolicy | None = None,
    ) -> None:
        self._inner, self._prompt_version, self._model = inner, prompt_version, model
        self._flights, self._breakers, self._budgets = flights, breakers, budgets
        self._policy = policy or SharingPolicy()

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self._inner.profile

    def key(self, signal: Signal) -> str:
        """The exact question, as one digest."""
        asked = json.dumps([self._prompt_version, self._model, self.profile, question(signal)], ensure_ascii=False)
        return hashlib.sha256(asked.encode()).hexdigest()

    def ask(self, signal: Signal) -> AdvisorAnswer:
        """The answer somebody already has, or the model's; UNAVAILABLE while its breaker is open or its budget spent."""
        policy = self._policy

        def compute() -> str:
            answer = self._ask_guarded(signal)
            if answer.verdict is AdviceVerdict.UNAVAILABLE:
                raise _NotKept(answer)
            return _write(answer)

        try:
            return _read(self._flights.once(self.key(signal), policy.answer_ttl_s, policy.wait_s, compute))
        except _NotKept as unusable:
            return unusable.answer
        except Transient:
            return self._ask_guarded(signal)

    def _ask_guarded(self, signal: Signal) -> AdvisorAnswer:
        name = f"advisor:{self.profile}"
        try:
            permit = self._breakers.ask(name)
            if not permit.is_allowed:
                return self._unavailable(UnavailableCause.BREAKER_OPEN, f"asked again in {permit.retry_after_s:.0f} s")
            wait = self._budgets.take(name, 1, self._policy.calls_max, self._policy.calls_per_s)
        except Transient:
            return self._inner.ask(signal)
        if (
            wait > 0
        ):  # A probe that is not sent keeps its lease until it lapses: nobody was asked, so nothing was learnt.
            return self._unavailable(UnavailableCause.BUDGET_SPENT, f"the next call is due in {wait:.0f} s")
        answer = self._inner.ask(signal)
        self._report(name, permit, is_well=answer.cause not in _ILL)
        return answer

    def _report(self, name: str, permit: Permit, *, is_well: bool) -> None:
        try:
            (self._breakers.succeeded if is_well else self._breakers.failed)(name, permit)
        except Transient:
            return  # The next failure will be counted.

    def _unavailable(self, cause: UnavailableCause, detail: str) -> AdvisorAnswer:
        return AdvisorAnswer(
            verdict=AdviceVerdict.UNAVAILABLE, reason=None, cause=cause, p_target_first=None, rationale=detail,
            model=self._model, prompt="", prompt_version=self._prompt_version, raw_answer="", latency_ms=0,
            tokens_in=0, tokens_out=0, cost_usd=Decimal(0),
        )  # fmt: skip


def _write(answer: AdvisorAnswer) -> str:
    return json.dumps(asdict(answer), default=str)


def _read(text: str) -> AdvisorAnswer:
    kept: dict[str, Any] = json.loads(text)
    return AdvisorAnswer(
        **kept
        | {
            "verdict": AdviceVerdict(kept["verdict"]),
            "reason": None if kept["reason"] is None else AdviceReason(kept["reason"]),
            "cause": None if kept["cause"] is None else UnavailableCause(kept["cause"]),
            "p_target_first": None if kept["p_target_first"] is None else Decimal(kept["p_target_first"]),
            "cost_usd": Decimal(kept["cost_usd"]),
        }
    )
