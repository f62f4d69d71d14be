"""A whole fleet for a bench: durable servers, a practice venue at life's speed, and processes that are gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.report import say
from cli.context import ROOT, child_environ, settings_of_world
from cli.worlds import World
from common.bootstrap import ManagedProcess, embedded_servers, migrate
from common.domain.errors import Transient
from common.settings import PREFIX, Settings, read_settings

_READY_S = 60.0

T = TypeVar("T")


@dataclass(slots=True)
class BenchWorld:
    """Running servers and venue, with `settings` that name them, and whatever processes were started in it."""

    directory: Path
    settings: Settings
    simulator_url: str
    processes: dict[str, ManagedProcess] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> ManagedProcess:
        """Start `python -m ARGUMENTS` with this world's settings."""
        command = [sys.executable, "-m", *arguments]
        environ = child_environ(self.settings)
        process = ManagedProcess(
            name, command, log=self.directory / "logs" / f"{name}.log", env=environ, death_signal=signal.SIGKILL
        )
        self.processes[name] = process.start()
        return process

    def end(self, *names: str) -> None:
        """End processes at once; what they leave behind is thrown away with the world."""
        for name in names or tuple(self.processes):
            self.processes.pop(name).kill()

    def check(self) -> None:
        """Raise Transient with the log of a process that has ended by itself."""
        for process in self.processes.values():
            if not process.alive:
                raise Transient(f"{process.name} ended by itself; its log ends:\n{process.tail()}")


@contextmanager
def bench_world(name: str) -> Iterator[BenchWorld]:
    """Servers, schema and venue in a folder of their own, thrown away at the end; nothing of the user's settings."""
    directory = (ROOT / ".tradewinds" / "bench" / f"{name}-{os.getpid()}").absolute()
    mine = {key: value for key, value in os.environ.items() if key.upper().startswith(PREFIX)}
    for key in mine:
        del os.environ[key]
    shutil.rmtree(directory, ignore_errors=True)
    home = World(directory / "worlds" / "bench")
    settings = settings_of_world(read_settings(env_file=None, attach=False, home=directory), home)
    simulator = _simulator(home.directory, settings)
    world: BenchWorld | None = None
    try:
        with embedded_servers(settings, home.directory) as served:
            url = _url_of(simulator)
            named = settings_of_world(served, home, simulator_url=url, model_url=f"{url}/v1", live_trading=True)
            migrate(named)
            say(f"durable Postgres, Valkey and the practice venue are up in {directory.name}")
            world = BenchWorld(home.directory, named, url)
            # What is imported from now on, the fleet's Celery application too, reads this world's settings.
            os.environ.update({k: v for k, v in child_environ(named).items() if k.startswith(PREFIX)})
            try:
                yield world
            finally:
                world.end()
    finally:
        simulator.stop()
        for key in [key for key in os.environ if key.startswith(PREFIX)]:
            del os.environ[key]
        os.environ.update(mine)
        shutil.rmtree(directory, ignore_errors=True)


def _simulator(directory: Path, settings: Settings) -> ManagedProcess:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--speed", "1", "--weight-limit", "0"]
    log = directory / "logs" / "simulator.log"
    return ManagedProcess("simulator", command, log=log, env=child_environ(settings)).start()


def _url_of(simulator: ManagedProcess) -> str:
    def url() -> str | None:
        lines = simulator.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((str(json.loads(line)["url"]) for line in lines if line.startswith('{"ready"')), None)

    return wait_for(url, _READY_S, lambda: f"the practice venue did not come up:\n{simulator.tail()}")


def wait_for(look: Callable[[], T | None], patience_s: float, otherwise: Callable[[], str], every_s: float = 0.02) -> T:
    """What `look` finds, asked again until it is something; raises Transient with the words of `otherwise`."""
    deadline = time.monotonic() + patience_s
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise Transient(otherwise())
        time.sleep(every_s)
    return found


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """`items` in runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
