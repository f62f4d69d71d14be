"""Making: a record made quickly is the record, and as frozen."""

from __future__ import annotations

import dataclasses

import pytest

from common.domain.making import maker


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    x: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", abs(self.x))


def test_what_is_made_equals_what_the_class_makes():
    make = maker(Point)
    assert (make(1), make(x=1, y=5)) == (Point(1), Point(1, 5))
    assert (type(make(1)), hash(make(1)), repr(make(1))) == (Point, hash(Point(1)), repr(Point(1)))


def test_what_is_made_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        maker(Point)(1).x = 3  # type: ignore[misc]


def test_a_class_with_something_to_do_of_its_own_is_refused():
    with pytest.raises(TypeError, match="__post_init__"):
        maker(Checked)
