"""The processes of a running world: started in order, started again when they end, stopped in order."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from common.domain.errors import Transient
from common.machine import ManagedProcess, Nursery

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "stopped", "failing"]

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_S = 60.0
_HOPELESS_AFTER = 4


class CrewFailed(Transient):
    """A process ends again and again as soon as it is started; the message carries the end of its log."""


@dataclass(slots=True)
class Member:
    """One process with the history of its starts."""

    process: ManagedProcess
    wanted: bool = True
    starts: int = 0
    quick_ends: int = 0
    started_at: float = 0.0
    start_again_at: float = 0.0

    @property
    def name(self) -> str:
        """The process's name."""
        return self.process.name

    @property
    def state(self) -> State:
        """What it does now."""
        if self.process.alive:
            return "running"
        if not self.wanted:
            return "stopped"
        return "failing" if self.quick_ends else "waiting"


@dataclass(slots=True)
class Crew:
    """Supervises processes; `monotonic` is the clock of life."""

    monotonic: Callable[[], float]
    environ: Mapping[str, str]
    logs: Path
    changed: Callable[[Mapping[str, int]], None]
    nursery: Nursery | None = None
    members: dict[str, Member] = field(default_factory=dict)

    def add(self, name: str, command: Sequence[str]) -> Member:
        """Start `command` as `name` and look after it from now on."""
        process = ManagedProcess(
            name,
            command,
            log=self.logs / f"{name}.log",
            env=self.environ,
            # Whatever kills the supervisor must leave nothing behind; what a worker was doing is safe in the ledger.
            death_signal=signal.SIGKILL,
            nursery=self.nursery,
        )
        member = self.members[name] = Member(process)
        self._start(member)
        return member

    def tend(self) -> None:
        """Start again what has ended, the later the more often it did; raises CrewFailed for a hopeless one."""
        now = self.monotonic()
        for member in self.members.values():
            if not member.wanted or member.process.alive:
                continue
            if member.start_again_at <= member.started_at:
                self._schedule(member, now)
            elif now >= member.start_again_at:
                self._start(member)

    def stop(self, names: Iterable[str], timeout_s: float) -> None:
        """Ask all of `names` to end at once, then wait for each; who does not is killed with its children."""
        leaving = [self.members[name] for name in names if name in self.members]
        for member in leaving:
            member.wanted = False
            member.process.signal(signal.SIGTERM)
        deadline = self.monotonic() + timeout_s
        for member in leaving:
            if member.process.wait(max(0.0, deadline - self.monotonic())) is None:
                log.warning("%s did not end in %.0f s and is killed", member.name, timeout_s)
            member.process.kill()

    def _start(self, member: Member) -> None:
        member.process.start()
        member.starts += 1
        member.started_at = self.monotonic()
        self.changed({other.name: other.process.pid for other in self.members.values() if other.starts})

    def _schedule(self, member: Member, now: float) -> None:
        lived = now - member.started_at
        member.quick_ends = 1 if lived > _STEADY_S else member.quick_ends + 1
        log.warning("%s ended with status %s after %.1f s", member.name, member.process.poll(), lived)
        if member.quick_ends >= _HOPELESS_AFTER and member.starts == member.quick_ends:
            raise CrewFailed(
                f"{member.name} ended {member.quick_ends} times right after its start; the end of {member.process.log}:\n"
                + member.process.tail()
            )
        member.start_again_at = now + _BACKOFF_S[min(member.quick_ends, len(_BACKOFF_S)) - 1]
