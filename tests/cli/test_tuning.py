"""Parameters and subscriptions from the command line, and strategies of the user's own in every process that scans."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.opening import Wishes, with_strategies
from cli.worlds import world_of
from common.bootstrap import load_strategies
from common.domain import strategies
from common.domain.errors import InvalidInput, TradewindsError
from common.domain.strategies import registry
from common.services.fleet import Fleet
from common.settings import Settings, variable
from common.store import Store, migrate
from tests.cli.test_commands import tradewinds
from tests.cli.test_strategies import MINE
from tests.servers import Addresses, Database, SharedServers, create_database
from tests.services.venue import SOL
from tests.services.world import STRATEGY, House, World, empty, found_world

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")


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
    def asked(
        world: str | None = None, *, folders: Sequence[Path] | None = None, in_venue_time: bool = False
    ) -> Iterator[Fleet]:
        yield found.fleet

    for module in ("cli.queries", "cli.acts", "cli.parameters", "cli.subscriptions"):
        __import__(module)
        monkeypatch.setattr(sys.modules[module], "asked_fleet", asked)
    yield found
    store.close()


@pytest.fixture
def house(world: World) -> House:
    return world.settle_in("harbour")


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))


def told(*arguments: str) -> dict[str, Any]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.output.splitlines()[-1])
    return found


def shown(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(*arguments: str) -> str:
    """What the command raises instead of doing anything."""
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, TradewindsError), result.output
    return str(result.exception)


PARAMETERS = ("strategies", "parameters")
OF_HARBOUR = (STRATEGY, "--tenant", "harbour")
WHY = ("--reason", "a test")


def test_a_set_goes_from_proposal_to_force_and_back(world: World, house: House) -> None:
    proposed = told(
        *PARAMETERS, "propose", *OF_HARBOUR, "--param", "fast=8", "--param", "stop_atr=2", "--by", "ada", *WHY
    )
    assert (proposed["number"], proposed["parameters"]) == (1, {"fast": 8, "stop_atr": 2.0})
    approved = told(*PARAMETERS, "approve", STRATEGY, "1", "--tenant", "harbour", "--by", "grace", *WHY)
    assert (approved["state"], approved["decided_by"]) == ("active", "grace")
    assert approved["active_from"] > approved["decided_at"]
    assert "stop_atr=2.0" in shown(*PARAMETERS, "list", "--tenant", "harbour")
    told(*PARAMETERS, "propose", *OF_HARBOUR, "--param", "fast=7", *WHY)
    assert told(*PARAMETERS, "reject", STRATEGY, "2", "--tenant", "harbour", *WHY)["state"] == "rejected"
    assert told(*PARAMETERS, "rollback", *OF_HARBOUR, *WHY)["number"] == 0
    assert "by set 1 from" in shown(*PARAMETERS, "rollback", *OF_HARBOUR, "--to", "1", *WHY)
    rows = told(*PARAMETERS, "list", "--strategy", STRATEGY)["parameters"]
    assert [(row["number"], row["state"]) for row in rows] == [(2, "rejected"), (1, "active")]


def test_every_step_says_in_words_what_it_did(world: World, house: House) -> None:
    assert "everybody trades by the defaults" in shown(*PARAMETERS, "list")
    assert "nothing trades by it yet" in shown(*PARAMETERS, "propose", *OF_HARBOUR, "--param", "fast=8", *WHY)
    assert "by set 1 (fast=8) from" in shown(*PARAMETERS, "approve", STRATEGY, "1", "--tenant", "harbour", *WHY)
    shown(*PARAMETERS, "propose", *OF_HARBOUR, "--param", "fast=7", *WHY)
    assert "is rejected" in shown(*PARAMETERS, "reject", STRATEGY, "2", "--tenant", "harbour", *WHY)
    assert "by its defaults from" in shown(*PARAMETERS, "rollback", *OF_HARBOUR, *WHY)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("propose", *OF_HARBOUR, "--param", "fast=1", *WHY),
            "fast: 1 is not accepted; expected a number from 2 to 400",
        ),
        (("propose", *OF_HARBOUR, "--param", "fast", *WHY), "NAME=VALUE"),
        (("propose", *OF_HARBOUR, "--param", "fast=8", "--param", "fast=9", *WHY), "every parameter once"),
        (
            ("propose", STRATEGY, "--tenant", "nobody", "--param", "fast=8", *WHY),
            "no tenant 'nobody'; there is: harbour",
        ),
        (("propose", "mine", "--tenant", "harbour", "--param", "fast=8", *WHY), "no strategy 'mine'"),
        (("propose", *OF_HARBOUR, "--param", "fast=8", "--reason", ""), "say why"),
        (("approve", STRATEGY, "3", "--tenant", "harbour", *WHY), "no parameter set of ema_crossover '3'"),
        (("rollback", *OF_HARBOUR, *WHY), "the defaults are in force"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(
    world: World, house: House, arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(*PARAMETERS, *arguments)


def test_an_account_is_subscribed_and_unsubscribed(world: World, house: House) -> None:
    wish = ("harbour", "--strategy", "confluence", "--timeframe", "15m")
    made = told("tenant", "subscribe", *wish, "--instruments", "all", "--advisor", "default")
    assert (made["timeframe"], made["advisor"], made["on_advisor_unavailable"]) == ("15m", "default", "wait")
    assert len(made["instruments"]) == 2
    assert f"on {SOL}" in shown("tenant", "subscribe", *wish, "--instruments", SOL, "--account", "main")
    assert told("tenant", "unsubscribe", *wish)["active_to"] is not None
    assert "confluence 15m" in refused("tenant", "unsubscribe", *wish)
    assert "enters no more" in shown("tenant", "unsubscribe", "harbour", "--strategy", STRATEGY)
    assert world.audited(house, made["id"]) == ["subscription"] * 3


def test_an_account_follows_the_candidates_of_its_venue(world: World, house: House) -> None:
    wish = ("harbour", "--strategy", "confluence", "--instruments")
    made = told("tenant", "subscribe", *wish, "candidates:1")
    assert (made["pool"], len(made["instruments"])) == ("candidates:1", 1)
    assert "following candidates" in shown("tenant", "subscribe", *wish, "candidates")
    assert told("tenant", "subscribe", *wish, SOL)["pool"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--instruments": "candidates:none"}, "candidates:20 for the first twenty"),
        ({"--instruments": "candidates:2,SOL/USDT:USDT"}, "no instrument at practice 'candidates:2'"),
        ({"--strategy": "mine"}, "no strategy 'mine'; there is: advanced_composite"),
        ({"--instruments": "DOGE/USDT"}, "no instrument at practice 'DOGE/USDT'; there is: ADA/USDT:USDT"),
        ({"--instruments": ""}, "symbols such as"),
        ({"--timeframe": "7x"}, "7x"),
        ({"--account": "other"}, "no account 'other'; there is: main"),
        ({"--advisor": "oracle"}, "no advisor profile 'oracle'; there is: default"),
        ({"--on-advisor-unavailable": "hope"}, "one of wait, technical"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused_with_what_can(
    world: World, house: House, changes: dict[str, str], said: str
) -> None:
    options = {"--strategy": STRATEGY, "--instruments": SOL, "--timeframe": "5m"} | changes
    words = [word for pair in options.items() for word in pair]
    assert said in refused("tenant", "subscribe", "harbour", *words)


def test_a_world_that_rests_is_not_changed_from_a_moment_on(tmp_path: Path) -> None:
    world_of(Settings(home=tmp_path / ".tradewinds"), "calm").remember({"market": "generated"})
    for command in (
        ("tenant", "unsubscribe", "harbour", "--strategy", STRATEGY),
        (*PARAMETERS, "rollback", *OF_HARBOUR, *WHY),
    ):
        result = tradewinds(*command, cwd=tmp_path)
        assert result.returncode == 1, result.stderr
        assert "`tradewinds up --world calm` first" in result.stderr


def test_the_commands_of_the_page_do_what_it_says(world: World, house: House) -> None:
    section = PAGE.partition("## Versions of parameters")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("tradewinds ")]
    assert len(lines) >= 5
    import shlex

    for line in lines:
        shown(*shlex.split(line)[1:])
    rows = told(*PARAMETERS, "list")["parameters"]
    assert [(row["number"], row["state"]) for row in rows] == [(2, "rejected"), (1, "retired")]


# --- Strategies of the user's own -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.py").write_text(MINE)
    return tmp_path / "own"


@pytest.mark.usefixtures("own_registry")
def test_a_folder_of_the_settings_is_known_and_handed_on_to_the_children(folder: Path) -> None:
    wishes = Wishes(strategies=(folder,))
    known = with_strategies(wishes, Settings(strategies=(str(folder),)))
    assert known.strategies == (str(folder),)
    assert known.environ({})[variable("strategies")] == str(folder)
    assert strategies.get("mine").version == "1"
    assert load_strategies(known) == []


def test_without_folders_the_settings_stay_as_they_are() -> None:
    settings = Settings()
    assert with_strategies(Wishes(), settings) is settings


FAULTS = {
    "np.full(len(columns), 0.6)": ("np.full(3, 0.6)", "confidence has the shape (3,)"),
    'features = ("highest_20"': ('features = ("lowest_of_all"', "NotFound"),
    "return Entries(side,": ("return Entries(2 * side,", "side holds values other than"),
    "top, bottom, atr =": ("1 / 0\n        top, bottom, atr =", "ZeroDivisionError"),
}


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(("part", "fault"), FAULTS.items(), ids=list(FAULTS))
def test_a_strategy_that_cannot_be_evaluated_stops_the_start(folder: Path, part: str, fault: tuple[str, str]) -> None:
    (folder / "mine.py").write_text(MINE.replace(part, fault[0]))
    with pytest.raises(InvalidInput, match="mine") as refusal:
        load_strategies(Settings(strategies=(str(folder),)))
    assert fault[1] in str(refusal.value)


@pytest.mark.parametrize("command", [("up", "--for", "1s"), ("standalone", "--for", "1s"), ("worker", "signal")])
def test_a_broken_folder_stops_every_process_that_scans_with_its_file(folder: Path, command: tuple[str, ...]) -> None:
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    result = tradewinds(*command, cwd=folder.parent, TRADEWINDS_STRATEGIES=str(folder))
    assert result.returncode == 2, result.stderr
    assert "broken.py" in result.stderr
    assert "Traceback" not in result.stderr


def test_two_folders_of_the_same_name_are_both_read(folder: Path, own_registry: None) -> None:
    twin = folder.parent / "elsewhere" / "own"
    twin.mkdir(parents=True)
    (twin / "mine.py").write_text(MINE.replace('"mine"', '"yours"'))
    assert load_strategies(Settings(strategies=(str(folder), str(twin)))) == ["mine", "yours"]
