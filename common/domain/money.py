"""Exact arithmetic for money, prices and quantities."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, localcontext
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ZERO = Decimal(0)
ONE = Decimal(1)
BPS = Decimal(10_000)
BOOKED = Decimal("1e-8")
"""Smallest amount of money that venues book."""

_ARITHMETIC = Context(prec=28, rounding=ROUND_HALF_EVEN)


def exactly(decide: Callable[P, T]) -> Callable[P, T]:
    """`decide` under our own rules of arithmetic: a thread's decimal context is a hidden argument that anybody may change."""

    @wraps(decide)
    def decided(*args: P.args, **kwargs: P.kwargs) -> T:
        with localcontext(_ARITHMETIC):
            return decide(*args, **kwargs)

    return decided


def booked(amount: Decimal) -> Decimal:
    """`amount` as venues book it: eight decimals, half a unit rounds away from zero."""
    return amount.quantize(BOOKED, ROUND_HALF_UP)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Largest multiple of `step` not above `value`."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Smallest multiple of `step` not below `value`."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def round_to(value: Decimal, step: Decimal) -> Decimal:
    """Multiple of `step` nearest to `value`; ties go to the even multiple."""
    return (value / step).to_integral_value(ROUND_HALF_EVEN) * step


def is_on_grid(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is an exact multiple of `step`."""
    return value % step == 0


def bps(part: Decimal, whole: Decimal) -> Decimal:
    """`part` over `whole` in basis points; `whole` must not be zero."""
    return part / whole * BPS
