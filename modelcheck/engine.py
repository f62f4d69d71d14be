"""Breadth-first search over every interleaving of a machine, with states packed into integers and steps looked up in tables.

A state is one integer. A rule names the fields it reads and writes and is shown those only, so what it does depends on
nothing else: its steps are computed once for each combination of these fields, kept as differences between integers, and
added from then on. Breadth first means that the first trace to a bad state is a shortest one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, TypeVar

from common.domain.errors import IllegalMove
from modelcheck.policies import IN_TABLE


class Kind(Enum):
    """Who takes a step, and so whether liveness may count on it."""

    OURS = "ours"
    """A worker or a beat goes on; it will, sooner or later."""
    WORLD = "world"
    """The venue or time goes on; it will, sooner or later."""
    CHANCE = "chance"
    """It may happen or never: a price, a decision, a person."""
    FAULT = "fault"
    """Something breaks; promises hold in spite of it and never because of it."""


COUNTED_ON = frozenset({Kind.OURS, Kind.WORLD})

Step = tuple[str, Kind, Mapping[str, Hashable]]
"""What happens in words, who does it, and the fields that change."""
Steps = Iterator[Step]
ILLEGAL = "illegal"
F = TypeVar("F", bound=Callable[..., Any])


def ours(words: str, **changes: Hashable) -> Step:
    """A step of the fleet that is sure to come."""
    return words, Kind.OURS, changes


def world(words: str, **changes: Hashable) -> Step:
    """A step of the venue or of time that is sure to come."""
    return words, Kind.WORLD, changes


def chance(words: str, **changes: Hashable) -> Step:
    """A step that may come."""
    return words, Kind.CHANCE, changes


def fault(words: str, **changes: Hashable) -> Step:
    """Something breaks."""
    return words, Kind.FAULT, changes


def rule(*reads: str) -> Callable[[F], F]:
    """Mark a method as a rule: it is shown `reads` and yields steps that change no other field."""
    return _mark("rule", "", reads)


def law(words: str, *reads: str) -> Callable[[F], F]:
    """Mark a method as a law: it is shown `reads` and says whether the state is allowed."""
    return _mark("law", words, reads)


def goal(words: str, *reads: str) -> Callable[[F], F]:
    """Mark the one method that is the goal which must stay reachable: shown `reads`, it says whether it is reached."""
    return _mark("goal", words, reads)


def _mark(role: str, words: str, reads: tuple[str, ...]) -> Callable[[F], F]:
    def mark(method: F) -> F:
        method.part = (role, words, reads)  # type: ignore[attr-defined]
        return method

    return mark


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a field lies in the integer."""

    shift: int
    mask: int
    values: tuple[Hashable, ...]
    index: Mapping[Hashable, int]


class _Part:
    """A rule, law or goal with the fields it is shown."""

    def __init__(self, machine: Machine, words: str, reads: Sequence[str], method: Callable[[Any], Any]) -> None:
        self.words = words
        self.method = method
        self.illegal = machine.slots[ILLEGAL].mask
        self.slots = {name: machine.slots[name] for name in reads}
        self.mask = sum(slot.mask for slot in self.slots.values())
        self.known: dict[int, list[tuple[int, str, Kind]]] = {}

    def view(self, key: int) -> SimpleNamespace:
        """The fields in `key` by name."""
        return SimpleNamespace(
            **{name: slot.values[(key & slot.mask) >> slot.shift] for name, slot in self.slots.items()}
        )

    def steps(self, key: int) -> list[tuple[int, str, Kind]]:
        """Difference, words and kind of each step from a state whose fields are `key`.

        A move that the order table does not hold is a step into a state that is marked by it, and so a flaw.
        """
        if key in self.known:
            return self.known[key]
        found = self.known[key] = []
        try:
            for words, kind, changes in self.method(self.view(key)):
                difference = 0
                for name, value in changes.items():
                    slot = self.slots[name]
                    difference += (slot.index[value] << slot.shift) - (key & slot.mask)
                if difference:
                    found.append((difference, words, kind))
        except IllegalMove as error:
            words = f"an order is asked to go from {error.source} to {error.destination}"
            found.append((self.illegal, words, Kind.OURS))
        return found


class _Differences(dict[int, tuple[int, ...]]):
    """The steps of one rule by the fields it reads, computed when first asked for."""

    def __init__(self, part: _Part, kinds: frozenset[Kind]) -> None:
        super().__init__()
        self.part = part
        self.kinds = kinds

    def __missing__(self, key: int) -> tuple[int, ...]:
        found = tuple(dict.fromkeys(step[0] for step in self.part.steps(key) if step[2] in self.kinds))
        self[key] = found
        return found


class _Answers(dict[int, bool]):
    """The answers of a law or goal by the fields it reads."""

    def __init__(self, part: _Part) -> None:
        super().__init__()
        self.part = part

    def __missing__(self, key: int) -> bool:
        answer = bool(self.part.method(self.part.view(key)))
        self[key] = answer
        return answer


class Machine:
    """Fields with their values, where they start, and methods marked as rules, laws and goals."""

    fields: Mapping[str, tuple[Hashable, ...]]
    start: Mapping[str, Hashable]

    def prepare(self) -> None:
        """Lay the fields out in an integer and collect the marked methods; subclasses call it when they know their fields."""
        self.slots: dict[str, _Slot] = {}
        shift = 0
        for name, values in {**self.fields, ILLEGAL: (False, True)}.items():
            bits = max(1, (len(values) - 1).bit_length())
            index = {value: number for number, value in enumerate(values)}
            self.slots[name] = _Slot(shift, ((1 << bits) - 1) << shift, tuple(values), index)
            shift += bits
        self.parts: dict[str, list[_Part]] = {"rule": [], "law": [], "goal": []}
        for name in dir(type(self)):
            marked = getattr(getattr(type(self), name), "part", None)
            if marked is not None:
                role, words, reads = marked
                self.parts[role].append(_Part(self, words, reads, getattr(self, name)))
        self.first = sum(self.slots[name].index[value] << self.slots[name].shift for name, value in self.start.items())

    @law(IN_TABLE, ILLEGAL)
    def every_move_is_in_the_table(self, s: Any) -> bool:
        """No rule asked an order to make a move that common.domain.order does not hold."""
        return not s.illegal

    def show(self, state: int) -> dict[str, Hashable]:
        """The fields of `state` by name."""
        return {name: slot.values[(state & slot.mask) >> slot.shift] for name, slot in self.slots.items()}


@dataclass(frozen=True, slots=True)
class Flaw:
    """A promise that is broken, and a shortest way there in words."""

    violates: str
    trace: tuple[str, ...]


@dataclass(slots=True)
class Walk:
    """What a search has seen; `flaw` is None when every promise holds in every state."""

    states: int = 0
    transitions: int = 0
    flaw: Flaw | None = None
    bad: int = 0
    came_from: dict[int, int] = field(default_factory=dict)


def check(machine: Machine, *, depth_max: int | None = None) -> Walk:
    """Walk all states of `machine`; stop at the first that breaks a law, else look for states cut off from the goal.

    `depth_max` bounds the length of the traces that are looked for; a bounded walk says nothing about the goal.
    """
    walk = Walk(came_from={machine.first: machine.first})
    is_whole = _search(machine, walk, depth_max)
    walk.states = len(walk.came_from)
    if walk.flaw is None and is_whole:
        _look_for_dead_ends(machine, walk)
    return walk


def _search(machine: Machine, walk: Walk, depth_max: int | None) -> bool:
    """Fill `walk`; whether everything reachable was seen."""
    everything = frozenset(Kind)
    rules = [(part.mask, _Differences(part, everything)) for part in machine.parts["rule"]]
    laws = [(part.mask, _Answers(part)) for part in machine.parts["law"]]
    came_from = walk.came_from
    frontier, depth, transitions = [machine.first], 0, 0
    while frontier:
        for state in frontier:
            for mask, holds in laws:
                if not holds[state & mask]:
                    walk.flaw, walk.bad, walk.transitions = _flaw(machine, walk, state, laws), 1, transitions
                    return False
        if depth == depth_max:
            return False
        depth += 1
        found: list[int] = []
        for state in frontier:
            for mask, table in rules:
                differences = table[state & mask]
                transitions += len(differences)
                for difference in differences:
                    after = state + difference
                    if after not in came_from:
                        came_from[after] = state
                        found.append(after)
        frontier = found
    walk.transitions = transitions
    return True


def _flaw(machine: Machine, walk: Walk, state: int, laws: list[tuple[int, _Answers]]) -> Flaw:
    broken = next(table.part.words for mask, table in laws if not table[state & mask])
    return Flaw(broken, trace_to(machine, walk.came_from, state))


def _look_for_dead_ends(machine: Machine, walk: Walk) -> None:
    """Find the states from which steps that can be counted on lead to no goal; the one found first is the flaw."""
    (goal_part,) = machine.parts["goal"]
    mask, reached = goal_part.mask, _Answers(goal_part)
    rules = [(part.mask, _Differences(part, COUNTED_ON)) for part in machine.parts["rule"]]
    safe = {state for state in walk.came_from if reached[state & mask]}
    # Steps lead away from the start, so a look from the far end settles nearly everything the first time.
    waiting = [state for state in reversed(walk.came_from) if state not in safe]
    while waiting:
        left = [state for state in waiting if not _leads_into(state, rules, safe)]
        if len(left) == len(waiting):
            break
        waiting = left
    if waiting:
        cut_off = set(waiting)
        first = next(state for state in walk.came_from if state in cut_off)
        walk.flaw, walk.bad = Flaw(goal_part.words, trace_to(machine, walk.came_from, first)), len(waiting)


def _leads_into(state: int, rules: list[tuple[int, _Differences]], safe: set[int]) -> bool:
    for rule_ in rules:
        mask, table = rule_
        for difference in table[state & mask]:
            if state + difference in safe:
                safe.add(state)
                if rule_ is not rules[0]:
                    # What led on here is likely to lead on from the next state too.
                    rules.remove(rule_)
                    rules.insert(0, rule_)
                return True
    return False


def trace_to(machine: Machine, came_from: Mapping[int, int], state: int) -> tuple[str, ...]:
    """The steps from the start to `state` in words."""
    path = [state]
    while came_from[path[-1]] != path[-1]:
        path.append(came_from[path[-1]])
    path.reverse()
    return tuple(_words(machine, before, after) for before, after in pairwise(path))


def _words(machine: Machine, before: int, after: int) -> str:
    return next(
        words
        for part in machine.parts["rule"]
        for difference, words, _ in part.steps(before & part.mask)
        if before + difference == after
    )
