"""Fixtures of the store's tests: a migrated database of this worker's own, emptied before every test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from common.store import Store, migrate
from tests.servers import Addresses, Database, SharedServers, create_database
from tests.store.world import World


@pytest.fixture(scope="session")
def books(shared_servers: SharedServers, addresses: Addresses, worker_number: int) -> Database:
    """A database with the schema of today, beside the one the other rooms share."""
    with shared_servers.exclusive():
        created = create_database(addresses, f"tradewinds_store_{worker_number}")
        migrate(created.url_superuser, created.url_app)
    return created


@pytest.fixture
def root(books: Database) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's connection, which sees through every wall; every table is empty when the test begins."""
    with psycopg.connect(books.url_superuser, autocommit=True) as connection:
        empty(connection)
        yield connection


def empty(connection: psycopg.Connection[Any]) -> None:
    """Empty every table, the audit trail too, and begin the epochs anew."""
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND relname <> 'alembic_version' AND NOT relispartition"
    ).fetchall()
    # DELETE, because TRUNCATE makes new files for every table; as a replica, because the audit trail refuses both.
    deletes = [sql.SQL("DELETE FROM {};").format(sql.Identifier(str(row[0]))) for row in tables]
    connection.execute("SET session_replication_role = replica")
    connection.execute(sql.SQL("").join(deletes))
    connection.execute("SET session_replication_role = origin")
    connection.execute("INSERT INTO halt_epoch (is_only, epoch) VALUES (true, 0)")


@pytest.fixture
def store(books: Database, root: psycopg.Connection[Any]) -> Iterator[Store]:
    """The store as the fleet uses it, on empty tables."""
    opened = Store(books.url_app, pool_size=3)
    yield opened
    opened.close()


@pytest.fixture
def world(store: Store) -> World:
    """Two tenants with an account and a subscription each, and what trades need to exist."""
    return World.found(store)
