"""The one fleet of this process, built when the first task wants it."""

from __future__ import annotations

import os
import threading

from common.bootstrap import build_fleet
from common.services.fleet import Fleet
from common.settings import read_settings
from workers.bus import CeleryBus

_lock = threading.Lock()
_fleets: dict[int, Fleet] = {}


def current_fleet() -> Fleet:
    """The fleet of this process; a forked child gets its own."""
    pid = os.getpid()
    with _lock:
        if pid not in _fleets:
            _fleets[pid] = build_fleet(read_settings(), "worker", bus=CeleryBus())
        return _fleets[pid]


def forget() -> None:
    """Drop what the parent built: its connections are not ours."""
    global _lock
    _lock = threading.Lock()
    _fleets.clear()
