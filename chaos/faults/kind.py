"""What a kind of fault is, and the register that every kind enters itself in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.world import World

Act = Callable[[World, random.Random], str]
"""Brings a fault about and returns, when it is over, what was done; an empty text when it struck nobody."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    `weight` is how often it is drawn, in ten thousand. Two of one `domain` never overlap; those without one do, for each
    strikes a request of its own. `takes_s` is about how long it keeps its domain busy. What `moves_time` comes last in its
    domain, for nobody's clock can be compared with the venue's right after it. What `outlasts` its squall is not waited for:
    the fleet has to work meanwhile.
    """

    name: str
    domain: str
    weight: int
    act: Act
    takes_s: float
    moves_time: bool
    outlasts: bool


KINDS: dict[str, Kind] = {}


def kind(
    domain: str, weight: int, takes_s: float = 1.0, *, moves_time: bool = False, outlasts: bool = False
) -> Callable[[Act], Act]:
    """Enter a kind of fault under its function's name."""

    def enter(act: Act) -> Act:
        KINDS[act.__name__] = Kind(act.__name__, domain, weight, act, takes_s, moves_time, outlasts)
        return act

    return enter


def wait_for(until: Callable[[], bool], patience_s: float, every_s: float = 0.1) -> bool:
    """Whether `until` came true within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not until():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
