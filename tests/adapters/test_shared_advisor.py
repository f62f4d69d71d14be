"""The shared advisor: one question for everybody, none while it is down, no more than its budget."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from common.adapters.memory_state import MemoryBreakers, MemoryBudgets, MemorySingleFlight
from common.adapters.openai_advisor import SharedAdvisor, SharingPolicy
from common.adapters.redis_state import RedisBreakers, RedisBudgets, RedisSingleFlight, connect_redis
from common.domain.advice import AdviceReason, AdviceVerdict, UnavailableCause
from common.domain.signal import Signal
from common.ports.advisor import AdvisorAnswer
from tests.adapters.test_openai_advisor import SIGNAL

GOOD = AdvisorAnswer(
    AdviceVerdict.CONFIRM, AdviceReason.TREND_ALIGNED, None, Decimal("0.54"), "yes", "m", "p", "v1", "{}", 12, 900, 100,
    Decimal("0.000154"),
)  # fmt: skip
DOWN = replace(
    GOOD, verdict=AdviceVerdict.UNAVAILABLE, reason=None, cause=UnavailableCause.TIMEOUT, p_target_first=None
)


@dataclass(slots=True)
class ScriptedAdvisor:
    """Answers what it is told to, and counts."""

    answer: AdvisorAnswer = GOOD
    asked: list[Signal] = field(default_factory=list)
    profile: str = "default"

    def ask(self, signal: Signal) -> AdvisorAnswer:
        self.asked.append(signal)
        return self.answer


def shared(inner: ScriptedAdvisor, policy: SharingPolicy | None = None) -> SharedAdvisor:
    parts = (MemorySingleFlight(), MemoryBreakers(failures_max=2, open_s=60), MemoryBudgets())
    return SharedAdvisor(inner, "v1", "m", *parts, policy)


def other(number: int) -> Signal:
    return replace(SIGNAL, price=SIGNAL.price + number)


def test_the_same_question_is_asked_once_and_answered_alike_to_the_last_digit() -> None:
    inner = ScriptedAdvisor()
    advisor = shared(inner)
    assert [advisor.ask(SIGNAL), advisor.ask(SIGNAL)] == [GOOD, GOOD]
    assert len(inner.asked) == 1


def test_any_difference_in_what_the_model_would_see_is_another_question() -> None:
    advisor = shared(ScriptedAdvisor())
    keys = {advisor.key(signal) for signal in (SIGNAL, other(1), replace(SIGNAL, reasons=()))}
    assert len(keys) == 3
    assert SharedAdvisor(ScriptedAdvisor(), "v2", "m", *[None] * 3).key(SIGNAL) not in keys


def test_an_unusable_answer_is_not_kept() -> None:
    inner = ScriptedAdvisor(DOWN)
    advisor = shared(inner)
    assert advisor.ask(SIGNAL).cause is UnavailableCause.TIMEOUT
    inner.answer = GOOD
    assert advisor.ask(SIGNAL) == GOOD


def test_an_advisor_that_is_down_is_spared() -> None:
    inner = ScriptedAdvisor(DOWN)
    advisor = shared(inner)
    causes = [advisor.ask(other(number)).cause for number in range(4)]
    assert causes == [UnavailableCause.TIMEOUT] * 2 + [UnavailableCause.BREAKER_OPEN] * 2
    assert len(inner.asked) == 2


def test_nonsense_in_an_answer_does_not_open_the_breaker() -> None:
    inner = ScriptedAdvisor(replace(DOWN, cause=UnavailableCause.MALFORMED))
    advisor = shared(inner)
    assert [advisor.ask(other(n)).cause for n in range(5)] == [UnavailableCause.MALFORMED] * 5


def test_calls_beyond_the_budget_are_not_made() -> None:
    inner = ScriptedAdvisor()
    advisor = shared(inner, SharingPolicy(calls_max=3, calls_per_s=0.001))
    causes = [advisor.ask(other(number)).cause for number in range(4)]
    assert causes == [None, None, None, UnavailableCause.BUDGET_SPENT]
    assert len(inner.asked) == 3


@pytest.mark.parametrize("times", [1, 2])
def test_without_the_shared_state_the_model_is_asked_directly(times: int) -> None:
    inner = ScriptedAdvisor()
    with connect_redis("redis://127.0.0.1:1/0") as nobody:
        parts = (RedisSingleFlight(nobody), RedisBreakers(nobody), RedisBudgets(nobody))
        advisor = SharedAdvisor(inner, "v1", "m", *parts)
        assert [advisor.ask(SIGNAL) for _ in range(times)] == [GOOD] * times
    assert len(inner.asked) == times
