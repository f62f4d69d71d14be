"""Ctrl-C and SIGTERM: the first asks for a clean end, the second for a quick one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


@dataclass(slots=True)
class Interrupts:
    """How often this process was asked to end."""

    count: int = 0
    _first: threading.Event = field(default_factory=threading.Event)
    _second: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> bool:
        """Whether anybody asked."""
        return self.count > 0

    @property
    def insisted(self) -> bool:
        """Whether somebody asked twice."""
        return self.count > 1

    def wait(self, seconds: float) -> bool:
        """Pause, at most until the first request; whether there was one."""
        return self._first.wait(seconds)

    def pause(self, seconds: float) -> bool:
        """Pause, at most until the second request; whether there was one."""
        return self._second.wait(seconds)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        del number, frame
        self.count += 1
        self._first.set()
        if self.insisted:
            self._second.set()


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Collect requests to end instead of ending; what was in force before is in force again afterwards."""
    received = Interrupts()
    before = {number: signal.signal(number, received.receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
