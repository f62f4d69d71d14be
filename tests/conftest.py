"""Fixtures everybody shares: one Postgres and one Valkey for the run, a database of its own for every worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
import redis
from hypothesis import settings

from tests.servers import Addresses, Database, SharedServers, create_database

NOBODYS_HOME = TemporaryDirectory(prefix="tradewinds-tests-")
for name in [name for name in os.environ if name.startswith("TRADEWINDS_")]:
    del os.environ[name]
# A test that reads settings must not find the keys of the fleet that was set up in this folder.
os.environ["TRADEWINDS_HOME"] = NOBODYS_HOME.name

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def worker_number(request: pytest.FixtureRequest) -> int:
    """The number of this xdist worker, counted from 0; 0 without xdist."""
    workerinput: dict[str, str] = getattr(request.config, "workerinput", {})
    return int(workerinput.get("workerid", "gw0").removeprefix("gw"))


@pytest.fixture(scope="session")
def shared_servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServers]:
    """The run's servers, stopped when the last worker has left them."""
    base = tmp_path_factory.getbasetemp()
    run = base.parent if hasattr(request.config, "workerinput") else base
    servers = SharedServers(run / "servers")
    yield servers
    servers.leave()


@pytest.fixture(scope="session")
def addresses(shared_servers: SharedServers) -> Addresses:
    """Where the run's servers listen; they are started at the first use."""
    return shared_servers.join()


@pytest.fixture(scope="session")
def postgres_server(addresses: Addresses) -> str:
    """The superuser's URL of the run's Postgres."""
    return addresses.postgres_url


def prepare(database: Database) -> None:
    """Bring an empty database to where tests begin; called once a worker, one worker at a time."""


@pytest.fixture(scope="session")
def database(shared_servers: SharedServers, addresses: Addresses, worker_number: int) -> Database:
    """This worker's own database, fresh for the run; a test that writes to it cleans up or rolls back."""
    with shared_servers.exclusive():
        created = create_database(addresses, f"tradewinds_test_{worker_number}")
        prepare(created)
    return created


@pytest.fixture
def redis_url(addresses: Addresses, worker_number: int) -> str:
    """The URL of this worker's own Valkey database, empty at the start of every test."""
    url = addresses.redis_url(worker_number)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
