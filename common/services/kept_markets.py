"""What a process keeps of markets between two scans, so that a scan looks only at the candles that are new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from common.domain.features import COLUMN_NAMES, Columns
from common.domain.market import Timeframe
from common.domain.strategies import LastBar, LastBars, Strategy, block_of, can_be_kept
from common.store import Told

Key = tuple[str, str]
"""A strategy's name and version."""

Wishes = Mapping[str, Mapping[Key, Strategy]]
"""The strategies wanted of each symbol."""

Read = Callable[[Sequence[tuple[str, int, int]]], Told]
"""Candles of symbols, each from a time (ms since 1970) on and so many before it, as the store tells them."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen of a scan's symbols at its last candle; symbols that lack that candle are in none of the others.

    `said` is by symbol and strategy, of those that would enter or leave now. Who is not kept has to be asked: `asked` says
    of how many of the last `columns`.
    """

    lacking: frozenset[str]
    said: Mapping[tuple[str, Key], LastBar]
    asked: Mapping[tuple[str, Key], int]
    columns: Mapping[str, Columns]


@dataclass(slots=True)
class _Mark:
    """Which candles a kept market is made of: those of its block and before, up to the last, of one revision."""

    block_ms: int
    last_ms: int
    revision: int
    keys: frozenset[Key]


@dataclass(slots=True)
class _Shelf:
    """What is kept of one venue and timeframe; the symbol that was looked at last is the last of `marks`."""

    strategies: dict[Key, LastBars] = field(default_factory=dict)
    marks: dict[str, _Mark] = field(default_factory=dict)

    def drop(self, symbol: str, keys: Iterable[Key]) -> None:
        """Let `keys` forget `symbol`."""
        for key in keys:
            if key in self.strategies:
                self.strategies[key].drop(symbol)
                if not len(self.strategies[key]):
                    del self.strategies[key]

    def forget(self, symbol: str) -> None:
        """Keep nothing of `symbol`."""
        if (mark := self.marks.pop(symbol, None)) is not None:
            self.drop(symbol, mark.keys)


class KeptMarkets:
    """Strategies at the last bars of markets, by venue and timeframe; lost with the process and made anew of candles.

    A pure function of stored candles: whoever begins with nothing is told the same. What was written to a series behind
    its end makes it begin anew, and so does its next block. Safe to share between threads; not across fork.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # The one that was looked at last is the last.
        self._shelves: dict[tuple[str, Timeframe], _Shelf] = {}

    def __len__(self) -> int:
        return sum(len(shelf.marks) for shelf in self._shelves.values())

    def look(self, venue: str, timeframe: Timeframe, wanted: Wishes, last_ms: int, read: Read, most: int) -> Looked:
        """What the strategies `wanted` of each symbol say at its candle that opened at `last_ms`; keeps at most `most`."""
        with self._lock:
            shelf = self._shelves.pop((venue, timeframe), None) or _Shelf()
            self._shelves[venue, timeframe] = shelf
            look = _Look(shelf, venue, timeframe, wanted, last_ms)
            try:
                return look.through(read)
            except BaseException:
                # What was carried on in part is no state of anything.
                for symbol in wanted:
                    shelf.forget(symbol)
                raise
            finally:
                self._limit(most)

    def _limit(self, most: int) -> None:
        surplus = len(self) - most
        for place, shelf in list(self._shelves.items()):
            for symbol in list(shelf.marks)[: max(0, surplus)]:
                shelf.forget(symbol)
                surplus -= 1
            if not shelf.marks:
                del self._shelves[place]


class _Look:
    """One look at the symbols of a scan."""

    def __init__(self, shelf: _Shelf, venue: str, timeframe: Timeframe, wanted: Wishes, last_ms: int) -> None:
        self._shelf, self._timeframe, self._wanted, self._last_ms = shelf, timeframe, wanted, last_ms
        self._blocks = {symbol: block_of(f"{venue} {symbol}", timeframe, last_ms) for symbol in wanted}
        every = {key: strategy for chosen in wanted.values() for key, strategy in chosen.items()}
        keepable = {key for key, strategy in every.items() if can_be_kept(strategy)}
        self._keys = {symbol: frozenset(keepable.intersection(chosen)) for symbol, chosen in wanted.items()}

    def through(self, read: Read) -> Looked:
        """Read what is new of every symbol, carry on what is kept, begin what is not, and ask for opinions."""
        warm = {symbol: mark for symbol, mark in self._marks() if self._goes_on(symbol, mark)}
        told = read([self._ask(symbol, warm.get(symbol)) for symbol in self._wanted])
        places = {symbol: place for place, symbol in enumerate(self._wanted)}
        revised = [symbol for symbol, mark in warm.items() if mark.revision != told.revisions[places[symbol]]]
        for symbol in revised:
            del warm[symbol]
        self._carry_on(warm, told, places)
        found = {
            symbol: (told.of(place), told.revisions[place])
            for symbol, place in places.items()
            if symbol not in warm or len(self._keys[symbol]) < len(self._wanted[symbol])
        }
        if revised:
            again = read([self._ask(symbol, None) for symbol in revised])
            found |= {symbol: (again.of(place), again.revisions[place]) for place, symbol in enumerate(revised)}
        for symbol, (columns, revision) in found.items():
            if symbol not in warm:
                self._begin(symbol, columns, revision)
        return self._looked({symbol: columns for symbol, (columns, _) in found.items()})

    def _marks(self) -> Iterable[tuple[str, _Mark]]:
        marks = self._shelf.marks
        return ((symbol, marks[symbol]) for symbol in self._wanted if symbol in marks)

    def _goes_on(self, symbol: str, mark: _Mark) -> bool:
        """Whether what is kept is what is wanted, as far as candles were known when it was last looked at."""
        is_of_block = mark.block_ms == self._blocks[symbol] and mark.last_ms <= self._last_ms
        return is_of_block and mark.keys == self._keys[symbol]

    def _ask(self, symbol: str, mark: _Mark | None) -> tuple[str, int, int]:
        chosen = self._wanted[symbol]
        if mark is not None and len(mark.keys) == len(chosen):
            return symbol, mark.last_ms + 1, 0
        if not chosen:
            return symbol, self._last_ms, 0
        return symbol, self._blocks[symbol], max(strategy.history for strategy in chosen.values())

    def _carry_on(self, warm: Mapping[str, _Mark], told: Told, places: Mapping[str, int]) -> None:
        """Step everything that is kept by its new candles, one after the other, all symbols at once."""
        opened_at, bounds = told.columns.opened_at, told.bounds.tolist()
        new: dict[str, range] = {}
        for symbol, mark in warm.items():
            first, stop = bounds[places[symbol]], bounds[places[symbol] + 1]
            if first < stop and opened_at[first] <= mark.last_ms:
                first += int(np.searchsorted(opened_at[first:stop], mark.last_ms, side="right"))
            new[symbol] = range(first, stop)
        for number in range(max(map(len, new.values()), default=0)):
            theirs: dict[Key, list[str]] = defaultdict(list)
            for symbol, bars in new.items():
                if number < len(bars):
                    for key in warm[symbol].keys:
                        theirs[key].append(symbol)
            for key, symbols in theirs.items():
                chosen = np.array([new[symbol][number] for symbol in symbols])
                candles = {name: getattr(told.columns, name)[chosen] for name in COLUMN_NAMES}
                self._shelf.strategies[key].step(symbols, candles)
        for symbol, mark in warm.items():
            if new[symbol]:
                mark.last_ms = int(opened_at[new[symbol][-1]])
            self._shelf.marks[symbol] = self._shelf.marks.pop(symbol)

    def _begin(self, symbol: str, columns: Columns, revision: int) -> None:
        """Keep all that is wanted of `symbol`, or nothing where there are too few candles for one of them."""
        mark, keys = self._shelf.marks.get(symbol), self._keys[symbol]
        if not keys or (mark is not None and mark.last_ms > self._last_ms):
            # A scan of the past leaves what is further on as it is.
            return
        self._shelf.forget(symbol)
        strategies = self._shelf.strategies
        for key in keys:
            strategies.setdefault(key, LastBars(self._wanted[symbol][key], self._timeframe))
        windows = {key: self._window(symbol, self._wanted[symbol][key], columns) for key in keys}
        if all(len(window) >= strategies[key].least for key, window in windows.items()):
            for key, window in windows.items():
                strategies[key].open(symbol, window)
            self._shelf.marks[symbol] = _Mark(self._blocks[symbol], int(columns.opened_at[-1]), revision, keys)
        else:
            self._shelf.drop(symbol, keys)

    def _window(self, symbol: str, strategy: Strategy, columns: Columns) -> Columns:
        """Of `columns`, those that the strategy's opinion is made of."""
        before = int(np.searchsorted(columns.opened_at, self._blocks[symbol]))
        return columns.slice(max(0, before - strategy.history), len(columns))

    def _looked(self, found: Mapping[str, Columns]) -> Looked:
        lacking: set[str] = set()
        asked: dict[tuple[str, Key], int] = {}
        theirs: dict[Key, list[str]] = defaultdict(list)
        for symbol, chosen in self._wanted.items():
            mark, columns = self._shelf.marks.get(symbol), found.get(symbol)
            kept = mark.keys if mark is not None and mark.last_ms == self._last_ms else frozenset()
            if not kept and (columns is None or not self._is_current(columns)):
                lacking.add(symbol)
                continue
            for key, strategy in chosen.items():
                if key in kept:
                    theirs[key].append(symbol)
                elif columns is not None:
                    asked[symbol, key] = len(self._window(symbol, strategy, columns))
        said = {
            (symbol, key): last
            for key, symbols in theirs.items()
            for symbol, last in self._shelf.strategies[key].acting(symbols).items()
        }
        return Looked(frozenset(lacking), said, asked, found)

    def _is_current(self, columns: Columns) -> bool:
        return len(columns) > 0 and int(columns.opened_at[-1]) == self._last_ms
