"""What a route is: who may call it, what it weighs, and the context its handler gets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from simulator.desk import Params
from simulator.limits import Limits
from simulator.venue import Venue


class Access(Enum):
    """What a caller must show."""

    PUBLIC = "public"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Call:
    """One request after its checks."""

    venue: Venue
    params: Params
    now_ms: int
    api_key: str
    limits: Limits
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Any]
Weight = Callable[[Mapping[str, str]], int]


@dataclass(frozen=True, slots=True)
class Route:
    """A handler with its access rule and weight; `is_order` counts against the account's order limits."""

    handle: Handler
    access: Access
    weight: Weight
    is_order: bool = False
    changes: bool = False


Routes = dict[tuple[str, str], Route]


def fixed(weight: int) -> Weight:
    """The same weight whatever is asked."""
    return lambda params: weight


def by_symbol(one: int, every: int) -> Weight:
    """One weight with a symbol, another for all of them."""
    return lambda params: one if params.get("symbol") else every


def by_limit(default: int, *steps: tuple[int, int]) -> Weight:
    """A weight that grows with `limit`: pairs of largest limit and weight."""

    def weigh(params: Mapping[str, str]) -> int:
        text = params.get("limit", "")
        limit = int(text) if text.isdigit() else default
        return next((weight for most, weight in steps if limit <= most), steps[-1][1])

    return weigh
