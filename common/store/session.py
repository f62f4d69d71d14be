"""One open transaction: the only place where statements are sent and their errors translated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
    bindparam,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import Insert, insert
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


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


@cache
def _insert_once(table: Table) -> Insert:
    return insert(table).on_conflict_do_nothing()


@cache
def _insert_or_replace(table: Table, *names: str) -> Insert:
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {name: statement.excluded[name] for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


class Session:
    """Statements of one transaction of one tenant, or of nobody."""

    def __init__(self, connection: Connection, tenant_id: UUID | None) -> None:
        self.connection = connection
        self.tenant_id = tenant_id

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
        return list(self.execute(statement, parameters))

    def first(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> AnyRow | None:
        """The first row, if any."""
        return self.execute(statement, parameters).first()

    def scalar(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, None where there is none."""
        return self.execute(statement, parameters).scalar()

    def binary(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Every row of a psycopg `query`, sent as bytes: for what would otherwise be spelt out digit by digit."""
        driver = self.connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise Permanent(f"the store needs psycopg, not {type(driver).__name__}")
        try:
            with driver.cursor(binary=True) as cursor:
                return cursor.execute(query.encode(), parameters).fetchall()
        except psycopg.Error as error:
            raise translated(error) from error

    def changed(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> int:
        """How many rows the statement changed."""
        return self.execute(statement, parameters).rowcount

    def add(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert `row`; a second one with the same key raises Permanent."""
        self.execute(_insert(table), row)

    def add_once(self, table: Table, row: Mapping[str, Any]) -> bool:
        """Insert `row` unless its key is taken; whether it was inserted."""
        return self.changed(_insert_once(table), row) == 1

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

    def put(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert `row`, or make the row with its primary key equal to it."""
        self.execute(_insert_or_replace(table, *row), row)
