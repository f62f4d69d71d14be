"""Sizing buys what the risk budget may lose at the stop, rounded down, inside every limit's room."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.domain import sizing
from common.domain.market import Level, walk
from common.domain.risk.caps import Cap, base_of, terms_of
from common.domain.risk.verdict import Rule
from common.domain.signal import Side
from tests.domain import risk_world as world
from tests.domain.risk_world import D

PRICES = st.decimals("100", "90000", places=1)
FRACTIONS = st.decimals("0.0005", "0.05", places=4)


def test_the_budget_over_the_distance_to_the_stop_and_both_fees() -> None:
    terms = terms_of(world.INSTRUMENT, "x", D(40000), D(39700), 3, world.LIMITS)
    assert terms.unit_risk == D(300) + D("0.0005") * (D(40000) + D(39700))
    assert sizing.fixed_fraction(D(1000), terms.unit_risk) == pytest.approx(D("2.9425"), rel=D("0.0001"))


def test_nothing_is_bought_with_no_budget_or_no_measure_of_risk() -> None:
    assert sizing.fixed_fraction(D(0), D(1)) == 0
    assert sizing.fixed_fraction(D(10), D(0)) == 0


def test_kelly_is_the_edge_over_the_odds_and_never_leaves_zero_to_one() -> None:
    assert sizing.kelly(D("0.6"), D(2)) == D("0.4")
    assert sizing.kelly(D("0.3"), D(1)) == 0
    assert sizing.kelly(D(1), D(9)) == 1
    assert sizing.kelly(D("0.6"), D(0)) == 0
    assert sizing.kelly_mean_variance(D("0.10"), D("0.25"), D("0.05")) == D("0.1")
    assert sizing.kelly_mean_variance(D("0.10"), D(0)) == 0
    assert sizing.kelly_mean_variance(D(5), D("0.01")) == 1


def test_kelly_caps_the_risk_fraction_and_never_lifts_it() -> None:
    limits = world.limits(kelly_share_max=D("0.25"))
    poor = sizing.risk_fraction(limits, D(1), D("0.35"), D(2))
    assert poor == D("0.25") * sizing.kelly(D("0.35"), D(2))
    assert sizing.risk_fraction(limits, D(1), D("0.9"), D(3)) == limits.risk_fraction_max
    assert sizing.risk_fraction(limits, D(1), None, D(3)) == limits.risk_fraction_max
    assert sizing.risk_fraction(world.limits(risk_fraction_max=None), D(1), None, None) == 0


@given(st.decimals(-2, 3, places=3))
def test_confidence_moves_the_size_between_half_and_all_of_the_limit(confidence: Decimal) -> None:
    assert D("0.5") <= sizing.modulation(confidence) <= 1


def test_news_of_high_impact_halve_the_size() -> None:
    shares = [sizing.news_share(impact) for impact in (None, "low", "high", "critical", "apocalyptic")]
    assert shares == [1, 1, D("0.5"), D("0.5"), D("0.5")]


@given(st.integers(1, 50), PRICES, FRACTIONS)
def test_leverage_keeps_liquidation_beyond_the_stop(asked: int, price: Decimal, distance: Decimal) -> None:
    limits = world.limits(entry_leverage_max=asked, leverage_max=20, major_leverage_max=50)
    stop = price * (1 - distance)
    leverage = sizing.leverage_for(world.INSTRUMENT, price, stop, limits)
    assert 1 <= leverage <= max(1, asked)
    liquidation = price * (1 - 1 / Decimal(leverage)) / (1 - world.INSTRUMENT.maintenance_margin)
    assert leverage == 1 or price - liquidation >= sizing.LIQUIDATION_BUFFER * (price - stop)


def test_leverage_defaults_to_one_and_respects_the_venue() -> None:
    free = replace(world.INSTRUMENT, maintenance_margin=D(0), max_leverage=2)
    assert sizing.leverage_for(world.INSTRUMENT, D(100), D(99), world.limits(entry_leverage_max=None)) == 1
    assert sizing.leverage_for(free, D(100), D(100), world.LIMITS) == 2


def test_room_names_the_limit_that_binds() -> None:
    terms = terms_of(world.INSTRUMENT, "confluence", D(40000), D(39700), 3, world.LIMITS)
    held = world.exposure(notional=D(26000), strategy="confluence")
    room = sizing.room(world.book(exposures=(held,)), world.LIMITS, terms, Side.LONG, world.orders())
    assert room.binding is Rule.STRATEGY_EXPOSURE_EXCEEDS_LIMIT
    assert room.quantity == 0
    assert room.by_rule[Rule.EXPOSURE_EXCEEDS_LIMIT] == pytest.approx(D(4000) / (D(40000) * D("1.002")))
    assert room.by_rule[Rule.MARGIN_EXCEEDS_LIMIT] > 0
    assert min(room.by_rule.values()) == room.quantity


def test_without_a_slippage_limit_the_depth_itself_is_the_room() -> None:
    limits = world.limits(slippage_bps_max=None)
    terms = terms_of(world.INSTRUMENT, "confluence", D(40000), D(39700), 3, limits)
    room = sizing.room(world.BOOK, limits, terms, Side.LONG, world.orders())
    assert room.by_rule[Rule.SLIPPAGE_TOO_HIGH] == D(60)


def test_a_cap_that_nothing_adds_to_gives_no_room() -> None:
    assert Cap(D(0), D(10), D(0), "USDT").room() == 0
    assert Cap(D(11), D(10), D(1), "USDT").room() == 0


def test_the_base_of_a_symbol() -> None:
    assert [base_of(symbol) for symbol in ("BTC/USDT:USDT", "ETH/USDT", "SOL")] == ["BTC", "ETH", "SOL"]


@given(
    st.lists(st.tuples(st.integers(0, 200), st.decimals("0.001", "5", places=3)), min_size=1, max_size=8),
    st.decimals("0.1", "50", places=1),
    st.sampled_from(Side),
)
def test_the_depth_room_is_the_most_that_the_slippage_limit_allows(
    steps: list[tuple[int, Decimal]], limit: Decimal, side: Side
) -> None:
    mid = D(40000)
    levels = tuple(Level(mid + side.sign * (1 + gap), quantity) for gap, quantity in sorted(steps))
    room = sizing.depth_room(levels, mid, side, limit)
    total = sum(level.quantity for level in levels)
    within, more = walk(levels, room)[0], walk(levels, room + D("0.001"))[0]
    assert room == 0 or (within - mid) * side.sign / mid * 10_000 <= limit + D("1e-20")
    assert room == total or (more - mid) * side.sign / mid * 10_000 > limit


@given(
    equity=st.decimals("50", "1000000", places=2),
    risk=st.decimals("0.0001", "0.02", places=4),
    stop=st.decimals("38000", "39999", places=1),
    leverage=st.integers(1, 50),
    step=st.sampled_from([D("0.001"), D("0.01"), D("0.1"), D(1)]),
    held=st.decimals("0", "50000", places=2),
)
def test_the_loss_at_the_stop_stays_in_the_budget_whatever_the_leverage(
    equity: Decimal, risk: Decimal, stop: Decimal, leverage: int, step: Decimal, held: Decimal
) -> None:
    instrument = replace(world.INSTRUMENT, step_size=step)
    book = world.book(equity=equity, available=equity, exposures=(world.exposure(notional=held),))
    terms = terms_of(instrument, "confluence", D(40000), stop, leverage, world.LIMITS)
    room = sizing.room(book, world.LIMITS, terms, Side.LONG, world.orders())
    budget = equity * risk
    quantity = sizing.size(budget, terms, room)
    loss = quantity * (D(40000) - stop) + quantity * instrument.taker_fee * (D(40000) + stop)
    assert loss <= budget
    assert 0 <= quantity <= room.quantity
    assert quantity % step == 0


@given(PRICES, st.sampled_from([D("0.001"), D("0.01"), D(1)]), st.decimals("0", "500", places=1))
def test_the_smallest_order_is_one_that_venue_and_limits_take(price: Decimal, step: Decimal, least: Decimal) -> None:
    instrument = replace(world.INSTRUMENT, step_size=step)
    quantity = sizing.smallest_order(instrument, price, world.limits(notional_min=least))
    one_less = quantity - step
    assert quantity % step == 0
    assert quantity >= instrument.min_quantity
    assert quantity * price >= max(least, instrument.min_notional)
    assume(one_less >= max(step, instrument.min_quantity))
    assert one_less * price < max(least, instrument.min_notional)
