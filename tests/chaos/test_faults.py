"""Faults do to a process, a server and a venue what they say, and take it back."""

from __future__ import annotations

import random
import resource
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from chaos.crew import Hand
from chaos.faults import KINDS, requests
from chaos.faults.processes import _limited
from chaos.practice import Armed, PracticeVenue
from chaos.world import World
from common.adapters.embedded import EmbeddedPostgres, PostgresServer
from common.machine import ManagedProcess


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Hand]:
    process = ManagedProcess(
        "idle-1", [sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "idle-1.log"
    )
    yield Hand(process.start())
    process.kill()


@pytest.mark.parametrize("what", [resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE])
def test_a_limit_holds_within_its_block_and_no_longer(hand: Hand, what: int) -> None:
    before = resource.prlimit(hand.process.pid, what)
    with _limited(hand, what, lambda pid: 7) as limit:
        assert (limit, resource.prlimit(hand.process.pid, what)) == (7, (7, before[1]))
    assert resource.prlimit(hand.process.pid, what) == before


def test_a_process_that_is_gone_cannot_be_limited(hand: Hand) -> None:
    hand.process.kill()
    with _limited(hand, resource.RLIMIT_NOFILE, lambda pid: 7) as limit:
        assert limit is None


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server of the test's own, for nobody else gets in meanwhile."""
    with EmbeddedPostgres(tmp_path / "postgres", durable=False).start() as server:
        yield server


def test_a_full_postgres_takes_nobody_until_it_is_let_go(postgres: PostgresServer) -> None:
    refused: list[str] = []

    class Watch:
        """Looks in while every connection is taken."""

        def sleep(self, seconds: float) -> None:
            with pytest.raises(psycopg.OperationalError, match="too many clients"):
                psycopg.connect(postgres.url_superuser)
            refused.append(f"{seconds:g}")

    world = cast("World", SimpleNamespace(postgres=postgres))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chaos.world.time", Watch())
        taken = World.take_all_connections(world, 1.0)
    assert refused == ["1"]
    assert taken > 50
    with psycopg.connect(postgres.url_superuser) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_was_armed_in_another_life_of_the_venue_has_struck_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = PracticeVenue(Path("nowhere"), {}, 1.0, 1)
    ended: list[str] = []

    def answer(method: str, path: str, body: Any = None) -> dict[str, Any]:
        ended.append(f"{method} {path}")
        return {"hits": 3, "log": [{"id": 5, "symbol": "BTCUSDT"}]}

    monkeypatch.setattr(venue, "call", answer)
    old, present = Armed(venue.life, 5), Armed(venue.life + 1, 5)
    venue.life += 1
    assert [venue.struck(armed) for armed in (old, present)] == [0, 3]
    assert [len(venue.strikes(armed)) for armed in (old, present)] == [0, 1]
    ended.clear()
    venue.end(old)
    venue.end(present)
    assert ended == ["DELETE /simulator/faults/5"]


def test_a_fault_that_strikes_nobody_is_told_from_one_that_did(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = {1: 0, 2: 1}

    class Venue:
        """Grants faults numbers in turn; the second strikes."""

        def __init__(self) -> None:
            self.armed: list[int] = []
            self.ended: list[int] = []

        def fault(self, site: str, how: str, **wish: Any) -> Armed:
            self.armed.append(wish["count"])
            return Armed(1, len(self.armed))

        def struck(self, armed: Armed) -> int:
            return hits[armed.number]

        def end(self, armed: Armed) -> None:
            self.ended.append(armed.number)

    venue = Venue()
    world = cast("World", SimpleNamespace(venue=venue))
    monkeypatch.setattr(requests, "STRIKE_S", 0.01)
    assert requests.strike(world, "fill", "hold") == ""
    assert requests.strike(world, "fill", "hold") != ""
    assert (venue.armed, venue.ended) == ([1, 1], [1, 2])


def test_the_weights_are_the_schedules_ten_thousand_and_every_kind_says_what_it_does() -> None:
    assert sum(item.weight for item in KINDS.values()) == pytest.approx(10_000, rel=0.05)
    assert [name for name, item in KINDS.items() if not (item.act.__doc__ or "").strip().endswith(".")] == []
    assert all(item.takes_s > 0 for item in KINDS.values())


@pytest.mark.parametrize("name", ["deleveraging", "liquidation", "filter_change", "market_halted", "market_settled"])
def test_where_nothing_is_held_nothing_is_struck(name: str) -> None:
    world = cast("World", SimpleNamespace(tenancy=SimpleNamespace(keys={})))
    assert KINDS[name].act(world, random.Random(1)) == ""


def test_a_coarser_step_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, str]] = []
    venue = SimpleNamespace(
        statement=lambda key: {"api_key": key, "positions": [{"symbol": "BTCUSDT"}]},
        set_tick=lambda symbol, tick: steps.append((symbol, tick)),
    )
    instrument = SimpleNamespace(symbol="BTC/USDT:USDT", tick_size=Decimal("0.1"))
    tenancy = SimpleNamespace(keys={"account": "key"}, instruments=[instrument])
    monkeypatch.setattr("chaos.faults.market.time.sleep", lambda _: None)
    KINDS["filter_change"].act(cast("World", SimpleNamespace(venue=venue, tenancy=tenancy)), random.Random(1))
    assert steps == [("BTCUSDT", "1"), ("BTCUSDT", "0.1")]
