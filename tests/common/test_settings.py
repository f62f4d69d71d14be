"""Settings: typed, frozen, read once, from known names only, and never showing a secret."""

from __future__ import annotations

import fcntl
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.settings import (
    COMPOSE_ONLY,
    LOCK_FILE,
    MASK,
    PREFIX,
    RUN_FILE,
    Misconfigured,
    Settings,
    channels_of,
    read,
    read_settings,
    variable,
)

SECRETS = ("master_key", "message_key", "halt_key", "api_token", "model_api_key")
CANARY = "canary-4711-canary"
NAMES = [variable(name) for name in Settings.model_fields]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def environ(home: Path, **variables: str) -> dict[str, str]:
    return {"TRADEWINDS_HOME": str(home)} | {f"{PREFIX}{name}": value for name, value in variables.items()}


def test_an_empty_environment_is_enough(home: Path) -> None:
    settings = read_settings(environ(home), None)
    assert settings.database_url is None
    assert not settings.live_trading


def test_settings_cannot_be_changed(home: Path) -> None:
    with pytest.raises(ValidationError):
        read_settings(environ(home), None).world = "other"


@given(name=st.text(string.ascii_uppercase + "_", min_size=1, max_size=20))
def test_every_unknown_variable_stops_the_start_and_names_a_known_one(name: str) -> None:
    unknown = f"{PREFIX}{name}_X"
    with pytest.raises(Misconfigured) as refusal:
        read_settings({unknown: "1"}, None)
    assert unknown in str(refusal.value)
    assert any(f"did you mean {known}" in str(refusal.value) for known in [*NAMES, *(f"{n}_FILE" for n in NAMES)])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("TRADEWINDS_REDIS_ULR", "TRADEWINDS_REDIS_URL"),
        ("TRADEWINDS_LIVE_TADING", "TRADEWINDS_LIVE_TRADING"),
        ("tradewinds_home", "TRADEWINDS_HOME"),
        ("TRADEWINDS_MASTER_KEY_FIEL", "TRADEWINDS_MASTER_KEY_FILE"),
    ],
)
def test_a_misspelt_variable_is_answered_with_the_nearest_name(typed: str, meant: str) -> None:
    with pytest.raises(Misconfigured, match=f"{typed} .*did you mean {meant}"):
        read_settings({typed: "x"}, None)


def test_variables_of_others_are_nobodys_business(home: Path) -> None:
    assert read_settings(environ(home) | {"PATH": "/bin", "TRADE": "x"}, None).home == home


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "text", ["changeme", "CHANGE-ME-please", "default-secret-1", "your_key_here", "<secret>", "short"]
)
def test_a_placeholder_is_refused_by_the_name_of_its_variable(home: Path, name: str, text: str) -> None:
    with pytest.raises(Misconfigured, match=variable(name)) as refusal:
        read_settings(environ(home, **{name.upper(): text}), None)
    assert text not in str(refusal.value).replace("placeholder", "")


def test_a_placeholder_in_an_address_is_refused_too(home: Path) -> None:
    with pytest.raises(Misconfigured, match="TRADEWINDS_DATABASE_URL"):
        read_settings(environ(home, DATABASE_URL="postgresql://u:changeme@h/db"), None)


@pytest.mark.parametrize("name", ["API_TOKEN", "REDIS_URL", "WORLD"])
def test_an_empty_variable_is_refused_because_absent_means_absent(home: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name}.*empty"):
        read_settings(environ(home, **{name: " "}), None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "99999"),
        ("MODEL_DEADLINE_S", "soon"),
        ("MODEL_DEADLINE_S", "nan"),
        ("SCAN_TIMEFRAMES", "5x"),
        ("ORDER_PREFIX", "toolong"),
        ("DATABASE_URL", "localhost"),
        ("LOG_FORMAT", "xml"),
        ("WORLD", "../escape"),
        ("ALERT_CHANNELS", "mailto://ada@example.org"),
        ("ALERT_CHANNELS", '["mailto://ada"]'),
        ("ALERT_CHANNELS", '{"harbour": "mailto://ada"}'),
        ("ALERT_CHANNELS", '{"harbour": [17]}'),
    ],
)
def test_a_bad_value_is_named_by_its_variable(home: Path, name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{PREFIX}{name}:"):
        read_settings(environ(home, **{name: value}), None)


def test_alert_channels_are_read_by_whom_they_belong_to_and_never_shown(home: Path) -> None:
    channels = '{"operator": ["mailto://ada:hunter22@example.org"], "harbour": []}'
    settings = read_settings(environ(home, ALERT_CHANNELS=channels), None)
    assert channels_of(settings.alert_channels) == {"operator": ("mailto://ada:hunter22@example.org",), "harbour": ()}
    assert "hunter22" not in repr(settings)


def test_all_problems_are_told_at_once(home: Path) -> None:
    with pytest.raises(Misconfigured) as refusal:
        read_settings(environ(home, API_PORT="0", LOG_LEVEL="loud"), None)
    assert len(str(refusal.value).splitlines()) == 2


def test_timeframes_are_a_list_with_commas(home: Path) -> None:
    assert read_settings(environ(home, SCAN_TIMEFRAMES="1m, 60m"), None).scan_timeframes == ("1m", "1h")


def test_given_beats_environment_beats_dotenv_beats_secret_files(home: Path, tmp_path: Path) -> None:
    (home / "secrets").mkdir(parents=True)
    for name in ("master_key", "halt_key", "message_key", "api_token"):
        (home / "secrets" / name).write_text("from-the-folder\n", encoding="utf-8")
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "TRADEWINDS_HALT_KEY=from-dotenv\nTRADEWINDS_MESSAGE_KEY=from-dotenv\nTRADEWINDS_API_TOKEN=from-dotenv\n",
        encoding="utf-8",
    )
    variables = environ(home, MESSAGE_KEY="from-environment", API_TOKEN="from-environment")
    reading = read(variables, dotenv, api_token="was-given")
    texts = {
        name: getattr(reading.settings, name).get_secret_value()
        for name in ("master_key", "halt_key", "message_key", "api_token")
    }
    assert texts == {
        "master_key": "from-the-folder",
        "halt_key": "from-dotenv",
        "message_key": "from-environment",
        "api_token": "was-given",
    }
    assert reading.origins["halt_key"] == ".env"
    assert reading.origins["message_key"] == "environment"
    assert reading.origins["api_token"] == "given"
    assert reading.origins["master_key"].startswith("file ")


def test_none_that_is_given_means_not_given(home: Path) -> None:
    assert read_settings(environ(home, WORLD="calm"), None, world=None).world == "calm"


def test_a_secret_is_read_from_the_file_its_variable_names(home: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{CANARY}\n", encoding="utf-8")
    settings = read_settings(environ(home, MASTER_KEY_FILE=str(tmp_path / "key")), None)
    assert settings.master_key is not None
    assert settings.master_key.get_secret_value() == CANARY


def test_a_secret_may_not_be_named_twice(home: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(CANARY, encoding="utf-8")
    with pytest.raises(Misconfigured, match="both set"):
        read_settings(environ(home, MASTER_KEY=CANARY, MASTER_KEY_FILE=str(tmp_path / "key")), None)


@pytest.mark.parametrize("content", [None, ""])
def test_a_secret_file_that_is_missing_or_empty_is_named(home: Path, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key"
    _ = content is None or path.write_text(content, encoding="utf-8")
    with pytest.raises(Misconfigured, match="TRADEWINDS_MASTER_KEY_FILE"):
        read_settings(environ(home, MASTER_KEY_FILE=str(path)), None)


def test_a_secrets_folder_that_is_none_is_named(home: Path) -> None:
    with pytest.raises(Misconfigured, match="TRADEWINDS_SECRETS_DIR"):
        read_settings(environ(home, SECRETS_DIR=str(home / "nowhere")), None)


def test_a_password_from_the_folder_completes_an_address_without_one(home: Path, tmp_path: Path) -> None:
    (tmp_path / "postgres_password").write_text("p@ss/word", encoding="utf-8")
    (tmp_path / "redis_password").write_text("unused-here", encoding="utf-8")
    settings = read_settings(
        environ(
            home,
            SECRETS_DIR=str(tmp_path),
            DATABASE_URL="postgresql://app@db:5432/tradewinds",
            REDIS_URL="redis://:its-own-password@r:6379/0",
        ),
        None,
    )
    assert settings.database_url == "postgresql://app:p%40ss%2Fword@db:5432/tradewinds"
    assert settings.redis_url == "redis://:its-own-password@r:6379/0"
    assert "p@ss/word" in settings.secrets()


def test_neither_table_nor_repr_shows_a_secret(home: Path) -> None:
    variables = environ(home, DATABASE_URL=f"postgresql://u:{CANARY}@h/d", REDIS_URL=f"redis://:{CANARY}@h")
    reading = read(variables | {variable(name): CANARY for name in SECRETS}, None)
    assert CANARY not in repr(reading.settings)
    assert CANARY not in str(reading.table())
    assert sum(row["value"] == MASK for row in reading.table()) == len(SECRETS)


def test_a_refused_secret_is_not_repeated_in_the_refusal(home: Path) -> None:
    with pytest.raises(Misconfigured) as refusal:
        read_settings(environ(home, API_TOKEN="tiny-cn", API_PORT="nope"), None)
    assert "tiny-cn" not in str(refusal.value)


def test_a_child_process_reads_the_same_settings(home: Path) -> None:
    settings = read_settings(
        environ(home, SCAN_TIMEFRAMES="1m,5m", LIVE_TRADING="true", DATABASE_URL="postgresql://u@h/d"), None
    )
    inherited = {"TRADEWINDS_DATABASE_URL_FILE": "/run/secrets/replaced", "PATH": "/bin"}
    child = settings.environ(inherited)
    assert child["PATH"] == "/bin"
    assert read_settings(child, None, attach=False) == settings


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, info in Settings.model_fields.items() if not info.description] == []


def test_every_variable_of_the_compose_file_is_known() -> None:
    root = Path(__file__).resolve().parents[2]
    compose = (root / "docker-compose.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"TRADEWINDS_[A-Z_]+", compose))
    known = {*NAMES, *(f"{name}_FILE" for name in NAMES), *COMPOSE_ONLY}
    assert used - known == set()


def test_the_compose_files_own_variables_do_not_stop_a_start(home: Path) -> None:
    assert read_settings(environ(home) | dict.fromkeys(COMPOSE_ONLY, ""), None).home == home


def test_a_running_world_lends_its_addresses_until_it_ends(home: Path) -> None:
    world = home / "worlds" / "calm"
    world.mkdir(parents=True)
    (world / RUN_FILE).write_text("TRADEWINDS_DATABASE_URL='postgresql://u@h/calm'\n", encoding="utf-8")
    with (world / LOCK_FILE).open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lent = read(environ(home), None)
        alone = read_settings(environ(home), None, attach=False)
        other = read_settings(environ(home, WORLD="wild"), None)
        own = read_settings(environ(home, DATABASE_URL="postgresql://u@h/own"), None)
    after = read_settings(environ(home), None)
    assert lent.settings.database_url == "postgresql://u@h/calm"
    assert lent.origins["database_url"].startswith("running world")
    assert [alone.database_url, other.database_url, after.database_url] == [None, None, None]
    assert own.database_url == "postgresql://u@h/own"
