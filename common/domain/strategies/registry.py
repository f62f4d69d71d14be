"""The strategies that exist, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from common.domain.errors import InvalidInput, NotFound
from common.domain.strategies.base import Rules, Strategy

Kind = TypeVar("Kind", bound=type[Rules])

_KINDS: dict[str, type[Rules]] = {}


def register(kind: Kind) -> Kind:
    """Make `kind` known under its name (usable as a decorator).

    Raises InvalidInput when another has the name already, or when its revision could be taken for a digest.
    """
    if "-" in kind.revision:
        raise InvalidInput(f"revision of {kind.name}", kind.revision, "letters, digits and dots; - begins the digest")
    existing = _KINDS.get(kind.name)
    if existing is not None and existing is not kind:
        raise InvalidInput("strategy", kind.name, f"a name that {existing.__module__} does not use already")
    _KINDS[kind.name] = kind
    return kind


def get(name: str, parameters: Mapping[str, Any] | None = None) -> Strategy:
    """The strategy called `name`, its parameters changed by `parameters`.

    Raises NotFound listing what exists, InvalidInput naming a parameter that is unknown or out of bounds.
    """
    if name not in _KINDS:
        raise NotFound("strategy", name, _KINDS)
    kind = _KINDS[name]
    return kind(kind.parameters_type.of(parameters or {}))


def names() -> tuple[str, ...]:
    """Names of all strategies, sorted."""
    return tuple(sorted(_KINDS))
