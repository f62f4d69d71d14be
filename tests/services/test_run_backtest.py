"""A backtest as people ask for it: which candles are meant, on whose terms, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from common.domain.backtest import FRICTIONLESS, FundingRates, Result, curve, run
from common.domain.backtest.reference import EVERY_RULE, STAKE, WALLET, WINDOW
from common.domain.errors import InvalidInput, NotFound
from common.domain.market import EPOCH, Timeframe
from common.domain.risk.limits import PROFILES
from common.services.run_backtest import (
    WARMUP_SPARE,
    Wishes,
    backtest_setup,
    chosen_strategy,
    document,
    load_markets,
    traded_candles,
)
from tests.domain.features_candles import FIVE_MINUTES, START_MS, walk
from tests.services.tapes import BTC, ETH, Tapes, busy, recording, two_markets

START = EPOCH + timedelta(milliseconds=START_MS)
RSI = Wishes("rsi_mean_reversion")


def bar(number: int) -> datetime:
    return START + FIVE_MINUTES.duration * number


def result_of(wishes: Wishes, tapes: Tapes) -> Result:
    strategy = chosen_strategy(wishes)
    return run(backtest_setup(load_markets(tapes, wishes, strategy), wishes, strategy))


def answer_of(wishes: Wishes, tapes: Tapes) -> Mapping[str, Any]:
    result = result_of(wishes, tapes)
    return document(result, curve(result))


def test_every_instrument_is_meant_where_none_is_named_and_funding_comes_with_its_candles() -> None:
    rates = FundingRates(np.array([START_MS]), np.array([0.0001]))
    tapes = replace(two_markets(400), rates={ETH: rates})
    btc, eth = load_markets(tapes, RSI, chosen_strategy(RSI))
    assert [(btc.instrument.symbol, btc.funding), (eth.instrument.symbol, eth.funding)] == [(BTC, None), (ETH, rates)]
    assert len(btc) == len(eth) == 400


def test_candles_before_the_window_are_there_to_warm_up_on_and_none_is_traded() -> None:
    wishes, strategy = replace(RSI, since=bar(700), until=bar(900), symbols=(BTC,)), chosen_strategy(RSI)
    (market,) = load_markets(two_markets(1000), wishes, strategy)
    setup = backtest_setup((market,), wishes, strategy)
    assert market.opened_at(0) == bar(700 - strategy.history - WARMUP_SPARE)
    assert market.opened_at(len(market) - 1) == bar(899)
    assert traded_candles(setup) == 200
    assert all(market.opened_at(item.bar) >= bar(700) for item in run(setup).decisions)


def test_a_market_without_candles_in_the_window_is_left_out() -> None:
    tapes = Tapes({recording(BTC): busy(0, 400), recording(ETH): busy(1, 4000)})
    wishes = replace(RSI, since=bar(3000))
    assert [market.instrument.symbol for market in load_markets(tapes, wishes, chosen_strategy(wishes))] == [ETH]


@pytest.mark.parametrize(
    ("tapes", "changes", "said"),
    [
        (two_markets(10), {"symbols": ("DOGE/USDT",)}, "some of: BTC/USDT 5m, ETH/USDT 5m"),
        (Tapes({}), {}, "instruments: 'all' is not accepted; expected some of: none"),
        (two_markets(10), {"since": bar(5000)}, "a time of which there are candles"),
        (two_markets(10), {"since": bar(10)}, "a time of which there are candles"),
        (
            Tapes({recording(BTC): walk(0, 9), recording(ETH, timeframe=Timeframe(3600)): walk(1, 9)}),
            {},
            "one of them: --timeframe",
        ),
        (
            Tapes({recording(BTC, name="a/BTC"): walk(0, 9), recording(BTC, name="b/BTC"): walk(1, 9)}),
            {},
            "one file for each instrument",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_what_there_is(tapes: Tapes, changes: Any, said: str) -> None:
    wishes = replace(RSI, **changes)
    with pytest.raises(InvalidInput) as refused:
        load_markets(tapes, wishes, chosen_strategy(wishes))
    assert said in str(refused.value)


def test_one_of_several_timeframes_can_be_named() -> None:
    tapes = Tapes({recording(BTC): walk(0, 9), recording(BTC, timeframe=Timeframe(3600), name="hours"): walk(1, 7)})
    (market,) = load_markets(tapes, replace(RSI, timeframe=Timeframe(3600)), chosen_strategy(RSI))
    assert len(market) == 7


def test_the_reference_runs_on_its_own_window_under_its_own_rules_and_without_fees() -> None:
    wishes = Wishes("ema_rsi_reference")
    strategy = chosen_strategy(wishes)
    (market,) = load_markets(Tapes({recording(BTC): busy(3, 400)}), wishes, strategy)
    setup = backtest_setup((market,), wishes, strategy)
    assert wishes.window == WINDOW
    assert (setup.limits, setup.equity, setup.assumptions) == (EVERY_RULE, WALLET, FRICTIONLESS)
    assert market.instrument.taker_fee == 0
    # Every trade of the peers has a stake of a hundred.
    assert all(abs(item.entry_price * item.opened_quantity - STAKE) < 1 for item in run(setup).positions)


@pytest.mark.parametrize(
    "changes", [{"profile": "standard"}, {"limits": {"leverage_max": 2}}, {"strategy": "ema_crossover"}]
)
def test_what_is_not_the_reference_pays_the_instruments_fees_under_its_own_profile(changes: Any) -> None:
    wishes = replace(Wishes("ema_rsi_reference"), **changes)
    strategy = chosen_strategy(wishes)
    (market,) = load_markets(Tapes({recording(BTC): busy(3, 400)}), wishes, strategy)
    setup = backtest_setup((market,), wishes, strategy)
    assert (setup.profile, setup.equity, wishes.window) == ("standard", Decimal(10_000), (None, None))
    assert market.instrument.taker_fee == Decimal("0.001")
    assert setup.limits.leverage_max == changes.get("limits", {}).get("leverage_max", PROFILES["standard"].leverage_max)


def test_the_reference_keeps_its_rules_on_a_window_of_ones_own() -> None:
    assert replace(Wishes("ema_rsi_reference"), since=bar(10)).window == (bar(10), None)


def test_fees_and_frictions_are_those_that_were_asked_for() -> None:
    wishes = replace(
        RSI, fee_bps=Decimal(7), slippage_bps=Decimal(2), spread_bps=Decimal(3), latency=timedelta(seconds=2)
    )
    strategy = chosen_strategy(wishes)
    markets = load_markets(two_markets(400), wishes, strategy)
    assumed = backtest_setup(markets, wishes, strategy).assumptions
    assert {market.instrument.taker_fee for market in markets} == {Decimal("0.0007")}
    assert (assumed.slippage_bps, assumed.spread_bps, assumed.latency) == (Decimal(2), Decimal(3), timedelta(seconds=2))


def test_parameters_make_the_strategy_and_unknown_ones_are_refused() -> None:
    assert chosen_strategy(replace(RSI, parameters={"window": 20})).features == ("rsi_20", "atr_14")
    with pytest.raises(InvalidInput, match="windw"):
        chosen_strategy(replace(RSI, parameters={"windw": 20}))
    with pytest.raises(NotFound, match="rsi_mean_reversion"):
        chosen_strategy(Wishes("nothing"))


def test_the_figures_add_up() -> None:
    answer = answer_of(RSI, two_markets())
    assert answer["trades"] == answer["wins"] + answer["losses"] == answer["outcomes"]["filled"] > 5
    assert answer["signals"] == sum(answer["outcomes"].values())
    assert sum(item["trades"] for item in answer["by_exit"].values()) == answer["trades"]
    assert sum(item["net_profit"] for item in answer["by_symbol"].values()) == answer["net_profit"]
    assert answer["final_equity"] == answer["equity"] + answer["net_profit"]
    assert answer["candles"] == 3000
    assert (answer["from"], answer["to"]) == (START, bar(1500))
    assert 0 < answer["exposure"]["mean"] <= answer["exposure"]["max"]
    assert 0 < answer["exposure"]["time_in_market"] < 1
    assert 0 <= answer["excursions"]["mae_mean"] <= answer["excursions"]["mae_max"]
    assert answer["average_hold_s"] > 0


def test_a_backtest_without_a_trade_says_that_nothing_was_held() -> None:
    answer = answer_of(replace(RSI, symbols=(BTC,), since=bar(5)), two_markets(15))
    assert (answer["trades"], answer["final_equity"], answer["average_hold_s"]) == (0, Decimal(10_000), None)
    assert set(answer["excursions"].values()) == {None}
    assert answer["exposure"] == {"mean": 0.0, "max": 0.0, "time_in_market": 0.0}
    assert answer["from"] == bar(5)
