"""Children without a start: one process has imported what all of them need, and each is a fork of it.

A process of the fleet spends two seconds of a processor on imports before it does anything. A dozen of them on a small
machine keep each other from starting, and each that was killed is missed for as long. A fork costs some milliseconds, and
shares the memory of what was imported. Linux only; elsewhere, and when the nursery has failed, children start as ever.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from pathlib import Path

from common.adapters.embedded import nursery_child
from common.adapters.embedded.process import ManagedProcess

_PATIENCE_S = 30.0


class Forked:
    """A child that the nursery forked, spoken to as one speaks to a `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while the child runs."""
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises subprocess.TimeoutExpired when the child still runs after `timeout` seconds."""
        if not self._ended.wait(timeout) or self._status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self._status

    def send_signal(self, number: int) -> None:
        """Signal the child unless it has ended: its number is not given to another before we know of its end."""
        with self._lock, suppress(ProcessLookupError):
            if self._status is None:
                os.kill(self.pid, number)

    def end(self, status: int) -> None:
        """Learn of the child's end."""
        with self._lock:
            self._status = status
        self._ended.set()


class Nursery:
    """The process that forks; it and all its children end with us, however we end."""

    def __init__(self, modules: Sequence[str], *, log: Path, env: Mapping[str, str], later: Sequence[str] = ()) -> None:
        """`modules` are imported once, in the environment `env`; they must not read from it what children differ in.

        Children wait for them, and not for those of `later`, which are imported while nobody asks.
        """
        self._modules = [*modules, nursery_child.LATER, *later]
        self._log = log
        self._env = dict(env)
        self._process: ManagedProcess | None = None
        self._ours: socket.socket | None = None
        self._born: dict[int, Forked] = {}
        self._asked: list[Future[Forked]] = []
        self._lock = threading.Lock()

    def start(self) -> Nursery:
        """Begin to import; the first child waits until that is done."""
        if sys.platform != "linux":
            return self
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", nursery_child.__name__, str(theirs.fileno()), *self._modules]
            self._process = ManagedProcess(
                "nursery",
                command,
                log=self._log,
                env=self._env,
                death_signal=signal.SIGKILL,
                inherited=(theirs.fileno(),),
            ).start()
        self._ours = ours
        threading.Thread(target=self._listen, args=(ours,), name="nursery", daemon=True).start()
        return self

    @property
    def pid(self) -> int | None:
        """The number of the nursery's process and session; None where there is none."""
        return self._process.pid if self._process is not None else None

    def fork(
        self, command: Sequence[str], env: Mapping[str, str], log: Path, directory: Path | None, death_signal: int
    ) -> Forked | None:
        """A new child that runs `command`, which is `[python, "-m", module, …]`; None where there is no nursery to do it."""
        asked: Future[Forked] = Future()
        request = {
            "name": log.stem,
            "module": command[2],
            "arguments": list(command[3:]),
            "env": dict(env),
            "log": str(log.absolute()),
            "directory": None if directory is None else str(directory.absolute()),
            "death_signal": death_signal,
        }
        with self._lock:
            if self._ours is None:
                return None
            self._asked.append(asked)
            try:
                self._ours.send(json.dumps(request).encode())
            except OSError:
                self._asked.remove(asked)
                return None
        try:
            return asked.result(_PATIENCE_S)
        except (ConnectionError, TooLate):
            self.stop()  # Who does not answer must not answer later: the child would run twice.
            return None

    def stop(self) -> None:
        """End the nursery and with it every child that is still there."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _listen(self, ours: socket.socket) -> None:
        """Hear who was born and who ended, until the nursery is gone."""
        with ours:
            while said := _heard(ours):
                news = json.loads(said)
                if "born" in news:
                    child = self._born[news["born"]] = Forked(news["born"])
                    with self._lock:
                        asked = self._asked.pop(0)
                    asked.set_result(child)
                else:
                    self._born.pop(news["ended"]).end(news["status"])
                    # Only now may the kernel give the child's number to another.
                    with suppress(OSError):
                        ours.send(json.dumps({"reap": news["ended"]}).encode())
            with self._lock:
                self._ours = None
                waiting, self._asked = self._asked, []
        for asked in waiting:
            asked.set_exception(ConnectionError("the nursery is gone"))
        for child in list(self._born.values()):
            child.end(-signal.SIGKILL)


def _heard(ours: socket.socket) -> bytes:
    try:
        return ours.recv(nursery_child.MESSAGE_MAX)
    except OSError:
        return b""
