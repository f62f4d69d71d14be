"""The market stream port: order book, tape and figures of many instruments, told at the close of every candle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from threading import Event
from typing import Protocol

from common.domain.snapshot import MarketSnapshot

SnapshotHandler = Callable[[Sequence[MarketSnapshot]], None]
"""Takes the snapshots of one close, each instrument once; an error it raises ends the stream."""


class MarketStream(Protocol):
    """The market of some instruments of one venue, heard once for all tenants."""

    @property
    def last_message_at(self) -> datetime | None:
        """Venue time of the last sign of life; None before the first."""
        ...

    def run(self, handler: SnapshotHandler, stop: Event) -> None:
        """Hand a snapshot of every instrument whose market is known to `handler` at each close, until `stop` is set.

        Lost connections are taken up again. An instrument of which no fresh book is known has no snapshot.
        """
        ...


class OpenInterest(Protocol):
    """Open interest as a venue tells it."""

    def open_interest(self, symbol: str) -> Decimal | None:
        """Base units held in `symbol` at this moment, None where the venue does not say; raises Transient or Permanent."""
        ...
