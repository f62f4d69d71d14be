"""Stepping: features at the last candles of many markets, kept and carried on by what a new candle changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import call
from typing import Any

import numpy as np
import numpy.typing as npt

from common.domain.features import COLUMN_NAMES, Columns, Step, feature, steps
from common.domain.indicators.series import Series
from common.domain.market import Timeframe

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Opening:
    """How a stream is opened, and which feature is which of its outputs."""

    opens: Callable[..., Any]
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    arguments: tuple[int, ...]
    outputs: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is carried on (columns and streams, each so many bars `deep`), and what is computed of that when asked for."""

    deep: Mapping[str, int]
    openings: tuple[_Opening, ...]
    steps: tuple[Step, ...]


@lru_cache(maxsize=1024)
def _plan(names: tuple[str, ...], bars: int) -> _Plan:
    every: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in COLUMN_NAMES and name not in every:
            every[name] = None
            if feature(name).family.opens is None:
                for needed in feature(name).inputs:
                    visit(needed)

    for name in names:
        visit(name)
    streams = frozenset(name for name in every if feature(name).family.opens is not None)
    windowed = steps(names, bars, streams)
    deep = dict.fromkeys((*COLUMN_NAMES, *(name for name in names if name in streams)), bars)
    for step in windowed:
        for name in step.inputs:
            if name in COLUMN_NAMES or name in streams:
                deep[name] = max(deep.get(name, 0), step.length)
    return _Plan(deep, _openings(every, streams), windowed)


def _openings(every: Mapping[str, None], streams: frozenset[str]) -> tuple[_Opening, ...]:
    calls: dict[tuple[Any, ...], list[tuple[str, int | None]]] = {}
    for name in every:
        if name in streams:
            item = feature(name)
            family = item.family
            arguments = tuple(item.arguments[place] for place in family.passes)
            key = (family.opens, family.function, item.inputs, arguments)
            calls.setdefault(key, []).append((name, family.output))
    return tuple(_Opening(key[0], key[1], key[2], key[3], tuple(outputs)) for key, outputs in calls.items())


class Stepping:
    """Features `names` of the last `bars` candles of any number of markets of one timeframe.

    Bit for bit those that `features.compute` gives of all candles from the one that a market was opened with. A market is
    kept as the streams of its recursive features and the ends of its series: no history. Not for several threads at once.
    """

    def __init__(self, names: Sequence[str], bars: int, timeframe: Timeframe) -> None:
        self._names, self._bars, self._timeframe = tuple(names), bars, timeframe
        self._plan = _plan(self._names, bars)
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._chosen: tuple[Sequence[str], Rows, list[list[Any]]] | None = None
        self._updates: list[list[Any]] = [[] for _ in self._plan.openings]
        self._ends: dict[str, npt.NDArray[Any]] = {
            name: np.empty((0, deep), np.int64 if name == "opened_at" else np.float64)
            for name, deep in self._plan.deep.items()
        }

    def __contains__(self, market: str) -> bool:
        return market in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def least(self) -> int:
        """Candles with which a market can be opened: the ends that are looked at, and what the streams begin with."""
        streams = [name for opening in self._plan.openings for name, _ in opening.outputs]
        return max(*self._plan.deep.values(), *(feature(name).lookback + 2 for name in streams), 1)

    def open(self, market: str, columns: Columns) -> None:
        """Keep `market` as it is after `columns`, which are at least `least` candles."""
        self.drop(market)
        given = {name: getattr(columns, name) for name in COLUMN_NAMES}
        opened, ends = [], dict(given)
        for opening in self._plan.openings:
            inputs = [given[name] for name in opening.inputs]
            opened.append(opening.opens(*inputs, *opening.arguments).update)
            made = opening.function(*inputs, *opening.arguments)
            for name, output in opening.outputs:
                ends[name] = made if output is None else made[output]
        row = self._row()
        for updates, update in zip(self._updates, opened, strict=True):
            updates[row] = update
        self._chosen = None
        for name, kept in self._ends.items():
            kept[row] = ends[name][-kept.shape[1] :]
        self._rows[market] = row

    def _row(self) -> int:
        if not self._free:
            rows = len(self._ends["close"])
            more = max(16, rows)
            self._free = list(range(rows + more - 1, rows - 1, -1))
            for updates in self._updates:
                updates.extend([None] * more)
            for name, kept in self._ends.items():
                self._ends[name] = np.concatenate([kept, np.zeros((more, kept.shape[1]), kept.dtype)])
        return self._free.pop()

    def drop(self, market: str) -> None:
        """Forget `market`, if it is kept."""
        row = self._rows.pop(market, None)
        if row is not None:
            self._chosen = None
            for updates in self._updates:
                updates[row] = None
            self._free.append(row)

    def step(self, markets: Sequence[str], candles: Mapping[str, npt.NDArray[Any]]) -> None:
        """Carry each of `markets`, all of them kept, on by its next candle: `candles` has a value of each per column."""
        rows, chosen = self._choose(markets)
        needed = {name for opening in self._plan.openings for name in opening.inputs}
        values: dict[str, list[float]] = {name: candles[name].tolist() for name in needed}
        try:
            for opening, updates in zip(self._plan.openings, chosen, strict=True):
                told: Any = map(call, updates, *(values[name] for name in opening.inputs))
                if opening.outputs[0][1] is None:
                    self._append(opening.outputs[0][0], rows, np.fromiter(told, np.float64, len(rows)))
                    continue
                parts = np.fromiter(chain.from_iterable(told), np.float64).reshape(len(rows), -1)
                for name, output in opening.outputs:
                    self._append(name, rows, parts[:, output])
        except BaseException:
            # What was carried on in part is no state of anything.
            for market in markets:
                self.drop(market)
            raise
        for name in COLUMN_NAMES:
            self._append(name, rows, candles[name])

    def _append(self, name: str, rows: Rows, values: npt.NDArray[Any]) -> None:
        kept = self._ends[name]
        if kept.shape[1] > 1:
            kept[rows, :-1] = kept[rows, 1:]
        kept[rows, -1] = values

    def _choose(self, markets: Sequence[str]) -> tuple[Rows, list[list[Any]]]:
        """(rows, updates of each opening) of `markets`, which usually are those of the last time."""
        if self._chosen is None or self._chosen[0] != markets:
            places = [self._rows[market] for market in markets]
            updates = [[every[place] for place in places] for every in self._updates]
            self._chosen = list(markets), np.array(places, np.intp), updates
        return self._chosen[1:]

    def ends(self, markets: Sequence[str]) -> tuple[dict[str, Series], Columns]:
        """(features, candles) of the last `bars` candles of each of `markets`, one market after the other."""
        rows, _ = self._choose(markets)

        def laid(values: npt.NDArray[Any], bars: int) -> npt.NDArray[Any]:
            return np.ascontiguousarray(values[:, -bars:]).ravel()

        values: dict[str, npt.NDArray[Any]] = {name: kept[rows] for name, kept in self._ends.items()}
        for step in self._plan.steps:
            made = step.function(*(laid(values[name], step.length) for name in step.inputs), *step.arguments)
            for name, output in step.outputs:
                # Only the last of a market's values are its own: those before may have looked at its neighbour.
                values[name] = (made if output is None else made[output]).reshape(len(rows), step.length)
        candles: dict[str, Any] = {name: laid(values[name], self._bars) for name in COLUMN_NAMES}
        columns = Columns(**candles, timeframe=self._timeframe)
        return {name: laid(values[name], self._bars) for name in self._names}, columns
