"""The fleet's processes and a supervisor that starts again at once whatever has ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from common.machine import ManagedProcess, Nursery

STAGES = ("signal", "llm", "risk", "execution", "position", "maintenance")
_LOOK_S = 0.05
_BACKOFF_S = (0.0, 0.2, 1.0, 3.0)
_QUICK_S = 3.0


@dataclass(slots=True)
class Hand:
    """One process of the fleet."""

    process: ManagedProcess
    is_wanted: bool = True
    starts: int = 0
    quick_ends: int = 0
    started_at: float = 0.0
    start_at: float = 0.0

    @property
    def name(self) -> str:
        """Its name, such as `execution-1`."""
        return self.process.name

    @property
    def stage(self) -> str:
        """What it does."""
        return self.name.partition("-")[0]


@dataclass(slots=True)
class Crew:
    """All processes of the fleet; kills only what it started, by pid."""

    environ: Mapping[str, str]
    logs: Path
    nursery: Nursery | None = None
    hands: dict[str, Hand] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def add(self, name: str, *arguments: str) -> None:
        """Start `python -m ARGUMENTS` as `name` and look after it from now on."""
        process = ManagedProcess(
            name,
            [sys.executable, "-m", *arguments],
            log=self.logs / f"{name}.log",
            env=self.environ,
            death_signal=signal.SIGKILL,
            nursery=self.nursery,
        )
        with self._lock:
            self.hands[name] = Hand(process)
            self._start(self.hands[name])
        if self._thread is None:
            self._thread = threading.Thread(target=self._look_after, name="supervisor", daemon=True)
            self._thread.start()

    def of(self, stage: str) -> list[Hand]:
        """The processes of a stage, by name."""
        return [hand for name, hand in sorted(self.hands.items()) if hand.stage == stage]

    def kill(self, hand: Hand) -> int:
        """kill -9 of the process alone; its children are orphaned as in life. Returns its pid."""
        pid = hand.process.pid
        hand.process.signal(signal.SIGKILL)
        return pid

    def kill_child(self, hand: Hand) -> int | None:
        """kill -9 of a child of the process (a prefork slot); None where it has none now."""
        for pid in children_of(hand.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return pid
        return None

    def freeze(self, hand: Hand) -> list[int]:
        """SIGSTOP of the process and its children; returns whom."""
        pids = [hand.process.pid, *children_of(hand.process.pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return pids

    def thaw(self, pids: list[int]) -> None:
        """SIGCONT of whom `freeze` stopped."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def retire(self, names: list[str], timeout_s: float) -> None:
        """Ask processes to end, wait, and do not start them again until `recall`."""
        with self._lock:
            leaving = [self.hands[name] for name in names]
            for hand in leaving:
                hand.is_wanted = False
                hand.process.signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        for hand in leaving:
            if hand.process.wait(max(0.0, deadline - time.monotonic())) is None:
                hand.process.kill()

    def recall(self, names: list[str]) -> None:
        """Start again whom `retire` ended."""
        with self._lock:
            for name in names:
                self.hands[name].is_wanted = True
                self._start(self.hands[name])

    def stop(self) -> None:
        """End everything."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(5)
        for hand in self.hands.values():
            hand.is_wanted = False
            for pid in children_of(hand.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            hand.process.kill()

    def _look_after(self) -> None:
        while not self._done.wait(_LOOK_S):
            with self._lock:
                for hand in self.hands.values():
                    if hand.is_wanted and not hand.process.alive:
                        self._tend(hand)

    def _tend(self, hand: Hand) -> None:
        now = time.monotonic()
        if hand.start_at <= hand.started_at:
            hand.quick_ends = hand.quick_ends + 1 if now - hand.started_at < _QUICK_S else 0
            hand.start_at = now + _BACKOFF_S[min(hand.quick_ends, len(_BACKOFF_S) - 1)] + 1e-6
        if now >= hand.start_at:
            self._start(hand)

    def _start(self, hand: Hand) -> None:
        hand.process.start()
        hand.starts += 1
        hand.started_at = time.monotonic()


def children_of(pid: int) -> list[int]:
    """Pids of a process's children."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = entry.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(entry.parent.name))
    return sorted(found)


def man(crew: Crew, replicas: int) -> None:
    """Start every stage, two beats, the stream of the market and that of the accounts."""
    for number in range(1, replicas + 1):
        for stage in STAGES:
            crew.add(f"{stage}-{number}", "workers", "worker", stage)
    for number in (1, 2):
        crew.add(f"beat-{number}", "workers", "beat")
    crew.add("stream-1", "workers", "stream")
    crew.add("accounts-1", "workers", "account-stream")
