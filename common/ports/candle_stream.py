"""The candle stream port: closed candles as a venue closes them, none missing and none twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Protocol

from common.domain.market import Candle, Timeframe


@dataclass(frozen=True, slots=True)
class ClosedCandle:
    """A candle that will not change any more, and the market it belongs to."""

    symbol: str
    timeframe: Timeframe
    candle: Candle


Handler = Callable[[Sequence[ClosedCandle]], None]
"""Takes candles that closed together, per market oldest first; an error it raises ends the stream."""


class CandleStream(Protocol):
    """Closed candles of some markets of one venue."""

    @property
    def last_message_at(self) -> datetime | None:
        """Venue time of the last sign of life; None before the first."""
        ...

    def run(self, handler: Handler, stop: Event) -> None:
        """Hand closed candles to `handler` until `stop` is set; lost connections are taken up again and gaps filled."""
        ...
