"""Exits: the worst is believed first, a stop is only ever tightened, and no gate stands in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.exits import (
    NO_TACTICS,
    ExitDecision,
    ExitTactics,
    decide_exit,
    gain,
    liquidation_price,
    stop_price_now,
    track,
)
from common.domain.position import CloseReason, Position
from common.domain.signal import ExitPlan, Side
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D

LONG = Position(
    id=UUID(int=5),
    tenant_id=world.TENANT,
    account_id=world.ACCOUNT,
    venue="simulator",
    instrument=world.SYMBOL,
    side=Side.LONG,
    strategy="confluence",
    signal_id=world.SIGNAL.id,
    leverage=5,
    exits=ExitPlan(stop=D(95), target=D(110)),
    quantity=D(2),
    opened_quantity=D(2),
    entry_price=D(100),
    best_price=D(100),
    opened_at=NOW,
)
SHORT = replace(LONG, side=Side.SHORT, exits=ExitPlan(stop=D(105), target=D(90)))
BOTH = [LONG, SHORT]


def leaving(position: Position, mark: object, **changes: Any) -> ExitDecision | None:
    return decide_exit(position, D(str(mark)), now=NOW + timedelta(seconds=10), **changes)


def planned(position: Position, **changes: Any) -> Position:
    return replace(position, exits=replace(position.exits, **changes))


@pytest.mark.parametrize(
    ("position", "mark", "reason"),
    [
        (LONG, "95.1", None),
        (LONG, "95", CloseReason.STOP),
        (LONG, "94", CloseReason.STOP),
        (LONG, "109.9", None),
        (LONG, "110", CloseReason.TARGET),
        (LONG, "111", CloseReason.TARGET),
        (SHORT, "104.9", None),
        (SHORT, "105", CloseReason.STOP),
        (SHORT, "106", CloseReason.STOP),
        (SHORT, "90.1", None),
        (SHORT, "90", CloseReason.TARGET),
        (SHORT, "89", CloseReason.TARGET),
    ],
)
def test_stop_and_target_are_left_at_and_beyond(position: Position, mark: str, reason: CloseReason | None) -> None:
    decision = leaving(position, mark)
    assert (decision and decision.reason) == reason
    assert decision is None or decision.price == D(mark)


def test_a_candle_that_touches_both_is_a_stop() -> None:
    assert leaving(LONG, 100, high=D(111), low=D(94)) == ExitDecision(CloseReason.STOP, D(95))
    assert leaving(SHORT, 100, high=D(106), low=D(89)) == ExitDecision(CloseReason.STOP, D(105))


def test_a_candle_that_touches_the_target_alone_is_left_at_the_target() -> None:
    assert leaving(LONG, 105, high=D(111), low=D(99)) == ExitDecision(CloseReason.TARGET, D(110))


def test_a_candle_wholly_beyond_is_left_at_its_mark() -> None:
    assert leaving(LONG, 91, high=D(93), low=D(90)) == ExitDecision(CloseReason.STOP, D(91))
    assert leaving(LONG, 113, high=D(115), low=D(112)) == ExitDecision(CloseReason.TARGET, D(113))


def test_what_is_not_held_or_not_a_price_decides_nothing() -> None:
    assert leaving(replace(LONG, quantity=D(0)), 1) is None
    assert leaving(LONG, "NaN") is None
    assert leaving(LONG, "0") is None
    assert track(LONG, D("NaN")) is LONG
    assert track(LONG, D(-1)) is LONG


@pytest.mark.parametrize(("position", "sign"), [(LONG, 1), (SHORT, -1)])
def test_a_trailing_stop_follows_the_best_price_once_it_is_active(position: Position, sign: int) -> None:
    trailing = planned(position, target=None, trail_distance=D(2), trail_activation=D(3))
    almost = track(trailing, D(100) + sign * D("2.9"))
    active = track(trailing, D(100) + sign * D(4))
    assert stop_price_now(almost) == position.exits.stop
    assert stop_price_now(active) == D(100) + sign * D(2)
    assert leaving(active, D(100) + sign * D("2.1")) is None
    assert leaving(active, D(100) + sign * 2) == ExitDecision(CloseReason.TRAILING, D(100) + sign * 2)


def test_without_an_activation_the_trail_is_active_at_once() -> None:
    assert stop_price_now(planned(LONG, trail_distance=D(1))) == D(99)


def test_a_wide_trail_never_loosens_the_stop() -> None:
    assert stop_price_now(planned(LONG, trail_distance=D(50))) == D(95)


def test_the_trail_of_a_candle_starts_with_the_next_one() -> None:
    trailing = planned(LONG, target=None, trail_distance=D(2))
    assert leaving(trailing, D(105), high=D(106), low=D("98.5")) is None
    assert leaving(track(trailing, D(106)), D(105), high=D(105), low=D(104)) == ExitDecision(
        CloseReason.TRAILING, D(104)
    )


def test_time_ends_a_position_at_its_longest_hold() -> None:
    held = planned(LONG, max_hold=timedelta(seconds=10))
    assert leaving(held, 100) == ExitDecision(CloseReason.TIME, D(100))
    assert leaving(planned(LONG, max_hold=timedelta(seconds=11)), 100) is None
    assert leaving(replace(held, opened_at=None), 100) is None


def test_the_shortest_hold_delays_a_target_and_never_a_stop() -> None:
    held = planned(LONG, min_hold=timedelta(seconds=11))
    assert leaving(held, 111) is None
    assert leaving(planned(LONG, min_hold=timedelta(seconds=10)), 111) is not None
    assert leaving(held, 94) == ExitDecision(CloseReason.STOP, D(94))


@pytest.mark.parametrize("position", BOTH)
def test_a_profit_lock_keeps_what_was_reached(position: Position) -> None:
    tactics, sign = ExitTactics(lock_at=D("0.03"), lock_keep=D("0.01")), position.side.sign
    reached = track(position, D(100) + sign * 3)
    assert stop_price_now(position, tactics) == position.exits.stop
    assert stop_price_now(reached, tactics) == D(100) + sign
    assert leaving(reached, D(100) + sign, tactics=tactics) == ExitDecision(CloseReason.TRAILING, D(100) + sign)


def test_peak_give_back_closes_when_the_share_is_lost() -> None:
    tactics = ExitTactics(give_back_at=D("0.05"), give_back=D("0.4"))
    peaked = track(LONG, D(108))
    assert stop_price_now(peaked, tactics) == D("104.8")
    assert stop_price_now(track(LONG, D(104)), tactics) == D(95)


def test_a_part_is_closed_once() -> None:
    tactics = ExitTactics(partial_at=D("0.02"), partial_fraction=D("0.5"))
    assert leaving(LONG, 102, tactics=tactics) == ExitDecision(CloseReason.TARGET, D(102), D("0.5"))
    assert leaving(LONG, 101, tactics=tactics) is None
    assert leaving(replace(LONG, quantity=D(1)), 102, tactics=tactics) is None


def test_an_idle_position_is_ended_and_an_earning_one_is_not() -> None:
    tactics = ExitTactics(idle_after=timedelta(seconds=10), idle_gain=D("0.01"))
    assert leaving(LONG, "100.9", tactics=tactics) == ExitDecision(CloseReason.TIME, D("100.9"))
    assert leaving(LONG, 101, tactics=tactics) is None
    assert leaving(LONG, 100, tactics=replace(tactics, idle_after=timedelta(seconds=11))) is None


def test_nothing_is_gained_before_the_first_fill() -> None:
    unfilled = replace(LONG, entry_price=D(0), best_price=D(0))
    assert gain(unfilled, D(50)) == 0
    assert liquidation_price(unfilled, world.INSTRUMENT) is None


def test_liquidation_is_where_margin_and_loss_meet_the_maintenance_margin() -> None:
    long, short = liquidation_price(LONG, world.INSTRUMENT), liquidation_price(SHORT, world.INSTRUMENT)
    keep = world.INSTRUMENT.maintenance_margin
    assert long is not None
    assert short is not None
    assert D(20) + (long - 100) == pytest.approx(keep * long)
    assert D(20) - (short - 100) == pytest.approx(keep * short)
    assert liquidation_price(replace(LONG, leverage=1), world.INSTRUMENT) is None


marks = st.lists(st.decimals("60", "140", places=1), min_size=1, max_size=20)
tactics_drawn = st.builds(
    ExitTactics,
    lock_at=st.one_of(st.none(), st.decimals("0.01", "0.1", places=2)),
    lock_keep=st.decimals("0", "0.01", places=3),
    give_back_at=st.one_of(st.none(), st.decimals("0.01", "0.1", places=2)),
)
trails = st.one_of(st.none(), st.decimals("0.1", "20", places=1))


@given(st.sampled_from(BOTH), marks, tactics_drawn, trails, st.one_of(st.none(), st.decimals("0", "9", places=1)))
def test_a_stop_in_force_is_never_loosened(
    position: Position, seen: list[Decimal], tactics: ExitTactics, trail: Decimal | None, activation: Decimal | None
) -> None:
    sign = position.side.sign
    held = planned(position, trail_distance=trail, trail_activation=activation)
    stops = [stop_price_now(held, tactics)]
    for mark in seen:
        held = track(held, mark)
        stops.append(stop_price_now(held, tactics))
    steps = [(after - before) * sign for before, after in pairwise(stops)]
    assert min(steps) >= 0
    assert (stops[0] - position.exits.stop) * sign >= 0


@given(st.sampled_from(BOTH), marks, trails, st.decimals("60", "140", places=1), st.decimals("0", "30", places=1))
def test_what_is_stopped_at_one_price_is_stopped_at_every_worse_one(
    position: Position, seen: list[Decimal], trail: Decimal | None, mark: Decimal, worse_by: Decimal
) -> None:
    held = planned(position, trail_distance=trail)
    for price in seen:
        held = track(held, price)
    worse = mark - held.side.sign * worse_by
    stopping = {CloseReason.STOP, CloseReason.TRAILING}
    here, there = leaving(held, mark), leaving(held, worse)
    is_stopped, is_stopped_there = (item is not None and item.reason in stopping for item in (here, there))
    assert is_stopped <= is_stopped_there


@given(st.sampled_from(BOTH), st.decimals("60", "140", places=1), st.integers(0, 100), st.integers(0, 100))
def test_what_is_left_now_is_left_later(position: Position, mark: Decimal, early: int, more: int) -> None:
    held = planned(position, min_hold=timedelta(seconds=20), max_hold=timedelta(seconds=60))
    now = decide_exit(held, mark, now=NOW + timedelta(seconds=early))
    later = decide_exit(held, mark, now=NOW + timedelta(seconds=early + more))
    assert (now is not None) <= (later is not None)


@given(st.sampled_from(BOTH), marks)
def test_seeing_marks_in_any_order_leaves_the_same_best_price(position: Position, seen: list[Decimal]) -> None:
    forwards, backwards = position, position
    for mark, other in zip(seen, reversed(seen), strict=True):
        forwards, backwards = track(forwards, mark), track(backwards, other)
    assert forwards.best_price == backwards.best_price


def test_no_tactics_are_the_default() -> None:
    assert ExitTactics() == NO_TACTICS
