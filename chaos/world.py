"""A whole fleet in a folder of its own, with proxies of ours on every wire and truthful doors behind them."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg

from chaos.crew import Crew, man
from chaos.halts import Halts
from chaos.options import Options
from chaos.practice import PracticeVenue
from chaos.proxy import HOST, Proxy, ProxyThread
from chaos.tenants import Tenancy, open_tenants
from cli.context import child_environ, settings_of_world
from cli.worlds import World as Folder
from common.adapters.embedded import EmbeddedPostgres, EmbeddedValkey, PostgresServer, ValkeyServer
from common.adapters.redis_state import connect_redis
from common.bootstrap import build_fleet, migrate
from common.domain.errors import OutcomeUnknown, Transient
from common.machine import fleet_nursery
from common.services.fleet import Fleet
from common.settings import PREFIX, Settings, read_settings

T = TypeVar("T")

_CONNECTIONS_MAX = 1000
_NAMES = b"user\0postgres\0database\0postgres\0\0"
_HELLO = struct.pack("!ii", 8 + len(_NAMES), 196_608) + _NAMES
_ASKS_WHO = b"R"
"""Postgres's protocol: the first message of a connection, and the first letter of the answer when there is a place."""

PRACTICE_VISIBILITY_S = 6.0
"""The practice venue hides an order no longer than this; faults keep to it (`faults.LAG_S_MAX`)."""


@dataclass(slots=True)
class World:
    """Everything that runs, with a truthful door to each part."""

    options: Options
    directory: Path
    settings: Settings
    venue: PracticeVenue
    postgres_home: EmbeddedPostgres
    valkey_home: EmbeddedValkey
    postgres: PostgresServer
    valkey: ValkeyServer
    proxies: dict[str, Proxy]
    crew: Crew
    fleet: Fleet
    tenancy: Tenancy
    began: float = field(default_factory=time.monotonic)
    venue_restarted_at: float = 0.0
    halt_lock: threading.Lock = field(default_factory=threading.Lock)
    halts: Halts = field(default_factory=Halts)
    _doors: threading.local = field(default_factory=threading.local)

    def at(self) -> float:
        """Seconds of life since the world began."""
        return round(time.monotonic() - self.began, 3)

    def rows(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Rows as the superuser sees them; raises Transient while Postgres does not answer.

        Every thread keeps its connection as long as it lasts: to open one costs more than most questions do.
        """
        try:
            cursor = self._door().execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError as error:
            raise Transient(f"Postgres does not answer: {error}") from None

    def _door(self) -> psycopg.Connection[Any]:
        """This thread's connection to the server that runs now."""
        url, kept = self.postgres.url_superuser, getattr(self._doors, "kept", None)
        if kept is not None and kept[0] == url and not kept[1].closed:
            return kept[1]
        connection = psycopg.connect(url, autocommit=True, connect_timeout=3)
        self._doors.kept = (url, connection)
        return connection

    def sit_on(self, statements: str, seconds: float) -> None:
        """Take what `statements` lock, hold it, and let go; raises Transient when Postgres goes away meanwhile."""
        try:
            with psycopg.connect(self.postgres.url_superuser, connect_timeout=3) as connection:
                connection.execute("SET LOCAL lock_timeout = '10s'")
                connection.execute(statements.encode())
                time.sleep(seconds)
                connection.rollback()
        except psycopg.OperationalError as error:
            raise Transient(f"Postgres does not answer: {error}") from None

    def take_all_connections(self, seconds: float) -> int:
        """Hold every connection that Postgres still grants, asked for and never let in; how many were held.

        Who has sent the first message and does not answer the question for a password takes a place like anybody else.
        """
        with ExitStack() as stack:
            for taken in range(_CONNECTIONS_MAX):
                try:
                    line = stack.enter_context(socket.create_connection((HOST, self.postgres.port), timeout=3))
                    line.sendall(_HELLO)
                    is_let_in = line.recv(1) == _ASKS_WHO
                except OSError as error:
                    raise Transient(f"Postgres does not answer: {error}") from None
                if not is_let_in:
                    time.sleep(seconds)
                    return taken
        raise Transient(f"Postgres grants more than {_CONNECTIONS_MAX} connections")

    @staticmethod
    def wire_name(symbol: str) -> str:
        """How the practice venue writes an instrument's symbol."""
        return symbol.partition(":")[0].replace("/", "")

    def flush_valkey(self) -> None:
        """FLUSHALL."""
        try:
            with connect_redis(self.valkey.url) as client:
                client.flushall()
        except Exception as error:  # noqa: BLE001 - translated.
            # The library of Redis is spoken in one room, its errors too.
            raise Transient(f"Valkey does not answer: {error}") from None


def patiently(ask: Callable[[], T], patience_s: float = 30.0, every_s: float = 0.1) -> T:
    """What `ask` returns once it does not fail for the moment; raises its last failure after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except (Transient, OutcomeUnknown):
            if time.monotonic() > deadline:
                raise
        time.sleep(every_s)


@contextmanager
def open_world(options: Options, directory: Path) -> Iterator[World]:
    """Start servers, venue, proxies, tenants and the fleet; end them all, however the block ends."""
    with ExitStack() as stack:
        stack.enter_context(_nobody_elses_settings())
        folder = Folder(directory)
        settings = settings_of_world(
            read_settings(env_file=None, attach=False, home=directory),
            folder,
            scan_timeframes=("5m",),
            signal_expiry_candles=2,
            live_trading=True,
            simulator_visibility_s=PRACTICE_VISIBILITY_S,
        )
        venue = PracticeVenue(directory, _environ(settings), options.speed, options.seed)
        homes = EmbeddedPostgres(directory / "postgres"), EmbeddedValkey(directory / "valkey")
        servers = homes[0].start(), homes[1].start()
        world = _world(options, directory, settings, venue, homes, servers, stack)
        stack.callback(world.crew.stop)
        man(world.crew, options.replicas)
        yield world


@contextmanager
def _nobody_elses_settings() -> Iterator[None]:
    """The environment without the user's settings; what the world puts there is gone afterwards."""
    mine = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    for name in mine:
        del os.environ[name]
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
            del os.environ[name]
        os.environ.update(mine)


def _world(
    options: Options,
    directory: Path,
    settings: Settings,
    venue: PracticeVenue,
    homes: tuple[EmbeddedPostgres, EmbeddedValkey],
    servers: tuple[PostgresServer, ValkeyServer],
    stack: ExitStack,
) -> World:
    parts: dict[str, Any] = {"postgres": servers[0], "valkey": servers[1]}
    venue.start()
    stack.callback(venue.kill)
    thread = ProxyThread()
    stack.callback(thread.stop)
    ports = {"postgres": servers[0].port, "valkey": servers[1].port, "venue": venue.port}
    proxies = {name: Proxy(name, port, thread).start() for name, port in ports.items()}
    direct = _addresses(settings, directory, parts, venue.url)
    migrate(direct)
    # What is imported from now on, the fleet's Celery application too, reads this world's true addresses.
    os.environ.update({k: v for k, v in child_environ(direct).items() if k.startswith(PREFIX)})
    from workers.bus import CeleryBus

    fleet = build_fleet(direct, "cli", bus=CeleryBus())
    stack.callback(fleet.store.close)
    tenancy = open_tenants(fleet, venue.url, options.tenants)
    environ = _environ(_through(direct, proxies))
    nursery = fleet_nursery(directory / "logs" / "nursery.log", environ)
    stack.callback(nursery.stop)
    crew = Crew(environ, directory / "logs", nursery)
    world = World(
        options, directory, direct, venue, homes[0], homes[1], servers[0], servers[1], proxies, crew, fleet, tenancy
    )
    stack.callback(_stop_servers, world)
    return world


def _environ(settings: Settings) -> dict[str, str]:
    """The processes' environment. Bytecode is kept, as that of an installed program is: who is restarted compiles nothing."""
    return {name: value for name, value in child_environ(settings).items() if name != "PYTHONDONTWRITEBYTECODE"}


def _stop_servers(world: World) -> None:
    """Stop what runs at the end, which need not be what was started at the beginning."""
    world.valkey.stop()
    world.postgres.stop()


def _addresses(settings: Settings, directory: Path, parts: dict[str, Any], venue_url: str) -> Settings:
    url = parts["postgres"].url_superuser
    return settings_of_world(
        settings,
        Folder(directory),
        database_url=url,
        database_owner_url=url,
        redis_url=parts["valkey"].url,
        simulator_url=venue_url,
        model_url=f"{venue_url}/v1",
    )


def _through(settings: Settings, proxies: dict[str, Proxy]) -> Settings:
    """The same settings with every wire led through its proxy."""
    venue = f"http://127.0.0.1:{proxies['venue'].port}"
    return settings.model_copy(
        update={
            "database_url": _moved(settings.database_url, proxies["postgres"].port),
            "database_owner_url": None,
            "redis_url": _moved(settings.redis_url, proxies["valkey"].port),
            "simulator_url": venue,
            "model_url": f"{venue}/v1",
        }
    )


def _moved(url: str | None, port: int) -> str:
    parts = urlsplit(url or "")
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()
