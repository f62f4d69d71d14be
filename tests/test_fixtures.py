"""The fixtures themselves: every worker has a database and a Valkey of its own on servers shared by the run."""

from __future__ import annotations

import psycopg
import redis

from tests.servers import APP, OWNER, Database


def test_the_database_belongs_to_the_owner_role(database: Database) -> None:
    with psycopg.connect(database.url_owner) as connection:
        row = connection.execute("select current_user, current_database()").fetchone()
    assert row == (OWNER, database.name)


def test_the_app_role_is_bound_by_row_level_security(database: Database) -> None:
    with psycopg.connect(database.url_app) as connection:
        row = connection.execute(
            "select current_user, rolsuper or rolbypassrls from pg_roles where rolname = current_user"
        ).fetchone()
    assert row == (APP, False)


def test_the_valkey_database_is_empty_at_the_start(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_valkey_database_is_empty_at_the_next_start(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
