"""Migrations: from nothing to the schema of the code, as often as one likes, by whoever may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from psycopg import sql

from common.adapters.embedded import EmbeddedPostgres, PostgresServer
from common.domain.errors import InvalidInput, Permanent, Transient
from common.store import Store, migrate
from common.store.migrate import check, unmigrate
from tests.servers import Database
from tests.store.catalogue import holes
from tests.store.world import World

PASSWORD = "only-for-tests"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server of this module's own, because roles belong to the whole server."""
    with EmbeddedPostgres(Path(tmp_path_factory.mktemp("roles")), durable=False).start() as started:
        yield started


@pytest.fixture
def bare(server: PostgresServer) -> str:
    """The superuser's URL of an empty database on a server without any of our roles."""
    with psycopg.connect(server.url_superuser, autocommit=True) as root:
        root.execute("DROP DATABASE IF EXISTS bare WITH (FORCE)")
        for name in ("app", "api", "operator", "owner", "dispatcher"):
            root.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"tradewinds_{name}")))
        for login in ("migrator", "fleet", "stranger"):
            root.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(login)))
        root.execute(sql.SQL("CREATE ROLE migrator LOGIN CREATEROLE PASSWORD {}").format(sql.Literal(PASSWORD)))
        root.execute(sql.SQL("CREATE ROLE fleet LOGIN PASSWORD {}").format(sql.Literal(PASSWORD)))
        root.execute(sql.SQL("CREATE ROLE stranger LOGIN PASSWORD {}").format(sql.Literal(PASSWORD)))
        root.execute("CREATE DATABASE bare OWNER migrator")
    return server.superuser_dsn("bare")


def as_login(server: PostgresServer, login: str) -> str:
    """The URL under which `login` reaches the bare database."""
    return server.dsn(login, PASSWORD, "bare")


def found(url: str) -> list[str]:
    """The holes in the walls of the database."""
    with psycopg.connect(url) as root:
        return holes(root)


def works(url: str) -> World:
    """Two tenants settled through that URL, and seen by the operator."""
    store = Store(url, pool_size=2)
    world = World.found(store)
    with store.operator() as view:
        assert len(view.tenants()) == 2
    store.close()
    return world


def test_the_schema_of_the_code_is_the_schema_of_the_migrations(books: Database) -> None:
    check(books.url_superuser)


def test_a_superuser_prepares_everything_and_the_fleet_works_as_less(bare: str, server: PostgresServer) -> None:
    assert migrate(bare, as_login(server, "fleet")) == migrate(bare, as_login(server, "fleet"))
    assert found(bare) == []
    works(as_login(server, "fleet"))


def test_a_superusers_own_url_serves_the_fleet_without_its_powers(bare: str) -> None:
    migrate(bare, bare)
    works(bare)


def test_a_login_that_may_create_roles_is_enough(bare: str, server: PostgresServer) -> None:
    migrate(as_login(server, "migrator"), as_login(server, "fleet"))
    migrate(as_login(server, "migrator"), as_login(server, "fleet"))
    assert found(bare) == []
    works(as_login(server, "fleet"))
    assert unmigrate(as_login(server, "migrator")) == "base"


def test_the_migrator_itself_sees_no_row_of_a_tenant(bare: str, server: PostgresServer) -> None:
    migrate(as_login(server, "migrator"), as_login(server, "fleet"))
    works(as_login(server, "fleet"))
    with psycopg.connect(as_login(server, "migrator")) as connection:
        connection.execute("SET ROLE tradewinds_owner")
        assert connection.execute("SELECT FROM accounts").rowcount == 0


def test_a_schema_closed_to_the_public_is_opened_to_the_roles_alone(bare: str, server: PostgresServer) -> None:
    with psycopg.connect(bare, autocommit=True) as root:
        root.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    migrate(as_login(server, "migrator"), as_login(server, "fleet"))
    works(as_login(server, "fleet"))


def test_a_login_that_may_not_create_roles_says_what_to_run(bare: str, server: PostgresServer) -> None:
    with pytest.raises(Permanent, match='CREATE ROLE "tradewinds_owner"') as refusal:
        migrate(as_login(server, "fleet"))
    assert "let an administrator run" in str(refusal.value)


def test_the_statements_it_names_are_the_ones_that_help(bare: str, server: PostgresServer) -> None:
    with psycopg.connect(bare, autocommit=True) as root:
        root.execute("ALTER ROLE migrator NOCREATEROLE")
        for _ in range(2):
            with pytest.raises(Permanent) as refusal:
                migrate(as_login(server, "migrator"), as_login(server, "fleet"))
            root.execute(sql.SQL(str(refusal.value).partition("run:\n")[2]))
    migrate(as_login(server, "migrator"), as_login(server, "fleet"))
    works(as_login(server, "fleet"))


def test_a_login_nobody_granted_anything_is_told_so(bare: str, server: PostgresServer) -> None:
    migrate(bare, as_login(server, "fleet"))
    store = Store(as_login(server, "stranger"))
    with pytest.raises(Permanent, match="this login may not act as tradewinds_app"):
        store.ping()
    store.close()


def test_a_database_without_our_roles_says_to_migrate(bare: str) -> None:
    store = Store(bare)
    with pytest.raises(Permanent, match="tradewinds migrate"):
        store.ping()
    store.close()


@pytest.mark.parametrize(
    "power",
    [
        "ALTER ROLE tradewinds_app SUPERUSER",
        "ALTER ROLE tradewinds_app BYPASSRLS",
        "GRANT tradewinds_operator TO tradewinds_app WITH INHERIT TRUE",
        "GRANT tradewinds_dispatcher TO tradewinds_app WITH INHERIT TRUE",
    ],
)
def test_the_store_refuses_to_work_with_more_than_its_role_should_have(
    bare: str, server: PostgresServer, power: str
) -> None:
    migrate(bare, as_login(server, "fleet"))
    with psycopg.connect(bare, autocommit=True) as root:
        root.execute(sql.SQL(power))
    store = Store(as_login(server, "fleet"))
    with pytest.raises(Permanent, match="refused to work as tradewinds_app"):
        store.ping()
    store.close()


def test_the_way_back_leaves_nothing_behind(bare: str) -> None:
    migrate(bare)
    assert unmigrate(bare) == "base"
    with psycopg.connect(bare) as root:
        left = root.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert {row[0] for row in left} == {"alembic_version", "alembic_version_pkc"}
    migrate(bare)
    assert found(bare) == []


def test_two_may_migrate_at_once(bare: str) -> None:
    outcomes: list[Any] = []

    def run() -> None:
        outcomes.append(migrate(bare))

    runners = [Thread(target=run) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert outcomes[0] == outcomes[1]
    assert found(bare) == []


def test_a_server_that_is_not_there_is_worth_another_try() -> None:
    with pytest.raises(Transient):
        migrate("postgresql://nobody@127.0.0.1:1/nowhere")


@pytest.mark.parametrize("url", ["mysql://root@localhost/x", "not a url"])
def test_what_is_not_a_postgres_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="database url"):
        migrate(url)
