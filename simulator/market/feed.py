"""One symbol's candles as integer arrays, and the questions the venue asks about an instant of them."""

import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from operator import mul
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.market.path import candle_path, volume_path

Ints = NDArray[np.int64]

# Ticks of a base candle, by its length: ten seconds for five minutes, five for one.
TICKS = {60_000: 12, 180_000: 18, 300_000: 30, 900_000: 45, 3_600_000: 60}
TIMEFRAMES_MS = {
    "1m": 60_000, "3m": 180_000, "5m": 300_000, "15m": 900_000, "30m": 1_800_000, "1h": 3_600_000, "2h": 7_200_000,
    "4h": 14_400_000, "6h": 21_600_000, "8h": 28_800_000, "12h": 43_200_000, "1d": 86_400_000,
}  # fmt: skip


class Kline(NamedTuple):
    """One candle in price and volume steps; `quote` is the turnover in price steps times volume steps."""

    opened_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int
    trades: int
    taker: int


class Window(NamedTuple):
    """Candles that a question means: their timeframe, the instant they are seen at, and which groups of rows they are."""

    timeframe_ms: int
    until_ms: int
    row: int
    begins: Ints
    numbers: range


@dataclass(slots=True)
class Columns:
    """Base candles, oldest first: opening times in milliseconds and integers in price or volume steps."""

    time: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints

    def joined(self, later: "Columns") -> "Columns":
        """These candles followed by later ones."""
        return Columns(
            *(
                np.concatenate((getattr(self, c), getattr(later, c)))
                for c in ("time", "open", "high", "low", "close", "volume")
            )
        )


@dataclass(slots=True)
class Feed:
    """A symbol's market as a function of time; subclasses may grow it as time goes on."""

    symbol: str
    base_ms: int
    price_scale: int
    volume_scale: int
    seed: int
    columns: Columns
    _paths: OrderedDict[int, tuple[list[int], list[int]]] = field(default_factory=OrderedDict)
    _groups: dict[int, tuple[int, Ints]] = field(default_factory=dict)
    shown_rows: dict[int, dict[int, list[Any]]] = field(default_factory=dict)  # closed candles as klines prints them

    @property
    def ticks(self) -> int:
        """Ticks of one base candle."""
        return TICKS[self.base_ms]

    @property
    def first_ms(self) -> int:
        """When the first candle opens."""
        return int(self.columns.time[0])

    @property
    def end_ms(self) -> int | None:
        """When the last candle closes, or None for a market that never ends."""
        return int(self.columns.time[-1]) + self.base_ms

    def cover(self, instant_ms: int) -> None:
        """Make sure that candles up to the instant exist; recorded ones are all there."""

    def row_at(self, instant_ms: int) -> int:
        """The row of the last candle opened at or before the instant; -1 before the first."""
        self.cover(instant_ms)
        return int(np.searchsorted(self.columns.time, instant_ms, side="right")) - 1

    def tick_at(self, instant_ms: int) -> int:
        """The number, counted from the first candle, of the last tick at or before the instant; -1 before the first."""
        row = self.row_at(instant_ms)
        if row < 0:
            return -1
        inside = (instant_ms - int(self.columns.time[row])) * self.ticks // self.base_ms
        return row * self.ticks + min(self.ticks - 1, inside)

    def tick_time(self, tick: int) -> int:
        """When a tick happens, in milliseconds."""
        row, inside = divmod(tick, self.ticks)
        return int(self.columns.time[row]) + inside * self.base_ms // self.ticks

    def tick_price(self, tick: int) -> int:
        """The price of a tick in price steps."""
        row, inside = divmod(tick, self.ticks)
        return self.path(row)[0][inside]

    def tick_volume(self, tick: int) -> int:
        """What was traded at a tick, in volume steps."""
        row, inside = divmod(tick, self.ticks)
        done = self.path(row)[1]
        return done[inside] - (done[inside - 1] if inside else 0)

    def went_up(self, tick: int) -> bool:
        """Whether the tick's price is above the one before it: the aggressor was a buyer."""
        return tick == 0 or self.tick_price(tick) >= self.tick_price(tick - 1)

    def path(self, row: int) -> tuple[list[int], list[int]]:
        """Prices and cumulated volumes of a row's ticks."""
        found = self._paths.get(row)
        if found is None:
            c = self.columns
            key = self._key(int(c.time[row]))
            prices = candle_path(
                int(c.open[row]), int(c.high[row]), int(c.low[row]), int(c.close[row]), self.ticks, key
            )
            found = self._paths[row] = (prices, volume_path(int(c.volume[row]), self.ticks, key))
            if len(self._paths) > 8:
                self._paths.popitem(last=False)
        return found

    def _key(self, opened_ms: int) -> int:
        return zlib.crc32(self.symbol.encode()) << 20 ^ opened_ms // 1000 ^ self.seed << 7

    def liquidity(self, tick: int) -> float:
        """The size that usually rests at one level of the book, in whole units, from the candle before."""
        row = max(0, tick // self.ticks - 1)
        five_minutes = int(self.columns.volume[row]) * 300_000 / self.base_ms / 10**self.volume_scale
        price = int(self.columns.close[row]) / 10**self.price_scale
        return max(five_minutes / 300, 200 / price)

    def window(
        self, timeframe_ms: int, until_ms: int, start_ms: int | None, end_ms: int | None, limit: int
    ) -> "Window":
        """Which candles of a timeframe a question means, as the market stands at `until_ms`.

        Without a start the latest `limit`; with a start the first `limit` from there. Gaps stay gaps.
        """
        row = self.row_at(until_ms)
        if row < 0:
            return Window(timeframe_ms, until_ms, row, np.empty(0, dtype=np.int64), range(0))
        begins = self._begins(timeframe_ms, row)
        opened = self.columns.time[begins] // timeframe_ms * timeframe_ms
        first = 0 if start_ms is None else int(np.searchsorted(opened, start_ms, side="left"))
        last = len(begins) if end_ms is None else int(np.searchsorted(opened, end_ms, side="right"))
        if start_ms is None:
            first = max(first, last - limit)
        return Window(timeframe_ms, until_ms, row, begins, range(first, min(last, first + limit)))

    def opened_at(self, window: "Window") -> list[int]:
        """When each candle of a window opens, in milliseconds."""
        begins = window.begins[window.numbers.start : window.numbers.stop]
        opened: list[int] = (self.columns.time[begins] // window.timeframe_ms * window.timeframe_ms).tolist()
        return opened

    def span(self, since_ms: int, until_ms: int) -> Kline | None:
        """All that happened between two instants as one candle, as it stands at the later; None before listing."""
        row = self.row_at(until_ms)
        if row < 0:
            return None
        begin = min(row, int(np.searchsorted(self.columns.time, since_ms, side="left")))
        live = until_ms < int(self.columns.time[row]) + self.base_ms
        parts = [self._rows(begin, row)] if row > begin else []
        parts.append(self._partial(row, until_ms) if live else self._one(row))
        return merged(int(self.columns.time[begin]), parts)

    def candle(self, window: "Window", number: int) -> Kline:
        """A candle of a window; the last may still be open."""
        return self._group(window.begins, number, window.row, window.until_ms, window.timeframe_ms)

    def candles(
        self, timeframe_ms: int, until_ms: int, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[Kline]:
        """Candles of a timeframe, oldest first; see `window` for which."""
        window = self.window(timeframe_ms, until_ms, start_ms, end_ms, limit)
        return [self.candle(window, n) for n in window.numbers]

    def _begins(self, timeframe_ms: int, row: int) -> Ints:
        """First rows of the groups that make a timeframe's candles, up to a row."""
        size = len(self.columns.time)
        cached = self._groups.get(timeframe_ms)
        if cached is None or cached[0] != size:
            group = self.columns.time // timeframe_ms
            cached = (size, np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1]))))
            self._groups[timeframe_ms] = cached
        return cached[1][: int(np.searchsorted(cached[1], row, side="right"))]

    def _group(self, begins: Ints, number: int, row: int, until_ms: int, timeframe_ms: int) -> Kline:
        begin = int(begins[number])
        end = int(begins[number + 1]) if number + 1 < len(begins) else row + 1
        live = end == row + 1 and until_ms < int(self.columns.time[row]) + self.base_ms
        whole = end - 1 if live else end
        parts = [self._rows(begin, whole)] if whole > begin else []
        if live:
            parts.append(self._partial(row, until_ms))
        opened = int(self.columns.time[begin]) // timeframe_ms * timeframe_ms
        return merged(opened, parts)

    def _rows(self, begin: int, end: int) -> Kline:
        c = self.columns
        if end == begin + 1:
            return self._one(begin)
        volume = c.volume[begin:end]
        mean = (c.high[begin:end] + c.low[begin:end] + c.close[begin:end] * 2) // 4
        total = int(volume.sum())
        quote = sum(map(mul, mean.tolist(), volume.tolist()))
        return Kline(
            int(c.time[begin]), int(c.open[begin]), int(c.high[begin:end].max()), int(c.low[begin:end].min()),
            int(c.close[end - 1]), total, quote, (end - begin) * self.ticks, total // 2,
        )  # fmt: skip

    def _one(self, row: int) -> Kline:
        c = self.columns
        high, low, close, volume = int(c.high[row]), int(c.low[row]), int(c.close[row]), int(c.volume[row])
        quote = (high + low + close * 2) // 4 * volume
        return Kline(int(c.time[row]), int(c.open[row]), high, low, close, volume, quote, self.ticks, volume // 2)

    def _partial(self, row: int, until_ms: int) -> Kline:
        prices, volumes = self.path(row)
        opened = int(self.columns.time[row])
        seen = min(self.ticks, (until_ms - opened) * self.ticks // self.base_ms + 1)
        shown, volume = prices[:seen], volumes[seen - 1]
        high, low, close = max(shown), min(shown), shown[-1]
        quote = (high + low + close * 2) // 4 * volume
        return Kline(opened, prices[0], high, low, close, volume, quote, seen, volume // 2)


def merged(opened_ms: int, parts: list[Kline]) -> Kline:
    """Several candles in a row as one."""
    return Kline(
        opened_ms, parts[0].open, max(p.high for p in parts), min(p.low for p in parts), parts[-1].close,
        sum(p.volume for p in parts), sum(p.quote for p in parts), sum(p.trades for p in parts),
        sum(p.taker for p in parts),
    )  # fmt: skip
