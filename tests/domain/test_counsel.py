"""Counsel: recorded answers are heard as the fleet's judges hear them, and what is not answered waits."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from uuid import UUID

import pytest

from common.domain import strategies
from common.domain.advice import Advice, AdviceReason, AdviceVerdict, AdvisorFallback, UnavailableCause, advice_id
from common.domain.backtest import Assumptions, Counsel, Result, Setup, Witness, run
from common.domain.market import EPOCH
from common.domain.risk.limits import PROFILES
from common.domain.risk.verdict import Rule
from tests.domain.features_candles import walk
from tests.domain.test_backtest import market, outcome_of

RULES = (strategies.get("rsi_mean_reversion"), strategies.get("ema_crossover"))
MODEL = Assumptions(depth_share=Decimal(5), participation=None)
MIXED = (AdviceVerdict.CONFIRM, AdviceVerdict.REJECT, AdviceVerdict.ABSTAIN, AdviceVerdict.UNAVAILABLE)


def setup(counsel: Counsel | None = None) -> Setup:
    """Two markets and two strategies inside limits that refuse some of their signals."""
    symbols = ("BTC/USDT:USDT", "ETH/USDT:USDT")
    places = tuple(market(walk(seed, 900), name, "0.0002") for seed, name in enumerate(symbols))
    return Setup(places, RULES, PROFILES["standard"], Decimal(20_000), MODEL, counsel=counsel)


def answer(signal: UUID, verdict: AdviceVerdict) -> Advice:
    """An answer that says no more than `verdict`."""
    is_usable = verdict is not AdviceVerdict.UNAVAILABLE
    return Advice(
        advice_id(signal, "default"), signal, "default", verdict, AdviceReason.INSUFFICIENT_EVIDENCE if is_usable else None,
        None if is_usable else UnavailableCause.TIMEOUT, None, "", "model", "", "1", "", 1, 0, 0, Decimal(0), EPOCH,
    )  # fmt: skip


def ids(result: Result) -> list[UUID]:
    return [result.signal(item).id for item in result.decisions]


def answered(*verdicts: AdviceVerdict, fallback: AdvisorFallback = AdvisorFallback.WAIT) -> Counsel:
    """Every signal answered, by `verdicts` in turn."""
    signals = ids(run(setup()))
    answers = {signal: answer(signal, verdicts[number % len(verdicts)]) for number, signal in enumerate(signals)}
    return Counsel(answers, fallback)


def vetoes(result: Result) -> Counter[Rule]:
    return Counter(item.veto.rule for item in result.decisions if item.veto)


def test_confirming_everything_changes_nothing() -> None:
    alone, advised = run(setup()), run(setup(answered(AdviceVerdict.CONFIRM)))
    assert len(alone.positions) > 20
    assert (advised.positions, advised.final_equity) == (alone.positions, alone.final_equity)
    assert (advised.judged, advised.unanswered) == (alone.judged, 0)


def test_the_fast_way_hears_the_same_answers_as_the_judge_at_every_entry() -> None:
    counsel = answered(*MIXED)
    fast, slow = run(setup(counsel)), run(setup(counsel), judge_all=True)
    assert fast.positions == slow.positions
    assert [outcome_of(item) for item in fast.decisions] == [outcome_of(item) for item in slow.decisions]
    assert fast.judged < slow.judged
    assert {Rule.ADVISOR_REJECTED, Rule.ADVISOR_ABSTAINED, Rule.ADVISOR_UNAVAILABLE} <= vetoes(fast).keys()


def test_no_signal_is_filled_that_was_not_confirmed() -> None:
    counsel = answered(*MIXED)
    result = run(setup(counsel))
    said = {counsel.answers[position.signal_id].verdict for position in result.positions if position.signal_id}
    assert said == {AdviceVerdict.CONFIRM}


@pytest.mark.parametrize(("fallback", "fills"), [(AdvisorFallback.WAIT, False), (AdvisorFallback.TECHNICAL, True)])
def test_what_was_never_answered_waits_unless_the_technical_signal_is_enough(
    fallback: AdvisorFallback, fills: bool
) -> None:
    result = run(setup(Counsel({}, fallback)))
    assert bool(result.positions) is fills
    assert (Rule.ADVISOR_UNAVAILABLE in vetoes(result)) is not fills
    assert result.unanswered == len(result.decisions)


def test_who_asks_why_is_shown_the_answer() -> None:
    counsel = answered(AdviceVerdict.REJECT)
    (first, *_) = run(setup(counsel)).decisions
    witness = Witness(frozenset({(first.market, first.strategy, first.bar)}))
    run(setup(counsel), witness=witness)
    (trial,) = witness.seen.values()
    crossed = [item.rule for item in trial.assessments() if item.is_crossed]
    assert Rule.ADVISOR_REJECTED in crossed
    assert trial.advice == counsel.answers[trial.signal.id]
