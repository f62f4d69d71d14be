"""Strategies: their rules by hand-written features, the signal they make, and that they never look ahead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from common.domain import strategies
from common.domain.errors import InvalidInput, NotFound
from common.domain.features import Columns, compute
from common.domain.signal import ExitPlan, Side
from common.domain.strategies import Entries, Parameters, Rules, bounded, leaves_at, signal_at
from common.domain.strategies.base import exact, exit_plan, fresh, sides
from common.domain.strategies.confluence import total
from tests.domain.features_candles import FIVE_MINUTES, instrument, walk

CLOSED = datetime(2021, 1, 2, tzinfo=UTC)
NAMES = strategies.names()
TICK = Decimal("0.01")


def constant(names: tuple[str, ...], length: int, **values: object) -> dict[str, np.ndarray]:
    """Features by name: a number for every bar or a list, by the family's name; 0 for the rest."""
    given_by_name = {name: next((v for key, v in values.items() if name.startswith(key)), 0.0) for name in names}
    return {name: np.broadcast_to(np.asarray(value, float), (length,)) for name, value in given_by_name.items()}


def entries_of(length: int = 1, **changes: object) -> Entries:
    values = {
        "side": np.ones(length, np.int8), "confidence": np.full(length, 0.5), "stop": np.full(length, 1.5),
        "target": np.full(length, 3.0), "trail": np.full(length, 1.0),
    }  # fmt: skip
    return Entries(**(values | changes))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(seed=some.integers(0, 10_000), cut=some.integers(1, 599))
def test_entries_of_a_prefix_equal_the_prefix_of_the_entries(name, seed, cut):
    strategy, columns = strategies.get(name), walk(seed, 600)
    whole = strategy.evaluate(compute(strategy.features, columns), columns)
    prefix = columns.slice(0, cut)
    part = strategy.evaluate(compute(strategy.features, prefix), prefix)
    np.testing.assert_array_equal(part.side, whole.side[:cut])
    acted = np.flatnonzero(part.side)
    for field in ("confidence", "stop", "target", "trail"):
        np.testing.assert_array_equal(getattr(part, field)[acted], getattr(whole, field)[acted])


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_signals_on_a_lively_market_only_after_its_warm_up_with_sane_numbers(name):
    strategy, columns = strategies.get(name), walk(7, 4000)
    entries = strategy.evaluate(compute(strategy.features, columns), columns)
    acted = np.flatnonzero(entries.side)
    assert acted.size > 5
    assert acted[0] >= strategy.warmup
    assert ((entries.confidence[acted] >= 0) & (entries.confidence[acted] <= 1)).all()
    assert (entries.stop[acted] > 0).all()
    assert (entries.target[acted] > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_live_signal_on_its_history_is_the_signal_of_the_whole_series(name):
    strategy, columns = strategies.get(name), walk(8, 3000)
    features = compute(strategy.features, columns)
    entries = strategy.evaluate(features, columns)
    at = int(np.flatnonzero(entries.side)[-1])
    window = columns.slice(at + 1 - strategy.history, at + 1)
    options = {"candle_closed_at": CLOSED, "expires_in": timedelta(minutes=5)}
    market = (instrument(), "simulator", FIVE_MINUTES)
    live = signal_at(strategy, *market, compute(strategy.features, window), window, -1, **options)
    assert live is not None
    assert live.reasons
    assert live == signal_at(strategy, *market, features, columns, at, entries=entries, **options)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_candles_than_the_warm_up_give_no_signal(name):
    strategy = strategies.get(name)
    columns = walk(9, strategy.warmup)
    assert not strategy.evaluate(compute(strategy.features, columns), columns).side.any()


def test_rsi_reversion_signals_once_on_entering_a_zone_and_is_surer_the_deeper():
    strategy = strategies.get("rsi_mean_reversion")
    rsi = [50.0] * 20 + [29.0, 15.0, 31.0, 15.0, 50.0, 85.0, 90.0]
    features = constant(strategy.features, len(rsi), rsi=rsi, atr=2.0)
    entries = strategy.evaluate(features, walk(1, len(rsi)))
    assert entries.side[20:].tolist() == [1, 0, 0, 1, 0, -1, 0]
    assert entries.confidence[[23, 25]].tolist() == pytest.approx([0.65 + 0.35 * 0.5, 0.65 + 0.35 * 0.5])
    assert (entries.stop[23], entries.target[23], entries.max_hold) == (3.0, 7.0, 50 * timedelta(minutes=5))
    assert entries.reasons(23) == ("RSI 14 at 15.0 is below 30",)
    assert entries.reasons(25) == ("RSI 14 at 85.0 is above 70",)


def test_ema_crossover_follows_the_cross_and_leaves_the_other_side():
    strategy = strategies.get("ema_crossover")
    fast = [9.0] * 25 + [11.0, 11.0, 9.0]
    columns = walk(1, len(fast))
    features = constant(strategy.features, len(fast), ema_9=fast, ema_21=10.0, atr=2.0)
    entries = strategy.evaluate(features, columns)
    assert entries.side[24:].tolist() == [0, 1, 0, -1]
    assert entries.confidence[25] == 1.0
    assert leaves_at(entries, 27, Side.LONG)
    assert leaves_at(entries, 25, Side.SHORT)
    assert not leaves_at(entries, 26, Side.LONG)
    assert entries.reasons(25)[0] == "EMA 9 crossed above EMA 21"
    assert entries.reasons(27)[0] == "EMA 9 crossed below EMA 21"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1),
        ({"rsi": 50.0}, 0),
        ({"rsi": 70.0}, 0),
        ({"ema_12": 9.0}, 0),
        ({"volume": 0.0}, 0),
    ],
)
def test_the_reference_enters_only_when_every_condition_holds(changes, expected):
    strategy = strategies.get("ema_rsi_reference")
    plain = walk(1, 202)
    volume = np.full(202, changes.pop("volume", 1.0))
    columns = Columns(plain.opened_at, plain.open, plain.high, plain.low, np.full(202, 100.0), volume, FIVE_MINUTES)
    fast = np.append(np.full(201, 9.0), changes.pop("ema_12", 11.0))
    features = constant(strategy.features, 202, ema_12=fast, ema_26=10.0, **({"rsi": 60.0} | changes))
    entries = strategy.evaluate(features, columns)
    assert entries.side[201] == expected
    assert (entries.stop[201], entries.target[201]) == (1.0, 2.0)


def test_the_reference_plan_is_drawn_again_from_the_fill():
    plan = exit_plan(
        entries_of(stop_fraction=Decimal("0.01"), target_fraction=Decimal("0.02")), 0, Side.LONG, Decimal(100), TICK
    )
    assert plan is not None
    drawn = plan.drawn_from(Decimal("29123.45"), Side.LONG, TICK)
    assert (drawn.stop, drawn.target) == (Decimal("28832.21"), Decimal("29705.92"))
    short = plan.drawn_from(Decimal("29123.45"), Side.SHORT, TICK)
    assert (short.stop, short.target) == (Decimal("29414.69"), Decimal("28540.98"))


def test_a_plan_without_fractions_stays_where_it_was_drawn():
    plan = ExitPlan(stop=Decimal(90), target=None)
    assert plan.drawn_from(Decimal(100), Side.LONG, TICK) == plan


CONFLUENT = {
    "ema_9": 98.0, "ema_21": 97.0, "ema_50": 96.0, "trend": 1.0, "rsi": 55.0, "stochastic": 50.0, "williams": -50.0,
    "volume_ratio": 1.0, "roc": 1.0, "atr": 1.0,
}  # fmt: skip
MIRRORED = CONFLUENT | {"ema_9": 102.0, "ema_21": 103.0, "ema_50": 104.0, "trend": -1.0, "rsi": 45.0, "roc": -1.0}


def judged(side: int, **changes: float) -> tuple[int, tuple[str, ...], float]:
    """Side, reasons and confidence of the scorer where the last of 60 bars has these features."""
    strategy = strategies.get("confluence")
    base = {key: np.append(np.zeros(59), value) for key, value in (CONFLUENT if side > 0 else MIRRORED).items()}
    base |= {key: np.append(np.zeros(59), value) for key, value in changes.items()}
    base["macd_histogram"] = np.append(np.full(59, -1.0 * side), changes.get("macd_histogram", 1.0 * side))
    plain = walk(1, 60)
    columns = Columns(plain.opened_at, *(np.full(60, 100.0),) * 5, timeframe=FIVE_MINUTES)
    entries = strategy.evaluate(constant(strategy.features, 60, **base), columns)
    return int(entries.side[59]), entries.reasons(59), float(entries.confidence[59])


@pytest.mark.parametrize("side", [1, -1])
def test_confluence_adds_the_weights_of_its_evidence(side):
    found, reasons, confidence = judged(side)
    points = [float(line.rsplit("+", 1)[1]) for line in reasons]
    assert found == side
    assert points == [15.0, 5.0, 20.0, 8.0, 15.0, 10.0]
    assert confidence == pytest.approx(73 / 110)


@pytest.mark.parametrize(
    ("side", "changes", "line"),
    [
        (1, {"rsi": 35.0}, "RSI low +5"),
        (1, {"rsi": 25.0}, "RSI low +12"),
        (-1, {"rsi": 75.0}, "RSI high +12"),
        (1, {"volume_ratio": 2.0}, "volume with bullish momentum +8"),
        (1, {"pattern": 1.0}, "bullish candle pattern +10"),
        (1, {"stochastic": 20.0, "williams": -80.0}, "bullish bounce +20"),
        (-1, {"stochastic": 80.0, "coloured": -1.0}, "bearish bounce +20"),
        (1, {"stochastic": 20.0, "williams": -80.0, "engulfing": 1.0}, "bullish engulfing in the bounce +5"),
        (1, {"stochastic": 20.0, "williams": -80.0, "stepping": 1.0}, "higher lows in the bounce +5"),
        (-1, {"stochastic": 80.0, "williams": -20.0, "stepping": -1.0}, "lower highs in the bounce +5"),
        (1, {"divergence": 50.0}, "bullish divergence +30"),
    ],
)
def test_confluence_names_each_piece_of_evidence_with_its_points(side, changes, line):
    assert line in judged(side, **changes)[1]


@pytest.mark.parametrize(
    ("side", "changes"),
    [
        (1, {"volume_ratio": 0.4}),
        (1, {"roc": 3.5}),
        (1, {"rsi": 66.0}),
        (1, {"rsi": 14.0}),
        (-1, {"rsi": 86.0}),
        (-1, {"rsi": 30.0, "trend": 0.0, "roc": 0.0}),
        (-1, {"trend": 1.0}),
        (1, {"macd_histogram": -1.0, "trend": 0.0}),
    ],
)
def test_confluence_stays_out_where_a_filter_or_the_score_says_so(side, changes):
    assert judged(side, **changes)[0] == 0


def test_a_short_against_the_trend_is_allowed_on_a_bearish_divergence():
    assert judged(-1, trend=1.0, divergence=-50.0, pattern=-1.0)[0] == -1


def test_a_short_at_low_rsi_is_allowed_when_the_price_falls():
    assert judged(-1, rsi=30.0, trend=0.0, roc=-1.0, pattern=-1.0, divergence=-50.0)[0] == -1


def test_a_total_is_the_sum_of_its_lines():
    strategy = strategies.get("confluence")
    columns = walk(3, 80)
    lines = strategy.evidence(compute(strategy.features, columns), columns, 1)  # type: ignore[attr-defined]
    np.testing.assert_allclose(total(lines), sum(line.points for line in lines))


def test_sides_that_contradict_are_no_side_and_an_opinion_is_fresh_once():
    both = np.array([True, True, False, False])
    assert sides(both, np.array([False, True, True, False]), 0).tolist() == [1, 0, -1, 0]
    assert sides(both, ~both, 2).tolist() == [0, 0, -1, -1]
    assert fresh(np.array([1, 1, 0, 1, -1], np.int8)).tolist() == [1, 0, 0, 1, -1]


@pytest.mark.parametrize(("side", "stop", "target"), [(Side.LONG, "98.50", "103.01"), (Side.SHORT, "101.51", "96.98")])
def test_exits_are_on_the_grid_away_from_the_price_and_keep_the_reward(side, stop, target):
    plan = exit_plan(entries_of(), 0, side, Decimal("100.003"), TICK)
    assert plan is not None
    assert (plan.stop, plan.target) == (Decimal(stop), Decimal(target))
    assert (plan.trail_distance, plan.trail_activation) == (Decimal(1), Decimal(1))


def test_exits_that_are_not_used_are_none():
    plan = exit_plan(entries_of(target=np.array([np.nan]), trail=np.array([np.nan])), 0, Side.LONG, Decimal(9), TICK)
    assert plan is not None
    assert (plan.target, plan.trail_distance, plan.trail_activation) == (None, None, None)


@pytest.mark.parametrize(
    ("side", "changes"),
    [
        (Side.LONG, {"stop": np.array([np.nan])}),
        (Side.LONG, {"stop": np.array([0.0])}),
        (Side.LONG, {"stop": np.array([101.0])}),
        (Side.SHORT, {"target": np.array([200.0])}),
    ],
)
def test_exits_that_make_no_sense_make_no_signal(side, changes):
    entries = entries_of(side=np.array([side.sign], np.int8), **changes)
    assert exit_plan(entries, 0, side, Decimal(100), TICK) is None
    columns, strategy = walk(1, 1), strategies.get("rsi_mean_reversion")
    features = constant(strategy.features, 1)
    options = {"candle_closed_at": CLOSED, "expires_in": timedelta(minutes=5), "entries": entries}
    assert signal_at(strategy, instrument(), "simulator", FIVE_MINUTES, features, columns, 0, **options) is None


@pytest.mark.parametrize("index", [-2, 1, 99])
def test_a_bar_that_is_not_there_has_no_signal(index):
    strategy = strategies.get("rsi_mean_reversion")
    options = {"candle_closed_at": CLOSED, "expires_in": timedelta(minutes=5), "entries": entries_of()}
    features = constant(strategy.features, 1)
    assert signal_at(strategy, instrument(), "simulator", FIVE_MINUTES, features, walk(1, 1), index, **options) is None


def test_a_signal_carries_exact_prices_its_reasons_and_what_the_strategy_saw():
    strategy = strategies.get("rsi_mean_reversion")
    features = {"rsi_14": np.array([25.123456789012]), "atr_14": np.array([np.nan])}
    entries = entries_of(confidence=np.array([0.123456]), reasons=lambda index: (f"bar {index}",))
    signal = signal_at(
        strategy, instrument(), "simulator", FIVE_MINUTES, features, walk(1, 1), -1,
        candle_closed_at=CLOSED, expires_in=timedelta(minutes=5), entries=entries,
    )  # fmt: skip
    assert signal is not None
    assert signal.price == exact(walk(1, 1).close[0])
    assert (signal.side, signal.confidence, signal.reasons) == (Side.LONG, Decimal("0.1235"), ("bar 0",))
    assert signal.features == {"rsi_14": 25.12345679}
    assert (signal.closed_at, signal.expires_at) == (CLOSED, CLOSED + timedelta(minutes=5))
    assert (signal.timeframe, signal.strategy, signal.strategy_version) == ("5m", "rsi_mean_reversion", "1")


def test_an_entry_has_no_reasons_and_leaves_nothing_unless_it_says_so():
    assert entries_of().reasons(0) == ()
    assert not leaves_at(entries_of(), 0, Side.LONG)


def test_an_unknown_strategy_is_refused_with_those_that_exist():
    with pytest.raises(NotFound, match=r"no strategy 'moon'; there is: .*confluence.*ema_crossover"):
        strategies.get("moon")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 1}, "window: 1 is not accepted; expected a number from 2 to 200"),
        ({"window": 14.5}, "window: 14.5 is not accepted; expected a whole number"),
        ({"window": True}, "a value of type int"),
        ({"window": "14"}, "a value of type int"),
        ({"widow": 14}, "parameter: 'widow' is not accepted; expected one of window"),
        ({"oversold": float("nan")}, "expected a number from 1.0 to 49.0"),
    ],
)
def test_a_parameter_out_of_bounds_is_refused_with_what_is_accepted(changes, message):
    with pytest.raises(InvalidInput, match=message):
        strategies.get("rsi_mean_reversion", changes)


def test_a_fast_average_must_be_faster_than_the_slow_one():
    with pytest.raises(InvalidInput, match="fast: 21 is not accepted; expected a window shorter than slow"):
        strategies.get("ema_crossover", {"fast": 21})


def test_other_parameters_make_another_version_and_the_defaults_spelt_out_do_not():
    default = strategies.get("ema_crossover")
    assert default.version == strategies.get("ema_crossover", {"fast": 9}).version == "1"
    assert strategies.get("ema_crossover", {"fast": 8}).version.startswith("1-")
    assert strategies.get("ema_crossover", {"fast": 8}).features[0] == "ema_8"


def test_a_strategy_without_parameters_refuses_every_parameter():
    with pytest.raises(InvalidInput, match="expected no parameter"):
        Parameters.of({"window": 1})


def test_a_second_strategy_of_the_same_name_is_refused_and_the_same_one_is_not():
    class Impostor(Rules):
        name = "confluence"

    with pytest.raises(InvalidInput, match=r"a name that common\.domain\.strategies\.confluence does not use"):
        strategies.register(Impostor)
    assert strategies.register(strategies.Confluence) is strategies.Confluence


def test_the_base_of_strategies_has_no_rule_of_its_own():
    with pytest.raises(NotImplementedError):
        _ = Rules().features
    with pytest.raises(NotImplementedError):
        Rules().evaluate({}, walk(1, 1))


def test_a_switch_is_a_parameter_too():
    @dataclass(frozen=True, slots=True)
    class Switched(Parameters):
        eager: bool = bounded(False, low=False, high=True)

    assert Switched.of({"eager": True}).digest
    with pytest.raises(InvalidInput, match="eager: 1 is not accepted"):
        Switched.of({"eager": 1})
