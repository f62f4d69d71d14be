"""The one real Postgres of a simulation: a server of its own, a database per process, emptied between seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg._preparing import PrepareManager
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import event

from common.adapters.embedded.postgres import EmbeddedPostgres
from common.store import Store, Timeouts, migrate

_LOGIN = "simulation_app"
_TIMEOUTS = Timeouts(lock_ms_max=400, statement_ms_max=60_000, idle_in_transaction_ms_max=600_000)


@contextmanager
def server(*, track_commits: bool = False) -> Iterator[str]:
    """A server that forgets everything at its end and, if wanted, knows when each transaction was committed; yields its
    superuser's URL.
    """
    with TemporaryDirectory(prefix="tradewinds-simulation-") as folder:
        Path(folder).chmod(0o755)
        home = EmbeddedPostgres(Path(folder) / "postgres", durable=False, by_socket=True)
        running = home.start()
        try:
            if track_commits:
                with psycopg.connect(running.url_superuser, autocommit=True) as connection:
                    connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
                running.stop()
                running = home.start()
            yield running.url_superuser
        finally:
            running.stop()


def prepare(url_superuser: str, names: list[str]) -> None:
    """Make the databases `names` with the schema of today; those of before are dropped."""
    with psycopg.connect(url_superuser, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [_LOGIN]).fetchone() is None:
            create = "CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD {}"
            connection.execute(sql.SQL(create).format(sql.Identifier(_LOGIN), sql.Literal(_LOGIN)))
        _create(connection, names[0], "template0")
    migrate(url_of(url_superuser, names[0]), url_of(url_superuser, names[0], login=True))
    with psycopg.connect(url_superuser, autocommit=True) as connection:
        for name in names[1:]:
            _create(connection, name, names[0])


def _create(connection: psycopg.Connection[tuple[object, ...]], name: str, template: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    make = "CREATE DATABASE {} TEMPLATE {}"
    connection.execute(sql.SQL(make).format(sql.Identifier(name), sql.Identifier(template)))


def url_of(url_superuser: str, name: str, *, login: bool = False) -> str:
    parts = conninfo_to_dict(url_superuser)
    user, password = (_LOGIN, _LOGIN) if login else (parts["user"], parts.get("password") or "")
    place = f"host={quote(str(parts['host']), safe='/')}&port={parts['port']}"
    return f"postgresql://{user}:{password}@/{name}?{place}"


Hear = Callable[[str], None]
"""Is told the statement that waited for a lock in vain."""


class _Cursor(psycopg.Cursor[Any]):
    """A cursor that works out the columns of a statement once: the schema stands still while seeds run."""

    _columns: ClassVar[dict[Any, Any]] = {}

    def __init__(self, *arguments: Any, hear: Hear, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._hear = hear

    def execute(self, query: Any, *arguments: Any, **named: Any) -> Self:
        """Send `query`; whoever waits for a lock in vain is told of."""
        try:
            return super().execute(query, *arguments, **named)
        except psycopg.errors.LockNotAvailable:
            self._hear(str(query))
            raise

    @property
    def description(self) -> Any:
        """The columns of the result, None of none."""
        statement = self._last_query
        if statement is None or self.pgresult is None or not self.pgresult.nfields:
            return super().description
        known = self._columns.get(statement)
        if known is None:
            known = self._columns[statement] = super().description
        return known


class _KeptStatements(PrepareManager):
    """Prepared statements outlive a ROLLBACK: nothing here drops or alters what they speak of, which psycopg fears."""

    def clear(self) -> bool:
        """Keep them all."""
        return False


def _remember_statements(connection: psycopg.Connection[tuple[object, ...]], hear: Hear) -> None:
    connection.cursor_factory = partial(_Cursor, hear=hear)  # type: ignore[assignment]
    connection._prepared = _KeptStatements()  # noqa: SLF001
    # The same few hundred statements come again and again: they are parsed and planned once.
    connection.prepare_threshold, connection.prepared_max = 0, 1_000
    autocommit, connection.autocommit = connection.autocommit, True
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.autocommit = autocommit


class Database:
    """One process's database: the store as the fleet uses it, and the superuser's eye for the laws."""

    def __init__(self, url_superuser: str, name: str) -> None:
        self.store = Store(url_of(url_superuser, name, login=True), pool_size=16, timeouts=_TIMEOUTS)
        self.root = psycopg.connect(url_of(url_superuser, name), autocommit=True)
        self.root.execute("SET session_replication_role = replica")
        self.on_lock_wait: Callable[[str], None] = lambda _: None
        self._tables = self._all_tables()
        # The pool hands out the connection used last, whose statements are prepared already.
        self.store._engine.pool._pool.use_lifo = True  # type: ignore[attr-defined]  # noqa: SLF001
        event.listen(self.store._engine, "connect", self._on_connect)  # noqa: SLF001

    def _on_connect(self, connection: psycopg.Connection[tuple[object, ...]], _: object) -> None:
        _remember_statements(connection, self._heard)

    def _heard(self, statement: str) -> None:
        self.on_lock_wait(statement)

    def _all_tables(self) -> list[str]:
        rows = self.root.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND relname <> 'alembic_version' AND NOT relispartition ORDER BY relname"
        )
        return [str(row[0]) for row in rows]

    def empty(self) -> None:
        """Forget everything, the audit trail too; epochs begin anew."""
        # DELETE, because TRUNCATE makes new files for every table.
        deletes = [sql.SQL("DELETE FROM {};").format(sql.Identifier(name)) for name in self._tables]
        epoch = sql.SQL("INSERT INTO halt_epoch (is_only, epoch) VALUES (true, 0)")
        self.root.execute(sql.SQL("").join([*deletes, epoch]))

    def close(self) -> None:
        """Leave."""
        self.store.close()
        self.root.close()
