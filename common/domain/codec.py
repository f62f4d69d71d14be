"""Domain values to plain JSON and back, exactly: decimals as strings, times in ISO 8601, nothing lost."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from common.domain.errors import InvalidInput

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Plain JSON of a domain value: dataclasses become objects, decimals strings, durations seconds as strings."""
    kind: Any = type(value)
    return _encoder(kind)(value)


# How a type is written and read is found out once: values come by the thousand.
@cache
def _encoder(kind: Any) -> Callable[[Any], Any]:
    if issubclass(kind, Enum):
        return attrgetter("value")
    if issubclass(kind, str | int | float | bool | types.NoneType):
        return _as_it_is
    for base, write in _WRITTEN.items():
        if issubclass(kind, base):
            return write
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
        return lambda value: {name: encode(getattr(value, name)) for name in names}
    raise InvalidInput("value", kind.__name__, "a domain value")


def _as_it_is(value: Any) -> Any:
    return value


_WRITTEN: Mapping[type, Callable[[Any], Any]] = {
    Decimal: lambda value: format(value, "f") if value.is_finite() else str(value),
    UUID: str,
    datetime: datetime.isoformat,
    timedelta: lambda value: str(Decimal(value // timedelta(microseconds=1)) / 1_000_000),
    Mapping: lambda value: {str(key): encode(item) for key, item in value.items()},
    frozenset: lambda value: sorted(encode(item) for item in value),
    set: lambda value: sorted(encode(item) for item in value),
    list: lambda value: [encode(item) for item in value],
    tuple: lambda value: [encode(item) for item in value],
}


def decode(kind: type[T], data: Any) -> T:
    """The domain value of type `kind` that `encode` made `data` of."""
    known: Any = kind
    result: T = _decoder(known)(data)
    return result


@cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        load = _decoder(_only_member(kind))
        return lambda data: None if data is None else load(data)
    if origin is not None:
        return _container_decoder(origin, typing.get_args(kind))
    if dataclasses.is_dataclass(kind):
        return _dataclass_decoder(typing.cast("type", kind))
    if kind is datetime:
        return datetime.fromisoformat
    if kind is timedelta:
        return lambda data: timedelta(microseconds=int(Decimal(data) * 1_000_000))
    if isinstance(kind, type) and issubclass(kind, Enum | Decimal | UUID):
        return kind
    return _as_it_is


def _dataclass_decoder(kind: type) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    # Found when first met: a type may hold others of its own kind.
    return lambda data: kind(**{name: _decoder(hints[name])(item) for name, item in data.items()})


def _only_member(kind: Any) -> Any:
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    if len(members) != 1:
        raise InvalidInput("type", str(kind), "a type or that type and None")
    return members[0]


def _container_decoder(origin: Any, arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    if origin in {tuple, frozenset, list}:
        load = _decoder(arguments[0])
        return lambda data: origin(map(load, data))
    load = _decoder(arguments[1])
    return lambda data: {key: load(item) for key, item in data.items()}
