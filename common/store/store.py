"""The store: a pool of connections that act as one role, and the units of work on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from common.domain.errors import InvalidInput, Permanent
from common.store.errors import translated
from common.store.leader import Lease, Leases, take_lead
from common.store.operator import OperatorView
from common.store.paper import PaperBook
from common.store.session import Session, plain_json
from common.store.uow import UnitOfWork


class RoleName(StrEnum):
    """The roles a process may act as; what each may do is written in the migrations."""

    APP = "tradewinds_app"
    API = "tradewinds_api"
    OPERATOR = "tradewinds_operator"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the database may let us wait, in milliseconds.

    `idle_in_transaction_ms_max` must exceed the longest wait for the world under a claim, a model's answer included.
    """

    connect_s_max: int = 5
    pool_s_max: float = 10.0
    statement_ms_max: int = 15_000
    lock_ms_max: int = 5_000
    idle_in_transaction_ms_max: int = 120_000


OWNER = "tradewinds_owner"
DISPATCHER = "tradewinds_dispatcher"
OPERATOR = RoleName.OPERATOR.value

# Membership counts like the powers themselves: policies TO a role hold for whoever inherits from it.
_POWERS = """
    SELECT rolsuper OR rolbypassrls OR EXISTS (
        SELECT FROM pg_roles AS mighty
        WHERE mighty.rolname = ANY (%s) AND mighty.rolname <> %s AND pg_has_role(current_user, mighty.oid, 'USAGE'))
    FROM pg_roles WHERE rolname = current_user
"""


class Store:
    """Postgres, as one role. Safe to share between threads; not across fork: open one in each process."""

    def __init__(
        self, url: str, role: str = RoleName.APP, pool_size: int = 5, *, timeouts: Timeouts | None = None
    ) -> None:
        self._role = RoleName(role)
        self._timeouts = timeouts or Timeouts()
        self._months: set[tuple[int, int]] = set()
        self._engine = _engine(url, pool_size, self._timeouts)
        event.listen(self._engine, "connect", self._on_connect)

    def _on_connect(self, connection: Any, _: Any) -> None:
        become(connection, self._role, self._timeouts)

    def unit_of_work(self, tenant_id: UUID | None) -> UnitOfWork:
        """A transaction as `tenant_id`, or market-wide with None; a context manager."""
        if tenant_id is not None and not isinstance(tenant_id, UUID):
            raise InvalidInput("tenant_id", tenant_id, "a UUID, or None for market-wide work")
        return UnitOfWork(self._engine, tenant_id, self._months)

    @contextmanager
    def operator(self) -> Iterator[OperatorView]:
        """All tenants, read only, as the operator's role."""
        try:
            connection = self._engine.connect()
        except (SQLAlchemyError, psycopg.Error) as error:
            raise translated(error) from error
        session = Session(connection, None)
        try:
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            session.execute(f"SET LOCAL ROLE {RoleName.OPERATOR.value}")
            yield OperatorView(session)
        finally:
            session.end()

    @contextmanager
    def paper(self, tenant_id: UUID) -> Iterator[PaperBook]:
        """The paper venue's book of `tenant_id` as one transaction, kept when the block ends well."""
        with self.unit_of_work(tenant_id) as uow:
            yield uow.paper
            uow.commit()

    def try_lead(self, name: str) -> Lease | None:
        """Become the one leader of `name`, or None while somebody else is; raises Transient without a database."""
        try:
            return take_lead(self._engine.connect(), name)
        except (SQLAlchemyError, psycopg.Error) as error:
            raise translated(error) from error

    def leases(self) -> Leases:
        """Any number of leads on one connection that serves nothing else; raises Transient without a database."""
        try:
            return Leases(self._engine.connect())
        except (SQLAlchemyError, psycopg.Error) as error:
            raise translated(error) from error

    def ping(self) -> None:
        """Ask the database for an answer; raises Transient or Permanent when there is none."""
        with self.unit_of_work(None) as uow:
            uow.session.execute("SELECT 1")

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()


def _engine(url: str, pool_size: int, timeouts: Timeouts) -> Engine:
    return create_engine(
        psycopg_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=timeouts.pool_s_max,
        pool_pre_ping=False,
        hide_parameters=True,
        json_serializer=plain_json,
        json_deserializer=json.loads,
        connect_args={"connect_timeout": timeouts.connect_s_max, "application_name": "tradewinds"},
    )


def psycopg_url(url: str) -> str:
    """`url` with the driver this room speaks; raises InvalidInput when it is not a Postgres URL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput("database url", "…", "postgresql://user:password@host:port/database") from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InvalidInput("database url", parsed.drivername, "postgresql://user:password@host:port/database")
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def become(connection: psycopg.Connection[Any], role: RoleName, timeouts: Timeouts) -> None:
    """Make `connection` act as `role` for good, with its time limits; refuses to act with more than that role has."""
    settings = {
        "role": role.value,
        "timezone": "UTC",
        "statement_timeout": str(timeouts.statement_ms_max),
        "lock_timeout": str(timeouts.lock_ms_max),
        "idle_in_transaction_session_timeout": str(timeouts.idle_in_transaction_ms_max),
    }
    calls = sql.SQL(", ").join(
        sql.SQL("set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
        for name, value in settings.items()
    )
    autocommit, connection.autocommit = connection.autocommit, True
    try:
        connection.execute(sql.SQL("SELECT {}").format(calls))
        row = connection.execute(_POWERS, [[OPERATOR, OWNER, DISPATCHER], role.value]).fetchone()
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject) as error:
        raise Permanent(f"the database has no role {role}: run `tradewinds migrate` first") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise Permanent(f"this login may not act as {role}: run GRANT {role} TO the login") from error
    finally:
        connection.autocommit = autocommit
    if row is None or row[0]:
        raise Permanent(f"refused to work as {role}: it is a superuser, or sees through row-level security")
