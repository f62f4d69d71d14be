"""The check of strategies: an honest one passes, one that looks ahead or forgets its warm-up does not."""

from __future__ import annotations

from datetime import timedelta

from common.domain import strategies
from common.domain.market import EPOCH
from common.services.check_strategies import SHOWN, check_strategies, moment
from tests.domain.features_candles import START_MS, walk
from tests.domain.test_backtest_checks import Clairvoyant, Forgetful


def test_every_strategy_is_checked_on_every_market_and_each_is_told() -> None:
    heard: list[str] = []
    markets = [("up", walk(1, 700)), ("down", walk(2, 700))]
    honest = strategies.get("ema_crossover")
    found = check_strategies([honest, Clairvoyant()], markets, heard.append)
    assert [(item.strategy, item.market, item.candles) for item in found] == [
        ("ema_crossover", "up", 700),
        ("clairvoyant", "up", 700),
        ("ema_crossover", "down", 700),
        ("clairvoyant", "down", 700),
    ]
    assert heard == [f"{item.strategy} on {item.market}" for item in found]
    assert [item.findings > 0 for item in found] == [False, True, False, True]
    assert all(item.signals > 0 for item in found)


def test_what_looks_ahead_and_what_forgets_are_told_apart() -> None:
    seer, forgetful = check_strategies([Clairvoyant(), Forgetful()], [("a market", walk(24, 900))])
    assert (bool(seer.lookahead), bool(seer.recursive)) == (True, True)
    assert (bool(forgetful.lookahead), bool(forgetful.recursive)) == (False, True)
    assert forgetful.findings == len(forgetful.recursive) <= SHOWN


def test_a_finding_can_be_placed_in_time() -> None:
    assert moment(walk(1, 10), 3) == EPOCH + timedelta(milliseconds=START_MS, minutes=15)
