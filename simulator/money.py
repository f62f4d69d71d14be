"""Exact arithmetic: steps of a grid to Decimal and back, and numbers as the venue prints them."""

from decimal import ROUND_HALF_UP, Decimal

ZERO = Decimal(0)
CENT8 = Decimal("0.00000001")


def from_steps(steps: int, scale: int) -> Decimal:
    """`steps` of 10^-scale as a Decimal that prints with exactly `scale` decimals."""
    return Decimal(steps).scaleb(-scale)


def to_steps(value: Decimal, scale: int) -> int:
    """A Decimal that lies on the grid as a number of steps."""
    return int(value.scaleb(scale))


def booked(value: Decimal) -> Decimal:
    """An amount of money as the venue books it: eight decimals."""
    return value.quantize(CENT8, ROUND_HALF_UP)


def text(value: Decimal) -> str:
    """A number without exponent and without noise behind the point; what it has of decimals it keeps."""
    return f"{value:f}"


def money(value: Decimal) -> str:
    """An amount of money as text with eight decimals."""
    return f"{booked(value):f}"


def steps_text(steps: int, scale: int) -> str:
    """A number of steps as text, faster than by way of Decimal."""
    if scale == 0:
        return str(steps)
    sign, digits = ("-", -steps) if steps < 0 else ("", steps)
    whole, rest = divmod(digits, 10**scale)
    return f"{sign}{whole}.{rest:0{scale}d}"
