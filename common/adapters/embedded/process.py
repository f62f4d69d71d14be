"""A child process that is logged, watched, stopped cleanly and never outlives its parent."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

from common.adapters.embedded import child
from common.domain.errors import Permanent, Transient

LOG_GENERATIONS = 3


class EmbeddedError(Permanent):
    """An embedded server cannot run here; the message is one sentence that says what to do."""


class NotReady(Transient):
    """A child ended or stayed silent before it was ready; the message carries the end of its log."""


class Running(Protocol):
    """What `ManagedProcess` needs of a child, however it came to be; the words are those of `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its number, which leads a process group of its own."""

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Signal it unless it has ended."""


class Nursery(Protocol):
    """Who can fork a child that has imported everything already."""

    def fork(
        self, command: Sequence[str], env: Mapping[str, str], log: Path, directory: Path | None, death_signal: int
    ) -> Running | None:
        """A new child running `command`, which is `[python, "-m", module, …]`; None where it must be started instead."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a child is: ourselves, ourselves under another number in a user namespace, or another user (root only)."""

    kind: Literal["own", "namespace", "user"] = "own"
    uid: int = 0
    gid: int = 0

    @property
    def file_owner(self) -> int:
        """The user id under which the child's files appear to us."""
        return self.uid if self.kind == "user" else os.geteuid()

    def wrap(self, command: Sequence[str], death_signal: signal.Signals, directory: Path | None = None) -> list[str]:
        """`command` behind the exec wrapper that takes this identity on and dies with the calling process."""
        options = ["--parent", str(os.getpid()), "--death-signal", str(int(death_signal)), "--identity", self.kind]
        options += ["--uid", str(self.uid), "--gid", str(self.gid)]
        if directory is not None:
            options += ["--directory", str(directory)]
        return [sys.executable, "-I", "-S", child.__file__, *options, "--", *command]


OWN = Identity()


class _Launcher:
    """One thread that lives as long as the process and starts every child.

    The kernel's parent death signal fires when the *thread* that forked ends, not the process; a child started from a
    short-lived thread would be stopped for no visible reason.
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[tuple[Future[subprocess.Popen[bytes]], _Launch]] = queue.SimpleQueue()
        self._process = 0
        self._lock = threading.Lock()

    def start(self, launch: _Launch) -> subprocess.Popen[bytes]:
        """The started child; raises what Popen raises."""
        with self._lock:
            if self._process != os.getpid():  # First use, or the first use after a fork, which leaves threads behind.
                self._process, self._requests = os.getpid(), queue.SimpleQueue()
                threading.Thread(target=self._serve, args=(self._requests,), name="launcher", daemon=True).start()
        future: Future[subprocess.Popen[bytes]] = Future()
        self._requests.put((future, launch))
        return future.result()

    @staticmethod
    def _serve(requests: queue.SimpleQueue[tuple[Future[subprocess.Popen[bytes]], _Launch]]) -> None:
        while True:
            future, launch = requests.get()
            try:
                future.set_result(launch.popen())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it.
                future.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Launch:
    command: list[str]
    env: dict[str, str]
    directory: Path | None
    log: Path
    inherited: tuple[int, ...]

    def popen(self) -> subprocess.Popen[bytes]:
        """Start the child in a session of its own, so that Ctrl-C at the terminal reaches only its parent."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                env=self.env,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.inherited,
            )


_launcher = _Launcher()


class ManagedProcess:
    """One child: start it, look at it, stop it; it is signalled by the kernel when this process ends, however it ends."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        directory: Path | None = None,
        identity: Identity = OWN,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGTERM,
        inherited: tuple[int, ...] = (),
        nursery: Nursery | None = None,
    ) -> None:
        """`env` replaces the environment (None: a copy of ours); `directory` is where it runs (None: where we are).

        The child has the open files `inherited`. One that runs a module as ourselves is forked by `nursery` where there is one.
        """
        self.name = name
        self.command = list(command)
        self.log = log
        self._env = dict(os.environ if env is None else env)
        self._directory = directory
        self._identity = identity
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._inherited = inherited
        self._nursery = nursery
        self._popen: Running | None = None

    def start(self) -> Self:
        """Start the child on a fresh log (the last few are kept as `.1`, `.2`, …); a running one is left alone."""
        if self.alive:
            return self
        self.log.parent.mkdir(parents=True, exist_ok=True)
        rotate(self.log)
        self._popen = self._forked() or _launcher.start(self._launch())
        return self

    def _forked(self) -> Running | None:
        if self._nursery is None or self._identity != OWN or self.command[:2] != [sys.executable, "-m"]:
            return None
        return self._nursery.fork(self.command, self._env, self.log, self._directory, self._death_signal)

    def _launch(self) -> _Launch:
        wrapped = self._identity.wrap(self.command, self._death_signal)
        return _Launch(wrapped, self._env, self._directory, self.log, self._inherited)

    @property
    def pid(self) -> int:
        """The process id; raises EmbeddedError before the first start."""
        if self._popen is None:
            raise EmbeddedError(f"{self.name} has not been started")
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while the child runs or before it was started."""
        return None if self._popen is None else self._popen.poll()

    def wait(self, timeout_s: float) -> int | None:
        """The exit status, or None when the child still runs after `timeout_s`."""
        if self._popen is None:
            return None
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child alone; a child that has ended takes none."""
        if self._popen is not None:
            self._popen.send_signal(number)

    def stop(self, timeout_s: float = 10.0) -> int | None:
        """Ask the child to end, insist after `timeout_s` by killing its whole process group; returns its exit status."""
        if self._popen is None:
            return None
        self.signal(self._stop_signal)
        status = self.wait(timeout_s)
        return self.kill() if status is None else status

    def kill(self) -> int | None:
        """End the child and its process group at once, as a crash would."""
        if self._popen is None:
            return None
        with suppress(ProcessLookupError):  # The whole group has ended, which is what was asked for.
            os.killpg(self._popen.pid, signal.SIGKILL)
        return self._popen.wait()

    def tail(self, lines: int = 15) -> str:
        """The last lines of the child's log, for the message of an error."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def rotate(log: Path, generations: int = LOG_GENERATIONS) -> None:
    """Move `log` to `log.1`, that to `log.2` and so on; the oldest is dropped."""
    if not log.exists() or log.stat().st_size == 0:
        return
    for number in range(generations, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        newer = log if number == 1 else log.with_name(f"{log.name}.{number - 1}")
        if newer.exists():
            newer.replace(older)
