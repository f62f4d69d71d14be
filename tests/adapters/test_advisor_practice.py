"""The advisor against the practice world's model endpoint: the two sides of the protocol understand each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.adapters.clock import FollowedClock
from common.adapters.openai_advisor import OpenAIAdvisor, StructuredMode
from common.domain.advice import AdviceVerdict, UnavailableCause
from common.ports.advisor import AdvisorAnswer
from tests.adapters.test_openai_advisor import SIGNAL
from tests.simulator_process import SimulatorProcess, start


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorProcess]:
    process = start(speed=60, symbols="BTCUSDT")
    yield process
    process.stop()


def ask(world: SimulatorProcess, **settings: object) -> AdvisorAnswer:
    arguments = {"deadline_s": 3.0} | settings
    clock = FollowedClock(world.url)
    advisor = OpenAIAdvisor("practice", f"{world.url}/v1", "any-key", "simulated-rules-1", clock, **arguments)
    signal = replace(SIGNAL, features={"rsi": 28.0, "ema_fast": 60010.0, "ema_slow": 59990.0, "volume_ratio": 1.4})
    return advisor.ask(signal)


@pytest.mark.parametrize("mode", StructuredMode)
@pytest.mark.parametrize("prompt", ["balanced", "skeptic"])
def test_a_question_is_answered_in_every_mode(world: SimulatorProcess, mode: StructuredMode, prompt: str) -> None:
    answer = ask(world, structured_mode=mode, prompt=prompt)
    assert answer.cause is None, answer.raw_answer
    assert answer.verdict in (AdviceVerdict.CONFIRM, AdviceVerdict.REJECT, AdviceVerdict.ABSTAIN)
    assert answer.tokens_in > 0
    assert answer.cost_usd > 0


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("wrong_symbol", UnavailableCause.WRONG_SUBJECT),
        ("truncated", UnavailableCause.MALFORMED),
        ("empty", UnavailableCause.MALFORMED),
        ("refusal", UnavailableCause.REFUSED),
        ("bad_json", UnavailableCause.MALFORMED),
        ("fenced_json", UnavailableCause.MALFORMED),
        ("hang", UnavailableCause.TIMEOUT),
        ("drip", UnavailableCause.TIMEOUT),
    ],
)
def test_every_way_of_failing_is_told_by_its_cause(world: SimulatorProcess, kind: str, cause: UnavailableCause) -> None:
    world.fault("model.reply", kind, count=2, params={"seconds": 20})
    try:
        assert ask(world, deadline_s=1.0).cause is cause
    finally:
        world.heal()


def test_one_broken_answer_is_repaired(world: SimulatorProcess) -> None:
    world.fault("model.reply", "bad_json", count=1)
    assert ask(world).cause is None
