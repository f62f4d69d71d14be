"""Doors to what is known beside trading: a venue's figures of all instruments, coins of an aggregator, the market's mood."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from common.domain.candidates import Figures
from common.domain.market import Instrument
from common.domain.sources import Coin, Mood


class MarketFigures(Protocol):
    """What a venue tells of all its instruments at once; every call may raise Transient."""

    def figures(self) -> Sequence[Figures]:
        """Price, best bid and ask and turnover of every instrument, in one or two requests."""
        ...

    def open_interest(self, instrument: Instrument, price: Decimal) -> Decimal | None:
        """What is held open in `instrument`, in its settle asset; None where the venue has no such thing.

        `price` values what a venue tells in units.
        """
        ...


class CoinSource(Protocol):
    """An aggregator of coins; every call may raise Transient, Permanent where the key or the address is wrong."""

    @property
    def name(self) -> str:
        """Its name in our books."""
        ...

    def coins(self, count: int) -> Sequence[Coin]:
        """The `count` largest coins by market cap."""
        ...


class MoodSource(Protocol):
    """A publisher of the fear-and-greed index; every call may raise Transient."""

    def moods(self, days: int) -> Sequence[Mood]:
        """The last `days` values, the newest first."""
        ...
