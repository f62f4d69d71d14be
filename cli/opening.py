"""Makes a world ready to run: its practice venue, its servers, its schema and its demo tenants."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cli.context import child_environ, settings_of_world
from cli.interrupts import Interrupts, interrupts
from cli.output import note
from cli.worlds import World, default_name, world_of
from common.domain.errors import Transient
from common.machine import ManagedProcess, Nursery, embedded_servers, fleet_nursery, free_port, system_clock
from common.settings import Settings, read_settings

log = logging.getLogger(__name__)

_SIMULATOR_READY_S = 60.0
_WEIGHT_PER_MINUTE = 2400


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was typed."""

    market: Path | None = None
    speed: float = 1.0
    for_s: float | None = None
    drain_s: float = 45.0
    as_json: bool = False
    seed: int = 7
    world: str | None = None
    timeframe: str = "5m"
    fresh: bool = False
    concurrency: Mapping[str, int] = field(default_factory=dict)
    flower: bool | None = None
    api_port: int | None = None
    flower_port: int | None = None
    simulator_port: int | None = None
    strategies: tuple[Path, ...] = ()

    @property
    def is_watched(self) -> bool:
        """Whether a person looks at a terminal."""
        return not self.as_json and sys.stdout.isatty()

    @property
    def wants_flower(self) -> bool:
        """Flower is for looking at: it is left out where nobody does, unless it was asked for."""
        return self.is_watched if self.flower is None else self.flower


@dataclass(slots=True)
class Opening:
    """A world that was claimed; what takes long to start has been started, and ends with it."""

    wishes: Wishes
    world: World
    settings: Settings
    asked: Interrupts
    simulator: ManagedProcess
    nursery: Nursery | None
    stack: ExitStack
    began: float

    def now(self) -> float:
        """Seconds of life since the command was given."""
        return system_clock().monotonic() - self.began

    def note_sessions(self, sessions: Mapping[str, int]) -> None:
        """Keep whose sessions a later start has to end, should this process be killed: the nursery's among them."""
        born = self.nursery.pid if self.nursery else None
        self.world.note_sessions({**sessions, "nursery": born} if born else sessions)


@contextmanager
def begun(wishes: Wishes, *, with_crew: bool) -> Iterator[Opening]:
    """Claim the world that is meant and start its practice venue and, for a crew, the nursery of its processes.

    Nothing here imports what the fleet is made of, so that those are on their way while this process does.
    """
    began = system_clock().monotonic()
    settings = read_settings(attach=False)
    world = wanted_world(wishes, settings)
    with world.claimed(), interrupts() as asked, ExitStack() as stack:
        left = world.end_leftovers()
        if left:
            note(f"ended {left} processes that an earlier run left behind")
        world.remember({"market": str(wishes.market.resolve()) if wishes.market else "generated"})
        world.remember({"seed": wishes.seed} if wishes.market is None else {})
        # What the processes of an earlier run counted went with them; the ledger remembers the rest.
        shutil.rmtree(world.directory / "metrics", ignore_errors=True)
        settings = settings_of_world(settings, world, scan_timeframes=(wishes.timeframe,))
        simulator = _start_simulator(wishes, world, settings)
        stack.callback(simulator.stop)
        nursery = None
        if with_crew:
            nursery = fleet_nursery(world.logs / "nursery.log", child_environ(settings))
            stack.callback(nursery.stop)
        opening = Opening(wishes, world, settings, asked, simulator, nursery, stack, began)
        opening.note_sessions({})
        yield opening


def with_strategies(wishes: Wishes, settings: Settings) -> Settings:
    """`settings` with the folders that were typed, all absolute, once every strategy in them has been tried out."""
    from common.bootstrap import load_strategies

    folders = [str(folder.resolve()) for folder in (*map(Path, settings.strategies), *wishes.strategies)]
    known = settings.model_copy(update={"strategies": tuple(dict.fromkeys(folders))}) if folders else settings
    own = load_strategies(known)
    if own:
        note(f"strategies of your own: {', '.join(own)}")
    return known


def wanted_world(wishes: Wishes, settings: Settings) -> World:
    """The world that is meant, emptied when it is to begin anew."""
    world = world_of(settings, wishes.world or default_name(wishes.market))
    if wishes.fresh and world.directory.exists():
        world.wipe()
    return world


def open_world(opening: Opening, *, redis: bool) -> Settings:
    """Bring up what a claimed world needs, to be taken down with it; returns the settings of its processes."""
    from common.bootstrap import migrate

    wishes, world = opening.wishes, opening.world
    settings = with_strategies(wishes, opening.settings)
    _log_to(world, settings, opening.stack)
    settings = opening.stack.enter_context(embedded_servers(settings, world.directory, redis=redis))
    note("database and broker are up" if redis else "database is up")
    url = wait_for_simulator(opening.simulator, opening.asked)
    note(f"practice venue is up at {url}")
    settings = settings_of_world(
        settings,
        world,
        simulator_url=url,
        model_url=settings.model_url or f"{url}/v1",
        coingecko_url=settings.coingecko_url or url,
        fear_greed_url=settings.fear_greed_url or url,
        api_port=wishes.api_port or free_port(),
        # The practice venue moves no money; where a real one is in use the operator's own word counts.
        live_trading=settings.live_trading or not settings.venues,
    )
    migrate(settings)
    return settings


def _log_to(world: World, settings: Settings, stack: ExitStack) -> None:
    from common.telemetry import configure_logging

    world.logs.mkdir(parents=True, exist_ok=True)
    stream = stack.enter_context((world.logs / "up.log").open("a", encoding="utf-8"))
    configure_logging(settings, stream, process="up")


def _start_simulator(wishes: Wishes, world: World, settings: Settings) -> ManagedProcess:
    command = [sys.executable, "-m", "simulator", "--port", str(wishes.simulator_port or 0)]
    command += [
        "--state",
        str(world.directory / "simulator"),
        "--speed",
        f"{wishes.speed:g}",
        "--seed",
        str(wishes.seed),
    ]
    # Its weights count per minute of life; a market that runs faster needs as many more in it.
    command += ["--weight-limit", str(int(_WEIGHT_PER_MINUTE * max(1.0, wishes.speed)))]
    if wishes.market is not None:
        command += ["--market", str(wishes.market.resolve())]
    return ManagedProcess("simulator", command, log=world.logs / "simulator.log", env=child_environ(settings)).start()


def wait_for_simulator(simulator: ManagedProcess, asked: Interrupts) -> str:
    """The practice venue's address, from the line it writes when it is ready; raises Transient with its own words."""
    waited = 0.0
    while waited < _SIMULATOR_READY_S and simulator.alive and not asked.insisted:
        for line in simulator.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith('{"ready"'):
                return str(json.loads(line)["url"])
        asked.pause(0.05)
        waited += 0.05
    raise Transient(f"the practice venue did not come up:\n{simulator.tail()}")
