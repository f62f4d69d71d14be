"""What the fleet takes from the machine it runs on: clock and chance, ports, embedded servers and supervised processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from common.adapters.clock import SystemClock
from common.adapters.embedded import EmbeddedPostgres, EmbeddedValkey, ManagedProcess, Nursery
from common.adapters.embedded.home import free_port
from common.adapters.ids import SystemIds
from common.ports.clock import Clock
from common.ports.ids import Ids
from common.settings import Settings

__all__ = ["ManagedProcess", "Nursery", "embedded_servers", "fleet_nursery", "free_port", "system_clock", "system_ids"]

_ALL_NEED = (
    "common.bootstrap",
    "common.services.routines",
    "celery.apps.worker",
    "celery.apps.beat",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "kombu.transport.redis",
)
_SOME_NEED = ("ccxt", "uvicorn", "fastapi", "openai", "ccxt.pro")
"""What the fleet's processes import before they are of use; nothing here reads the settings as it is imported."""


def fleet_nursery(log: Path, env: Mapping[str, str]) -> Nursery:
    """A started nursery for the fleet's processes; it ends, with all of them, when it is stopped or this process ends."""
    return Nursery(_ALL_NEED, log=log, env=env, later=_SOME_NEED).start()


@contextmanager
def embedded_servers(settings: Settings, directory: Path, *, redis: bool = True) -> Iterator[Settings]:
    """Real Postgres and Valkey below `directory` for those the settings do not name; yields settings that name them."""
    stops: list[Callable[[], None]] = []
    changes: dict[str, object] = {}
    try:
        if settings.database_url is None:
            postgres = EmbeddedPostgres(directory / "postgres").start()
            stops.append(postgres.stop)
            owner = postgres.url_superuser
            changes |= {"database_owner_url": owner, "database_url": owner}
        if redis and settings.redis_url is None:
            valkey = EmbeddedValkey(directory / "valkey").start()
            stops.append(valkey.stop)
            changes["redis_url"] = valkey.url
        yield settings.model_copy(update=changes)
    finally:
        for stop in reversed(stops):
            stop()


def system_clock() -> Clock:
    """Life's own clock, for what happens before there is a fleet: stopwatches and the command line's patience."""
    return SystemClock()


def system_ids() -> Ids:
    """The system's source of ids and secrets."""
    return SystemIds()
