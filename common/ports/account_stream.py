"""The account stream port: what a venue tells of one account by itself, and every time it may have kept something back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from threading import Event
from typing import Protocol

from common.ports.venue import VenueFill, VenueOrder


class GapCause(StrEnum):
    """Why something may have happened that the stream did not tell; a closed list."""

    CONNECTED = "connected"
    CUT = "cut"
    EXPIRED = "expired"
    SILENT = "silent"
    MALFORMED = "malformed"
    OVERRUN = "overrun"


@dataclass(frozen=True, slots=True)
class Gap:
    """A time of which the stream cannot say that it told everything; whoever hears of it asks the venue."""

    cause: GapCause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AccountNews:
    """What came together: orders as they stand now, executions, and gaps. All of it may be old, twice or out of order."""

    orders: tuple[VenueOrder, ...] = ()
    fills: tuple[VenueFill, ...] = ()
    gaps: tuple[Gap, ...] = ()


Hearer = Callable[[AccountNews], None]
"""Takes news, one at a time; an error it raises ends the stream."""


class AccountStream(Protocol):
    """What the venue tells of one account."""

    def run(self, hear: Hearer, stop: Event) -> None:
        """Hand news to `hear` until `stop` is set; every connection begins with a gap, and lost ones are taken up again."""
        ...

    def distrust(self, detail: str) -> None:
        """Give the present connection up as one that only pretends to live: a SILENT gap follows, then a new one."""
        ...
