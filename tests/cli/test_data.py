"""`tradewinds data`: the commands of docs/data.md against a practice world, and what is answered where nothing is there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from cli.main import app
from common.store import migrate
from tests.servers import Addresses, Database, SharedServers, create_database
from tests.services.world import empty
from tests.simulator_process import SimulatorProcess, start

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
SHOWN = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("tradewinds ")
]
CSV = "date,open,high,low,close,volume\n2026-01-01,1,2,1,2,5\n2026-01-01T00:05,2,2,1,1,5\n2026-01-01T00:20,1,1,1,1,5\n"


@pytest.fixture(scope="module")
def practice() -> Iterator[SimulatorProcess]:
    """A practice world at the pace of life."""
    process = start(speed=1, symbols="BTCUSDT,ETHUSDT")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def books(shared_servers: SharedServers, addresses: Addresses, worker_number: int) -> Database:
    with shared_servers.exclusive():
        created = create_database(addresses, f"tradewinds_data_{worker_number}")
        migrate(created.url_superuser, created.url_app)
    return created


@pytest.fixture
def environ(practice: SimulatorProcess, books: Database, tmp_path: Path) -> dict[str, str]:
    """A database and a practice world, as settings name them."""
    with psycopg.connect(books.url_superuser, autocommit=True) as connection:
        empty(connection)
    return {
        "TRADEWINDS_HOME": str(tmp_path / "home"),
        "TRADEWINDS_DATABASE_URL": books.url_app,
        "TRADEWINDS_SIMULATOR_URL": practice.url,
        "TRADEWINDS_COINGECKO_URL": practice.url,
        "TRADEWINDS_FEAR_GREED_URL": practice.url,
        "COLUMNS": "200",
    }


def told(environ: dict[str, str], *arguments: str) -> dict[str, Any]:
    result = CliRunner(env=environ).invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_every_command_of_the_page_does_what_it_says(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "BTC_USDT-5m.csv").write_text(CSV)
    assert len(SHOWN) >= 8
    for line in SHOWN:
        words = [str(tmp_path) if word == "PATH" else word for word in shlex.split(line)[1:]]
        result = CliRunner(env=environ).invoke(app, words)
        assert result.exit_code == 0, f"{line}: {result.output} {result.exception!r}"


def test_a_download_fetches_what_is_missing_and_verifies_it(
    environ: dict[str, str], practice: SimulatorProcess
) -> None:
    asked = ("data", "download", "--venue", "simulator", "--instruments", "BTC/USDT,ETH/USDT:USDT", "--timeframe", "5m")
    window = ("--from", "2026-01-03", "--to", "2026-01-04")
    first = told(environ, *asked, *window, "--simulator", practice.url)
    again = told(environ, *asked, *window)
    assert [first[name] for name in ("missing_before", "kept", "absent_at_venue")] == [576, 576, 0]
    assert [again[name] for name in ("missing_before", "kept", "absent_at_venue")] == [0, 0, 0]
    assert (first["verified"]["candles"], first["verified"]["gaps"]) == (576, 0)
    assert len(told(environ, "data", "list")["series"]) == 2


def test_candidates_are_ranked_now_and_read_later(environ: dict[str, str]) -> None:
    before = told(environ, "data", "candidates")
    assert (before["pool"], before["is_default"]) == ([], True)
    told(environ, "data", "download", "--venue", "simulator", "--instruments", "BTC/USDT", "--timeframe", "1h",
         "--from", "2026-01-04")  # fmt: skip
    assert told(environ, "data", "candidates")["pool"] == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    ranked = told(environ, "data", "candidates", "--refresh")
    assert "BTC/USDT:USDT" in ranked["pool"]
    assert ranked["sources"]["coingecko"] == "2 coins"
    assert told(environ, "data", "candidates")["pool"] == ranked["pool"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data", "candidates", "--venue", "moon", "--refresh"), "no venue 'moon'"),
        (("data", "download", "--venue", "moon"), "no venue 'moon'"),
        (("data", "download", "--venue", "simulator", "--instruments", "FOO/USDT"), "FOO/USDT"),
        (("data", "download", "--venue", "simulator", "--instruments", "candidates:x"), "candidates:20"),
        (("data", "download", "--venue", "simulator", "--instruments", ","), "BTC/USDT,ETH/USDT"),
        (("data", "download", "--venue", "simulator", "--from", "2099-01-01"), "before the venue's now"),
        (("data", "download", "--venue", "simulator", "--from", "soon"), "2021-01-01"),
    ],
)
def test_what_cannot_be_fetched_is_answered_with_what_can(
    environ: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    usual = {"--instruments": "BTC/USDT", "--timeframe": "5m", "--from": "2026-01-04"}
    wanted = {} if "candidates" in arguments else {k: v for k, v in usual.items() if k not in arguments}
    result = CliRunner(env=environ).invoke(app, [*arguments, *(part for pair in wanted.items() for part in pair)])
    assert result.exit_code != 0
    assert said in str(result.exception)
