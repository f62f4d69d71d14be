"""Monte Carlo: laws that every resampling keeps, and odds that can be computed by hand."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from common.domain.backtest import monte_carlo
from common.domain.backtest.monte_carlo import blocks, resample, shuffled, significance, trade_returns
from common.domain.errors import InvalidInput


@dataclass
class Earned:
    """All that is read of a position."""

    net_profit: Decimal


def dice(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(returns, draw=shuffled, method="a method", seed=1, **changes):
    fields = {"paths": 500} | changes
    return resample(np.array(returns), 1000.0, dice(seed), method=method, draw=draw, **fields)


def test_a_trades_return_is_its_part_of_the_equity_before_it() -> None:
    positions: list[Any] = [Earned(Decimal(100)), Earned(Decimal(-220)), Earned(Decimal(88))]
    assert trade_returns(positions, 1000.0).tolist() == pytest.approx([0.1, -0.2, 0.1])
    assert trade_returns([], 1000.0).size == 0
    lost: list[Any] = [Earned(Decimal(-1000)), Earned(Decimal(1))]
    with pytest.raises(InvalidInput, match="used up"):
        trade_returns(lost, 1000.0)


def test_another_order_ends_where_the_run_ended_and_falls_deeper_or_less_deep() -> None:
    found = drawn([0.1, -0.2, 0.1, -0.05, 0.2])
    end = 1000 * 1.1 * 0.8 * 1.1 * 0.95 * 1.2
    assert list(found.final_equity.percentiles.values()) == pytest.approx([end] * 5)
    assert found.max_drawdown.percentiles[5] == pytest.approx(0.2)
    assert found.max_drawdown.percentiles[95] == pytest.approx(1 - 0.8 * 0.95)
    assert (found.loss, found.ruin, found.paths, found.trades) == (0.0, 0.0, 500, 5)


def test_two_trades_drawn_with_replacement_have_the_odds_of_two_coins() -> None:
    found = drawn([0.5, -0.5], draw=blocks(1), paths=40_000)
    # Both lost 1/4, one of each 1/2 (0.75 of the equity), both won 1/4.
    assert found.loss == pytest.approx(0.75, abs=0.01)
    assert found.ruin == pytest.approx(0.5, abs=0.01)
    assert found.final_equity.mean == pytest.approx(1000.0, rel=0.02)
    assert found.final_equity.percentiles[50] == pytest.approx(750.0)


def test_fixed_stakes_add_up_where_others_multiply() -> None:
    assert drawn([0.5, -0.5, 0.25], is_fixed=True).final_equity.mean == pytest.approx(1250.0)
    assert drawn([0.5, -0.5, 0.25]).final_equity.mean == pytest.approx(937.5)


def test_what_is_used_up_stays_used_up() -> None:
    found = drawn([-1.5, 0.5], paths=200)
    assert found.final_equity.percentiles[95] == 0.0
    assert (found.loss, found.ruin, found.max_drawdown.percentiles[5]) == (1.0, 1.0, 1.0)


def test_blocks_keep_runs_of_losses_together() -> None:
    returns = [-0.1] * 10 + [0.12] * 10
    runs, single = drawn(returns, draw=blocks(10), paths=2000), drawn(returns, draw=blocks(1), paths=2000)
    assert runs.max_drawdown.percentiles[95] > single.max_drawdown.percentiles[95]


@given(some.integers(1, 40), some.integers(1, 60), some.integers(0, 5))
@settings(max_examples=40)
def test_blocks_are_trades_that_followed_one_another(length: int, trades: int, seed: int) -> None:
    places = blocks(length)(dice(seed), 3, trades)
    assert places.shape == (3, trades)
    assert ((places >= 0) & (places < trades)).all()
    inside = np.arange(1, trades) % length != 0
    assert (np.diff(places, axis=1)[:, inside] % trades == 1 % trades).all()


def test_an_order_holds_every_trade_once() -> None:
    assert np.sort(shuffled(dice(), 20, 7), axis=1).tolist() == [list(range(7))] * 20


def test_the_same_dice_draw_the_same_and_other_dice_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = [0.1, -0.2, 0.1, -0.05, 0.2]
    assert drawn(returns, blocks(2)) == drawn(returns, blocks(2))
    assert drawn(returns, blocks(2)) != drawn(returns, blocks(2), seed=2)
    # Memory is bounded: paths are drawn a part at a time.
    monkeypatch.setattr(monte_carlo, "ELEMENTS", 35)
    assert drawn(returns, shuffled).final_equity.mean == pytest.approx(
        drawn(returns, shuffled, paths=7).final_equity.mean
    )


@pytest.mark.parametrize(
    ("returns", "changes", "said"),
    [
        ([], {}, "at least one closed trade"),
        ([0.1], {"paths": 0}, "paths"),
        ([0.1], {"ruin_at": 0.0}, "ruin"),
        ([0.1], {"ruin_at": 1.1}, "ruin"),
    ],
)
def test_what_cannot_be_drawn_is_refused(returns, changes, said) -> None:
    with pytest.raises(InvalidInput, match=said):
        drawn(returns, **changes)


def test_an_account_without_equity_and_blocks_without_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match="equity"):
        resample(np.array([0.1]), 0.0, dice(), method="shuffle", draw=shuffled, paths=1)
    with pytest.raises(InvalidInput, match="block"):
        blocks(0)


def test_trades_that_always_earn_are_no_luck_and_those_that_earn_nothing_are() -> None:
    steady = significance(np.full(12, 0.01), dice(), 20_000)
    even = significance(np.array([0.01, -0.01] * 6), dice(), 20_000)
    assert steady.p_value == pytest.approx(1 / 2**12, abs=3e-4)
    # Of twelve coins at least six: 1/2 and half the chance of exactly six.
    assert even.p_value == pytest.approx(0.5 + 924 / 2**13, abs=0.02)
    assert steady.mean == pytest.approx(0.01)


def test_the_largest_sample_is_never_said_to_be_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monte_carlo, "ELEMENTS", 100)
    assert significance(np.full(60, 0.01), dice(), 99).p_value == pytest.approx(0.01)
    with pytest.raises(InvalidInput, match="at least one closed trade"):
        significance(np.array([]), dice(), 10)
