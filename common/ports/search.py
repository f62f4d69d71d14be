"""Search: the door to whoever proposes parameters, and to the notes that let a search go on where it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from common.domain.search import Dimension, Outcome, Tried, Values


class Searcher(Protocol):
    """Proposes values, trial by trial, and learns from what became of them.

    What it proposes follows from its seed, the number of the trial and what it was told and asked before, whichever
    process it was in: a searcher that recalls an interrupted search goes on as if it had never been interrupted.
    """

    def propose(self, number: int) -> Values:
        """Values of trial `number`; numbers come one after another from 0."""

    def recall(self, number: int, values: Values) -> None:
        """Trial `number` was given `values` before, or by somebody else; instead of `propose`."""

    def learn(self, number: int, value: float | None) -> None:
        """Trial `number` came to `value`, the larger the better; None where it came to nothing that can be compared."""


class Study(Protocol):
    """One search and its notes; everything is kept before the call returns."""

    def tried(self) -> Sequence[Tried]:
        """Trials that were told, in the order of their numbers."""

    def waiting(self) -> Sequence[tuple[int, Values]]:
        """Trials that were asked for and not told, in the order of their numbers; whoever opens a study takes them up."""

    def ask(self) -> tuple[int, Values]:
        """The next trial's number and values; the first is the strategy's own values where the space holds them."""

    def tell(self, number: int, outcome: Outcome) -> None:
        """What trial `number` came to; told in the order of the numbers."""


class StudyBook(Protocol):
    """The studies of one piece of work, held by one process at a time."""

    def study(self, part: str, space: Sequence[Dimension], seed: int) -> Study:
        """The study called `part`, as it was left or anew."""


class Studies(Protocol):
    """Where studies are kept."""

    def open(self, name: str, setup: Mapping[str, str]) -> AbstractContextManager[StudyBook]:
        """The book called `name`, held for this process.

        Raises InvalidInput naming the first thing of `setup` that is not as it was when the book was begun, or a name that
        cannot be one, and Permanent while another process holds it.
        """
