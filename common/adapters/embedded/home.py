"""The folder of one embedded server: who uses it, its password, its port, and what an earlier run left behind."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from common.adapters.embedded.process import EmbeddedError

HOST = "127.0.0.1"

# Below the range from which kernels take the local ports of outgoing connections, so that none of them takes ours meanwhile.
_PORT_MIN, _PORT_MAX = 20_000, 32_000
_POLL_S = 0.02
_HAS_PROC = sys.platform.startswith("linux")


@dataclass(slots=True)
class ServerHome:
    """One server's folder, claimed by at most one living process at a time."""

    directory: Path
    _lock: IO[str] | None = field(default=None, repr=False)

    def claim(self) -> None:
        """Take the folder for this process until `release` or its end; raises EmbeddedError while another one has it."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self.directory / "lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise EmbeddedError(
                f"process {owner} is using {self.directory}; stop that one first, or choose another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            # Said aloud: a child that another thread is just starting holds a copy of the file until it becomes its program.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._lock.close()
            self._lock = None

    def password(self) -> str:
        """The server's password, made at first use and kept readable for its owner alone."""
        path = self.directory / "password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        return path.read_text(encoding="ascii").strip()

    def port(self) -> int:
        """The port remembered here if it is free, else another free one, which is remembered from now on."""
        path = self.directory / "port"
        remembered = self.remembered_port()
        if remembered is not None and is_free(remembered):
            return remembered
        port = free_port()
        write_private(path, str(port))
        return port

    def remembered_port(self) -> int | None:
        """The port of the last start, or None when there was none."""
        path = self.directory / "port"
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        return int(text) if text.isdigit() else None


def write_private(path: Path, text: str) -> None:
    """Write `text` so that the file appears whole and is never readable for others, not even for a moment."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port nobody listens on; raises EmbeddedError when a hundred draws found none."""
    for _ in range(100):
        port = _PORT_MIN + secrets.randbelow(_PORT_MAX - _PORT_MIN)
        if is_free(port):
            return port
    raise EmbeddedError(f"no free port between {_PORT_MIN} and {_PORT_MAX} on {HOST}; stop what listens there")


def works_in(pid: int, data: Path, program: str) -> bool:
    """Whether process `pid` runs and is the server of `data`: a pid file alone may name a stranger with a reused number."""
    if _HAS_PROC:
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
        except OSError:
            return False
    shown = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return program in shown.stdout


def end_orphan(pid: int, data: Path, program: str, signals: tuple[tuple[signal.Signals, float], ...]) -> None:
    """Stop a server left over by a run that was killed, by each signal in turn with the seconds it is given."""
    for number, patience_s in signals:
        if not works_in(pid, data, program):
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while works_in(pid, data, program) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    if works_in(pid, data, program):
        raise EmbeddedError(f"the {program} left over in {data} as process {pid} does not end; stop it by hand")
