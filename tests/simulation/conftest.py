"""Fixtures of the simulation's tests: a database of this worker's own, as the simulation makes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulation.database import Database, prepare
from simulation.seed import listen
from tests.servers import Addresses, SharedServers


@pytest.fixture(scope="session")
def simulated(shared_servers: SharedServers, addresses: Addresses, worker_number: int) -> Iterator[Database]:
    """A database that seeds can be run on, one after the other."""
    name = f"tradewinds_simulated_{worker_number}"
    with shared_servers.exclusive():
        prepare(addresses.postgres_url, [name])
    listen()
    database = Database(addresses.postgres_url, name)
    yield database
    database.close()
