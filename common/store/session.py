"""One open transaction: the only place where statements are sent and their errors translated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import (
    Column,
    Connection,
    CursorResult,
    Executable,
    Row,
    Select,
    Table,
    TextClause,
    Update,
    bindparam,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import SQLAlchemyError

from common.domain.codec import encode
from common.domain.errors import Permanent
from common.store.errors import translated


def array_text(values: Iterable[object]) -> str:
    """The text of an array of numbers, instants or ids, which need no quotes: the driver would look for them in each one."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def quoted_array(values: Iterable[str]) -> str:
    """The text of an array of texts."""
    return "{" + ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "}"


def plain_json(value: Any) -> str:
    """JSON text of `value`: keys in order, no spaces, decimals as strings."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


# Without it SQLAlchemy forgets how many rows an INSERT made.
_OPTIONS = {"preserve_rowcount": True}

AnyRow = Row[*tuple[Any, ...]]


@cache
def _prepared(sql: str) -> TextClause:
    return text(sql)


@cache
def _add_all_once(table: str, columns: tuple[str, ...], told: str) -> str:
    # However many rows, it is one statement with one parameter: the driver knows it already.
    names = ", ".join(f'"{name}"' for name in columns)
    rows = f"json_populate_recordset(CAST(NULL AS {table}), CAST(:rows AS json))"
    return f'INSERT INTO {table} ({names}) SELECT {names} FROM {rows} ON CONFLICT DO NOTHING RETURNING "{told}"'


# To build a statement costs more than to send it: those that are sent again and again are built once.
@cache
def matching(table: Table, *names: str, order: tuple[str, ...] = ()) -> Select[Any]:
    """Rows of `table` whose columns `names` have the values bound to those names, by the columns `order`."""
    conditions = [table.c[name] == bindparam(name) for name in names]
    return select(table).where(*conditions).order_by(*(table.c[name] for name in order))


class _Spelt:
    """A statement as the driver wants it; its columns are known once it has been answered.

    What writes gives the `names` it writes: what a column's type makes of a value (JSON of a mapping) is made here then.
    """

    def __init__(self, statement: TextClause | Select[Any] | Insert | Update, names: tuple[str, ...] = ()) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=list(names) or None)
        self.sql = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        makers = compiled._bind_processors.items() if names else ()  # noqa: SLF001 - as SQLAlchemy itself does.
        # One maker for each value: several belong to tuples, which no column holds.
        self._making = {name: make for name, make in makers if callable(make)}
        self._columns: SimpleResultMetaData | None = None

    def parameters(self, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """What is sent along: the statement's own constants and what was `given`."""
        values = self._constants | dict(given or {})
        for name, make in self._making.items():
            values[name] = make(values[name])
        return values

    def row(self, cursor: psycopg.Cursor[Any], values: tuple[Any, ...]) -> AnyRow:
        """`values` under the names of the columns that `cursor` tells."""
        columns = self._columns
        if columns is None:
            columns = self._columns = SimpleResultMetaData([column.name for column in cursor.description or ()])
        return Row(columns, None, columns._key_to_index, values)  # noqa: SLF001 - as Result itself makes its rows.


_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


@cache
def _spelt(statement: str | Select[Any]) -> _Spelt:
    return _Spelt(_prepared(statement) if isinstance(statement, str) else statement)


@cache
def _insert(table: Table, *names: str) -> _Spelt:
    return _Spelt(insert(table), names)


@cache
def _insert_once(table: Table, *names: str) -> _Spelt:
    return _Spelt(insert(table).on_conflict_do_nothing(), names)


@cache
def _insert_or_replace(table: Table, *names: str) -> _Spelt:
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {name: statement.excluded[name] for name in names if name not in keys}
    return _Spelt(statement.on_conflict_do_update(index_elements=keys, set_=rest), names)


@cache
def _update(table: Table, names: tuple[str, ...], keys: tuple[str, ...]) -> _Spelt:
    conditions = [table.c[key] == bindparam(f"its_{key}") for key in keys]
    return _Spelt(update(table).where(*conditions), (*names, *(f"its_{key}" for key in keys)))


class Session:
    """Statements of one transaction of one tenant, or of nobody."""

    def __init__(self, connection: Connection, tenant_id: UUID | None) -> None:
        self.connection = connection
        self.tenant_id = tenant_id
        self._cursor: psycopg.Cursor[Any] | None = None

    def end(self) -> None:
        """Give the connection back; what was not committed is not kept."""
        # One that cannot even roll back is lost, and the server rolls back by itself. In failing to, the pool hears of the
        # loss, and lets go of all connections that are as old.
        with suppress(SQLAlchemyError):
            self.connection.close()

    def tenant(self) -> UUID:
        """The tenant of this transaction; raises Permanent when it has none."""
        if self.tenant_id is None:
            raise Permanent("this belongs to a tenant: open the unit of work with its id")
        return self.tenant_id

    def execute(
        self, statement: str | Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Send `statement`, or raise Transient or Permanent."""
        prepared = _prepared(statement) if isinstance(statement, str) else statement
        try:
            return self.connection.execute(prepared, parameters or {}, execution_options=_OPTIONS)
        except (SQLAlchemyError, ValueError) as error:
            raise translated(error) from error

    def all(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> list[AnyRow]:
        """Every row."""
        spelt = _plain(statement, parameters)
        if spelt is None:
            return list(self.execute(statement, parameters))
        cursor = self._send(spelt, parameters)
        return [spelt.row(cursor, values) for values in cursor.fetchall()]

    def first(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> AnyRow | None:
        """The first row, if any."""
        spelt = _plain(statement, parameters)
        if spelt is None:
            return self.execute(statement, parameters).first()
        cursor = self._send(spelt, parameters)
        values = cursor.fetchone()
        return None if values is None else spelt.row(cursor, values)

    def scalar(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, None where there is none."""
        row = self.first(statement, parameters)
        return None if row is None else row[0]

    def _send(self, spelt: _Spelt, parameters: Mapping[str, Any] | None) -> psycopg.Cursor[Any]:
        """Hand a statement that is spelt out to the driver itself: all that SQLAlchemy adds is paid for at every call."""
        try:
            return self._driver_cursor().execute(spelt.sql, spelt.parameters(parameters))
        except psycopg.Error as error:
            raise translated(error) from error

    def _driver_cursor(self) -> psycopg.Cursor[Any]:
        if self._cursor is None:
            if not self.connection.in_transaction():
                # Whatever the driver is told by itself is part of the transaction that `connection` ends.
                self.connection.begin()
            driver = self.connection.connection.driver_connection
            if not isinstance(driver, psycopg.Connection):
                raise Permanent(f"the store needs psycopg, not {type(driver).__name__}")
            self._cursor = driver.cursor()
        return self._cursor

    def binary(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Every row of a psycopg `query`, sent as bytes: for what would otherwise be spelt out digit by digit."""
        try:
            with self._driver_cursor().connection.cursor(binary=True) as cursor:
                return cursor.execute(query.encode(), parameters).fetchall()
        except psycopg.Error as error:
            raise translated(error) from error

    def changed(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> int:
        """How many rows the statement changed."""
        spelt = _plain(statement, parameters)
        if spelt is None:
            return self.execute(statement, parameters).rowcount
        return self._send(spelt, parameters).rowcount

    def add(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert `row`; a second one with the same key raises Permanent."""
        self._send(_insert(table, *row), row)

    def add_once(self, table: Table, row: Mapping[str, Any]) -> bool:
        """Insert `row` unless its key is taken; whether it was inserted."""
        return self._send(_insert_once(table, *row), row).rowcount == 1

    def add_all_once(self, table: Table, rows: Sequence[Mapping[str, Any]], told: Column[Any]) -> list[Any]:
        """Insert those of `rows`, all of the same columns, whose key is not taken; returns column `told` of those inserted."""
        if not rows:
            return []
        return [
            row[0]
            for row in self.all(
                _add_all_once(table.name, tuple(rows[0]), told.name), {"rows": json.dumps(rows, default=encode)}
            )
        ]

    def change(self, table: Table, row: Mapping[str, Any], **its: Any) -> int:
        """Write `row` into those of `table` whose columns are as `its` says; how many there were."""
        spelt = _update(table, tuple(row), tuple(its))
        return self._send(spelt, {**row, **{f"its_{name}": value for name, value in its.items()}}).rowcount

    def put(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert `row`, or make the row with its primary key equal to it."""
        self._send(_insert_or_replace(table, *row), row)


def _plain(statement: str | Executable, parameters: Mapping[str, Any] | None) -> _Spelt | None:
    """The statement spelt out, where it is always the same; None for one that was built for this call alone."""
    if isinstance(statement, str):
        return _spelt(statement)
    return _spelt(statement) if isinstance(statement, Select) and parameters is not None else None
