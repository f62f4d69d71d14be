"""What a strategy is: parameters within bounds, features it needs, and entries for every bar at once."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from common.domain import features as feature_room
from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.domain.indicators.series import Flags, Series
from common.domain.market import Instrument, Timeframe
from common.domain.money import ceil_to, floor_to, round_to
from common.domain.signal import ExitPlan, Side, Signal, make_exit_plan, signal_id

Features = Mapping[str, Series]

CONFIDENCE_STEP = Decimal("0.0001")

Holds = tuple[timedelta | None, timedelta | None]
"""(longest, least) time that a position is held; None = no bound."""


def bounded(default: float, *, low: float, high: float) -> Any:
    """Field of a Parameters class with its default and its bounds, both inclusive."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Parameters:
    """Base of every strategy's parameters: whole or real numbers and switches, each within its bounds."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            expected = type(item.default)
            if isinstance(value, bool) is not (expected is bool) or not isinstance(value, bool | int | float):
                raise InvalidInput(item.name, value, f"a value of type {expected.__name__}")
            if expected is int and not isinstance(value, int):
                raise InvalidInput(item.name, value, "a whole number")
            low, high = item.metadata.get("low", value), item.metadata.get("high", value)
            if not low <= value <= high:
                raise InvalidInput(item.name, value, f"a number from {low} to {high}")
            if expected is float and isinstance(value, int):
                # 2 and 2.0 are the same parameter, and have the same digest.
                object.__setattr__(self, item.name, float(value))

    @classmethod
    def of(cls, changes: Mapping[str, Any]) -> Self:
        """The defaults with `changes`; InvalidInput for a name that is none of them or a value out of bounds."""
        known = [item.name for item in dataclasses.fields(cls)]
        for name in changes:
            if name not in known:
                raise InvalidInput("parameter", name, "one of " + ", ".join(known) if known else "no parameter")
        return cls(**changes)

    @property
    def changes(self) -> dict[str, Any]:
        """The values that are not the defaults, by name."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {item.name: values[item.name] for item in dataclasses.fields(self) if values[item.name] != item.default}

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of the changes; empty for the defaults.

        A parameter that a later release adds, at its default, leaves the digests of older sets as they are.
        """
        changes = self.changes
        if not changes:
            return ""
        values = "|".join(f"{name}={changes[name]!r}" for name in sorted(changes))
        return hashlib.sha256(values.encode()).hexdigest()[:8]


def _no_reasons(_: int) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Entries:
    """A strategy's opinion at the close of every bar; all arrays are as long as the candles.

    `side` is +1 long, -1 short, 0 nothing. Where side is not 0: `confidence` 0..1; `stop`, `target` and `trail` are
    distances from the close in price units (target and trail NaN where not used; trail starts once the price has gone
    its own distance). `leaves_long` and `leaves_short` say that a position held should be left at the next open.
    `stop_fraction` and `target_fraction`, when given, make the exits these fractions of the fill price instead.
    `reasons` explains one bar in words and is asked for only when somebody will read it.
    """

    side: npt.NDArray[np.int8]
    confidence: Series
    stop: Series
    target: Series
    trail: Series
    max_hold: timedelta | None = None
    leaves_long: Flags | None = None
    leaves_short: Flags | None = None
    stop_fraction: Decimal | None = None
    target_fraction: Decimal | None = None
    reasons: Callable[[int], tuple[str, ...]] = _no_reasons


class Strategy(Protocol):
    """A pure rule from features to entries; the same `evaluate` serves backtest (every bar) and live (the last)."""

    @property
    def name(self) -> str:
        """Name by which tenants subscribe to it."""

    @property
    def version(self) -> str:
        """Revision of the rule, and a digest of the parameters where they are not the defaults."""

    @property
    def parameters(self) -> Parameters:
        """Typed and bounded."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features it looks at."""

    @property
    def warmup(self) -> int:
        """Bars at the beginning on which no signal is raised; live needs at least one candle more."""

    @property
    def history(self) -> int:
        """Candles the live scan should hand over: with these the answer no longer depends on where they begin."""

    @property
    def reach(self) -> int:
        """How many bars `evaluate` looks at, that bar included, for what it says at a bar; 0 where it may be all of them."""

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Entries at every bar; a bar's entry depends on that bar and earlier ones only."""


class Rules:
    """Base of the strategies here: version, warm-up and history follow from parameters and features."""

    name: ClassVar[str]
    revision: ClassVar[str] = "1"
    parameters_type: ClassVar[type[Parameters]] = Parameters
    reach: ClassVar[int] = 0

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters: Any = parameters if parameters is not None else self.parameters_type()
        digest = self.parameters.digest
        self._version = f"{self.revision}-{digest}" if digest else self.revision

    @property
    def version(self) -> str:
        """Revision, and a digest of the parameters where they are not the defaults."""
        return self._version

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features it looks at."""
        raise NotImplementedError

    @property
    def warmup(self) -> int:
        """First bar where the features of this bar and of the bar before are all defined."""
        return feature_room.lookback(self.features) + 1

    @property
    def history(self) -> int:
        """Bars after which no feature of this bar or the bar before depends on where the candles begin, and two."""
        return max(feature_room.history(self.features), self.warmup) + 2

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        """Entries at every bar."""
        raise NotImplementedError


def sides(long: Flags, short: Flags, warmup: int) -> npt.NDArray[np.int8]:
    """+1 where `long`, -1 where `short`, 0 where neither, both, or within the first `warmup` bars."""
    side = long.astype(np.int8) - short.astype(np.int8)
    side[:warmup] = 0
    return side


def fresh(side: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """`side` where it differs from the bar before, else 0: an opinion is a signal once, when it is formed."""
    before = np.zeros_like(side)
    before[1:] = side[:-1]
    return np.where(side == before, 0, side).astype(np.int8)


def leaves_at(entries: Entries, index: int, side: Side) -> bool:
    """Whether a position of `side` should be left at the open after bar `index`."""
    flags = entries.leaves_long if side is Side.LONG else entries.leaves_short
    return flags is not None and bool(flags[index])


def exact(value: float) -> Decimal:
    """The shortest decimal that is this float: what the venue wrote, for a price that came from a decimal."""
    return Decimal(repr(float(value)))


def steady(value: float) -> Decimal:
    """`value` to ten digits: beyond them a recursive average may still tell where its history began."""
    return Decimal(f"{value:.10g}")


def exit_plan(
    entries: Entries, index: int, side: Side, price: Decimal, tick: Decimal, holds: Holds | None = None
) -> ExitPlan | None:
    """Exits of an entry at `price` on bar `index`, in absolute prices on the grid; None where they make no sense.

    Stop and target are rounded away from the price, which never makes them easier to touch than the raw level; the
    target is at least as many times the stop's distance as the strategy asked for. `holds` take the place of the
    strategy's own hold times.
    """
    away, back = (ceil_to, floor_to) if side is Side.LONG else (floor_to, ceil_to)
    distance = entries.stop.item(index)
    if not math.isfinite(distance) or distance <= 0:
        return None
    stop = back(price - side.sign * steady(distance), tick)
    target, trail = entries.target.item(index), entries.trail.item(index)
    reach = None
    if math.isfinite(target):
        reward = abs(price - stop) * steady(target / distance)
        reach = away(price + side.sign * reward, tick)
    if stop <= 0 or (reach is not None and reach <= 0):
        return None
    step = ceil_to(steady(trail), tick) if math.isfinite(trail) and trail > 0 else None
    max_hold, min_hold = (entries.max_hold, None) if holds is None else holds
    return make_exit_plan(
        stop=stop,
        target=reach,
        trail_distance=step,
        trail_activation=step,
        max_hold=max_hold,
        min_hold=min_hold,
        stop_fraction=entries.stop_fraction,
        target_fraction=entries.target_fraction,
    )


def _seen(features: Features, names: tuple[str, ...], index: int) -> dict[str, float]:
    # Ten digits: beyond them a recursive average may still tell where its history began.
    values = {name: float(features[name][index]) for name in names}
    return {name: float(f"{value:.10g}") for name, value in values.items() if np.isfinite(value)}


def signal_at(
    strategy: Strategy,
    instrument: Instrument,
    venue: str,
    timeframe: Timeframe | str,
    features: Features,
    columns: Columns,
    index: int,
    *,
    candle_closed_at: datetime,
    expires_in: timedelta,
    entries: Entries | None = None,
) -> Signal | None:
    """The signal of `strategy` at the close of bar `index` (-1 = the last), or None when it has none there.

    `entries` are those of the same candles when they have been evaluated already. Prices are on the instrument's
    grid; `candle_closed_at` is when the bar closed at the venue, and the signal expires `expires_in` later.
    """
    found = entries if entries is not None else strategy.evaluate(features, columns)
    at = index if index >= 0 else len(columns) + index
    if not 0 <= at < len(columns) or found.side[at] == 0:
        return None
    side = Side.LONG if found.side[at] > 0 else Side.SHORT
    price = round_to(exact(columns.close[at]), instrument.tick_size)
    plan = exit_plan(found, at, side, price, instrument.tick_size)
    if plan is None:
        return None
    confidence = round_to(exact(min(max(found.confidence[at], 0.0), 1.0)), CONFIDENCE_STEP)
    frame = str(timeframe)
    return Signal(
        id=signal_id(venue, instrument.symbol, frame, strategy.name, strategy.version, candle_closed_at),
        venue=venue,
        instrument=instrument.symbol,
        timeframe=frame,
        strategy=strategy.name,
        strategy_version=strategy.version,
        side=side,
        confidence=confidence,
        price=price,
        exits=plan,
        reasons=found.reasons(at),
        features=_seen(features, strategy.features, at),
        closed_at=candle_closed_at,
        expires_at=candle_closed_at + expires_in,
    )
