"""A whole fleet for a bench: durable servers, a practice venue at life's speed, and processes that are gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.report import say
from cli.context import ROOT, child_environ, settings_of_world
from cli.worlds import World
from common.bootstrap import migrate
from common.domain.errors import Transient
from common.machine import ManagedProcess, embedded_servers
from common.settings import PREFIX, Settings, read_settings

_READY_S = 60.0
_UNCOUNTED = 1_000_000_000

T = TypeVar("T")


@dataclass(slots=True)
class BenchWorld:
    """Running servers and venue, with `settings` that name them, and whatever processes were started in it."""

    directory: Path
    settings: Settings
    simulator: ManagedProcess
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

    def processor_seconds(self) -> dict[str, float]:
        """Processor time used so far by each process, its children included, the servers too; Linux only, else empty."""
        names = {process.pid: name for name, process in self.processes.items()} | {self.simulator.pid: "simulator"}
        used: dict[str, float] = defaultdict(float)
        for process, session, seconds in _processor_seconds():
            used[names.get(session) or _server_named(process, self.directory)] += seconds
        return {name: seconds for name, seconds in used.items() if name}

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
            url = url_of(simulator)
            named = settings_of_world(
                served,
                home,
                simulator_url=url,
                model_url=f"{url}/v1",
                live_trading=True,
                # What the fleet can do is measured, not what one address may ask of a venue: neither side counts.
                simulator_weight_per_minute=_UNCOUNTED,
            )
            migrate(named)
            say(f"durable Postgres, Valkey and the practice venue are up in {directory.name}")
            world = BenchWorld(home.directory, named, simulator, url)
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


def _processor_seconds() -> Iterator[tuple[int, int, float]]:
    """(process, session, seconds) of every process; each of ours leads a session of its own."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            yield int(stat.parent.name), int(fields[3]), seconds


def _server_named(process: int, directory: Path) -> str:
    """The embedded server below `directory` that `process` belongs to, told by where it works; or nothing."""
    with suppress(OSError):
        place = Path(f"/proc/{process}/cwd").readlink()
        return next((name for name in ("postgres", "valkey") if place.is_relative_to(directory / name)), "")
    return ""


def _simulator(directory: Path, settings: Settings) -> ManagedProcess:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--speed", "1", "--weight-limit", "0"]
    log = directory / "logs" / "simulator.log"
    return ManagedProcess("simulator", command, log=log, env=child_environ(settings)).start()


def url_of(simulator: ManagedProcess) -> str:
    """Where a practice venue that was just started listens; raises Transient with its log when it does not come up."""

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
