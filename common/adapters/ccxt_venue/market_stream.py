"""Order books, tapes and marks from a venue's websockets through ccxt.pro, told as snapshots when candles close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from threading import Event
from typing import Any

from common.adapters.ccxt_venue import parsing
from common.adapters.ccxt_venue.client import Connection, Quiet, connect
from common.adapters.ccxt_venue.market_data import CcxtMarketData
from common.adapters.ccxt_venue.stream import BACKOFF_S, Market, cause
from common.domain.errors import InvalidInput, TradewindsError
from common.domain.indicators.microstructure import Trade
from common.domain.market import Timeframe
from common.domain.snapshot import BOOK_DEPTH, MarketSnapshot
from common.domain.watching import FRESH, INTEREST_FRESH, Watched
from common.ports.clock import Clock
from common.ports.market_stream import SnapshotHandler

_log = logging.getLogger(__name__)

_SYMBOLS_PER_CONNECTION = 50
_BOOK_LIMIT = 100
"""Levels that a book begins with; what moves beyond them is learnt from the differences."""

_TAPE_SILENCE = 10
"""Trades may stay away so many times longer than books and marks before their socket is taken for dead."""

_INTEREST_EVERY_S, _INTEREST_FLOOR_S = 300.0, 10.0
_FIGURES_EVERY_S = 5.0
_LAG_MAX = timedelta(seconds=180)

_TAPES = {"binanceusdm": {"name": "aggTrade"}}
"""Binance documents trades of futures as aggregates only."""


class Fed(Quiet):
    """A websocket client that asks for the books it begins with through the door all others use, paced with them."""

    tw_market_data: CcxtMarketData

    async def fetch_rest_order_book_safe(self, symbol: str, limit: Any = None, params: Any = None) -> Any:
        """The book that the differences follow."""
        return await asyncio.to_thread(self.tw_market_data.raw_book, symbol, limit)


class CcxtMarketStream:
    """The market of `markets`, symbols and the timeframes at whose closes they are told; implements ports.MarketStream.

    One connection carries up to fifty symbols. A socket that says nothing for `silence_s` seconds of life is taken for
    dead, and after a loss, or a difference that does not follow the last, everything is begun anew: a snapshot is made
    of what is known to be whole, or not at all. What is kept of a symbol is bounded.
    """

    def __init__(
        self,
        link: Connection,
        clock: Clock,
        market_data: CcxtMarketData,
        markets: Sequence[Market],
        silence_s: float = 30.0,
    ) -> None:
        self._link, self._clock, self._market_data, self._silence_s = link, clock, market_data, silence_s
        self._frames: dict[str, set[Timeframe]] = {}
        for symbol, timeframe in markets:
            self._frames.setdefault(symbol, set()).add(timeframe)
        fresh, interest = max(FRESH, clock.transport(1.0)), max(INTEREST_FRESH, clock.transport(60.0))
        self._watched = {symbol: Watched(link.name, symbol, fresh, interest) for symbol in self._frames}
        self._last_message_at: datetime | None = None

    @property
    def last_message_at(self) -> datetime | None:
        """Venue time of the last sign of life; None before the first."""
        return self._last_message_at

    def run(self, handler: SnapshotHandler, stop: Event) -> None:
        """Hand snapshots to `handler` at every close until `stop` is set; it is called in a thread of its own."""
        asyncio.run(self._run(handler, stop))

    async def _run(self, handler: SnapshotHandler, stop: Event) -> None:
        symbols = sorted(self._watched)
        chunks = [symbols[at : at + _SYMBOLS_PER_CONNECTION] for at in range(0, len(symbols), _SYMBOLS_PER_CONNECTION)]
        async with _together([*map(self._keep_listening, chunks), self._ask_interest(symbols)]) as helpers:
            due = self._next_close(self._clock.now())
            while not stop.is_set():
                for helper in helpers:
                    if helper.done():
                        helper.result()  # A listener ends only by an error that is nobody's to repair.
                now = self._clock.now()
                if now >= due:
                    if snapshots := self._taken(due):
                        await asyncio.to_thread(handler, snapshots)
                    due = self._next_close(due if now - due < _LAG_MAX else now)
                else:
                    await asyncio.sleep(min(0.1, (due - now).total_seconds() / self._clock.rate))

    def _next_close(self, after: datetime) -> datetime:
        """The first close of any timeframe later than `after`."""
        frames = {frame for frames in self._frames.values() for frame in frames}
        return min(frame.floor(after) + frame.duration for frame in frames)

    def _taken(self, closed_at: datetime) -> list[MarketSnapshot]:
        closing = [
            symbol for symbol, frames in self._frames.items() if any(f.floor(closed_at) == closed_at for f in frames)
        ]
        found = [self._watched[symbol].at(closed_at) for symbol in sorted(closing)]
        return [snapshot for snapshot in found if snapshot is not None]

    async def _keep_listening(self, chunk: Sequence[str]) -> None:
        """Listen, and listen again after every failure."""
        import ccxt.pro

        failures = 0
        while True:
            client = connect(getattr(ccxt.pro, self._link.capability.ccxt_id), Fed, self._link, self._clock)
            client.number, client.tw_market_data = float, self._market_data
            began = self._clock.monotonic()
            try:
                await client.load_markets()
                await self._listen(client, chunk)
            except (asyncio.CancelledError, InvalidInput):
                raise
            except Exception as error:  # noqa: BLE001 - whatever cut the line, it is taken up again.
                failures = 0 if self._clock.monotonic() - began > self._silence_s else failures
                delay = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                failures += 1
                _log.warning("market stream of %s cut (%s); again in %s s", self._link.name, cause(error), delay)
                await asyncio.sleep(delay)
            finally:
                for symbol in chunk:
                    self._watched[symbol].lost_sight()
                with suppress(Exception):
                    await client.close()

    async def _listen(self, client: Any, chunk: Sequence[str]) -> None:
        """Hear everything of `chunk` until the first of its sockets fails."""
        marks = self._marks if client.has.get("watchMarkPrices") else self._ask_marks
        hearing = [marks(client, chunk)]
        for has, hear in (("watchOrderBookForSymbols", self._books), ("watchTradesForSymbols", self._tapes)):
            groups = [chunk] if client.has.get(has) else [[symbol] for symbol in chunk]
            hearing += [hear(client, group) for group in groups]
        async with _together(hearing) as tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()

    async def _heard(self, message: Awaitable[object], silence_s: float) -> None:
        """Return with the next message; raises TimeoutError after the silence of a dead socket."""
        await asyncio.wait_for(message, silence_s)
        self._last_message_at = self._clock.now()

    async def _books(self, client: Any, group: Sequence[str]) -> None:
        seen: dict[str, tuple[Any, Any]] = {}
        has_all = client.has.get("watchOrderBookForSymbols")
        while True:
            watching = (
                client.watch_order_book_for_symbols(list(group), _BOOK_LIMIT)
                if has_all
                else client.watch_order_book(group[0])
            )
            await self._heard(watching, self._silence_s)
            for symbol in group:  # ccxt wakes us for one symbol; all that changed are looked at.
                book = client.orderbooks.get(symbol)
                state = (book.get("nonce"), book.get("timestamp")) if book is not None else (None, None)
                if state == (None, None) or seen.get(symbol) == state:
                    continue
                seen[symbol] = state
                with self._left_out(symbol):
                    self._watched[symbol].saw_book(parsing.book_of(book, BOOK_DEPTH, self._clock.now()))

    async def _tapes(self, client: Any, group: Sequence[str]) -> None:
        params = _TAPES.get(self._link.capability.ccxt_id, {})
        has_all = client.has.get("watchTradesForSymbols")
        last: dict[str, Any] = {}
        while True:
            watching = (
                client.watch_trades_for_symbols(list(group), None, None, params)
                if has_all
                else client.watch_trades(group[0])
            )
            await self._heard(watching, self._silence_s * _TAPE_SILENCE)
            for symbol in group:
                # Subscribed together, and one of them was heard: from now on none is missed.
                self._watched[symbol].hears_tape(self._clock.now())
                fresh = _after(client.trades.get(symbol) or (), last.get(symbol))
                if fresh:
                    last[symbol] = fresh[-1]
                with self._left_out(symbol):
                    self._watched[symbol].saw_trades(map(_trade, fresh))

    async def _marks(self, client: Any, chunk: Sequence[str]) -> None:
        while True:
            await self._heard(client.watch_mark_prices(list(chunk)), self._silence_s)
            for symbol in chunk:
                ticker = client.tickers.get(symbol)
                if ticker is not None and ticker.get("timestamp"):
                    with self._left_out(symbol):
                        self._watched[symbol].saw_figures(
                            _known(ticker.get("markPrice")),
                            _known((ticker.get("info") or {}).get("r")),
                            parsing.instant(ticker["timestamp"]),
                        )

    async def _ask_marks(self, _: Any, chunk: Sequence[str]) -> None:
        """Marks of a venue that does not stream them, all in one request."""
        while True:
            asked_at = self._clock.now()
            with self._left_out("marks"):
                for symbol, told in (await asyncio.to_thread(self._market_data.marks, chunk)).items():
                    self._watched[symbol].saw_figures(told.mark, told.funding_rate, asked_at)
            await asyncio.sleep(_FIGURES_EVERY_S)

    async def _ask_interest(self, symbols: Sequence[str]) -> None:
        """Open interest in turn, each symbol once in five minutes of the venue; after all others where requests are few."""
        while True:
            pause_s = max(_INTEREST_EVERY_S / self._clock.rate, _INTEREST_FLOOR_S) / max(1, len(symbols))
            for symbol in symbols:
                asked_at = self._clock.now()
                with self._left_out(symbol):
                    amount = await asyncio.to_thread(self._market_data.open_interest, symbol)
                    if amount is not None:
                        self._watched[symbol].saw_open_interest(amount, asked_at)
                await asyncio.sleep(pause_s)

    @contextmanager
    def _left_out(self, what: str) -> Iterator[None]:
        """What cannot be read, or had now, is left out and logged; the rest goes on."""
        try:
            yield
        except TradewindsError as error:
            _log.warning("market of %s %s left out: %s", self._link.name, what, cause(error))


class _together:  # noqa: N801 - reads as a verb where it is used.
    """Tasks that end together, however the block ends."""

    def __init__(self, coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
        self._coroutines = list(coroutines)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> list[asyncio.Task[None]]:
        self._tasks = [asyncio.create_task(coroutine) for coroutine in self._coroutines]
        return self._tasks

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _after(cache: Any, last: Any) -> list[Any]:
    """What stands in ccxt's cache behind `last`; all of it where that has gone already."""
    fresh: list[Any] = []
    for item in reversed(list(cache)):
        if item is last:
            break
        fresh.append(item)
    return fresh[::-1]


def _trade(trade: Any) -> Trade:
    return Trade(
        parsing.exact(trade.get("price"), "the price of a trade"),
        parsing.exact(trade.get("amount"), "the quantity of a trade"),
        trade.get("side") == "buy",
        parsing.instant(trade.get("timestamp"), "the time of a trade"),
    )


def _known(value: object) -> Any:
    return None if value in (None, "") else parsing.exact(value, "a figure")
