"""One Postgres and one Valkey for a whole test run, shared by all of its workers."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql

from common.adapters.embedded import EmbeddedPostgres, EmbeddedValkey, PostgresServer, ValkeyServer

OWNER = "tradewinds_owner"
APP = "tradewinds_app"
ROLE_PASSWORD = "only-for-tests"  # It opens nothing but the run's own server, which is gone afterwards.


@dataclass(frozen=True, slots=True)
class Database:
    """A worker's own database: the superuser's URL, and the URL of any other role of the run."""

    name: str
    url_superuser: str

    def url(self, role: str, password: str = ROLE_PASSWORD) -> str:
        """The URL under which `role` reaches this database."""
        place = self.url_superuser.rpartition("@")[2]
        return f"postgresql://{role}:{password}@{place}"

    @property
    def url_owner(self) -> str:
        """The URL of the role that owns the schema and runs the migrations."""
        return self.url(OWNER)

    @property
    def url_app(self) -> str:
        """The URL of the role the fleet works under: not a superuser, not an owner, bound by row-level security."""
        return self.url(APP)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the run's servers listen."""

    postgres_url: str
    valkey_url: str

    def database_url(self, name: str) -> str:
        """The superuser's URL of database `name`."""
        return f"{self.postgres_url.rpartition('/')[0]}/{name}"

    def redis_url(self, number: int) -> str:
        """The URL of Valkey database `number`."""
        return f"{self.valkey_url.rpartition('/')[0]}/{number}"


class SharedServers:
    """The worker that comes first starts the servers and waits for the others before it stops them.

    Every user holds a shared lock on the `users` file; the kernel drops it when a worker dies, so nobody waits for the dead.
    Should the starter be killed, the servers end with it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._users = self._open("users")
        self._started: tuple[PostgresServer, ValkeyServer] | None = None

    def join(self) -> Addresses:
        """The addresses of the run's servers, which are started when nobody has started them yet."""
        with self.exclusive():
            if not self._note.exists():
                self._start()
            fcntl.flock(self._users, fcntl.LOCK_SH)
            return Addresses(**json.loads(self._note.read_text(encoding="utf-8")))

    def leave(self) -> None:
        """Use the servers no more; the one who started them stops them when the last user has left."""
        fcntl.flock(self._users, fcntl.LOCK_UN)
        if self._started is None:
            return
        with self.exclusive():
            fcntl.flock(self._users, fcntl.LOCK_EX)
            self._note.unlink()
            for server in self._started:
                server.stop()
            for folder in ("postgres", "valkey"):
                shutil.rmtree(self._directory / folder)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """The run's lock, for what only one worker may do at a time: roles belong to the server, not to a database."""
        with self._open("lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        postgres = EmbeddedPostgres(self._directory / "postgres", durable=False).start()
        valkey = EmbeddedValkey(self._directory / "valkey", durable=False).start()
        self._started = (postgres, valkey)
        _create_roles(postgres.url_superuser)
        addresses = Addresses(postgres.url_superuser, valkey.url)
        self._note.write_text(json.dumps(asdict(addresses)), encoding="utf-8")

    @property
    def _note(self) -> Path:
        return self._directory / "addresses.json"

    def _open(self, name: str) -> IO[str]:
        return (self._directory / name).open("a+", encoding="utf-8")


def create_database(addresses: Addresses, name: str) -> Database:
    """An empty database that belongs to the owner role; one of that name from before is dropped."""
    with psycopg.connect(addresses.postgres_url, autocommit=True) as connection:
        database, owner, app = sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(APP)
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(database))
        connection.execute(sql.SQL("create database {} owner {}").format(database, owner))
        connection.execute(sql.SQL("grant connect on database {} to {}").format(database, app))
    return Database(name, addresses.database_url(name))


def _create_roles(url_superuser: str) -> None:
    with psycopg.connect(url_superuser) as connection:
        for role in (OWNER, APP):
            connection.execute(
                sql.SQL("create role {} login nosuperuser nobypassrls password {}").format(
                    sql.Identifier(role), sql.Literal(ROLE_PASSWORD)
                )
            )


def cut_leaders(connection: psycopg.Connection[Any]) -> None:
    """End the connection of every leader in the database of `connection`, a superuser's; other workers' lead on."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
        " WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
