"""Worlds: one market, one venue and one ledger, kept in a folder that at most one command runs at a time."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.domain.errors import InvalidInput, NotFound, Permanent
from common.settings import LOCK_FILE, RUN_FILE, Settings, is_claimed, running_world

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_RECORD = "world.json"
_SESSIONS = "sessions.json"


class WorldInUse(Permanent):
    """Another command runs this world."""


@dataclass(frozen=True, slots=True)
class World:
    """A folder under HOME/worlds."""

    directory: Path

    @property
    def name(self) -> str:
        """The world's name."""
        return self.directory.name

    @property
    def logs(self) -> Path:
        """Where its processes write."""
        return self.directory / "logs"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the world for this process; raises WorldInUse while another one does. The kernel lets go at any end."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / LOCK_FILE).open("a+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise WorldInUse(
                    f"process {lock.read().strip() or 'unknown'} runs the world {self.name!r}; stop it with Ctrl-C, "
                    "or start another world with --world NAME"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            try:
                yield
            finally:
                (self.directory / RUN_FILE).unlink(missing_ok=True)

    def remember(self, record: Mapping[str, Any]) -> None:
        """Keep what the world is made of; raises InvalidInput when it was made of something else."""
        path = self.directory / _RECORD
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for name, value in record.items():
            if name in known and known[name] != value:
                raise InvalidInput(
                    f"{name} of the world {self.name!r}",
                    value,
                    f"{known[name]!r} as before, another --world, or --fresh",
                )
        write_private(path, json.dumps({**known, **record}, indent=2))

    def announce(self, environ: Mapping[str, str]) -> None:
        """Let other commands find the running world: see `common.settings.read`."""
        lines = (f"{name}='{value}'" for name, value in sorted(environ.items()))
        write_private(self.directory / RUN_FILE, "\n".join(lines) + "\n")

    def note_sessions(self, sessions: Mapping[str, int]) -> None:
        """Keep the session of every child, so that a later start can end what a killed one left behind."""
        write_private(self.directory / _SESSIONS, json.dumps(sessions))

    def end_leftovers(self) -> int:
        """End processes of an earlier run that outlived it; returns how many. Linux only: elsewhere nothing is found.

        A process counts as ours when it belongs to a session we started *and* carries this world in its environment: a
        number alone may have been given to a stranger.
        """
        path = self.directory / _SESSIONS
        if sys.platform != "linux" or not path.exists():
            return 0
        sessions = set(json.loads(path.read_text(encoding="utf-8")).values())
        mark = f"TRADEWINDS_METRICS_DIR={self.directory / 'metrics'}".encode()
        found = [pid for pid in _processes() if _session(pid) in sessions and mark in _environment(pid)]
        for pid in found:
            _kill(pid)
        while any(mark in _environment(pid) for pid in found):
            time.sleep(0.02)
        path.unlink()
        return len(found)

    def wipe(self) -> None:
        """Delete everything the world holds; raises WorldInUse while it runs."""
        with self.claimed():
            shutil.rmtree(self.directory)


def world_of(settings: Settings, name: str) -> World:
    """The world `name`, which need not exist yet; raises InvalidInput for a name that is no folder's."""
    if not _NAME.fullmatch(name):
        raise InvalidInput("world", name, "lower-case letters, digits, dots, dashes; a letter or digit first")
    return World(settings.home.resolve() / "worlds" / name)


def default_name(market: Path | None) -> str:
    """`generated`, or the name of the market's folder."""
    if market is None:
        return "generated"
    return re.sub(r"[^a-z0-9._-]+", "-", market.resolve().name.lower()).strip("-._")[:63] or "market"


def existing_worlds(settings: Settings) -> list[World]:
    """Every world there is, the one used last first."""
    records = sorted(
        (settings.home.resolve() / "worlds").glob(f"*/{_RECORD}"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    return [World(path.parent) for path in records]


def chosen_world(settings: Settings, name: str | None) -> World:
    """The world `name`, else the running one, else the one used last; raises NotFound naming those there are."""
    worlds = existing_worlds(settings)
    if name is not None:
        if name not in {world.name for world in worlds}:
            raise NotFound("world", name, (world.name for world in worlds))
        return world_of(settings, name)
    running = running_world(settings.home.resolve())
    if running is not None:
        return World(running)
    if not worlds:
        raise NotFound("world", "any", ("none yet: `tradewinds up` makes the first",))
    return worlds[0]


def is_running(world: World) -> bool:
    """Whether a living command holds the world."""
    return is_claimed(world.directory)


def write_private(path: Path, text: str) -> None:
    """Write a file that appears whole and that nobody else can read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _processes() -> list[int]:
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != os.getpid()
    ]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
