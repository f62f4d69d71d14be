"""Search: which parameters may be varied, by what they are judged, and what came of each trial."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from common.domain.backtest.measured import Measured
from common.domain.errors import InvalidInput
from common.domain.strategies import Parameters

Value = bool | int | float
Values = Mapping[str, Value]

LOG_RATIO = 50
"""A range whose end is that many times its beginning is searched by ratios, not by differences."""


class Objective(StrEnum):
    """What a search makes as large as possible."""

    SHARPE = "sharpe"
    SORTINO = "sortino"
    CALMAR = "calmar"
    TOTAL_RETURN = "total_return"
    PROFIT_FACTOR = "profit_factor"
    EXPECTANCY = "expectancy"
    WIN_RATE = "win_rate"


def objective_named(name: str) -> Objective:
    """The objective called `name`; raises InvalidInput listing those there are."""
    if name not in set(Objective):
        raise InvalidInput("objective", name, f"one of {', '.join(Objective)}")
    return Objective(name)


def value_of(objective: Objective, measured: Measured) -> Decimal | None:
    """What `objective` reads from `measured`; None where it is not defined. Calmar is return over deepest drawdown."""
    if objective is Objective.CALMAR:
        fall, earned = measured.max_drawdown, measured.total_return
        return earned / fall if fall and earned is not None else None
    found: Decimal | None = getattr(measured, objective.value)
    return found


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter of a search: its bounds (inclusive), the strategy's own value, whether ratios are searched."""

    name: str
    low: Value
    high: Value
    default: Value
    is_log: bool = False

    @property
    def kind(self) -> type[Value]:
        """bool, int or float."""
        return type(self.default)

    def holds(self, value: Value) -> bool:
        """Whether `value` lies within the bounds."""
        return self.low <= value <= self.high

    def at(self, share: float) -> Value:
        """The value at `share` (0 up to, not including, 1) of the range."""
        if self.kind is bool:
            return share >= 0.5
        top = self.high + 1 if self.kind is int else self.high
        if self.is_log:
            found = math.exp(math.log(self.low) + share * (math.log(top) - math.log(self.low)))
        else:
            found = self.low + share * (top - self.low)
        inside = min(max(found, self.low), self.high)
        return int(inside) if self.kind is int else float(inside)


def space_of(
    parameters: Parameters, ranges: Mapping[str, tuple[float, float]], fixed: Collection[str] = ()
) -> tuple[Dimension, ...]:
    """What is searched of `parameters`: those of `ranges` within them, or every bounded one that is not `fixed`.

    Raises InvalidInput for a name that is no parameter or is fixed, for a range beyond the parameter's own bounds, and
    where nothing is left to search.
    """
    fields = {item.name: item for item in dataclasses.fields(parameters)}
    for name in ranges:
        if name not in fields or name in fixed:
            known = ", ".join(other for other in fields if other not in fixed)
            raise InvalidInput("space", name, f"one of {known or 'no parameter'}")
    found = [_dimension(parameters, item, ranges.get(name)) for name, item in fields.items() if name not in fixed]
    chosen = tuple(item for item in found if item is not None and (not ranges or item.name in ranges))
    if not chosen:
        raise InvalidInput(
            "strategy", "no parameter to search", "a strategy with bounded parameters that are not fixed"
        )
    return chosen


def _dimension(
    parameters: Parameters, item: dataclasses.Field[object], wanted: tuple[float, float] | None
) -> Dimension | None:
    default: Value = getattr(parameters, item.name)
    if isinstance(default, bool):
        return Dimension(item.name, low=False, high=True, default=default)
    least, most = item.metadata.get("low", -math.inf), item.metadata.get("high", math.inf)
    low, high = wanted or (least, most)
    if not math.isfinite(low) or not math.isfinite(high):
        return None
    if not least <= low < high <= most or (isinstance(default, int) and not float(low + high).is_integer()):
        whole = "whole numbers" if isinstance(default, int) else "numbers"
        raise InvalidInput(f"space of {item.name}", f"{low:g}:{high:g}", f"LOW:HIGH, {whole} from {least} to {most}")
    kind = type(default)
    return Dimension(item.name, kind(low), kind(high), default, low > 0 and high / low >= LOG_RATIO)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one trial came to: its `value` (None where the objective is not defined) and everything measured.

    `refused` says why the strategy would not take the values; `daily` are the returns of its days, for stitching.
    """

    value: Decimal | None = None
    measured: Measured | None = None
    refused: str | None = None
    daily: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial of a search: its number from 0, the values it tried, and what came of them."""

    number: int
    values: Values
    outcome: Outcome


def best_of(tried: Sequence[Tried]) -> Tried | None:
    """The trial with the largest value, the earliest of equals; None where no trial has one."""
    valued = [item for item in tried if item.outcome.value is not None]
    return max(valued, key=lambda item: (item.outcome.value or Decimal(0), -item.number), default=None)
