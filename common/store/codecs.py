"""Rows to domain values and back, the same way for every noun."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Row

from common.domain.advice import Advice
from common.domain.codec import decode, encode
from common.domain.decision import Decision
from common.domain.fill import Fill, Funding
from common.domain.job import Job
from common.domain.market import Instrument
from common.domain.order import Order
from common.domain.paper import PaperFill, PaperFunding, PaperOrder, PaperPosition
from common.domain.parameter_version import Activation, ParameterVersion
from common.domain.position import Position
from common.domain.postings import CashFlow
from common.domain.risk.book import Halt
from common.domain.risk.verdict import Reservation
from common.domain.signal import Signal
from common.domain.tenant import Account, Subscription, Tenant

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]


class Codec(Generic[T]):
    """Field by field: enums as their values, tuples as arrays, a nested dataclass as columns of the same row.

    `nested` names the fields that are spread into columns, with the prefix of those columns; a nested value all of
    whose columns are null is None. `renamed` maps a field to its column where they differ; `whole`
    names the fields that are kept as JSON in one column.
    """

    def __init__(
        self,
        kind: type[T],
        *,
        nested: Mapping[str, str] | None = None,
        renamed: Mapping[str, str] | None = None,
        whole: frozenset[str] = frozenset(),
    ) -> None:
        self.kind = kind
        hints = typing.get_type_hints(kind)
        self._spread: list[tuple[str, Codec[Any], str]] = []
        self._plain: list[tuple[str, str, Callable[[Any], Any] | None]] = []
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            hint = _without_none(hints[field.name])
            if nested and field.name in nested:
                own = renamed if dataclasses.is_dataclass(hint) else None
                self._spread.append((field.name, Codec(hint, renamed=own), nested[field.name]))
            else:
                column = (renamed or {}).get(field.name, field.name)
                load = partial(decode, hint) if field.name in whole else _loader(hint)
                self._plain.append((field.name, column, load))
        self._whole = whole

    def row(self, value: T) -> dict[str, Any]:
        """`value` as columns."""
        columns = {
            column: encode(getattr(value, name)) if name in self._whole else _dumped(getattr(value, name))
            for name, column, _ in self._plain
        }
        for name, codec, prefix in self._spread:
            inner = getattr(value, name)
            names = codec.columns()
            inner_row = codec.row(inner) if inner is not None else dict.fromkeys(names)
            columns |= {prefix + column: item for column, item in inner_row.items()}
        return columns

    def columns(self) -> list[str]:
        """Names of the columns of a value without nested ones."""
        return [column for _, column, _ in self._plain]

    def value(self, row: AnyRow) -> T:
        """The value of a row that has at least this codec's columns."""
        return self.read(cast("Mapping[str, Any]", row._mapping), "")

    def read(self, row: Mapping[str, Any], prefix: str) -> T:
        """The value whose columns begin with `prefix`."""
        fields: dict[str, Any] = {}
        for name, column, load in self._plain:
            item = row[prefix + column]
            fields[name] = item if load is None or item is None else load(item)
        for name, codec, inner_prefix in self._spread:
            is_there = any(row[inner_prefix + column] is not None for column in codec.columns())
            fields[name] = codec.read(row, inner_prefix) if is_there else None
        return self.kind(**fields)


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        return next(member for member in typing.get_args(hint) if member is not type(None))
    return hint


def _loader(hint: Any) -> Callable[[Any], Any] | None:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if typing.get_origin(hint) is tuple:
        return tuple
    if typing.get_origin(hint) is not None and typing.get_args(hint)[1:] == (float,):
        return _floats
    return None


def _floats(item: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in item.items()}


def _dumped(item: Any) -> Any:
    if isinstance(item, Enum):
        return item.value
    if isinstance(item, tuple):
        return list(item)
    return item


INSTRUMENT = Codec(Instrument)
SIGNAL = Codec(Signal, whole=frozenset({"exits"}))
ADVICE = Codec(Advice)
TENANT = Codec(Tenant)
ACCOUNT = Codec(Account)
SUBSCRIPTION = Codec(Subscription)
JOB = Codec(Job)
HALT = Codec(Halt)
DECISION = Codec(Decision, nested={"veto": "veto_"})
ORDER = Codec(Order, nested={"intent": ""}, renamed={"order_id": "id"})
FILL = Codec(Fill)
FUNDING = Codec(Funding)
CASH_FLOW = Codec(CashFlow)
POSITION = Codec(Position, whole=frozenset({"exits"}))
RESERVATION = Codec(Reservation)
PARAMETER_VERSION = Codec(ParameterVersion)
ACTIVATION = Codec(Activation)
PAPER_ORDER = Codec(PaperOrder)
PAPER_FILL = Codec(PaperFill)
PAPER_FUNDING = Codec(PaperFunding)
PAPER_POSITION = Codec(PaperPosition)
