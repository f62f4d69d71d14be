"""docs/strategies.md: its example runs, and every strategy has its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.domain import strategies
from common.domain.features import compute
from common.domain.strategies import registry
from common.domain.strategies.opportunity import SCORED, opportunity_score
from tests.domain.features_candles import instrument, walk

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "strategies.md").read_text()
OURS = [name for name in strategies.names() if type(strategies.get(name)).__module__.startswith("common.")]
"""What the domain brings; other rooms of the same process may have registered their own."""
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_ten_line_strategy_is_listed_checked_and_backtested_as_the_page_says(monkeypatch, capsys):
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    columns = walk(31, 3000)
    columns.volume[:] = 50_000.0
    names: dict[str, Any] = {"columns": columns, "instrument": instrument()}
    for block in BLOCKS:
        exec(block, names)
    assert "breakout" in strategies.names()
    assert names["result"].outcomes.get("filled", 0) > 0
    assert str(names["result"].final_equity) in capsys.readouterr().out


def test_the_example_is_short():
    code = [
        line
        for line in BLOCKS[0].splitlines()
        if line.strip() and not line.strip().startswith(('"""', "import", "from"))
    ]
    assert len(code) <= 11


@pytest.mark.parametrize("name", OURS)
def test_every_strategy_has_its_line_on_the_page(name):
    assert f"| `{name}` |" in PAGE


def constant(names: tuple[str, ...], length: int, **last: float) -> dict[str, np.ndarray]:
    """Features undefined but for the last bar, where each family given has its value and the rest 0."""
    values = {name: np.full(length, np.nan) for name in names}
    for name in names:
        values[name][-1] = next((value for key, value in last.items() if name.startswith(key)), 0.0)
    return values


NEUTRAL = {
    "rsi": 50.0,
    "williams": -50.0,
    "stochastic_rsi": 0.5,
    "mfi": 50.0,
    "bollinger": 0.5,
    "place": 0.5,
    "atr": 1.0,
}


def last_of(name: str, length: int, **last: float) -> tuple[int, float, tuple[str, ...]]:
    """Side, confidence and reasons on the last of `length` bars."""
    strategy = strategies.get(name)
    columns = walk(5, length)
    entries = strategy.evaluate(constant(strategy.features, length, **(NEUTRAL | last)), columns)
    return int(entries.side[-1]), float(entries.confidence[-1]), entries.reasons(length - 1)


@pytest.mark.parametrize(
    ("last", "side", "confidence"),
    [
        ({"rsi": 25.0, "bollinger": 0.05}, 1, 0.55),
        ({"rsi": 75.0, "bollinger": 0.95}, -1, 0.55),
        ({"rsi": 25.0, "imbalance": 0.4}, 1, 0.5),
        ({"rsi": 25.0, "macd": 1.0}, 0, 0.4),
        (
            {"rsi": 25.0, "bollinger": 0.05, "imbalance": 0.9, "volume_imbalance": 0.9, "macd": 1.0, "price": -0.01},
            1,
            1.0,
        ),
    ],
)
def test_the_scalper_adds_shares_and_caps_them_at_one(last, side, confidence):
    found = last_of("scalper", 60, **last)
    assert found[0] == side
    assert found[1] == pytest.approx(confidence)
    assert all("+" in reason for reason in found[2])


@pytest.mark.parametrize(
    ("last", "side"),
    [
        ({"structure": 1.0, "recent_break": 1.0, "order_block": 1.0}, 1),
        ({"structure": -1.0, "recent_break": -1.0, "gap_retest": -1.0}, -1),
        ({"structure": 1.0, "recent_break": 1.0}, 0),
        ({"recent_break": 1.0, "order_block": -1.0}, 0),
    ],
)
def test_smart_money_waits_for_the_price_to_come_back_after_a_break(last, side):
    found, confidence, reasons = last_of("smart_money", 60, **last)
    assert found == side
    assert confidence == pytest.approx(0.55 + 0.1 * (len(reasons) - 1))


@pytest.mark.parametrize(
    ("last", "side"),
    [
        ({"volume_ratio": 3.0, "rsi": 25.0, "ema_20": 2.0, "ema_50": 1.0, "macd": 1.0}, 1),
        ({"volume_ratio": 3.0, "rsi": 25.0, "ema_20": 1.0, "ema_50": 2.0, "macd": -1.0}, -1),
        ({"volume_ratio": 3.0, "rsi": 25.0, "ema_20": 1.0, "ema_50": 2.0, "macd": 1.0}, 0),
        ({"rsi": 25.0, "ema_20": 2.0, "ema_50": 1.0, "macd": 1.0}, 0),
    ],
)
def test_an_opportunity_follows_the_aligned_trend_of_a_busy_market(last, side):
    found, confidence, reasons = last_of("opportunity", 60, **last)
    assert found == side
    assert (confidence >= 50 / 80) == (side != 0)
    assert "opportunity score" in reasons[0]


def test_the_opportunity_score_counts_a_days_move_and_caps_the_range():
    columns = walk(6, 400, 0.02)
    values = constant(SCORED, 400, atr=50.0, rsi=50.0)
    change = columns.close[-1] / columns.close[-289] - 1
    expected = 15.0 + 10.0 * (abs(change) > 0.05)
    assert opportunity_score(values, columns)[-1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("last", "side", "first"),
    [
        (
            {
                "ema_9": 3.0,
                "ema_21": 2.0,
                "ema_50": 1.0,
                "macd_histogram": 1.0,
                "obv": 1.0,
                "adx": 30.0,
                "plus_di": 2.0,
            },
            1,
            "EMA stack +2",
        ),
        (
            {"ema_9": 1.0, "ema_21": 2.0, "ema_50": 3.0, "macd_histogram": -1.0, "obv": -1.0, "ema_200": 500.0},
            -1,
            "EMA stack -2",
        ),
        ({"rsi": 25.0, "ema_200": 500.0, "vwap": 500.0}, 0, "RSI +2.5"),
    ],
)
def test_the_advanced_composite_needs_a_score_of_two_and_four_that_agree(last, side, first):
    found, confidence, reasons = last_of("advanced_composite", 220, **last)
    assert found == side
    assert 0.5 <= confidence <= 0.95
    assert first in reasons or side == 0


def test_an_advanced_score_at_an_extreme_is_capped_below_the_threshold():
    strong = {
        "ema_9": 3.0,
        "ema_21": 2.0,
        "ema_50": 1.0,
        "macd_histogram": 1.0,
        "obv": 1.0,
        "adx": 30.0,
        "plus_di": 2.0,
    }
    assert last_of("advanced_composite", 220, **strong)[0] == 1
    assert last_of("advanced_composite", 220, **strong, rsi=85.0)[0] == 0


STACKED = {"ema_9": 3.0, "ema_21": 2.0, "ema_50": 1.0, "macd_histogram": 1.0, "obv": 1.0}


@pytest.mark.parametrize(("mood", "side"), [(float("nan"), 1), (74.0, 1), (75.0, 0), (10.0, 1)])
def test_extreme_greed_damps_a_long_and_an_unknown_mood_nothing(mood, side):
    points = {"adx": 26.0, "plus_di": 0.5, "minus_di": 1.0, "mfi": 85.0}
    assert last_of("advanced_composite", 220, **STACKED, **points, fear_greed_index=mood)[0] == side


@pytest.mark.parametrize(("mood", "side"), [(26.0, -1), (25.0, 0), (90.0, -1)])
def test_extreme_fear_damps_a_short(mood, side):
    down = {"ema_9": 1.0, "ema_21": 2.0, "ema_50": 3.0, "macd_histogram": -1.0, "obv": -1.0}
    points = {"adx": 26.0, "plus_di": 1.0, "minus_di": 0.5, "mfi": 10.0, "ema_200": 500.0, "vwap": 500.0}
    assert last_of("advanced_composite", 220, **down, **points, fear_greed_index=mood)[0] == side


def test_a_composite_signal_names_the_members_that_agree():
    strategy = strategies.get("composite")
    columns = walk(8, 6000)
    entries = strategy.evaluate(compute(strategy.features, columns), columns)
    acted = np.flatnonzero(entries.side)
    word = {1: "long", -1: "short"}
    assert all(len(entries.reasons(int(bar))) >= 2 for bar in acted)
    assert all(word[int(entries.side[bar])] in line for bar in acted for line in entries.reasons(int(bar)))
    assert (entries.confidence[acted] <= 0.95).all()
