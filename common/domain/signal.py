"""Signals: what a strategy says about a market, before anybody's money is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha1
from typing import Any
from uuid import UUID

from common.domain.making import maker
from common.domain.money import ceil_to, floor_to

NAMESPACE = UUID("6f0f5a86-2a6e-5f0c-9f0e-7d0f3a1b9c11")

_PREFIX = NAMESPACE.bytes
_CLEAR = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_5 = 0x5000 << 64 | 0x8000 << 48


class Side(StrEnum):
    """Direction of a signal or a position."""

    LONG = "long"
    SHORT = "short"

    sign: int
    """+1 for long, -1 for short."""

    def __init__(self, value: str) -> None:
        # Every price is compared by it: kept beside the member, not worked out at each question.
        self.sign = 1 if value == "long" else -1

    @property
    def opposite(self) -> Side:
        """The other direction."""
        return Side.SHORT if self is Side.LONG else Side.LONG


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """How a position opened on a signal is to be left; prices absolute, distances in price units, None = not used.

    `stop_fraction` and `target_fraction` say that stop and target are drawn again from the average entry price, at
    these fractions of it, once that is known (`drawn_from`); until then `stop` and `target` are the best guess.
    """

    stop: Decimal
    target: Decimal | None
    trail_distance: Decimal | None = None
    trail_activation: Decimal | None = None
    max_hold: timedelta | None = None
    min_hold: timedelta | None = None
    stop_fraction: Decimal | None = None
    target_fraction: Decimal | None = None

    def drawn_from(self, entry_price: Decimal, side: Side, tick: Decimal) -> ExitPlan:
        """The plan as the fill makes it: fractional stop and target from `entry_price`, rounded away from it to `tick`.

        On a grid of prices this rounding never changes which candle touches a level.
        """
        if self.stop_fraction is None and self.target_fraction is None:
            return self
        stop, target = self.stop_from(entry_price, side, tick), self.target
        if self.target_fraction is not None:
            away = ceil_to if side is Side.LONG else floor_to
            target = away(entry_price * (1 + side.sign * self.target_fraction), tick)
        return make_exit_plan(
            stop=stop,
            target=target,
            trail_distance=self.trail_distance,
            trail_activation=self.trail_activation,
            max_hold=self.max_hold,
            min_hold=self.min_hold,
            stop_fraction=self.stop_fraction,
            target_fraction=self.target_fraction,
        )

    def stop_from(self, entry_price: Decimal, side: Side, tick: Decimal) -> Decimal:
        """The stop alone of the plan as the fill makes it."""
        if self.stop_fraction is None:
            return self.stop
        back = floor_to if side is Side.LONG else ceil_to
        return back(entry_price * (1 - side.sign * self.stop_fraction), tick)


make_exit_plan = maker(ExitPlan)


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


def derived_id(text: str) -> UUID:
    """The UUID, version 5, of `text` in our namespace: `uuid5(NAMESPACE, text)` in half its time."""
    digest = int.from_bytes(sha1(_PREFIX + text.encode(), usedforsecurity=False).digest()[:16])
    return UUID(int=digest & _CLEAR | _VERSION_5)


class LateId(UUID):
    """A UUID that is worked out when it is first looked at; equal to, and hashed as, the one that `make` gives."""

    __slots__ = ("_made",)
    _made: UUID | Callable[[], UUID]

    def __init__(self, make: Callable[[], UUID]) -> None:
        object.__setattr__(self, "_made", make)

    # Called final by typeshed, yet every method of UUID reads it as any attribute.
    @property  # type: ignore[misc]
    def int(self) -> int:
        """Its value."""
        made = self._made
        if not isinstance(made, UUID):
            made = made()
            object.__setattr__(self, "_made", made)
        return made.int

    def __reduce__(self) -> Any:
        return UUID, (str(self),)


def signal_id(venue: str, instrument: str, timeframe: str, strategy: str, version: str, closed_at: datetime) -> UUID:
    """The one id of this evaluation: the same question always has the same id, so asking twice is harmless."""
    key = f"signal|{venue}|{instrument}|{timeframe}|{strategy}|{version}|{closed_at.isoformat()}"
    return derived_id(key)
