"""Every setting of the fleet: typed, frozen, read once, and loud about a name it does not know."""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from common.domain.errors import InvalidInput, Permanent
from common.domain.market import Timeframe

PREFIX = "TRADEWINDS_"
FILE_SUFFIX = "_FILE"
RUN_FILE = "run.env"
LOCK_FILE = "lock"
MASK = "********"
PASSWORD_FILES = {
    "database_url": "postgres_password",
    "database_owner_url": "postgres_owner_password",
    "redis_url": "redis_password",
}
"""Files of the secrets folder whose password is put into an address that has none."""

COMPOSE_ONLY = frozenset(
    PREFIX + name
    for name in (
        *("IMAGE", "PULL_POLICY", "REVISION", "UID", "GID", "SECRETS", "FLOWER_PORT", "REDIS_IMAGE"),
        *("POSTGRES_IMAGE", "POSTGRES_CPUS", "POSTGRES_MEMORY", "SIGNAL_CPUS", "SIGNAL_MEMORY"),
        *(f"{stage}_REPLICAS" for stage in ("SIGNAL", "LLM", "RISK", "EXECUTION", "POSITION", "MAINTENANCE")),
        "ACCOUNT_STREAM_REPLICAS",
    )
)
"""Variables that docker-compose.yml reads from the same `.env` and that are nothing to the processes."""

_PLACEHOLDER = re.compile(
    r"^(change[-_ ]?me.*|default[-_ ]?secret.*|replace[-_ ]?me.*|your[-_ ].*|placeholder.*|example.*|password|secret"
    r"|todo|x{3,}|<.*>)$",
    re.IGNORECASE,
)


class Misconfigured(Permanent):
    """The settings cannot be used; the message has one line per variable and never shows a secret."""


def _is_not_placeholder(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if _PLACEHOLDER.match(text):
        raise ValueError("a placeholder stands where a secret belongs; `tradewinds doctor --init` writes real ones")
    if len(text) < 8:
        raise ValueError(f"a secret of {len(text)} characters is no secret; at least 8 are wanted")
    return secret


def _is_an_address(url: str) -> str:
    password = _password(url)
    if "://" not in url:
        raise ValueError("an address starts with its scheme, such as postgresql://, redis:// or http://")
    if password is not None and (not password or _PLACEHOLDER.match(password)):
        raise ValueError("a placeholder stands where the address has its password")
    return url


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _are_timeframes(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(Timeframe.parse(name)) for name in names)
    except InvalidInput as error:
        raise ValueError(str(error)) from error


def _are_channels(secret: SecretStr) -> SecretStr:
    try:
        channels_of(secret)
    except (ValueError, AttributeError):
        raise ValueError(
            'expected JSON with lists of Apprise addresses, such as {"operator": ["mailto://…"], "harbour": ["tgram://…"]}'
        ) from None
    return secret


def channels_of(secret: SecretStr | None) -> dict[str, tuple[str, ...]]:
    """Addresses by `operator` or a tenant's name; raises ValueError or AttributeError where something else is written."""
    read = {} if secret is None else json.loads(secret.get_secret_value())
    if not all(isinstance(items, list) and all(isinstance(item, str) for item in items) for items in read.values()):
        raise ValueError("no lists of addresses")
    return {whom: tuple(items) for whom, items in read.items()}


Secret = Annotated[SecretStr, AfterValidator(_is_not_placeholder)]
Channels = Annotated[SecretStr, AfterValidator(_are_channels)]
Address = Annotated[str, AfterValidator(_is_an_address)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Timeframes = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_are_timeframes)]


class Settings(BaseSettings):
    """What an operator may decide; `None` means absent. Use `read_settings`, which also knows where values came from."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=False)

    # The room on disk.
    home: Path = Field(
        default=Path(".tradewinds"), description="Folder of worlds, embedded servers, logs and generated secrets"
    )
    world: str | None = Field(
        default=None, pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Name of the world in use"
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="Folder with one file per secret, named like its setting; HOME/secrets is used where it exists",
    )

    # Servers; absent = the embedded ones of `tradewinds up`.
    database_url: Address | None = Field(
        default=None, repr=False, description="Postgres as the fleet's own role sees it"
    )
    database_owner_url: Address | None = Field(
        default=None, repr=False, description="Postgres as the owner, for migrations only"
    )
    redis_url: Address | None = Field(
        default=None, repr=False, description="Redis or Valkey that carries the doorbell rings"
    )
    redis_prefix: str = Field(default="tradewinds", min_length=1, description="Prefix of every key and queue in Redis")
    database_pool_size: int = Field(default=4, ge=1, le=100, description="Database connections per process")
    redis_pool_size: int = Field(default=10, ge=1, le=1000, description="Redis connections per process")

    # The world outside.
    simulator_url: Address | None = Field(
        default=None, description="Base address of the practice venue; absent = no such venue"
    )
    simulator_visibility_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds of life after which the practice venue surely shows an order; absent = as long as a real one",
    )
    simulator_weight_per_minute: int | None = Field(
        default=None,
        ge=60,
        description="Request weight that the practice venue grants a minute; absent = what a real one grants",
    )
    order_prefix: str = Field(
        default="tw",
        pattern=r"^[a-z0-9]{1,3}$",
        description="First characters of every client order id; one per installation",
    )
    coingecko_url: Address | None = Field(
        default=None,
        description="Base address of CoinGecko, such as https://api.coingecko.com; absent = coins are not asked for",
    )
    coingecko_api_key: Secret | None = Field(default=None, description="Key of CoinGecko; the free tier works without")
    coinmarketcap_url: Address | None = Field(
        default=None,
        description="Base address of CoinMarketCap, such as https://pro-api.coinmarketcap.com; absent = not asked",
    )
    coinmarketcap_api_key: Secret | None = Field(default=None, description="Key of CoinMarketCap, which wants one")
    fear_greed_url: Address | None = Field(
        default=None,
        description="Base address of the fear-and-greed index, such as https://api.alternative.me; absent = not asked",
    )
    alert_channels: Channels | None = Field(
        default=None,
        description="Where alerts go beside the log, as JSON: Apprise addresses of `operator` and of tenants by name",
    )
    candidate_interest_min: Decimal = Field(
        default=Decimal(15_000_000),
        ge=0,
        le=Decimal(10) ** 12,
        description="Open interest, in the settle asset, below which an instrument is no candidate",
    )
    venues: Names = Field(default=(), description="Real venues in use, by ccxt's names, such as binanceusdm,bybit")
    live_trading: bool = Field(
        default=False, description="The platform's own say in moving money; tenant and account have theirs"
    )

    # The model.
    model_url: Address | None = Field(
        default=None, description="Base address of an endpoint that speaks the OpenAI chat protocol"
    )
    model_api_key: Secret | None = Field(default=None, description="Key of that endpoint")
    model_name: str = Field(
        default="simulated-rules-1", min_length=1, description="Model to ask; ids are pinned, never aliases"
    )
    model_deadline_s: float = Field(
        default=8.0, gt=0, le=120, description="Seconds the model has to answer, retries included"
    )
    model_calls_per_minute: int = Field(
        default=600,
        ge=1,
        le=100_000,
        description="Calls of the model the whole fleet may make; a sixth of them at once",
    )

    # Policy.
    signal_expiry_candles: Decimal = Field(
        default=Decimal(1),
        gt=0,
        le=10,
        description="Candles after its own close at which a signal is too old to act on",
    )
    scan_timeframes: Timeframes = Field(
        default=("5m",), min_length=1, description="Timeframes that are streamed and kept"
    )
    clock_drift_ms_max: int = Field(
        default=1000,
        ge=1,
        le=60_000,
        description="Difference from the venue's clock above which its account takes no entries",
    )
    price_drift_bps_max: Decimal = Field(
        default=Decimal(50), gt=0, le=1000, description="Ceiling on how far the price may have run since the signal"
    )

    strategies: Names = Field(
        default=(), description="Folders with strategies of your own, known to every process that scans"
    )

    # Secrets of the platform.
    master_key: Secret | None = Field(default=None, description="Key-encryption key of the vault")
    message_key: Secret | None = Field(default=None, description="Signs the messages between stages")
    halt_key: Secret | None = Field(default=None, description="Authenticates the kill switch (HMAC)")
    halt_second_key: Secret | None = Field(
        default=None,
        description="A second person's key: lifting a halt of the platform, or a FLATTEN, over HTTP takes both",
    )
    api_token: Secret | None = Field(default=None, description="The operator's token at the API")

    # Being watched.
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="For people or for machines")
    log_file: Path | None = Field(default=None, description="Also log to this file, rotated at 20 MB, five kept")
    heartbeat_file: Path | None = Field(
        default=None, description="File a worker touches while it is well; for health checks"
    )
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port on which a worker shows its metrics"
    )
    metrics_dir: Path | None = Field(
        default=None, description="Folder through which prefork children share their metrics"
    )
    api_host: str = Field(default="127.0.0.1", min_length=1, description="Address the API listens on")
    api_port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on")
    market_data: Path | None = Field(default=None, description="Folder of recorded markets, for tests and benches")

    def secrets(self) -> list[str]:
        """Every secret text in use, passwords inside addresses included; for redaction."""
        found = [value.get_secret_value() for value in self._values() if isinstance(value, SecretStr)]
        found += [_password(value) or "" for value in self._values() if isinstance(value, str) and "://" in value]
        return [text for text in found if text]

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` changed so that a child process reads these settings; secrets reach it as they reached us."""
        ours = {
            variable(name): ",".join(value) if isinstance(value, tuple) else str(value)
            for name in type(self).model_fields
            if (value := getattr(self, name)) not in (None, ()) and not isinstance(value, SecretStr)
        }
        replaced = {name + FILE_SUFFIX for name in ours}
        return {name: value for name, value in base.items() if name not in replaced} | ours

    def _values(self) -> Iterable[object]:
        return (getattr(self, name) for name in type(self).model_fields)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `read_settings` hands over, because it alone knows the origin of each value."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Reading:
    """Settings together with the origin of each value: `default`, `environment`, `.env`, `file …` or `given`."""

    settings: Settings
    origins: Mapping[str, str]

    def table(self) -> list[dict[str, Any]]:
        """One row per setting with `name`, `variable`, `value` (secrets masked), `origin` and `description`."""
        return [
            {
                "name": name,
                "variable": variable(name),
                "value": shown(getattr(self.settings, name)),
                "origin": self.origins.get(name, "default"),
                "description": info.description or "",
            }
            for name, info in Settings.model_fields.items()
        ]


def variable(name: str) -> str:
    """Environment variable of the setting `name`."""
    return PREFIX + name.upper()


def shown(value: object) -> object:
    """`value` as it may be shown: secrets and passwords masked, paths and decimals as text."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, str) and "://" in value:
        return _without_password(value)
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def read_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env"), *, attach: bool = True, **given: Any
) -> Settings:
    """The settings of this process; raises Misconfigured naming every variable that is wrong or unknown."""
    return read(environ, env_file, attach=attach, **given).settings


def read(
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env"), *, attach: bool = True, **given: Any
) -> Reading:
    """Settings with origins. `given` wins over environment, environment over `.env`, `.env` over secret files.

    With `attach`, and no database named, a world that `tradewinds up` runs under the same home lends its addresses, so
    that `tradewinds status` and `celery -A workers call` in another terminal reach it.
    """
    environ = os.environ if environ is None else environ
    from_env = _known(environ, "the environment")
    from_file = _known(_dotenv(env_file), str(env_file))
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source, origin in ((_contents(from_file), ".env"), (_contents(from_env), "environment")):
        for name, (value, path) in source.items():
            values[name], origins[name] = value, f"file {path}" if path else origin
    named = {name: value for name, value in given.items() if value is not None}
    values |= named
    origins |= dict.fromkeys(named, "given")
    for name, (value, path) in _secret_files(values).items():
        if name not in values:
            values[name], origins[name] = value, f"file {path}"
    values |= _with_passwords(values)
    if attach and "database_url" not in values:
        world = running_world(home_of(values), values.get("world"))
        for name, value in _announced(world).items():
            if name not in values:
                values[name], origins[name] = value, f"running world {world}"
    return Reading(_validated(values), origins)


def home_of(values: Mapping[str, Any]) -> Path:
    """The home these values name, or the default one."""
    return Path(values.get("home") or Settings.model_fields["home"].default)


def running_world(home: Path, name: str | None = None) -> Path | None:
    """Folder of the world under `home` that runs now: `name`, or the one that was started last; None when none runs."""
    worlds = home / "worlds"
    announced = [path.parent for path in worlds.glob(f"*/{RUN_FILE}") if name in {None, path.parent.name}]
    running = [world for world in announced if is_claimed(world)]
    return max(running, key=lambda world: (world / RUN_FILE).stat().st_mtime, default=None)


def is_claimed(world: Path) -> bool:
    """Whether a living process holds the lock of `world`."""
    try:
        with (world / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _announced(world: Path | None) -> dict[str, str]:
    return {} if world is None else _known(_dotenv(world / RUN_FILE), str(world / RUN_FILE))


def _dotenv(path: Path | None) -> Mapping[str, str]:
    if path is None or not path.is_file():
        return {}
    return {name: value or "" for name, value in dotenv_values(path).items()}


def _known(environ: Mapping[str, str], where: str) -> dict[str, str]:
    """The variables of ours, by lower-case name and possibly ending in `_file`; unknown ones stop the start."""
    ours = {
        name: value for name, value in environ.items() if name.upper().startswith(PREFIX) and name not in COMPOSE_ONLY
    }
    names = [variable(name) for name in Settings.model_fields]
    names += [variable(name) + FILE_SUFFIX for name, info in Settings.model_fields.items() if _may_be_a_file(info)]
    problems = []
    for name, value in sorted(ours.items()):
        if name not in names:
            nearest = difflib.get_close_matches(name.upper(), names, n=1, cutoff=0.0)
            problems.append(f"{name} (in {where}) is no setting; did you mean {nearest[0]}?")
        elif not value.strip():
            problems.append(f"{name} (in {where}) is empty; leave it out to mean absent")
    if problems:
        raise Misconfigured("\n".join(problems))
    return {name.removeprefix(PREFIX).lower(): value for name, value in ours.items()}


def _may_be_a_file(info: FieldInfo) -> bool:
    """Secrets, and addresses because they may hold a password."""
    return "SecretStr" in str(info.annotation) or info.repr is False


def _contents(values: Mapping[str, str]) -> dict[str, tuple[str, Path | None]]:
    """Values by setting name, `…_file` replaced by what the file holds."""
    found: dict[str, tuple[str, Path | None]] = {}
    for name, value in values.items():
        if name in Settings.model_fields:
            found[name] = (value, None)
            continue
        setting, path = name.removesuffix(FILE_SUFFIX.lower()), Path(value)
        if setting in values:
            raise Misconfigured(f"{variable(setting)} and {variable(name)} are both set; keep one")
        found[setting] = (_read_secret(path, variable(name)), path)
    return found


def _read_secret(path: Path, named_by: str) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{named_by} names {path}, which cannot be read: {error}") from error
    if not text:
        raise Misconfigured(f"{named_by} names {path}, which is empty")
    return text


def _secret_files(values: Mapping[str, Any]) -> dict[str, tuple[str, Path]]:
    """One file per setting in the secrets folder; other files there are nobody's business."""
    folder = _secrets_folder(values)
    wanted = [name for name, info in Settings.model_fields.items() if _may_be_a_file(info)]
    return {
        name: (_read_secret(path, variable("secrets_dir")), path)
        for name in wanted
        if folder is not None and (path := folder / name).is_file()
    }


def _secrets_folder(values: Mapping[str, Any]) -> Path | None:
    given = values.get("secrets_dir")
    folder = Path(given) if given else home_of(values) / "secrets"
    if folder.is_dir():
        return folder
    if given:
        raise Misconfigured(f"{variable('secrets_dir')} names {folder}, which is no folder")
    return None


def _with_passwords(values: Mapping[str, Any]) -> dict[str, str]:
    """Addresses completed with the password that lies in the secrets folder under its own name."""
    folder, found = _secrets_folder(values), {}
    for name, file in PASSWORD_FILES.items():
        url = values.get(name)
        if folder is None or not isinstance(url, str) or not (folder / file).is_file() or _password(url) is not None:
            continue
        parts = urlsplit(url)
        password = quote(_read_secret(folder / file, variable("secrets_dir")), safe="")
        host = parts.netloc.rpartition("@")[2]
        found[name] = urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{password}@{host}"))
    return found


def _validated(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        # The input itself is left out: it may be a secret.
        problems = [
            f"{variable(str(item['loc'][0]) if item['loc'] else 'settings')}: "
            + str(item["msg"]).removeprefix("Value error, ")
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise Misconfigured("\n".join(problems)) from None


def _password(url: str) -> str | None:
    try:
        password = urlsplit(url).password
        return None if password is None else unquote(password)
    except ValueError:
        return None


def _without_password(url: str) -> str:
    password = _password(url)
    if password is None:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = parts.username or ""
    return urlunsplit(parts._replace(netloc=f"{user}:{MASK}@{host}"))
