"""Signals: what a strategy says about a market, before anybody's money is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

NAMESPACE = UUID("6f0f5a86-2a6e-5f0c-9f0e-7d0f3a1b9c11")


class Side(StrEnum):
    """Direction of a signal or a position."""

    LONG = "long"
    SHORT = "short"

    @property
    def sign(self) -> int:
        """+1 for long, -1 for short."""
        return 1 if self is Side.LONG else -1

    @property
    def opposite(self) -> Side:
        """The other direction."""
        return Side.SHORT if self is Side.LONG else Side.LONG


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """How a position opened on a signal is to be left; prices absolute, distances in price units, None = not used."""

    stop: Decimal
    target: Decimal | None
    trail_distance: Decimal | None = None
    trail_activation: Decimal | None = None
    max_hold: timedelta | None = None
    min_hold: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One strategy's opinion on one instrument at one closed candle; shared by all tenants.

    `confidence` is 0..1; `price` is the candle's close; `features` holds the values the strategy looked at.
    """

    id: UUID
    venue: str
    instrument: str
    timeframe: str
    strategy: str
    strategy_version: str
    side: Side
    confidence: Decimal
    price: Decimal
    exits: ExitPlan
    reasons: tuple[str, ...]
    features: Mapping[str, float]
    closed_at: datetime
    expires_at: datetime


def signal_id(venue: str, instrument: str, timeframe: str, strategy: str, version: str, closed_at: datetime) -> UUID:
    """The one id of this evaluation: the same question always has the same id, so asking twice is harmless."""
    key = f"signal|{venue}|{instrument}|{timeframe}|{strategy}|{version}|{closed_at.isoformat()}"
    return uuid5(NAMESPACE, key)
