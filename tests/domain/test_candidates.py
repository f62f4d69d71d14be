"""Candidates: each filter at its limit, the ranking of two tops, and the majors where nothing was ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.candidates import (
    FROM_EXAMINATION,
    FROM_FIGURES,
    MAJORS,
    CandidateLimits,
    Cause,
    Examined,
    Figures,
    default_pool,
    first_objection,
    ranked,
)
from common.domain.market import Instrument, InstrumentStatus
from tests.services.doors import instrument

LIMITS = CandidateLimits()
EVERY = (*FROM_FIGURES, *FROM_EXAMINATION)


def figures(**changes: Any) -> Figures:
    """A market in which nothing is wrong."""
    sound = Figures("SOL/USDT:USDT", Decimal(100), Decimal("99.99"), Decimal("100.01"), Decimal(50_000_000))
    return replace(sound, **changes)


def examined(told: Figures | None = None, market: Instrument | None = None, **changes: Any) -> Examined:
    """An instrument to which nothing speaks against."""
    sound = Examined(
        instrument=market or instrument("SOL/USDT:USDT"),
        figures=told or figures(),
        deviation_bps=Decimal(5),
        market_cap=Decimal(10) ** 9,
        age=timedelta(days=30),
        day_range=Decimal("0.05"),
        open_interest=Decimal(20_000_000),
        score=Decimal(40),
    )
    return replace(sound, **changes)


def test_nothing_speaks_against_a_sound_market() -> None:
    assert first_objection(examined(), LIMITS, EVERY) is None


@pytest.mark.parametrize(
    ("item", "cause", "measured", "limit"),
    [
        (
            examined(market=replace(instrument("SOL/USDT:USDT"), status=InstrumentStatus.HALTED)),
            Cause.NOT_TRADING,
            0,
            1,
        ),
        (replace(examined(), figures=None), Cause.NO_FIGURES, 0, 1),
        (examined(figures(last=None)), Cause.NO_FIGURES, 0, 1),
        (examined(figures(turnover=None)), Cause.NO_FIGURES, 0, 1),
        (examined(figures(last=Decimal("0.04"))), Cause.PRICE_TOO_COARSE, 2500, 20),
        (examined(figures(bid=Decimal(99), ask=Decimal(101))), Cause.SPREAD_TOO_WIDE, 200, 30),
        (examined(figures(turnover=Decimal(999_999))), Cause.TURNOVER_TOO_SMALL, 999_999, 1_000_000),
        (examined(deviation_bps=Decimal(501)), Cause.PRICE_IN_DOUBT, 501, 500),
        (examined(age=timedelta(days=2)), Cause.TOO_YOUNG, 2, 3),
        (examined(age=None), Cause.TOO_YOUNG, 0, 3),
        (examined(day_range=Decimal("0.001")), Cause.TOO_QUIET, Decimal("0.001"), Decimal("0.003")),
        (examined(day_range=Decimal("0.9")), Cause.TOO_WILD, Decimal("0.9"), Decimal("0.75")),
        (examined(open_interest=Decimal(14_999_999)), Cause.INTEREST_TOO_SMALL, 14_999_999, 15_000_000),
    ],
)
def test_a_refusal_names_its_cause_and_two_numbers(item: Examined, cause: Cause, measured: Any, limit: Any) -> None:
    found = first_objection(item, LIMITS, EVERY)
    assert found is not None
    assert (found.cause, found.measured, found.limit) == (cause, measured, limit)


@pytest.mark.parametrize(
    "item",
    [
        examined(figures(turnover=LIMITS.turnover_min)),
        examined(deviation_bps=LIMITS.deviation_bps_max),
        examined(age=LIMITS.age_min),
        examined(day_range=LIMITS.day_range_min),
        examined(day_range=LIMITS.day_range_max),
        examined(open_interest=LIMITS.open_interest_min),
        examined(figures(bid=None)),
        examined(deviation_bps=None),
        examined(day_range=None),
        examined(open_interest=None),
    ],
)
def test_a_limit_may_be_reached_and_what_is_unknown_is_not_judged(item: Examined) -> None:
    assert first_objection(item, LIMITS, EVERY) is None


def test_what_has_no_figures_is_measured_nowhere() -> None:
    nothing = replace(examined(), figures=None)
    causes = [found.cause for judge in EVERY if (found := judge(nothing, LIMITS)) is not None]
    assert causes == [Cause.NO_FIGURES, Cause.TURNOVER_TOO_SMALL]


def named(name: str, **changes: Any) -> Examined:
    """A candidate of that name."""
    return examined(market=instrument(f"{name}/USDT:USDT"), **changes)


def bases(symbols: Sequence[str]) -> str:
    """Base assets in a row."""
    return "".join(symbol[0] for symbol in symbols)


def test_the_pool_is_the_top_by_score_and_then_the_top_by_interest_each_once() -> None:
    passed = [
        named("A", score=Decimal(10), open_interest=Decimal(900)),
        named("B", score=Decimal(70), open_interest=Decimal(100)),
        named("C", score=Decimal(60), open_interest=Decimal(800)),
        named("D", score=Decimal(20), open_interest=Decimal(850)),
        named("E", score=None, open_interest=None),
    ]
    assert bases(ranked(passed, replace(LIMITS, score_top=2, interest_top=3))) == "BCAD"
    assert bases(ranked(passed, replace(LIMITS, score_top=2, interest_top=3, pool_max=3))) == "BCA"


def test_equal_scores_are_told_apart_by_market_cap_turnover_and_name() -> None:
    one = Decimal(1)
    passed = [
        named("D", market_cap=None, open_interest=None),
        named("C", told=figures(turnover=Decimal(1)), market_cap=one, open_interest=None),
        named("B", told=figures(turnover=Decimal(2)), market_cap=one, open_interest=None),
        named("A", market_cap=Decimal(2), open_interest=None),
        replace(named("E", market_cap=None, open_interest=None), figures=None),
    ]
    assert bases(ranked(passed, LIMITS)) == "ABCDE"


@given(scores=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 10**9)), min_size=0, max_size=120))
def test_a_pool_is_never_larger_than_forty_and_holds_nobody_twice(scores: list[tuple[int, int]]) -> None:
    passed = [
        named(f"N{number}", score=Decimal(score), open_interest=Decimal(held))
        for number, (score, held) in enumerate(scores)
    ]
    pool = ranked(passed, LIMITS)
    assert len(pool) == len(set(pool)) <= 40
    assert len(pool) >= min(20, len(passed))


def test_the_default_pool_is_twenty_majors_as_far_as_they_trade() -> None:
    listed = [instrument(f"{base}/USDT:USDT") for base in ("PEPE", "SOL", "ETH", "BTC")]
    halted = replace(instrument("BNB/USDT:USDT"), status=InstrumentStatus.HALTED)
    assert bases(default_pool([*listed, halted])) == "BES"
    assert len(set(MAJORS)) == 20
