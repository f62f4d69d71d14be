"""A tenant sees only itself: asked of every table, from both sides of the wall."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from common.domain.errors import Permanent
from common.domain.risk.book import HaltMode, HaltScope
from common.store import RoleName, Store
from common.store.tables import metadata
from tests.clocks import NOON
from tests.servers import Database
from tests.store.catalogue import holes, tenant_tables
from tests.store.conftest import empty
from tests.store.world import World, furnish

WALLED = sorted(table.name for table in metadata.tables.values() if "tenant_id" in table.c)

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def walls(books: Database) -> Iterator[tuple[World, Connection]]:
    """A world in which our house has a row in every walled table, with the superuser's view of it."""
    store = Store(books.url_app, pool_size=2)
    with psycopg.connect(books.url_superuser, autocommit=True) as root:
        empty(root)
        world = World.found(store)
        furnish(world, world.ours)
        yield world, root
    store.close()


@pytest.fixture
def furnished(walls: tuple[World, Connection]) -> World:
    """The furnished world; tests of this module leave it as it was."""
    return walls[0]


@pytest.fixture
def root(walls: tuple[World, Connection]) -> Connection:
    """The superuser's connection, which sees through every wall."""
    return walls[1]


@pytest.fixture
def app(books: Database, walls: tuple[World, Connection]) -> Iterator[Connection]:
    """A bare connection as the fleet's role."""
    with psycopg.connect(books.url_app) as connection:
        connection.execute("SET ROLE tradewinds_app")
        connection.commit()
        yield connection
        connection.rollback()


def enter(app: Connection, tenant: object) -> Connection:
    """Begin a transaction as that tenant; None for nobody."""
    app.rollback()
    app.execute("SELECT set_config('app.tenant_id', %s, true)", ["" if tenant is None else str(tenant)])
    return app


def reached(connection: Connection, statement: str, table: str) -> int:
    """How many rows of `table` the statement reaches; none where it is not even allowed."""
    try:
        with connection.transaction():
            return connection.execute(sql.SQL(statement).format(sql.Identifier(table))).rowcount
    except psycopg.errors.InsufficientPrivilege:
        return 0


def ours_in(root: Connection, furnished: World, table: str) -> int:
    """How many rows our house has in `table`, as the superuser counts them."""
    counted = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %s").format(sql.Identifier(table))
    row = root.execute(counted, [furnished.ours.id]).fetchone()
    return int(row[0]) if row else 0


def test_the_catalogue_shows_no_hole(root: Connection) -> None:
    assert holes(root) == []


def test_the_catalogue_knows_the_tables_of_the_code(root: Connection) -> None:
    assert tenant_tables(root) == WALLED


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("CREATE TABLE leaky (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id))", "leaky does not force"),
        ("ALTER TABLE orders NO FORCE ROW LEVEL SECURITY", "orders does not force"),
        ("ALTER TABLE orders DISABLE ROW LEVEL SECURITY", "orders does not force"),
        ("DROP POLICY tenant_own ON fills", "fills has no policy of its own tenant"),
        ("CREATE POLICY more ON fills FOR SELECT USING (true)", "fills is opened to everybody by policy more"),
        ("CREATE UNIQUE INDEX fast ON fills (trade_id)", "unique index fast does not begin with tenant_id"),
        ("CREATE UNIQUE INDEX quick ON jobs (key)", "unique index quick does not begin with tenant_id"),
        (
            "ALTER TABLE orders ADD UNIQUE (id), ADD CONSTRAINT bare FOREIGN KEY (id) REFERENCES orders (id)",
            "foreign key bare does not carry tenant_id",
        ),
        ("CREATE VIEW pane AS SELECT * FROM orders", "pane is a view"),
        ("CREATE MATERIALIZED VIEW mirror AS SELECT * FROM orders", "mirror is a view"),
        ("GRANT TRUNCATE ON orders TO tradewinds_app", "tradewinds_app may TRUNCATE orders"),
        ("GRANT UPDATE ON orders TO tradewinds_operator", "tradewinds_operator may UPDATE orders"),
        (
            "CREATE FUNCTION backdoor() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM orders'",
            "backdoor: a door with the rights of",
        ),
        ("ALTER ROLE tradewinds_api BYPASSRLS", "tradewinds_api sees through every wall"),
    ],
)
def test_the_catalogue_shows_a_hole_that_somebody_makes(root: Connection, mistake: str, complaint: str) -> None:
    with root.transaction(force_rollback=True):
        root.execute(sql.SQL(mistake))
        found = holes(root)
    assert any(complaint in hole for hole in found), found


@pytest.mark.parametrize("table", WALLED)
def test_a_tenant_reaches_its_own_rows(furnished: World, app: Connection, root: Connection, table: str) -> None:
    assert ours_in(root, furnished, table) > 0
    own = f"SELECT FROM {{}} WHERE tenant_id = '{furnished.ours.id}'"
    assert reached(enter(app, furnished.ours.id), own, table) == ours_in(root, furnished, table)


@pytest.mark.parametrize("statement", ["SELECT FROM {}", "UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}"])
@pytest.mark.parametrize("table", WALLED)
def test_another_tenant_reaches_none_of_them(furnished: World, app: Connection, table: str, statement: str) -> None:
    only_ours = f"{statement} WHERE tenant_id = '{furnished.ours.id}'"
    assert reached(enter(app, furnished.theirs.id), only_ours, table) == 0


@pytest.mark.parametrize("statement", ["SELECT FROM {}", "UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}"])
@pytest.mark.parametrize("table", WALLED)
def test_nobody_reaches_a_row_of_a_tenant(furnished: World, app: Connection, table: str, statement: str) -> None:
    assert reached(enter(app, None), f"{statement} WHERE tenant_id IS NOT NULL", table) == 0


@pytest.mark.parametrize("table", WALLED)
@pytest.mark.parametrize("intruder", ["theirs", "nobody"])
def test_nobody_else_writes_a_row_of_a_tenant(
    furnished: World, app: Connection, root: Connection, table: str, intruder: str
) -> None:
    name = sql.Identifier(table)
    row = root.execute(
        sql.SQL("SELECT to_jsonb(t)::text FROM {} AS t WHERE tenant_id = %s LIMIT 1").format(name), [furnished.ours.id]
    ).fetchone()
    copied = sql.SQL("INSERT INTO {} SELECT (jsonb_populate_record(NULL::{}, %s::jsonb)).*").format(name, name)
    enter(app, {"theirs": furnished.theirs.id, "nobody": None}[intruder])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(copied, row)


def test_a_tenant_cannot_give_a_row_away(furnished: World, app: Connection) -> None:
    enter(app, furnished.ours.id)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        app.execute("UPDATE positions SET tenant_id = %s", [furnished.theirs.id])


def test_a_tenant_sees_the_platforms_halts_and_cannot_touch_them(furnished: World, app: Connection) -> None:
    with furnished.store.unit_of_work(None) as uow:
        uow.halts.add(HaltScope.PLATFORM, "", HaltMode.HALT_NEW, "a test", "tester", NOON)
        uow.commit()
    platforms = "tenant_id IS NULL"
    assert reached(enter(app, furnished.theirs.id), f"SELECT FROM {{}} WHERE {platforms}", "halts") == 1
    touch = f"UPDATE {{}} SET lifted_by = 'theirs' WHERE {platforms}"
    assert reached(enter(app, furnished.theirs.id), touch, "halts") == 0


def test_a_tenant_sees_no_name_but_its_own(furnished: World, app: Connection) -> None:
    assert reached(enter(app, furnished.ours.id), "SELECT FROM {}", "tenants") == 1
    assert reached(enter(app, None), "SELECT FROM {}", "tenants") == 0
    with furnished.store.unit_of_work(furnished.ours.id) as uow:
        assert [tenant.name for tenant in uow.tenants.list()] == ["ours"]


def test_a_tenant_cannot_pause_another(furnished: World) -> None:
    with furnished.store.unit_of_work(furnished.ours.id) as uow:
        assert not uow.tenants.set_state(furnished.theirs.id, furnished.theirs.tenant.state)
        assert uow.tenants.set_state(furnished.ours.id, furnished.ours.tenant.state)


@pytest.mark.parametrize(
    "door",
    [
        lambda uow: uow.jobs.depths(NOON),
        lambda uow: uow.jobs.due(NOON, NOON, 10),
        lambda uow: uow.accounts.active(),
        lambda uow: uow.subscriptions.wanted("simulator"),
        lambda uow: uow.subscriptions.subscribers("simulator", "s", "5m", "x", NOON),
        lambda uow: uow.tokens.find(b"hash"),
        lambda uow: uow.prune({"jobs": NOON}),
        lambda uow: uow.prune({"equity": NOON}),
    ],
)
def test_a_door_through_the_walls_is_shut_to_a_tenant(furnished: World, door: Any) -> None:
    with furnished.store.unit_of_work(furnished.ours.id) as uow, pytest.raises(Permanent, match="without tenant"):
        door(uow)


def test_the_operator_reads_every_tenant(furnished: World) -> None:
    with furnished.store.operator() as view:
        assert [tenant.name for tenant in view.tenants()] == ["ours", "theirs"]
        assert len(view.accounts()) == 2


def test_the_operator_changes_nothing(furnished: World, books: Database) -> None:
    with psycopg.connect(books.url_app) as connection:
        connection.execute("SET ROLE tradewinds_operator")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE positions SET version = version")


def test_nobody_but_the_workers_reads_sealed_keys(furnished: World, books: Database) -> None:
    for role in (RoleName.API, RoleName.OPERATOR):
        with psycopg.connect(books.url_app) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role.value)))
            connection.execute("SELECT key_id, hint FROM credentials")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT sealed FROM credentials")


def test_the_tenant_in_context_does_not_outlive_its_transaction(furnished: World) -> None:
    store: Store = furnished.store
    with store.unit_of_work(furnished.ours.id) as uow:
        assert len(uow.accounts.list()) == 1
        uow.commit()
    with store.unit_of_work(None) as uow:
        assert uow.accounts.list() == []
