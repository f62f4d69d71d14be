"""Backtest: the judge's answers whichever way they are found, the live rule of exits, and the floor program's trades."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from common.domain import strategies
from common.domain.backtest import FRICTIONLESS, Assumptions, BacktestMarket, FundingRates, Setup, run
from common.domain.backtest.account import Held, Ledger, backtest_account
from common.domain.backtest.engine import Result
from common.domain.backtest.leaving import find_leaving, look_ahead
from common.domain.backtest.market import with_fees
from common.domain.backtest.reference import EVERY_RULE, reference_setup
from common.domain.backtest.result import curve, equity_points, excursions, figures
from common.domain.errors import InvalidInput
from common.domain.exits import decide_exit, track
from common.domain.features import Columns, compute
from common.domain.market import EPOCH
from common.domain.performance import daily_returns
from common.domain.position import CloseReason, Position
from common.domain.risk.limits import FIELDS, PROFILES, Limits
from common.domain.signal import ExitPlan, Side
from common.domain.strategies.base import Entries, exact, exit_plan
from tests.domain.features_candles import FIVE_MINUTES, bars, instrument, recorded, walk

DECIMAL = Decimal
BAR_MS = 300_000


@dataclasses.dataclass(frozen=True)
class Scripted:
    """A strategy whose entries are written down: side by bar, distances in price units."""

    sides: dict[int, int]
    stop: float = 1.0
    target: float = float("nan")
    trail: float = float("nan")
    max_hold: timedelta | None = None
    leaves: tuple[int, ...] = ()
    name: str = "scripted"
    version: str = "1"
    parameters: strategies.Parameters = dataclasses.field(default_factory=strategies.Parameters)
    features: tuple[str, ...] = ()
    warmup: int = 0
    history: int = 1

    def evaluate(self, features: dict, columns: Columns) -> Entries:
        count = len(columns)
        side = np.zeros(count, np.int8)
        side[list(self.sides)] = list(self.sides.values())
        flags = np.isin(np.arange(count), self.leaves)
        return Entries(
            side, np.ones(count), np.full(count, self.stop), np.full(count, self.target), np.full(count, self.trail),
            self.max_hold, flags, flags,
        )  # fmt: skip


def market(columns: Columns, symbol: str = "ETH/USDT:USDT", fee: str = "0", funding: FundingRates | None = None):
    return BacktestMarket(with_fees(instrument(symbol), DECIMAL(fee), DECIMAL(fee)), columns, funding)


def flat(count: int, price: float = 100.0, **changes: dict[int, float]) -> Columns:
    """`count` bars at `price`, a little wide, with single values changed: flat(9, low={4: 90.0})."""
    series = {"open": np.full(count, price), "high": np.full(count, price + 0.1), "low": np.full(count, price - 0.1)}
    series |= {"close": np.full(count, price), "volume": np.full(count, 1_000.0)}
    for name, values in changes.items():
        for bar, value in values.items():
            series[name][bar] = value
    return Columns(1_609_459_200_000 + BAR_MS * np.arange(count), **series, timeframe=FIVE_MINUTES)


def scripted(columns: Columns, strategy: Scripted, assumptions: Assumptions = FRICTIONLESS, **changes) -> Result:
    """The script on one market under limits that refuse nothing, a stake of 100."""
    fields = {"fee": "0", "funding": None, "limits": EVERY_RULE, "expires_in": timedelta(minutes=5)} | changes
    place = market(columns, fee=fields.pop("fee"), funding=fields.pop("funding"))
    return run(Setup((place,), (strategy,), equity=DECIMAL(10_000), assumptions=assumptions, **fields))


def only(result: Result) -> Position:
    (position,) = result.positions
    return position


def test_an_entry_fills_at_the_open_after_its_signal_never_at_the_signals_close():
    columns = flat(30, open={21: 101.0})
    position = only(scripted(columns, Scripted({20: 1}, stop=50.0, leaves=(24,))))
    assert position.opened_at == EPOCH + timedelta(milliseconds=int(columns.opened_at[21]))
    assert (position.entry_price, position.exit_price) == (DECIMAL(101), DECIMAL(100))
    assert position.close_reason is CloseReason.OPPOSITE
    assert position.closed_at == EPOCH + timedelta(milliseconds=int(columns.opened_at[25]))


@pytest.mark.parametrize(
    ("changes", "script", "reason", "price"),
    [
        ({"low": {24: 90.0}}, {"target": 5.0}, CloseReason.STOP, "95"),
        ({"low": {21: 90.0}}, {"target": 5.0}, CloseReason.STOP, "95"),
        ({"low": {24: 90.0}, "open": {24: 91.0}}, {"target": 5.0}, CloseReason.STOP, "91"),
        ({"high": {24: 110.0}}, {"target": 5.0}, CloseReason.TARGET, "105"),
        ({"high": {24: 110.0}, "low": {24: 90.0}}, {"target": 5.0}, CloseReason.STOP, "95"),
        ({"high": {24: 110.0}, "open": {24: 108.0}}, {"target": 5.0}, CloseReason.TARGET, "105"),
        ({"high": {24: 110.0}, "low": {26: 95.5}}, {"trail": 4.0}, CloseReason.TRAILING, "100"),
        ({"open": {24: 99.0}}, {"max_hold": timedelta(minutes=15)}, CloseReason.TIME, "99"),
        ({"close": {29: 98.0}}, {}, CloseReason.MANUAL, "98"),
    ],
)
def test_a_long_is_left_by_stop_target_trailing_time_or_the_end(changes, script, reason, price):
    position = only(scripted(flat(30, **changes), Scripted({20: 1}, stop=5.0, **script)))
    assert (position.close_reason, position.exit_price) == (reason, DECIMAL(price))


@pytest.mark.parametrize(
    ("changes", "script", "reason", "price"),
    [
        ({"high": {24: 110.0}}, {"target": 5.0}, CloseReason.STOP, "105"),
        ({"high": {24: 110.0}, "open": {24: 108.0}}, {"target": 5.0}, CloseReason.STOP, "108"),
        ({"low": {24: 90.0}}, {"target": 5.0}, CloseReason.TARGET, "95"),
        ({"low": {24: 90.0}, "high": {26: 104.5}}, {"trail": 4.0}, CloseReason.TRAILING, "100"),
    ],
)
def test_a_short_is_left_by_the_mirrored_levels(changes, script, reason, price):
    position = only(scripted(flat(30, **changes), Scripted({20: -1}, stop=5.0, **script)))
    assert (position.close_reason, position.exit_price) == (reason, DECIMAL(price))


def test_fees_slippage_and_latency_are_paid_against_the_position():
    assumptions = dataclasses.replace(FRICTIONLESS, slippage_bps=DECIMAL(10), latency=timedelta(minutes=1))
    columns = flat(30, high={21: 101.0}, low={25: 98.0})
    position = only(scripted(columns, Scripted({20: 1}, 40.0, 40.0, leaves=(24,)), assumptions, fee="0.001"))
    assert position.entry_price == DECIMAL("100.30")
    assert position.exit_price == DECIMAL("99.50")
    assert position.fees == (position.entry_price + position.exit_price) * position.opened_quantity * DECIMAL("0.001")
    assert position.net_profit == DECIMAL("-0.8") * position.opened_quantity - position.fees


def test_funding_is_paid_by_longs_and_received_by_shorts_for_each_payment_held_through():
    due = 1_609_459_200_000 + BAR_MS * np.array([10, 23, 24, 40])
    funding = FundingRates(due, np.array([0.5, 0.001, 0.002, 0.5]))
    long = only(scripted(flat(60), Scripted({20: 1}, stop=50.0, leaves=(30,)), funding=funding))
    short = only(scripted(flat(60), Scripted({20: -1}, stop=50.0, leaves=(30,)), funding=funding))
    assert long.funding == -long.opened_quantity * 100 * DECIMAL("0.003")
    assert short.funding == short.opened_quantity * 100 * DECIMAL("0.003")
    assert long.net_profit == long.funding


def test_an_entry_takes_at_most_its_share_of_the_bars_volume_and_nothing_where_nothing_traded():
    assumptions = dataclasses.replace(FRICTIONLESS, participation=DECIMAL("0.1"))
    script = Scripted({20: 1}, stop=50.0, leaves=(24,))
    assert only(scripted(flat(30, volume={21: 4.0}), script, assumptions)).opened_quantity == DECIMAL("0.4")
    assert only(scripted(flat(30), script, assumptions)).opened_quantity == DECIMAL("0.999")
    assert scripted(flat(30, volume={21: 0.0}), script, assumptions).outcomes == {"unfilled": 1}


def test_a_signal_whose_next_open_comes_too_late_has_expired():
    columns = flat(30)
    columns.opened_at[21:] += 10 * BAR_MS
    strict = dataclasses.replace(FRICTIONLESS, gaps_are_outages=False)
    script = Scripted({20: 1}, stop=5.0)
    assert scripted(columns, script, strict, expires_in=timedelta(minutes=1)).outcomes == {"expired": 1}
    assert scripted(columns, script, strict, expires_in=timedelta(hours=1)).outcomes == {"filled": 1}
    assert scripted(columns, script, expires_in=timedelta(minutes=1)).outcomes == {"filled": 1}


def test_a_missing_candle_before_the_signal_is_a_data_gap_unless_the_venue_was_down():
    columns = flat(40)
    columns.opened_at[15:] += BAR_MS
    strict = dataclasses.replace(FRICTIONLESS, gaps_are_outages=False)
    assert scripted(columns, Scripted({20: 1}), strict).outcomes == {"vetoed:data_gap": 1}
    assert scripted(columns, Scripted({36: 1}), strict).outcomes == {"filled": 1}


def test_a_levered_position_beyond_its_liquidation_price_is_liquidated_there():
    limits = dataclasses.replace(
        EVERY_RULE, major_leverage_max=20, entry_leverage_max=20, notional_max=DECIMAL(400), reward_min=DECIMAL(0)
    )
    columns = flat(30, open={24: 50.0}, low={24: 50.0}, close={24: 50.0})
    position = only(scripted(columns, Scripted({20: 1}, stop=2.0), limits=limits))
    assert position.leverage > 10
    assert position.close_reason is CloseReason.LIQUIDATION
    assert position.exit_price > 90


def test_a_signal_while_the_same_direction_is_held_is_vetoed_and_after_the_exit_it_is_not():
    result = scripted(flat(40), Scripted({20: 1, 22: 1, 26: 1}, stop=50.0, leaves=(24,)))
    assert [item.outcome for item in result.decisions] == ["filled", "vetoed", "filled"]
    assert result.outcomes == {"filled": 2, "vetoed:stacked_position": 1}


def test_an_exit_at_the_open_does_not_make_room_for_the_entry_decided_at_the_close_before_it():
    result = scripted(flat(40), Scripted({20: 1, 24: 1}, stop=50.0, leaves=(24,)))
    assert result.outcomes == {"filled": 1, "vetoed:stacked_position": 1}


def test_a_stop_hit_in_a_bar_makes_room_for_the_entry_decided_at_that_bars_close():
    result = scripted(flat(40, low={24: 90.0}), Scripted({20: 1, 24: 1}, stop=5.0))
    assert result.outcomes == {"filled": 2}


def test_signals_of_the_last_two_bars_and_before_the_start_are_not_taken():
    start = EPOCH + timedelta(milliseconds=1_609_459_200_000 + 15 * BAR_MS)
    result = scripted(flat(40), Scripted({10: 1, 15: 1, 38: 1, 39: 1}, stop=50.0, leaves=(20,)), start=start)
    assert [item.bar for item in result.decisions] == [15]


def test_the_wallet_is_the_start_and_every_result():
    result = scripted(walk_market_columns(), Scripted({50: 1, 90: -1, 200: 1}, stop=2.0, target=3.0), fee="0.0005")
    assert len(result.positions) == 3
    assert result.final_equity == 10_000 + sum(position.net_profit for position in result.positions)


def walk_market_columns() -> Columns:
    return walk(11, 400)


def test_a_decision_shows_the_signal_that_the_fleet_would_have_raised():
    columns = walk(12, 3000)
    strategy = strategies.get("ema_crossover")
    result = run(Setup((market(columns),), (strategy,), EVERY_RULE, DECIMAL(10_000), FRICTIONLESS))
    first = result.decisions[0]
    signal = result.signal(first)
    options = {"candle_closed_at": signal.closed_at, "expires_in": timedelta(minutes=5)}
    features = compute(strategy.features, columns)
    place = (market(columns).instrument, "simulator", FIVE_MINUTES, features, columns, first.bar)
    assert signal == strategies.signal_at(strategy, *place, **options)
    assert result.positions[0].signal_id == signal.id
    with pytest.raises(InvalidInput):
        result.signal(first._replace(bar=0))


@pytest.mark.parametrize(("places", "rules"), [((), (Scripted({}),)), ((market(flat(9)),), ())])
def test_a_backtest_of_nothing_is_refused(places, rules):
    with pytest.raises(InvalidInput, match="at least one market and one strategy"):
        run(Setup(places, rules, EVERY_RULE, DECIMAL(1)))


def test_candles_out_of_order_are_refused():
    columns = flat(9)
    columns.opened_at[3] = columns.opened_at[2]
    with pytest.raises(InvalidInput, match="ascending order"):
        market(columns)


def tightened(seed: int) -> Limits:
    """Limits of a profile with some thresholds drawn anew, so that every rule bites now and then."""
    random = np.random.default_rng(seed)
    name = list(PROFILES)[int(random.integers(len(PROFILES)))]
    base = dataclasses.replace(PROFILES[name], depth_levels_min=2, reward_min=DECIMAL("1.5"))
    choices: dict[str, Any] = {
        "notional_max": [None, DECIMAL(50), DECIMAL(5_000)], "exposure_max": [DECIMAL("0.3"), DECIMAL(2)],
        "daily_loss_max": [DECIMAL("0.004"), DECIMAL("0.05")], "drawdown_max": [DECIMAL("0.01"), DECIMAL("0.2")],
        "consecutive_losses_max": [2, 5, None], "win_rate_min": [None, DECIMAL("0.4")],
        "sharpe_min": [None, DECIMAL("-0.2"), DECIMAL(-3)], "position_count_max": [1, 2, 5],
        "orders_per_hour_max": [1, 3, 100], "correlated_count_max": [None, 1], "volume_ratio_min": [None, DECIMAL(1)],
        "edge_margin_bps_min": [None, DECIMAL(0), DECIMAL(5)], "spread_bps_max": [DECIMAL(2), None],
        "kelly_share_max": [None, None, DECIMAL("0.25")], "symbol_cooldown_min": [None, timedelta(hours=1)],
        "positions_per_symbol_max": [1, 2], "atr_ratio_max": [None, DECIMAL("1.2")], "btc_quantity_max": [DECIMAL(1)],
        "breaker_cooldown_min": [timedelta(hours=2)], "liquidity_notional_min": [None, DECIMAL(100)],
        "hold_max": [None, timedelta(minutes=30)], "confidence_min": [DECIMAL("0.3"), DECIMAL("0.7")],
    }  # fmt: skip
    drawn = {key: values[int(random.integers(len(values)))] for key, values in choices.items()}
    return dataclasses.replace(base, **drawn)


@settings(max_examples=25, deadline=None)
@given(seed=some.integers(0, 100_000))
def test_the_fast_way_and_the_judge_at_every_entry_give_the_same_decisions_and_trades(seed):
    symbols = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
    places = tuple(market(walk(seed + shift, 900), name, "0.0002") for shift, name in enumerate(symbols))
    rules = (strategies.get("rsi_mean_reversion"), strategies.get("ema_crossover"))
    model = Assumptions(depth_share=DECIMAL(5), participation=None)
    setup = Setup(places, rules, tightened(seed), DECIMAL(20_000), model)
    fast, slow = run(setup), run(setup, judge_all=True)
    assert fast.positions == slow.positions
    assert [outcome_of(item) for item in fast.decisions] == [outcome_of(item) for item in slow.decisions]
    assert fast.final_equity == slow.final_equity
    assert fast.breaker_trips == slow.breaker_trips
    assert slow.judged == len(slow.decisions)


def outcome_of(item) -> tuple:
    rule = None if item.veto is None else item.veto.rule
    return item.market, item.strategy, item.bar, item.outcome, rule, item.quantity


def test_the_fast_way_is_taken_for_almost_every_entry_of_the_reference():
    places = tuple(market(walk(seed, 4000, 0.002), f"X{seed}/USDT:USDT") for seed in range(3))
    setup = reference_setup(places)
    fast, slow = run(setup), run(setup, judge_all=True)
    assert len(fast.positions) > 50
    assert fast.judged < 0.02 * len(fast.decisions)
    assert fast.positions == slow.positions


def test_sizes_that_the_budget_sets_are_those_of_the_judge_where_the_stop_is_drawn_from_the_price():
    limits = dataclasses.replace(EVERY_RULE, notional_max=None, risk_fraction_max=DECIMAL("0.0005"))
    setup = dataclasses.replace(reference_setup((market(walk(5, 4000, 0.002)),)), limits=limits)
    fast, slow = run(setup), run(setup, judge_all=True)
    assert 0 <= fast.judged < len(fast.decisions) / 2
    assert len({position.opened_quantity for position in fast.positions}) > 5
    assert fast.positions == slow.positions


def test_a_floor_of_nothing_under_the_win_rate_needs_no_judge_when_everything_is_lost():
    lows = {bar + 1: 90.0 for bar in range(20, 260, 4)}
    columns = flat(300, low=lows)
    script = Scripted(dict.fromkeys(range(20, 260, 4), 1), stop=5.0)
    limits = dataclasses.replace(EVERY_RULE, sharpe_min=None)
    result = scripted(columns, script, limits=limits)
    assert {position.close_reason for position in result.positions} == {CloseReason.STOP}
    assert (len(result.positions), result.judged) == (60, 0)


def test_the_reference_limits_set_every_rule():
    unset = [name for name in FIELDS if getattr(EVERY_RULE, name) is None]
    assert unset == ["kelly_share_max"]


def held_from(place: BacktestMarket, bar: int, side: Side, plan: ExitPlan) -> Held:
    return Held(
        account=backtest_account("simulator", "backtest"), instrument=place.instrument, market=0, strategy="scripted",
        signal_id=UUID(int=0), side=side, leverage=1, exits=plan, quantity=DECIMAL(1),
        price=exact(place.columns.open[bar]), opened_at=place.opened_at(bar), opened_ms=int(place.columns.opened_at[bar]),
    )  # fmt: skip


def entry_at(columns: Columns, bar: int, side: Side, plan: ExitPlan) -> Entries:
    """The one entry on `bar` whose levels are those of `plan`."""
    sides, distances = np.zeros(len(columns), np.int8), np.full((2, len(columns)), np.nan)
    sides[bar] = side.sign
    distances[0, bar] = side.sign * (columns.close[bar] - float(plan.stop))
    distances[1, bar] = np.nan if plan.target is None else side.sign * (float(plan.target) - columns.close[bar])
    return Entries(sides, np.ones(len(columns)), distances[0], distances[1], np.full(len(columns), np.nan))


def left_bar_by_bar(place: BacktestMarket, position: Position, first: int) -> tuple[int, CloseReason] | None:
    """What the live rule says when it is shown one candle after the other, and after each where the price stands then."""
    for bar in range(first, len(place)):
        high, low = exact(place.columns.high[bar]), exact(place.columns.low[bar])
        mark, now = exact(place.columns.close[bar]), place.closed_at(bar)
        within = decide_exit(position, mark, now=now, high=high, low=low)
        if within is not None and within.reason is not CloseReason.TIME:
            return bar, within.reason
        position = track(position, high if position.side is Side.LONG else low)
        at_close = decide_exit(position, mark, now=now)
        if at_close is not None and (bar < len(place) - 1 or at_close.reason is CloseReason.TIME):
            return bar, at_close.reason
    return None


@settings(max_examples=150, deadline=None)
@given(
    seed=some.integers(0, 1_000),
    side=some.sampled_from(Side),
    stop=some.integers(20, 400),
    target=some.one_of(some.none(), some.integers(20, 800)),
    trail=some.one_of(some.none(), some.integers(10, 300)),
    hold=some.one_of(some.none(), some.integers(1, 200)),
    least=some.one_of(some.none(), some.integers(1, 60)),
)
def test_the_bar_found_at_once_is_the_bar_at_which_the_live_rule_leaves(seed, side, stop, target, trail, hold, least):
    place = market(walk(seed, 300))
    entry = exact(place.columns.open[5])
    cents = DECIMAL("0.01")
    plan = ExitPlan(
        stop=entry - side.sign * stop * cents,
        target=None if target is None else entry + side.sign * target * cents,
        trail_distance=None if trail is None else trail * cents,
        trail_activation=None if trail is None else trail * cents,
        max_hold=None if hold is None else hold * timedelta(minutes=5),
        min_hold=None if least is None else least * timedelta(minutes=5),
    )
    held = held_from(place, 5, side, plan)
    (ahead,) = look_ahead(place, entry_at(place.columns, 4, side, plan), np.array([4]), FRICTIONLESS)
    found = find_leaving(place, held, 5, ahead, FRICTIONLESS)
    expected = left_bar_by_bar(place, held.opened(), 5)
    decided_at = found.bar - 1 if found.at_open else found.bar
    is_end = expected is None or (expected[1] is CloseReason.TIME and expected[0] == len(place) - 1)
    assert (decided_at, found.reason) == ((len(place) - 1, CloseReason.MANUAL) if is_end else expected)


def test_a_close_at_the_stop_that_its_own_bar_has_drawn_is_left_at_the_next_open_whatever_that_is():
    """A monitor that looks at the close finds the price at the stop; by the next open it may have gone away again."""
    rest = {"open": {7: 102.5}, "low": {7: 102.3}, "high": {6: 104.0, 7: 102.6}, "close": {6: 102.0, 7: 102.5}}
    columns = flat(12, **rest)
    plan = ExitPlan(stop=DECIMAL(95), target=None, trail_distance=DECIMAL(2), trail_activation=DECIMAL(1))
    place = market(columns)
    (ahead,) = look_ahead(place, entry_at(columns, 4, Side.LONG, plan), np.array([4]), FRICTIONLESS)
    found = find_leaving(place, held_from(place, 5, Side.LONG, plan), 5, ahead, FRICTIONLESS)
    assert found == (7, True, CloseReason.TRAILING, DECIMAL("102.5"))


@settings(max_examples=100, deadline=None)
@given(
    seed=some.integers(0, 1_000),
    side=some.sampled_from(Side),
    stop=some.integers(1, 60),
    target=some.integers(1, 90),
    slippage=some.integers(0, 20),
    latency=some.integers(0, 300),
)
def test_no_bar_that_meets_a_level_drawn_from_the_fill_is_passed_over(seed, side, stop, target, slippage, latency):
    place = market(walk(seed, 300))
    entries = Entries(
        np.full(300, side.sign, np.int8), np.ones(300), place.columns.close / 100, place.columns.close / 100,
        np.full(300, np.nan), None, None, None, stop * DECIMAL("0.0002"), target * DECIMAL("0.0002"),
    )  # fmt: skip
    model = Assumptions(slippage_bps=DECIMAL(slippage), latency=timedelta(seconds=latency))
    bars, tick = np.arange(100, 200), place.instrument.tick_size
    for bar, ahead in zip(bars.tolist(), look_ahead(place, entries, bars, model), strict=True):
        raw = exit_plan(entries, bar, side, exact(place.columns.close[bar]), tick)
        assert raw is not None
        price = place.fill_price(bar + 1, exact(place.columns.open[bar + 1]), side, True, model)
        held = dataclasses.replace(held_from(place, bar + 1, side, raw.drawn_from(price, side, tick)), price=price)
        near = ahead._replace(touched=bar + 1)
        assert find_leaving(place, held, bar + 1, ahead, model) == find_leaving(place, held, bar + 1, near, model)


def floor_trades(columns: Columns) -> list[tuple[int, int]]:
    """The floor program's loop over the reference rules: (entry bar, exit bar) of every trade."""
    values = compute(("ema_12", "ema_26", "rsi_14"), columns)
    fast, slow, rsi = (values[name] for name in ("ema_12", "ema_26", "rsi_14"))
    up = np.append(False, (fast[1:] > slow[1:]) & (fast[:-1] <= slow[:-1]))
    down = np.append(False, (fast[1:] < slow[1:]) & (fast[:-1] >= slow[:-1])) & (columns.volume > 0)
    enters = (up & (rsi > 50) & (rsi < 70) & (columns.volume > 0)).tolist()
    leaves, count = down.tolist(), len(columns)
    opens, highs, lows = columns.open.tolist(), columns.high.tolist(), columns.low.tolist()
    trades, entered, price = [], -1, 0.0
    for bar in range(201, count):
        if entered < 0 and enters[bar - 1] and not leaves[bar - 1] and bar < count - 1:
            entered, price = bar, opens[bar]
        if entered >= 0:
            is_signal = leaves[bar - 1] and bar > entered
            if is_signal or lows[bar] <= price * 0.99 or highs[bar] >= price * 1.02 or bar == count - 1:
                trades.append((entered, bar))
                entered = -1
    return trades


def bars_of(result: Result, columns: Columns) -> list[tuple[int, int]]:
    def bar(instant: datetime, is_open: bool) -> int:
        ms = round((instant - EPOCH) / timedelta(milliseconds=1))
        return int(np.searchsorted(columns.opened_at, ms if is_open else ms - BAR_MS))

    at_open = {CloseReason.OPPOSITE, CloseReason.TIME}
    return [(bar(p.opened_at, True), bar(p.closed_at, p.close_reason in at_open)) for p in result.positions]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_reference_makes_the_floor_programs_trades_on_a_random_market(seed):
    columns = walk(seed, 6000, 0.002)
    assert bars_of(run(reference_setup((market(columns),))), columns) == floor_trades(columns)


def test_the_reference_makes_the_floor_programs_878_trades_on_recorded_bitcoin_candles():
    columns = recorded("binance-spot-5m/BTC_USDT-5m.parquet")
    first, last = (int(datetime(2021, month, 1, tzinfo=UTC).timestamp() * 1000) for month in (1, 7))
    half = columns.slice(*np.searchsorted(columns.opened_at, (first, last)).tolist())
    result = run(reference_setup((market(half, "BTC/USDT:USDT"),)))
    assert len(result.positions) == 878
    assert bars_of(result, half) == floor_trades(half)


def test_the_breaker_rests_the_account_and_forgives_what_was_before():
    limits = dataclasses.replace(EVERY_RULE, consecutive_losses_max=2, breaker_cooldown_min=timedelta(hours=1))
    lows = dict.fromkeys((22, 26, 40), 90.0)
    columns = flat(80, low=lows)
    result = scripted(columns, Scripted({20: 1, 24: 1, 28: 1, 38: 1, 42: 1}, stop=5.0, leaves=(50,)), limits=limits)
    assert [item.outcome for item in result.decisions] == ["filled", "filled", "vetoed", "filled", "filled"]
    assert result.outcomes["vetoed:cooling_down"] == 1
    assert result.breaker_trips == 1


def test_an_instrument_rests_after_a_lost_stop_and_not_after_a_won_trade():
    limits = dataclasses.replace(EVERY_RULE, symbol_cooldown_min=timedelta(minutes=20))
    lost = scripted(flat(60, low={22: 90.0}), Scripted({20: 1, 24: 1, 30: 1}, stop=5.0), limits=limits)
    won = scripted(flat(60, high={22: 110.0}), Scripted({20: 1, 24: 1}, stop=5.0, target=5.0), limits=limits)
    assert lost.outcomes == {"filled": 2, "vetoed:symbol_cooling_down": 1}
    assert won.outcomes == {"filled": 2}


def test_every_instrument_rests_after_a_lost_stop_where_the_limits_ask_for_it():
    limits = dataclasses.replace(EVERY_RULE, stop_cooldown_min=timedelta(minutes=20))
    places = (market(flat(60, low={22: 90.0})), market(flat(60), "SOL/USDT:USDT"))
    script = Scripted({20: 1, 24: 1, 30: 1}, stop=5.0, leaves=(22,))
    setup = Setup(places, (script,), equity=DECIMAL(10_000), assumptions=FRICTIONLESS, limits=limits)
    # Stopped out of one in bar 22, the other is left at the same bar's end; at the end of bar 24 both rest.
    assert run(setup).outcomes == {"filled": 4, "vetoed:symbol_cooling_down": 2}


def test_a_ledger_gives_rates_only_of_enough_results_and_forgets_the_oldest():
    ledger = Ledger(backtest_account("simulator", "x"), DECIMAL(1_000), EVERY_RULE)
    for number in range(60):
        ledger._learn(DECIMAL(number % 3 - 1))
    record = ledger.record(datetime(2021, 1, 1, tzinfo=UTC), DECIMAL(0))
    recent = [number % 3 - 1 for number in range(10, 60)]
    assert record.closed_trades == 50
    assert record.win_rate == DECIMAL(sum(value > 0 for value in recent)) / 50
    assert float(record.sharpe) == pytest.approx(np.mean(recent) / np.std(recent, ddof=1))


def test_a_strategy_whose_plan_makes_no_sense_takes_no_entry():
    result = scripted(flat(40), Scripted({20: 1}, stop=500.0))
    assert result.decisions == ()


def test_bars_hand_written_are_what_they_say():
    assert bars([(1, 2, 0.5, 1.5)]).high.tolist() == [2.0]


def test_the_curve_ends_at_the_final_equity_and_marks_what_is_held_at_the_closes():
    columns = flat(30, close={22: 90.0, 23: 110.0}, low={22: 90.0}, high={23: 110.0})
    result = scripted(columns, Scripted({20: 1}, stop=50.0, target=60.0, leaves=(24,)))
    found = curve(result)
    units = float(only(result).opened_quantity)
    assert found.equity[[20, 21, 22, 23]].tolist() == pytest.approx([1e4, 1e4, 1e4 - 10 * units, 1e4 + 10 * units])
    assert found.exposure[[20, 21, 22, 25]].tolist() == pytest.approx([0.0, 100 * units, 90 * units, 0.0])
    assert found.equity[-1] == pytest.approx(float(result.final_equity))
    assert found.max_drawdown == pytest.approx(10 * units / 1e4)
    assert [list(pair) for pair in excursions(result)] == [pytest.approx([0.1, 0.1])]


def test_the_figures_are_those_of_the_positions_and_the_days():
    columns = walk(41, 2000)
    rule = strategies.get("rsi_mean_reversion")
    result = run(Setup((market(columns, fee="0.0005"),), (rule,), EVERY_RULE, DECIMAL(10_000), FRICTIONLESS))
    found = figures(result)
    assert found.trades.trades == len(result.positions) > 5
    assert found.trades.net_profit == result.final_equity - 10_000
    assert found.curve.days == 7
    assert float(found.curve.total_return) == pytest.approx(float(result.final_equity / 10_000 - 1))
    assert {Side.LONG, Side.SHORT} == {position.side for position in result.positions}
    assert all(adverse >= 0 and favourable >= 0 for adverse, favourable in excursions(result))


def test_the_returns_of_the_days_are_those_of_the_whole_the_first_day_too():
    columns = flat(3 * 288, close={22: 90.0, 400: 108.0}, open={23: 90.0, 401: 108.0})
    result = scripted(columns, Scripted({2: 1, 380: 1}, stop=50.0, leaves=(22, 400)))
    found = curve(result)
    points = equity_points(result, found)
    first, second, third = daily_returns(points)
    assert [point.occurred_at - points[0].occurred_at for point in points] == [timedelta(days=day) for day in range(4)]
    assert first < 0 < second
    assert third == 0
    assert float((1 + first) * (1 + second)) == pytest.approx(float(result.final_equity / 10_000))


def test_days_of_warming_up_are_no_days_of_the_result():
    columns = flat(4 * 288, close={800: 90.0}, open={801: 90.0})
    start = EPOCH + timedelta(milliseconds=int(columns.opened_at[2 * 288]))
    script = Scripted({700: 1}, stop=50.0, leaves=(800,))
    whole, part = scripted(columns, script), scripted(columns, script, start=start)
    assert (figures(whole).curve.days, figures(part).curve.days) == (4, 2)
    assert curve(part).at_ms[0] == columns.opened_at[2 * 288] + BAR_MS
    assert curve(part).equity.tolist() == curve(whole).equity[2 * 288 :].tolist()
    assert part.final_equity == whole.final_equity < 10_000


def test_a_backtest_without_candles_has_no_figures():
    empty = run(Setup((market(walk(1, 0)),), (Scripted({}),), EVERY_RULE, DECIMAL(1), FRICTIONLESS))
    assert figures(empty).trades.trades == 0
    assert curve(empty).max_drawdown == 0.0
