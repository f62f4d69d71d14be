"""Closed candles from a venue's websocket through ccxt.pro, with what a lost connection missed filled in by REST."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from threading import Event
from typing import Any

from common.adapters.ccxt_venue import parsing
from common.adapters.ccxt_venue.client import Connection, Quiet, connect
from common.adapters.ccxt_venue.redaction import redact
from common.domain.errors import InvalidInput, TradewindsError
from common.domain.market import Candle, Timeframe
from common.ports.candle_stream import ClosedCandle, Handler
from common.ports.clock import Clock
from common.ports.venue import MarketData

_log = logging.getLogger(__name__)

_STREAMS_PER_CONNECTION = 150
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_REFILL_MAX = 1500
_REVISABLE = 5
"""Candles of a market that may still be revised; whoever said more of an older one is not believed."""

Market = tuple[str, Timeframe]


class Exact(Quiet):
    """A websocket client that keeps candles as the texts they came as, and notes which the venue called closed."""

    def safe_float(self, source: Any, key: Any, default: Any = None) -> Any:
        """ccxt reads candles of a websocket as floats, which are not always the numbers that REST tells."""
        return self.safe_string(source, key, default)  # type: ignore[attr-defined]

    def handle_ohlcv(self, client: Any, message: Any) -> Any:
        """Binance says in `x` that a candle is closed; others show it by the next one."""
        kline = message.get("k") if isinstance(message, Mapping) else None
        if isinstance(kline, Mapping) and kline.get("x") is True:
            self.tw_closed.add((str(kline.get("s") or message.get("ps")), str(kline.get("i")), int(kline["t"])))
        return super().handle_ohlcv(client, message)  # type: ignore[misc]

    @property
    def tw_closed(self) -> set[tuple[str, str, int]]:
        """(market id, interval, opening in milliseconds) of candles that were said to be closed."""
        closed: set[tuple[str, str, int]] = self.__dict__.setdefault("_tw_closed", set())
        return closed


class CcxtStream:
    """Closed candles of `markets`, which are symbols and timeframes; implements ports.candle_stream.CandleStream.

    `since` is where each market's history ends already (venue time); what closed after it comes first. A connection
    that says nothing for `silence_s` seconds of life is taken for dead. Candles that cannot be true are left out and
    logged, never handed on. A candle that is closed a second time with other numbers is handed on again.
    """

    def __init__(
        self,
        link: Connection,
        clock: Clock,
        market_data: MarketData,
        markets: Sequence[Market],
        since: Mapping[Market, datetime] | None = None,
        silence_s: float = 30.0,
    ) -> None:
        self._link, self._clock, self._market_data = link, clock, market_data
        self._markets = list(markets)
        now = clock.now()
        self._next = {market: market[1].floor(now) for market in self._markets} | {
            market: market[1].floor(when) for market, when in (since or {}).items() if market in set(self._markets)
        }
        self._told: dict[Market, deque[Candle]] = {market: deque(maxlen=_REVISABLE) for market in self._markets}
        self._silence_s = silence_s
        self._last_message_at: datetime | None = None

    @property
    def last_message_at(self) -> datetime | None:
        """Venue time of the last sign of life; None before the first."""
        return self._last_message_at

    def run(self, handler: Handler, stop: Event) -> None:
        """Hand closed candles to `handler` until `stop` is set; it is called in a thread of its own, one at a time."""
        asyncio.run(self._run(handler, stop))

    async def _run(self, handler: Handler, stop: Event) -> None:
        batches = self.batches()
        waiting: asyncio.Task[Sequence[ClosedCandle]] | None = None
        try:
            while not stop.is_set():
                waiting = waiting or asyncio.ensure_future(anext(batches))
                done, _ = await asyncio.wait({waiting}, timeout=0.1)
                if done:
                    batch, waiting = waiting.result(), None
                    await asyncio.to_thread(handler, batch)
        finally:
            if waiting is not None:
                waiting.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await waiting
            await batches.aclose()  # type: ignore[attr-defined]

    async def batches(self) -> AsyncIterator[Sequence[ClosedCandle]]:
        """Closed candles as they close, several markets' together; never ends by itself."""
        chunks = [
            self._markets[start : start + _STREAMS_PER_CONNECTION]
            for start in range(0, len(self._markets), _STREAMS_PER_CONNECTION)
        ]
        queue: asyncio.Queue[Sequence[ClosedCandle]] = asyncio.Queue(maxsize=1000)
        tasks = [asyncio.create_task(self._keep_listening(chunk, queue)) for chunk in chunks]
        try:
            while True:
                getting = asyncio.ensure_future(queue.get())
                await asyncio.wait({getting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        getting.cancel()
                        task.result()  # A listener ends only by an error that is nobody's to repair.
                batch = list(await getting)
                while not queue.empty():
                    batch += queue.get_nowait()
                yield batch
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_listening(self, chunk: Sequence[Market], queue: asyncio.Queue[Sequence[ClosedCandle]]) -> None:
        """Listen, and listen again after every failure, each time from where the last candle was handed on."""
        import ccxt.pro

        failures = 0
        while True:
            client = connect(getattr(ccxt.pro, self._link.capability.ccxt_id), Exact, self._link, self._clock)
            # A new cache per connection: what is in it was seen since the refill below.
            try:
                await client.load_markets()
                async for batch in self._listen(client, chunk):
                    failures = 0
                    if batch:
                        await queue.put(batch)
            except (asyncio.CancelledError, InvalidInput):
                raise
            except Exception as error:  # noqa: BLE001 - whatever cut the line, it is taken up again.
                delay = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                failures += 1
                _log.warning("stream of %s cut (%s); again in %s s", self._link.name, cause(error), delay)
                await asyncio.sleep(delay)
            finally:
                with suppress(Exception):
                    await client.close()

    async def _listen(self, client: Any, chunk: Sequence[Market]) -> AsyncIterator[Sequence[ClosedCandle]]:
        pairs = [[symbol, str(timeframe)] for symbol, timeframe in chunk]
        is_first = True
        while True:
            # ccxt resolves one market at a time; all caches are looked through, so that none waits for its turn.
            await asyncio.wait_for(client.watch_ohlcv_for_symbols(pairs), self._silence_s)
            self._last_message_at = self._clock.now()
            if is_first:  # Subscribed now: what closed before that comes by REST, what closes later by the socket.
                is_first = False
                yield await self._refilled(chunk)
            yield await self._take(client, chunk)

    async def _take(self, client: Any, chunk: Sequence[Market]) -> Sequence[ClosedCandle]:
        found: list[ClosedCandle] = []
        for market in chunk:
            closed = self._closed(client, market)
            found += self._revised(market, closed)
            fresh = [candle for candle in closed if candle.opened_at >= self._next[market]]
            if fresh and fresh[0].opened_at > self._next[market]:  # Some were never sent.
                found += await self._refill(market, fresh[0].opened_at)
            found += self._hand_on(market, fresh)
        return found

    def _closed(self, client: Any, market: Market) -> list[Candle]:
        """The candles in ccxt's cache that are closed and were not handed on yet."""
        symbol, timeframe = market
        rows = list((client.ohlcvs.get(symbol) or {}).get(str(timeframe)) or ())
        if not rows:
            return []
        expected = parsing.milliseconds(self._next[market])
        last, identity = int(rows[-1][0]), (client.market(symbol)["id"], client.timeframes[str(timeframe)])
        said = client.tw_closed
        candles = []
        for row in rows:
            opened = int(row[0])
            is_said = (*identity, opened) in said
            said.discard((*identity, opened))
            if is_said or expected <= opened < last:
                candles += self._sound(market, row)
        return candles

    def _sound(self, market: Market, row: Sequence[Any]) -> list[Candle]:
        try:
            return [parsing.candle_of(row, market[1])]
        except TradewindsError as error:
            _log.warning("candle of %s %s left out: %s", self._link.name, market[0], error)
            return []

    async def _refilled(self, chunk: Sequence[Market]) -> Sequence[ClosedCandle]:
        now = self._clock.now()
        found: list[ClosedCandle] = []
        for market in chunk:
            found += await self._refill(market, market[1].floor(now))
        return found

    async def _refill(self, market: Market, until: datetime) -> Sequence[ClosedCandle]:
        """What closed between the last candle handed on and `until`, by REST; raises Transient when it cannot be had."""
        symbol, timeframe = market
        found: list[ClosedCandle] = []
        while self._next[market] < until:
            since = self._next[market]
            candles = await asyncio.to_thread(self._market_data.candles, symbol, timeframe, since, _REFILL_MAX)
            found += self._hand_on(market, [candle for candle in candles if candle.opened_at < until])
            if self._next[market] == since:
                break  # The venue has none for this while; a gap stays a gap, and who scans will see it.
        return found

    def _revised(self, market: Market, candles: Sequence[Candle]) -> list[ClosedCandle]:
        """Those that were handed on before with other numbers: the venue has corrected them."""
        told = {candle.opened_at: candle for candle in self._told[market]}
        revised = [candle for candle in candles if told.get(candle.opened_at, candle) != candle]
        self._told[market].extend(revised)
        return [ClosedCandle(*market, candle) for candle in revised]

    def _hand_on(self, market: Market, candles: Sequence[Candle]) -> list[ClosedCandle]:
        fresh = [candle for candle in candles if candle.opened_at >= self._next[market]]
        if fresh:
            self._next[market] = fresh[-1].closed_at
            self._told[market].extend(fresh)
        return [ClosedCandle(*market, candle) for candle in fresh]


def cause(error: BaseException) -> str:
    """The kind of `error`, and its words where they are ours and cannot hold a key."""
    text = f"{type(error).__name__}: {error}" if isinstance(error, TradewindsError) else type(error).__name__
    return redact(text)
