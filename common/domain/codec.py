"""Domain values to plain JSON and back, exactly: decimals as strings, times in ISO 8601, nothing lost."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from common.domain.errors import InvalidInput

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Plain JSON of a domain value: dataclasses become objects, decimals strings, durations seconds as strings."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(Decimal(value // timedelta(microseconds=1)) / 1_000_000)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(encode(item) for item in value)
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise InvalidInput("value", type(value).__name__, "a domain value")


def decode(kind: type[T], data: Any) -> T:
    """The domain value of type `kind` that `encode` made `data` of."""
    result: T = _decode(kind, data)
    return result


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, data: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        return None if data is None else _decode(_only_member(kind), data)
    if origin is not None:
        return _decode_container(origin, typing.get_args(kind), data)
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast(type, kind))
        return kind(**{name: _decode(hints[name], item) for name, item in data.items()})  # type: ignore[operator]
    if kind is datetime:
        return datetime.fromisoformat(data)
    if kind is timedelta:
        return timedelta(microseconds=int(Decimal(data) * 1_000_000))
    if isinstance(kind, type) and issubclass(kind, Enum | Decimal | UUID):
        return kind(data)
    return data


def _only_member(kind: Any) -> Any:
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    if len(members) != 1:
        raise InvalidInput("type", str(kind), "a type or that type and None")
    return members[0]


def _decode_container(origin: Any, arguments: tuple[Any, ...], data: Any) -> Any:
    if origin is tuple:
        return tuple(_decode(arguments[0], item) for item in data)
    if origin is frozenset:
        return frozenset(_decode(arguments[0], item) for item in data)
    if origin is list:
        return [_decode(arguments[0], item) for item in data]
    return {key: _decode(arguments[1], item) for key, item in data.items()}
