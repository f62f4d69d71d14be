"""Fixtures of the services' tests: a migrated database of this worker's own, and a small fleet in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from common.store import Store, migrate
from tests.servers import Addresses, Database, SharedServers, create_database
from tests.services.world import House, World, empty, found_world


@pytest.fixture(scope="session")
def books(shared_servers: SharedServers, addresses: Addresses, worker_number: int) -> Database:
    """A database with the schema of today, beside the one the other rooms share."""
    with shared_servers.exclusive():
        created = create_database(addresses, f"tradewinds_services_{worker_number}")
        migrate(created.url_superuser, created.url_app)
    return created


@pytest.fixture(scope="session")
def root(books: Database) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's connection, which sees through every wall."""
    with psycopg.connect(books.url_superuser, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def opened_store(books: Database) -> Iterator[Store]:
    """One pool of connections for all tests."""
    opened = Store(books.url_app, pool_size=6)
    yield opened
    opened.close()


@pytest.fixture
def store(opened_store: Store, root: psycopg.Connection[Any]) -> Store:
    """The store as the fleet uses it, on empty tables."""
    empty(root)
    return opened_store


@pytest.fixture
def world(store: Store) -> World:
    """A fleet at a minute when anything may happen."""
    return found_world(store)


@pytest.fixture
def house(world: World) -> House:
    """A tenant whose account is funded, reconciled and subscribed."""
    return world.settle_in()
