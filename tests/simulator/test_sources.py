"""What the practice world tells beside the venue: coins by market cap, and a mood that follows its own market."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError

import pytest

from simulator.market.market import open_market
from simulator.rest.market_data import DAY_MS
from simulator.sources import moods
from tests.simulator.worlds import Stage
from tests.simulator_process import SimulatorProcess

COINS = "/api/v3/coins/markets?vs_currency=usd"


def test_coins_come_largest_first_page_by_page(world: SimulatorProcess) -> None:
    whole = world.call("GET", COINS)
    assert [row["market_cap_rank"] for row in whole] == [1, 2, 3]
    assert [row["market_cap"] for row in whole] == sorted((row["market_cap"] for row in whole), reverse=True)
    second = world.call("GET", COINS + "&per_page=1&page=2")
    assert [row["id"] for row in second] == [whole[1]["id"]]
    assert world.call("GET", COINS + "&per_page=1&page=9") == []
    assert world.call("GET", "/api/v3/ping")["gecko_says"]


def test_only_dollars_are_spoken(world: SimulatorProcess) -> None:
    assert "error" in world.call("GET", "/api/v3/coins/markets?vs_currency=eur")


def test_the_index_is_told_newest_first_as_texts(world: SimulatorProcess) -> None:
    told: dict[str, Any] = world.call("GET", "/fng/?limit=2")
    first, second = told["data"]
    assert int(first["timestamp"]) - int(second["timestamp"]) == 86_400
    assert 0 < int(first["time_until_update"]) <= 86_400
    assert "time_until_update" not in second
    assert len(world.call("GET", "/fng/?limit=0")["data"]) >= 2
    assert len(world.call("GET", "/fng/")["data"]) == 1
    assert world.call("GET", "/fng/?limit=many")["metadata"]["error"]


def test_the_mood_follows_the_market_and_not_its_future() -> None:
    market = open_market(None, ["BTCUSDT"], 7, 4000, None)
    feed = market.feeds["BTCUSDT"]
    now_ms = market.start_ms
    found = dict(moods(market, now_ms))
    day_ms = now_ms // DAY_MS * DAY_MS
    assert all(0 <= value <= 100 for value in found.values())
    later = dict(moods(market, now_ms + 5 * DAY_MS))
    assert {at: later[at] for at in found} == found
    feed.columns.close[: feed.row_at(day_ms - 6 * DAY_MS)] //= 2
    assert dict(moods(market, now_ms))[day_ms] > found[day_ms]


def test_nothing_is_told_of_a_day_before_the_market() -> None:
    stage = Stage(None, warmup=10)
    assert moods(stage.venue.market, stage.now_ms - 365 * DAY_MS) == []


@pytest.mark.parametrize("path", ["/api/v3/coins", "/fng"])
def test_other_paths_are_nobodys(world: SimulatorProcess, path: str) -> None:
    with pytest.raises((HTTPError, ValueError)):
        world.call("GET", path)
