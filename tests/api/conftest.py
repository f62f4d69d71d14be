"""Fixtures of the API's tests: a small fleet in Postgres, asked through the role that the API works under."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.app import create
from common.services.authenticate import issue_token
from common.services.fleet import Fleet
from common.settings import Settings
from common.store import RoleName, Store, migrate
from tests.servers import Addresses, Database, SharedServers, create_database
from tests.services.world import House, World, empty, found_world

OPERATOR_TOKEN = "the-operators-token-of-these-tests"


@dataclass(frozen=True, slots=True)
class Caller:
    """A client with a token."""

    client: TestClient
    token: str | None

    def get(self, path: str, **query: Any) -> Any:
        """Ask for `path`."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.client.get(path, params=query, headers=headers)


@pytest.fixture(scope="session")
def books(shared_servers: SharedServers, addresses: Addresses, worker_number: int) -> Database:
    """A database with the schema of today."""
    with shared_servers.exclusive():
        created = create_database(addresses, f"tradewinds_api_{worker_number}")
        migrate(created.url_superuser, created.url_app)
    return created


@pytest.fixture(scope="session")
def stores(books: Database) -> Iterator[tuple[Store, Store]]:
    """The fleet's store and the API's."""
    app, api = Store(books.url_app, pool_size=4), Store(books.url_app, role=RoleName.API, pool_size=4)
    yield app, api
    app.close()
    api.close()


@pytest.fixture
def world(books: Database, stores: tuple[Store, Store]) -> World:
    """A fleet at a minute when anything may happen, on empty tables."""
    with psycopg.connect(books.url_superuser, autocommit=True) as connection:
        empty(connection)
    return found_world(stores[0])


@pytest.fixture
def house(world: World) -> House:
    """A tenant that trades."""
    return world.settle_in("harbour")


@pytest.fixture
def neighbours(world: World, house: House) -> House:
    """Another tenant of the same making."""
    return world.settle_in("meridian")


@pytest.fixture
def api_fleet(world: World, stores: tuple[Store, Store]) -> Fleet:
    """The fleet as the API has it."""
    return replace(world.fleet, store=stores[1])


@pytest.fixture
def client(api_fleet: Fleet, redis_url: str) -> Iterator[TestClient]:
    """A client of the API."""
    settings = Settings(redis_url=redis_url, api_token=OPERATOR_TOKEN)
    with TestClient(create(settings, api_fleet), raise_server_exceptions=False) as found:
        yield found


@pytest.fixture
def operator(client: TestClient) -> Caller:
    """The operator."""
    return Caller(client, OPERATOR_TOKEN)


@pytest.fixture
def tenant(client: TestClient, world: World, house: House) -> Caller:
    """The tenant of the house."""
    return Caller(client, issue_token(world.fleet, "harbour", "test"))


@pytest.fixture
def stranger(client: TestClient) -> Caller:
    """Somebody without a token."""
    return Caller(client, None)
