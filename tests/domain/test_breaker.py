"""The breaker trips on each of its five thresholds, and its cool-down ends by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from common.domain import breaker
from common.domain.position import CloseReason
from common.domain.risk.book import EVERY_INSTRUMENT, Record
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Rule
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D
from tests.domain.test_performance import trade

RATED = {"closed_trades": 20}

TRIPS: list[tuple[Rule, dict[str, Any], dict[str, Any]]] = [
    (Rule.DAILY_LOSS_EXCEEDS_LIMIT, {"day_profit": D(-499)}, {"day_profit": D(-500)}),
    (Rule.DRAWDOWN_EXCEEDS_LIMIT, {"peak_equity": D(11700)}, {"peak_equity": D(11800)}),
    (Rule.CONSECUTIVE_LOSSES_EXCEED_LIMIT, {"consecutive_losses": 9}, {"consecutive_losses": 10}),
    (Rule.WIN_RATE_BELOW_FLOOR, RATED | {"win_rate": D("0.25")}, RATED | {"win_rate": D("0.24")}),
    (Rule.SHARPE_BELOW_FLOOR, RATED | {"sharpe": D("-0.5")}, RATED | {"sharpe": D("-0.6")}),
]


def record(**changes: Any) -> Record:
    return replace(world.RECORD, **changes)


@pytest.mark.parametrize(("rule", "within", "beyond"), TRIPS, ids=[str(row[0]) for row in TRIPS])
def test_a_threshold_trips_for_a_day_when_it_is_reached(
    rule: Rule, within: dict[str, Any], beyond: dict[str, Any]
) -> None:
    trip = breaker.trip(record(**beyond), world.LIMITS, NOW)
    assert breaker.trip(record(**within), world.LIMITS, NOW) is None
    assert trip is not None
    assert (trip.rule, trip.until) == (rule, NOW + timedelta(hours=24))
    assert trip.unit


def test_every_threshold_is_tried() -> None:
    assert [row[0] for row in TRIPS] == list(breaker.THRESHOLDS)


def test_a_profit_of_any_size_is_no_loss() -> None:
    assert breaker.trip(record(day_profit=D(5000)), world.LIMITS, NOW) is None


def test_rates_wait_for_their_samples() -> None:
    assert breaker.trip(record(win_rate=D(0), sharpe=D(-9), closed_trades=19), world.LIMITS, NOW) is None


def test_a_trip_is_not_repeated_while_it_lasts_and_ends_by_itself() -> None:
    broken = record(consecutive_losses=10, cooling_until=NOW + timedelta(seconds=1))
    assert breaker.trip(broken, world.LIMITS, NOW) is None
    ended = replace(broken, cooling_until=NOW)
    healed = record(cooling_until=NOW)
    assert breaker.trip(ended, world.LIMITS, NOW) is not None
    assert breaker.trip(healed, world.LIMITS, NOW) is None


def test_equity_may_be_given_and_the_cool_down_may_be_another() -> None:
    limits = world.limits(breaker_cooldown_min=timedelta(hours=1))
    trip = breaker.trip(world.RECORD, limits, NOW, equity=D(8000))
    assert trip is not None
    assert (trip.rule, trip.measured, trip.limit) == (Rule.DRAWDOWN_EXCEEDS_LIMIT, D("0.2"), D("0.15"))
    assert trip.until == NOW + timedelta(hours=1)


def test_without_limits_nothing_trips() -> None:
    lost = record(day_profit=D(-9000), consecutive_losses=99, win_rate=D(0), sharpe=D(-9), closed_trades=99)
    assert breaker.trip(lost, Limits(), NOW) is None


def test_without_a_named_cool_down_it_lasts_a_day() -> None:
    trip = breaker.trip(record(consecutive_losses=3), Limits(consecutive_losses_max=3), NOW)
    assert trip is not None
    assert trip.until == NOW + breaker.COOLDOWN


RESTS = Limits(symbol_cooldown_min=timedelta(minutes=2), stop_cooldown_min=timedelta(minutes=15))


@pytest.mark.parametrize("reason", list(CloseReason))
def test_a_loss_at_the_stop_or_by_the_venue_rests_its_market_and_every_market(reason: CloseReason) -> None:
    rests = breaker.stop_rests(trade(0, -5, close_reason=reason), RESTS)
    is_stopped_out = reason in {CloseReason.STOP, CloseReason.LIQUIDATION}
    asked = {world.SYMBOL: timedelta(minutes=2), EVERY_INSTRUMENT: timedelta(minutes=15)}
    assert rests == (asked if is_stopped_out else {})


def test_nothing_rests_after_a_stop_that_earned_or_where_no_limit_asks_for_it() -> None:
    assert breaker.stop_rests(trade(0, 5, close_reason=CloseReason.STOP), RESTS) == {}
    lost = trade(0, -5, close_reason=CloseReason.STOP)
    assert breaker.stop_rests(lost, Limits(stop_cooldown_min=timedelta(0))) == {}
    assert breaker.stop_rests(lost, replace(RESTS, stop_cooldown_min=None)) == {world.SYMBOL: timedelta(minutes=2)}
