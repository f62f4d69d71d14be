"""How a bug is planted: a function of the fleet is put in another's place, wherever the fleet knows it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from common.services.routines import ROUTINES
from tests.bugs.classes import CLASSES

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """A way to break the fleet: `breaks` is the law that it should be caught by first, `what` the mistake in words."""

    name: str
    breaks: str
    what: str
    _sow: Callable[[], None]

    @property
    def classes(self) -> tuple[int, ...]:
        """Numbers of the failure classes it stands for."""
        return tuple(item.number for item in CLASSES if self.name in item.bugs)

    def plant(self) -> list[Undo]:
        """Make the mistake in this process; returns how to take it back, in the order to do it."""
        _undone.clear()
        self._sow()
        return list(reversed(_undone))

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The mistake, for as long as the block lasts."""
        undo = self.plant()
        try:
            yield
        finally:
            for take_back in undo:
                take_back()


REGISTRY: dict[str, Bug] = {}
_undone: list[Undo] = []


def bug(breaks: str, what: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the decorated planting under its own name."""

    def register(sow: Callable[[], None]) -> Callable[[], None]:
        name = sow.__name__.replace("_", "-")
        REGISTRY[name] = Bug(name, breaks, what, sow)
        return sow

    return register


def swap(original: Any, replacement: Any) -> None:
    """Put `replacement` wherever a module of the fleet or its table of routines holds the function `original`."""
    for name, module in sorted(sys.modules.items()):
        if (name.startswith("common.") or name == "simulation.world") and module is not None:
            for attribute, value in list(vars(module).items()):
                if value is original:
                    set_on(module, attribute, replacement)
                elif isinstance(value, dict) and not attribute.startswith("__"):
                    _swap_in_table(value, original, replacement)
    for stage, routine in list(ROUTINES.items()):
        changes = {f.name: replacement for f in dataclasses.fields(routine) if getattr(routine, f.name) is original}
        if changes:
            put(ROUTINES, stage, dataclasses.replace(routine, **changes))


def _swap_in_table(table: dict[Any, Any], original: Any, replacement: Any) -> None:
    for key, value in list(table.items()):
        if value is original and isinstance(value, FunctionType):
            put(table, key, replacement)


def put(table: Any, key: Any, value: Any) -> None:
    """Set an entry of a table of the fleet."""
    before = table[key]
    table[key] = value
    _undone.append(lambda: table.__setitem__(key, before))


def set_on(owner: Any, attribute: str, value: Any) -> None:
    """Set an attribute of a class or a module."""
    before = vars(owner)[attribute]
    setattr(owner, attribute, value)
    _undone.append(lambda: setattr(owner, attribute, before))
