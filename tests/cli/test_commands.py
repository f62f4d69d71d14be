"""The commands, as a person types them: help with an example, clear refusals, and JSON on the last line."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from cli.accounting import sparkline
from cli.main import app, part_of
from common.domain.errors import InvalidInput
from common.domain.snapshot import MarketSnapshot
from common.services.fleet import Fleet
from common.services.ingest_candles import ingest_candles
from common.services.keep_snapshots import keep_snapshots
from common.services.reconcile_cash import reconcile_cash
from common.services.review_positions import review_positions
from common.services.snapshot_equity import snapshot_equity
from common.store import Store, migrate
from tests.servers import Addresses, Database, SharedServers, create_database
from tests.services.venue import NOON, SOL, VENUE
from tests.services.world import FRAME, House, World, empty, found_world

ROOT = Path(__file__).resolve().parents[2]


def every_command(whole: typer.Typer = app) -> list[tuple[str, ...]]:
    def walk(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            return [path]
        return [found for name, item in inner.items() for found in walk(item, (*path, name))]

    return walk(get_command(whole), ())


@pytest.mark.parametrize(
    ("typed", "built"),
    [
        (["backtest", "run", "--json"], [("backtest", "run")]),
        (["config"], [("config", "show")]),
        (["strategies", "parameters", "list"], [path for path in every_command() if path[0] == "strategies"]),
        (["backtest", "rnu"], [path for path in every_command() if path[0] == "backtest"]),
        (["status"], every_command()),
        (["--help"], every_command()),
        ([], every_command()),
    ],
)
def test_only_the_commands_that_may_be_meant_are_built(typed: list[str], built: list[tuple[str, ...]]) -> None:
    assert every_command(part_of(app, typed)) == built
    assert len(every_command()) > 50


def tradewinds(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, in a folder of its own."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWINDS_")}
    environ = plain | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | variables
    program = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(program, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_helps_with_an_example(command: tuple[str, ...]) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert f"Example: tradewinds {' '.join(command)}" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("worker", "foo"), "expected one of signal, llm"),
        (("up", "--for", "soon"), "such as 90s"),
        (("up", "--market", "nowhere"), "a folder of candle files"),
        (("up", "--concurrency", "llm=many"), "execution=4"),
        (("up", "--world", "../x"), "world"),
        (("decisions",), "tradewinds up"),
        (("reset", "calm", "--yes"), "no world 'calm'"),
        (("halt", "--reason", "x", "--scope", "moon"), "platform, venue, tenant"),
        (("halt", "--reason", "x", "--mode", "softly"), "halt_new"),
        (("nonsense",), "No such command"),
        (("decisions", "-n", "0"), "Invalid value"),
    ],
)
def test_bad_input_is_answered_clearly_and_with_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = tradewinds(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_misspelt_variable_stops_every_command(tmp_path: Path) -> None:
    result = tradewinds("status", cwd=tmp_path, TRADEWINDS_REDIS_ULR="redis://h")
    assert result.returncode == 2
    assert "did you mean TRADEWINDS_REDIS_URL" in result.stderr


def test_the_settings_are_shown_with_their_origin_and_without_secrets(tmp_path: Path) -> None:
    result = tradewinds("config", "show", "--json", cwd=tmp_path, TRADEWINDS_API_TOKEN="canary-4711-canary")
    shown = json.loads(result.stdout.splitlines()[-1])
    assert shown["TRADEWINDS_API_TOKEN"] == {"value": "********", "origin": "environment"}
    assert shown["TRADEWINDS_LOG_LEVEL"] == {"value": "info", "origin": "default"}
    assert "canary" not in result.stdout + result.stderr


def test_the_doctor_writes_secrets_once_and_for_their_owner_only(tmp_path: Path) -> None:
    first = tradewinds("doctor", "--init", "--json", cwd=tmp_path)
    files = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "secrets").iterdir()}
    second = tradewinds("doctor", "--init", "--json", cwd=tmp_path)
    again = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "secrets").iterdir()}
    assert (first.returncode, second.returncode) == (0, 0)
    assert files == again
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert all(secret.strip() not in first.stdout for secret in files.values())
    assert len(set(files.values())) == len(files)


def test_the_doctor_writes_every_secret_that_the_compose_file_wants(tmp_path: Path) -> None:
    import yaml

    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    wanted = {Path(secret["file"]).name for secret in compose["secrets"].values()}
    tradewinds("doctor", "--init", cwd=tmp_path)
    assert wanted == {path.name for path in (tmp_path / "secrets").iterdir()}


def test_the_doctor_fails_where_something_is_broken(tmp_path: Path) -> None:
    result = tradewinds("doctor", "--json", cwd=tmp_path, TRADEWINDS_REDIS_URL="redis://127.0.0.1:1/0")
    checks = {check["id"]: check for check in json.loads(result.stdout.splitlines()[-1])["checks"]}
    assert result.returncode == 1
    assert checks["redis"]["status"] == "failed"
    assert "TRADEWINDS_REDIS_URL" in checks["redis"]["advice"]


@pytest.fixture(scope="session")
def books(shared_servers: SharedServers, addresses: Addresses, worker_number: int) -> Database:
    with shared_servers.exclusive():
        created = create_database(addresses, f"tradewinds_cli_{worker_number}")
        migrate(created.url_superuser, created.url_app)
    return created


@pytest.fixture
def world(books: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A small fleet that the commands ask instead of one from the settings."""
    with psycopg.connect(books.url_superuser, autocommit=True) as connection:
        empty(connection)
    store = Store(books.url_app, pool_size=3)
    found = found_world(store)

    @contextmanager
    def asked(world: str | None = None) -> Iterator[Fleet]:
        yield found.fleet

    for module in ("cli.queries", "cli.acts", "cli.accounting"):
        __import__(module)
        monkeypatch.setattr(sys.modules[module], "asked_fleet", asked)
    yield found
    store.close()


@pytest.fixture
def house(world: World) -> House:
    return world.settle_in("harbour")


def told(*arguments: str) -> dict[str, Any]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output.splitlines()[-1])
    return found


def shown(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_every_question_is_answered_for_people_and_for_machines(world: World, house: House) -> None:
    world.enter(house)
    for noun in ("decisions", "orders", "positions", "trades"):
        assert len(told(noun, "--tenant", "harbour")[noun]) >= 1
        assert "SOL/USDT:USDT" in shown(noun)
    assert told("status")["fills"] == 1
    assert "harbour" in shown("status")
    assert told("positions", "--open")["positions"][0]["is_open"]


def test_the_markets_memory_and_what_venues_corrected_are_listed(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def history(_: str | None) -> Iterator[Fleet]:
        yield world.fleet

    monkeypatch.setattr("cli.data.history_fleet", history)
    assert "no snapshots yet" in shown("data", "snapshots")
    assert "no candle was revised" in shown("data", "revisions")
    keep_snapshots(world.fleet, [MarketSnapshot(VENUE, SOL, NOON, NOON, mid=Decimal(100), mark=Decimal(100))])
    since = NOON - FRAME.duration
    plain = world.venue.candles(SOL, FRAME, since, 1)
    ingest_candles(world.fleet, VENUE, SOL, FRAME, [replace(plain[0], high=plain[0].high + 1)])
    (market,) = told("data", "snapshots")["markets"]
    (revised,) = told("data", "revisions")["revisions"]
    assert (market["symbol"], market["snapshots"], market["missing"], market["marks"]) == (SOL, 1, 0, 1)
    assert (revised["symbol"], revised["signals_since"], Decimal(revised["high"])) == (SOL, 0, plain[0].high)
    assert all(SOL in shown("data", what) for what in ("snapshots", "revisions"))


def test_a_test_alert_says_how_many_channels_it_went_to(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told("alert") == {"told": "operator", "channels": 0}
    monkeypatch.setenv("TRADEWINDS_ALERT_CHANNELS", '{"harbour": ["json://127.0.0.1/a", "json://127.0.0.1/b"]}')
    assert told("alert", "--tenant", "harbour") == {"told": "harbour", "channels": 2}
    assert "on 2 channels" in shown("alert", "--tenant", "harbour")
    assert [alert[:2] for alert in world.notifier.alerts] == [("", "test"), *[("harbour", "test")] * 2]


def test_nothing_yet_is_said_in_words(world: World, house: House) -> None:
    assert "no trades yet" in shown("trades")


def test_money_and_books_are_told_for_people_and_for_machines(world: World, house: House, tmp_path: Path) -> None:
    reconcile_cash(world.fleet, *house.ids)
    world.enter(house)
    world.move_price("97.77")
    world.visit(house)
    world.clock.advance(3600)
    world.visit(house)
    snapshot_equity(world.fleet, *house.ids)
    reconcile_cash(world.fleet, *house.ids)
    review_positions(world.fleet, *house.ids)
    for command in ("performance", "blunders", "feedback", "statement"):
        (row,) = told(command, "--tenant", "harbour")["tenants"]
        assert row["tenant"] == "harbour"
        assert told(command)["tenants"] == [row]
        assert "harbour" in shown(command)
    assert "Sharpe" in shown("performance", "--days", "7", "--risk-free", "0.02")
    assert "premature_exit" in shown("blunders")
    assert "equal" in shown("statement")
    for kind in ("csv", "parquet"):
        written = told("export", "trades", "--format", kind, "--into", str(tmp_path))
        assert (written["trades"], Path(written["written"]).suffix) == (1, f".{kind}")
    named = told("export", "trades", "--tenant", "harbour", "--into", str(tmp_path))
    assert "harbour" in Path(named["written"]).read_text(encoding="utf-8")


def test_a_wallet_that_differs_is_told_with_its_first_item(world: World, house: House) -> None:
    assert "not compared" in shown("statement")
    reconcile_cash(world.fleet, *house.ids)
    world.clock.advance(1)
    world.door_of(house).tells = False
    world.venue.move(house.account.id, "9")
    reconcile_cash(world.fleet, *house.ids)
    assert "differs by 9" in shown("statement")


def test_money_of_nobody_is_said_in_words(world: World) -> None:
    assert "no tenants yet" in shown("performance")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [(("performance", "--risk-free", "much"), "risk_free"), (("export", "trades", "--format", "xls"), "format")],
)
def test_what_cannot_be_meant_of_money_is_refused(world: World, arguments: tuple[str, ...], field: str) -> None:
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, InvalidInput)
    assert field in str(result.exception)


def test_a_curve_is_drawn_from_its_lowest_to_its_highest_and_ends_with_the_last() -> None:
    assert sparkline([1, 2, 3]) == "▁▄█"
    assert sparkline([5, 5]) == "▁▁"
    assert sparkline([]) == ""
    assert sparkline([*range(100), -1], 10)[-1] == "▁"


def test_a_story_is_told_by_the_id_of_its_order(world: World, house: House) -> None:
    world.enter(house)
    order = told("orders")["orders"][-1]
    assert told("why", order["client_order_id"])
    assert order["client_order_id"] in shown("why", order["client_order_id"])


def test_a_tenant_is_made_listed_shown_paused_and_resumed(world: World) -> None:
    assert told("tenant", "create", "aurora")["state"] == "active"
    assert [row["name"] for row in told("tenant", "list")["tenants"]] == ["aurora"]
    assert told("tenant", "show", "aurora")["tenant"]["name"] == "aurora"
    assert told("tenant", "pause", "aurora")["state"] == "reducing"
    assert told("tenant", "resume", "aurora")["state"] == "active"
    assert "aurora" in shown("tenant", "show", "aurora")
    assert len(told("tenant", "token", "aurora")["token"]) > 20


def test_a_halt_is_put_in_force_and_lifted(world: World, house: House) -> None:
    placed = told("halt", "--reason", "drill", "--scope", "tenant", "--of", "harbour")
    assert (placed["scope"], placed["reason"]) == ("tenant", "drill")
    assert told("status")["halts"][0]["reason"] == "drill"
    assert told("resume", "--scope", "tenant", "--of", "harbour") == {"lifted": True}
    assert told("resume", "--scope", "tenant", "--of", "harbour") == {"lifted": False}


def test_a_world_is_deleted_only_after_a_yes(tmp_path: Path) -> None:
    from cli.worlds import world_of
    from common.settings import Settings

    home = tmp_path / ".tradewinds"
    calm = world_of(Settings(home=home), "calm")
    calm.remember({"market": "generated"})
    refused = tradewinds("reset", "calm", cwd=tmp_path)
    still_there = calm.directory.exists()
    deleted = tradewinds("reset", "calm", "--yes", "--json", cwd=tmp_path)
    assert (refused.returncode, still_there) == (1, True)
    assert json.loads(deleted.stdout) == {"deleted": "calm"}
    assert not calm.directory.exists()
