"""Bags of things that have no names: workers, stops and entries are interchangeable, so each bag is kept in one order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import cache
from itertools import combinations_with_replacement
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def bag(things: Iterable[T]) -> tuple[T, ...]:
    """`things` in the order that stands for all orders."""
    return tuple(sorted(things, key=repr))


def bags(kinds: Iterable[T], size: int) -> tuple[tuple[T, ...], ...]:
    """Every bag of `size` things of these `kinds`."""
    return tuple(bag(things) for things in combinations_with_replacement(kinds, size))


@cache
def exchanged(things: tuple[T, ...], before: T, after: T) -> tuple[T, ...]:
    """The bag with `after` in place of one `before`."""
    others = list(things)
    others.remove(before)
    return bag((*others, after))
