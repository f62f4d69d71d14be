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
_slots = [1]

_CONNECTIONS_A_SLOT = 2
"""A task holds its claim in one transaction while it commits in another what must be kept before the wire.

With fewer, as many tasks as there are connections hold their claims and wait for each other's second one.
"""


def current_fleet() -> Fleet:
    """The fleet of this process; a forked child gets its own, for connections must not cross a fork."""
    own = _owns[-1]
    if own.pid != os.getpid():
        forget()
        own = _owns[-1]
    with own.lock:
        if own.fleet is None:
            settings = read_settings()
            connections = max(settings.database_pool_size, _CONNECTIONS_A_SLOT * _slots[-1])
            settings = settings.model_copy(update={"database_pool_size": connections})
            own.fleet = build_fleet(settings, "worker", bus=CeleryBus())
        return own.fleet


def serve(slots: int) -> None:
    """Be ready for `slots` tasks at a time in this process; called before the first asks for the fleet."""
    _slots[:] = [slots]


def forget() -> None:
    """Drop what the parent built: its connections and its lock are not ours."""
    _owns[:] = [_Own()]
