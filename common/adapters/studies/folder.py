"""A folder of studies: one folder a book, one file of lines a study, and a lock that ends with the process."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.domain.codec import decode, encode
from common.domain.errors import InvalidInput, Permanent
from common.domain.search import Dimension, Outcome, Tried, Values
from common.ports.search import Searcher

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_SETUP = "setup.json"
_LOCK = "lock"

MakeSearcher = Callable[[Sequence[Dimension], int], Searcher]


class StudyInUse(Permanent):
    """Another process works on this study."""


class StudyFolder:
    """Studies kept below `folder`; `make` says who proposes."""

    def __init__(self, folder: Path, make: MakeSearcher) -> None:
        self._folder, self._make = folder, make

    @contextmanager
    def open(self, name: str, setup: Mapping[str, str]) -> Iterator[Book]:
        """The book called `name`, held until the block ends."""
        if not _NAME.fullmatch(name):
            raise InvalidInput("study", name, "lower-case letters, digits, dots, dashes; a letter or digit first")
        place = self._folder / name
        place.mkdir(parents=True, exist_ok=True)
        with (place / _LOCK).open("a", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudyInUse(f"another process works on the study {name!r}; choose another --study NAME") from None
            _remember(place / _SETUP, name, setup)
            yield Book(place, self._make)


def _remember(path: Path, name: str, setup: Mapping[str, str]) -> None:
    """Keep what the study is made of; raises InvalidInput when it was made of something else."""
    if path.exists():
        known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        for item in dict.fromkeys((*setup, *known)):
            before, now = known.get(item, "nothing"), setup.get(item, "nothing")
            if before != now:
                raise InvalidInput(f"{item} of the study {name!r}", now, f"{before} as before, or another --study NAME")
        return
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(dict(setup), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


class Book:
    """The studies of one folder."""

    def __init__(self, place: Path, make: MakeSearcher) -> None:
        self._place, self._make = place, make

    def study(self, part: str, space: Sequence[Dimension], seed: int) -> NotedStudy:
        """The study called `part`."""
        if not _NAME.fullmatch(part):
            raise InvalidInput("part", part, "lower-case letters, digits, dots, dashes; a letter or digit first")
        return NotedStudy(self._place / f"{part}.jsonl", space, self._make(space, seed))


class NotedStudy:
    """A study whose every question and answer is a line; the searcher is told them again when the file is opened."""

    def __init__(self, path: Path, space: Sequence[Dimension], searcher: Searcher) -> None:
        self._path, self._space, self._searcher = path, space, searcher
        self._asked: dict[int, Values] = {}
        self._told: dict[int, Outcome] = {}
        for line in _whole_lines(path):
            self._read(line)

    def _read(self, line: Mapping[str, Any]) -> None:
        number = line["number"]
        if "values" in line:
            self._asked[number] = line["values"]
            self._searcher.recall(number, line["values"])
        else:
            self._take(number, decode(Outcome, line["outcome"]))

    def _take(self, number: int, outcome: Outcome) -> None:
        self._told[number] = outcome
        self._searcher.learn(number, None if outcome.value is None else float(outcome.value))

    def tried(self) -> Sequence[Tried]:
        """Trials that were told."""
        return [Tried(number, self._asked[number], outcome) for number, outcome in sorted(self._told.items())]

    def waiting(self) -> Sequence[tuple[int, Values]]:
        """Trials that were asked for and not told."""
        return [(number, values) for number, values in sorted(self._asked.items()) if number not in self._told]

    def ask(self) -> tuple[int, Values]:
        """The next trial."""
        number = len(self._asked)
        own = {item.name: item.default for item in self._space}
        if number == 0 and all(item.holds(item.default) for item in self._space):
            self._searcher.recall(number, own)
            values: Values = own
        else:
            values = self._searcher.propose(number)
        self._asked[number] = values
        self._write({"number": number, "values": dict(values)})
        return number, values

    def tell(self, number: int, outcome: Outcome) -> None:
        """What trial `number` came to."""
        self._write({"number": number, "outcome": encode(outcome)})
        self._take(number, outcome)

    def _write(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of `path`; what a killed process wrote of its last one is cut off."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]
