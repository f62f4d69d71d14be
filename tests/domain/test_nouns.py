"""The small nouns: money on a grid, markets, signals, jobs, and errors that say what to do next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.advice import advice_id
from common.domain.decision import decision_id
from common.domain.errors import (
    IllegalMove,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    Permanent,
    Refused,
    TradewindsError,
    Transient,
)
from common.domain.job import Job, JobRef, Stage, job_id
from common.domain.market import Candle, Level, OrderBook, Timeframe, walk
from common.domain.money import bps, ceil_to, floor_to, is_on_grid, round_to
from common.domain.signal import Side, signal_id
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D

GOOD = Candle(NOW, NOW + timedelta(minutes=5), D(100), D(110), D(90), D(105), D(3))


@given(st.decimals("-1000", "1000", places=6), st.sampled_from([D("0.001"), D("0.5"), D(3), D("0.07")]))
def test_the_grid_has_a_step_below_a_step_above_and_a_nearest(value: Decimal, step: Decimal) -> None:
    low, high, near = floor_to(value, step), ceil_to(value, step), round_to(value, step)
    assert low <= value <= high
    assert high - low in {0, step}
    assert near in {low, high}
    assert abs(near - value) * 2 <= step
    assert is_on_grid(low, step)
    assert is_on_grid(value, step) is (low == high)


def test_ties_go_to_the_even_step_and_basis_points_count_ten_thousandths() -> None:
    assert (round_to(D("0.5"), D(1)), round_to(D("1.5"), D(1))) == (D(0), D(2))
    assert bps(D(1), D(400)) == 25


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("5m", 300), ("4h", 14400), ("1d", 86400)])
def test_a_timeframe_reads_and_writes_itself(text: str, seconds: int) -> None:
    timeframe = Timeframe.parse(text)
    assert (timeframe.seconds, str(timeframe), timeframe.duration) == (seconds, text, timedelta(seconds=seconds))


@pytest.mark.parametrize("text", ["", "m", "0m", "5", "5s", "-5m", "1.5h", "five"])
def test_what_is_no_timeframe_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="timeframe"):
        Timeframe.parse(text)


def test_a_timeframe_of_odd_seconds_has_no_name() -> None:
    with pytest.raises(InvalidInput, match="whole number of minutes"):
        str(Timeframe(61))


@given(st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_candle_opens_at_or_before_every_instant_it_holds(instant: datetime) -> None:
    timeframe = Timeframe.parse("15m")
    opened = timeframe.floor(instant)
    assert opened <= instant < opened + timeframe.duration
    assert timeframe.floor(opened) == opened


def test_a_true_candle_is_itself() -> None:
    assert GOOD.check() is GOOD


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("candle.open", {"open": D("NaN")}),
        ("candle.high", {"high": D("Infinity")}),
        ("candle.low", {"low": D(0)}),
        ("candle.close", {"close": D(-1)}),
        ("candle.volume", {"volume": D(-1)}),
        ("candle.volume", {"volume": D("NaN")}),
        ("candle.high", {"high": D(104)}),
        ("candle.low", {"low": D(101)}),
        ("candle.closed_at", {"closed_at": NOW}),
    ],
)
def test_a_candle_that_cannot_be_is_refused_by_its_field(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        replace(GOOD, **changes).check()
    assert refusal.value.field == field


def test_a_book_has_a_middle_and_a_spread_while_both_sides_are_quoted() -> None:
    book = world.orders()
    assert (book.mid, book.spread_bps) == (D(40000), D("0.25"))
    assert replace(book, bids=()).mid is None
    assert replace(book, asks=()).spread_bps is None
    assert OrderBook((), (), NOW).mid is None


def test_walking_takes_the_best_levels_first() -> None:
    levels = (Level(D(100), D(1)), Level(D(101), D(1)), Level(D(110), D(5)))
    assert walk(levels, D(2)) == (D("100.5"), D(2))
    assert walk(levels, D(10)) == (D(751) / D(7), D(7))
    assert walk((), D(1)) == (D(0), D(0))


@given(st.lists(st.decimals("0.1", "5", places=1), min_size=1, max_size=6), st.decimals("0.1", "40", places=1))
def test_walking_never_gets_cheaper_with_size(quantities: list[Decimal], wanted: Decimal) -> None:
    levels = [Level(D(100 + n), quantity) for n, quantity in enumerate(quantities)]
    average, obtained = walk(levels, wanted)
    smaller, _ = walk(levels, wanted / 2)
    assert obtained == min(wanted, sum(quantities))
    assert smaller <= average <= levels[-1].price


def test_a_side_has_a_sign_and_an_opposite() -> None:
    assert [(side.sign, side.opposite) for side in Side] == [(1, Side.SHORT), (-1, Side.LONG)]


def test_fractional_exits_are_drawn_from_the_entry_and_rounded_away_from_it() -> None:
    plan = world.SIGNAL.exits
    both = replace(plan, stop_fraction=D("0.01"), target_fraction=D("0.02"))
    long, short = (both.drawn_from(D("100.03"), side, D("0.1")) for side in Side)
    assert (long.stop, long.target) == (D("99.0"), D("102.1"))
    assert (short.stop, short.target) == (D("101.1"), D("98.0"))
    assert plan.drawn_from(D(100), Side.LONG, D("0.1")) == plan
    only_target = replace(plan, target_fraction=D("0.02")).drawn_from(D(100), Side.LONG, D("0.1"))
    assert (only_target.stop, only_target.target) == (plan.stop, D("102.0"))


def test_the_same_question_always_has_the_same_id() -> None:
    question = ("simulator", world.SYMBOL, "5m", "confluence", "1")
    assert signal_id(*question, NOW) == signal_id(*question, NOW)
    assert signal_id(*question, NOW) != signal_id(*question, NOW + timedelta(minutes=5))
    one, two, three = UUID(int=1), UUID(int=2), UUID(int=3)
    assert advice_id(one, "a") == advice_id(one, "a") != advice_id(one, "b")
    assert decision_id(one, two, three) == decision_id(one, two, three) != decision_id(one, three, two)
    assert job_id(Stage.PLACE, "k") == job_id(Stage.PLACE, "k") != job_id(Stage.CANCEL, "k")


def test_a_message_names_a_job_by_ids_only() -> None:
    job = Job(UUID(int=1), Stage.SCAN, None, "key", {"a": 1}, UUID(int=2), None, NOW, NOW, None, 0)
    assert job.ref == JobRef(UUID(int=1), Stage.SCAN, None)


def test_errors_say_what_to_do_next() -> None:
    assert {item.__base__ for item in (Transient, Permanent, OutcomeUnknown)} == {TradewindsError}
    assert {item.__base__ for item in (InvalidInput, NotFound, Refused, IllegalMove)} == {Permanent}


def test_errors_name_what_they_are_about() -> None:
    assert str(InvalidInput("size", 3, "less")) == "size: 3 is not accepted; expected less"
    assert str(NotFound("tenant", "x")) == "no tenant 'x'"
    assert str(NotFound("tenant", "x", ["b", "a"])) == "no tenant 'x'; there is: a, b"
    assert str(Refused("-2019", "margin")) == "refused with -2019: margin"
    assert str(IllegalMove("order", 1, "a", "b")) == "order 1 cannot go from a to b"
