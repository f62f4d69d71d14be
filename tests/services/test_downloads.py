"""Candles from a venue: only what is missing is asked for, a broken download goes on, and what the venue lacks is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from common.domain.errors import InvalidInput, NotFound, Transient
from common.domain.market import Candle, Timeframe
from common.domain.recording import Recording
from common.services import download_candles as room
from common.services.download_candles import Download, download_candles, missing_candles, planned
from common.services.verify_candles import verify_candles
from tests.services.venue import ADA, NOON, SOL, VENUE
from tests.services.world import FRAME, World

HOUR = Timeframe.parse("1h")
WAITED: list[float] = []


def plan(world: World, *names: str, hours: int = 48, frame: Timeframe = HOUR) -> Download:
    """A download of the hours before noon."""
    return planned(world.fleet, VENUE, names or (SOL,), frame, NOON - timedelta(hours=hours), NOON)


def fetch(world: World, download: Download) -> list[tuple[int, int, int]]:
    """(missing, kept, absent) of each market."""
    found = download_candles(world.fleet, download, missing_candles(world.fleet, download), pause=WAITED.append)
    return [(item.missing, item.kept, item.absent) for item in found]


def test_a_download_is_kept_once_and_asks_for_nothing_the_second_time(world: World) -> None:
    assert fetch(world, plan(world, SOL, ADA)) == [(48, 48, 0), (48, 48, 0)]
    asked = len(world.venue.asked)
    assert fetch(world, plan(world, SOL, ADA)) == [(0, 0, 0), (0, 0, 0)]
    assert len(world.venue.asked) == asked


def test_only_what_is_missing_is_asked_for(world: World) -> None:
    fetch(world, planned(world.fleet, VENUE, [SOL], HOUR, NOON - timedelta(hours=30), NOON - timedelta(hours=20)))
    world.venue.asked.clear()
    assert fetch(world, plan(world)) == [(38, 38, 0)]
    assert [since for _, since in world.venue.asked] == [NOON - timedelta(hours=48), NOON - timedelta(hours=20)]


def test_a_long_gap_is_fetched_in_batches_and_progress_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BATCH", 20)
    heard: list[tuple[str, int]] = []
    download = plan(world)

    def tell(recording: Recording, done: int) -> None:
        heard.append((recording.symbol, done))

    download_candles(world.fleet, download, missing_candles(world.fleet, download), tell)
    assert heard == [(SOL, 20), (SOL, 40), (SOL, 48)]


def test_what_the_venue_does_not_have_is_told_and_stays_a_gap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BATCH", 20)
    world.venue.missing = {NOON - timedelta(hours=back) for back in (10, 11, 30)}
    assert fetch(world, plan(world)) == [(48, 45, 3)]
    (found,) = verify_candles(world.fleet, is_meant=lambda item: item.timeframe == HOUR)
    assert [gap.missing for gap in found.gaps] == [1, 2]


class Shaky:
    """The venue's candles behind a line that breaks `failures` times."""

    def __init__(self, world: World, failures: int) -> None:
        self.name, self._venue, self.failures = VENUE, world.venue, failures

    def candles(self, symbol: str, timeframe: Timeframe, since: datetime, limit: int) -> Sequence[Candle]:
        if self.failures:
            self.failures -= 1
            raise Transient("no answer")
        return self._venue.candles(symbol, timeframe, since, limit)


@pytest.fixture
def shaky(world: World, monkeypatch: pytest.MonkeyPatch) -> Shaky:
    """The world's venue behind a shaky line."""
    WAITED.clear()
    venue = Shaky(world, 0)
    monkeypatch.setattr(world.fleet, "market_data", {VENUE: venue})
    return venue


def test_a_failure_is_waited_out_longer_and_longer(world: World, shaky: Shaky) -> None:
    download, shaky.failures = plan(world), 5
    assert fetch(world, download) == [(48, 48, 0)]
    assert WAITED == [2, 4, 8, 15, 15]


def test_a_venue_that_stays_away_ends_the_download_and_what_came_is_kept(
    world: World, shaky: Shaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = plan(world)
    shaky.failures = room.ATTEMPTS_MAX
    with pytest.raises(Transient, match="no answer"):
        fetch(world, download)
    assert fetch(world, download) == [(48, 48, 0)]


def test_without_patience_a_failure_is_told_at_once(world: World, shaky: Shaky) -> None:
    download, shaky.failures = plan(world), 1
    with pytest.raises(Transient):
        download_candles(world.fleet, download, missing_candles(world.fleet, download))
    assert shaky.failures == 0


def test_a_pair_means_its_perpetual_and_each_is_fetched_once(world: World) -> None:
    assert plan(world, "SOL/USDT", SOL, ADA).symbols == [SOL, ADA]


def test_times_are_cut_to_the_grid_and_to_the_last_closed_candle(world: World) -> None:
    found = planned(world.fleet, VENUE, [SOL], FRAME, NOON - timedelta(minutes=12), NOON + timedelta(days=9))
    assert (found.since, found.until) == (NOON - timedelta(minutes=15), NOON)


def test_an_instrument_that_was_listed_since_is_found_by_asking(world: World) -> None:
    from tests.services.doors import instrument

    world.venue.listed["NEW/USDT:USDT"] = instrument("NEW/USDT:USDT")
    assert plan(world, "NEW/USDT").symbols == ["NEW/USDT:USDT"]


def test_an_unknown_instrument_is_answered_with_what_is_listed(world: World) -> None:
    with pytest.raises(NotFound, match=r"FOO/USDT.*SOL/USDT:USDT"):
        plan(world, SOL, "FOO/USDT")


def test_an_unknown_venue_is_answered_with_those_there_are(world: World) -> None:
    with pytest.raises(NotFound, match=VENUE):
        planned(world.fleet, "nowhere", [SOL], HOUR, NOON - timedelta(days=1), NOON)


def test_a_window_of_nothing_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput, match="before --to"):
        planned(world.fleet, VENUE, [SOL], HOUR, NOON + timedelta(hours=2), NOON + timedelta(hours=9))
