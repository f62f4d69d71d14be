"""Fixtures of the workers' tests: the Celery app on a broker in memory, and the small fleet of the services' tests."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from celery import Celery

from tests.services.conftest import books, opened_store, root, store, world
from tests.services.world import House, World

__all__ = ["books", "opened_store", "root", "store", "world"]

MODULES = ("signal", "llm", "risk", "execution", "position", "maintenance")


@pytest.fixture(scope="session")
def imported_app(tmp_path_factory: pytest.TempPathFactory) -> Celery:
    """The app, imported with settings that name no server of anybody's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADEWINDS_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("TRADEWINDS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        for name in MODULES:
            importlib.import_module(f"workers.{name}")
        app: Celery = importlib.import_module("workers.app").app
    return app


@pytest.fixture
def app(imported_app: Celery) -> Iterator[Celery]:
    """The app with a broker in memory, empty at the start."""
    yield from with_broker(imported_app, "memory://")


def with_broker(app: Celery, url: str) -> Iterator[Celery]:
    """The app while it speaks to the broker at `url`."""
    before = app.conf.broker_url
    forget_connections(app, url)
    yield app
    forget_connections(app, before)


def forget_connections(app: Celery, url: str) -> None:
    """Let the next message go to `url`."""
    app.conf.broker_url = url
    app.conf.broker_write_url = app.conf.broker_read_url = url
    app.set_current()
    if app._pool is not None:
        app._pool.force_close_all()
    app._pool, app.amqp._producer_pool = None, None


@pytest.fixture
def house(world: World) -> House:
    """A tenant whose account is funded, reconciled and subscribed."""
    return world.settle_in()


@pytest.fixture
def fleet(world: World, app: Celery, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, standing in for the fleet of this process."""
    for name in ("stage", "beat", "heartbeat", "fleet"):
        monkeypatch.setattr(f"workers.{name}.current_fleet", lambda: world.fleet)
    return world
