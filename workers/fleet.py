"""The one fleet of this process, built when the first task wants it."""

from __future__ import annotations

import os
import threading

from common.bootstrap import build_fleet
from common.services.fleet import Fleet
from common.settings import read_settings
from workers.bus import CeleryBus


class _Own:
    """What belongs to this process alone: its fleet and the lock under which it is built."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.fleet: Fleet | None = None


_owns = [_Own()]


def current_fleet() -> Fleet:
    """The fleet of this process; a forked child gets its own, for connections must not cross a fork."""
    own = _owns[-1]
    if own.pid != os.getpid():
        forget()
        own = _owns[-1]
    with own.lock:
        if own.fleet is None:
            own.fleet = build_fleet(read_settings(), "worker", bus=CeleryBus())
        return own.fleet


def forget() -> None:
    """Drop what the parent built: its connections and its lock are not ours."""
    _owns[:] = [_Own()]
