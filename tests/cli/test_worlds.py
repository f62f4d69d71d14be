"""Worlds: one market and one ledger each, run by one command at a time, and never sharing anything by accident."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli.worlds import World, WorldInUse, chosen_world, default_name, existing_worlds, is_running, world_of
from common.domain.errors import InvalidInput, NotFound
from common.settings import RUN_FILE, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def world(settings: Settings) -> World:
    found = world_of(settings, "calm")
    found.remember({"market": "generated", "seed": 7})
    return found


@pytest.mark.parametrize(
    ("market", "name"), [(None, "generated"), ("binance-spot-5m", "binance-spot-5m"), ("My Candles!", "my-candles")]
)
def test_a_world_is_called_like_its_market(tmp_path: Path, market: str | None, name: str) -> None:
    assert default_name(tmp_path / market if market else None) == name


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "UPPER", "-x", "x" * 64])
def test_a_name_that_is_no_folders_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(InvalidInput):
        world_of(settings, name)


def test_a_world_that_runs_is_refused_to_a_second_command(world: World) -> None:
    with world.claimed():
        assert is_running(world)
        with pytest.raises(WorldInUse, match=f"process {os.getpid()} runs the world 'calm'"), world.claimed():
            pytest.fail("claimed twice")
    assert not is_running(world)
    with world.claimed():
        assert is_running(world)


def test_a_world_made_of_another_market_is_refused(world: World) -> None:
    world.remember({"market": "generated"})
    with pytest.raises(InvalidInput, match="market of the world 'calm'"):
        world.remember({"market": "/data/candles"})


def test_what_a_running_world_announces_is_private_and_gone_afterwards(world: World) -> None:
    with world.claimed():
        world.announce({"TRADEWINDS_DATABASE_URL": "postgresql://u:pw@h/d"})
        mode = stat.S_IMODE((world.directory / RUN_FILE).stat().st_mode)
    assert mode == 0o600
    assert not (world.directory / RUN_FILE).exists()


def test_a_question_goes_to_the_named_the_running_or_the_last_used_world(settings: Settings, world: World) -> None:
    later = world_of(settings, "wild")
    later.remember({"market": "generated"})
    os.utime(later.directory / "world.json", (2_000_000_000, 2_000_000_000))
    assert chosen_world(settings, "calm") == world
    assert chosen_world(settings, None) == later
    with world.claimed():
        world.announce({})
        assert chosen_world(settings, None) == world
    assert existing_worlds(settings) == [later, world]


def test_a_world_that_is_not_there_is_answered_with_those_there_are(settings: Settings, world: World) -> None:
    with pytest.raises(NotFound, match="calm"):
        chosen_world(settings, "wild")


def test_no_world_at_all_is_answered_with_how_to_make_one(settings: Settings) -> None:
    with pytest.raises(NotFound, match="tradewinds up"):
        chosen_world(settings, None)


def test_a_world_can_be_wiped_unless_it_runs(world: World) -> None:
    with world.claimed(), pytest.raises(WorldInUse):
        world.wipe()
    world.wipe()
    assert not world.directory.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="left-over processes are found through /proc")
def test_processes_of_an_earlier_run_are_ended_and_strangers_are_not(world: World) -> None:
    def sleeper(mark: str) -> subprocess.Popen[bytes]:
        environ = os.environ | {"TRADEWINDS_METRICS_DIR": mark}
        return subprocess.Popen(
            [sys.executable, "-c", "input()"], env=environ, stdin=subprocess.PIPE, start_new_session=True
        )

    ours, other, unlisted = (
        sleeper(f"{world.directory}/metrics"),
        sleeper("/other"),
        sleeper(f"{world.directory}/metrics"),
    )
    try:
        world.note_sessions({"ours": ours.pid, "other": other.pid})
        ended = world.end_leftovers()
        assert (ended, ours.wait(10) < 0) == (1, True)
        assert (other.poll(), unlisted.poll()) == (None, None)
        assert world.end_leftovers() == 0
    finally:
        for process in (ours, other, unlisted):
            process.kill()
            process.communicate()
