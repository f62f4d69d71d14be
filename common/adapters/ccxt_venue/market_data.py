"""The public side of a venue through ccxt: instruments, closed candles, books and marks."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from common.adapters.ccxt_venue import parsing
from common.adapters.ccxt_venue.client import Clients, Connection, is_gone
from common.adapters.ccxt_venue.errors import reading
from common.adapters.ccxt_venue.guard import Guard
from common.adapters.ccxt_venue.pacing import Pace, Pacer
from common.domain.errors import InvalidInput, NotFound, TradewindsError
from common.domain.market import Candle, Instrument, MarketState, MarkPrice, OrderBook, Timeframe
from common.ports.clock import Clock

T = TypeVar("T")

_log = logging.getLogger(__name__)

_DEPTH = 20


class CcxtMarketData:
    """Market data of one venue, safe to share among threads; implements ports.venue.MarketData."""

    def __init__(self, link: Connection, clock: Clock, pacer: Pace | None = None, guard: Guard | None = None) -> None:
        self._link, self._row, self._clock = link, link.capability, clock
        self._clients = Clients(link, clock, None, pacer or Pacer())
        self._guard = guard or Guard(None, link.name)

    @property
    def name(self) -> str:
        """The venue's name in our books."""
        return self._link.name

    def _ask(self, question: Callable[[Any], T]) -> T:
        permit = self._guard.check()
        with self._clients.lease(self._link.read_timeout_s) as client:
            try:
                return reading(self._row, client, (), lambda: question(self._clients.with_markets(client)))
            finally:
                self._guard.report(permit, client.tw_last)

    def instruments(self) -> Sequence[Instrument]:
        """Every instrument of the venue's market type that settles in an asset we know, as of now."""

        def read(client: Any) -> list[Instrument]:
            self._clients.with_markets(client, reload=True)
            return [
                parsing.instrument_of(market, self.name, self._row)
                for market in client.markets.values()
                if market["type"] == self._row.market_type
                and (market.get("settle") or market["quote"]) in self._row.settles
                and market.get("inverse") is not True
                and not is_gone(market)
            ]

        with self._clients.lease(self._link.read_timeout_s) as client:
            found = reading(self._row, client, (), lambda: read(client))
        return sorted(found, key=lambda item: item.symbol)

    def candles(self, symbol: str, timeframe: Timeframe, since: datetime, limit: int) -> Sequence[Candle]:
        """Closed candles from `since` on, oldest first, at most `limit`; forming and impossible ones are left out.

        Fewer than `limit` are all there are within `limit` candles' time of `since`: some venues answer for a stretch of
        time instead of a number of candles, and a stretch without trades must not look like the end of the history.
        """
        if limit < 1:
            raise InvalidInput("limit", limit, "at least 1")

        def read(client: Any) -> list[Candle]:
            self._check(client, symbol)
            found: list[Candle] = []
            start, step = parsing.milliseconds(since), timeframe.seconds * 1000
            end = min(start + limit * step, parsing.milliseconds(self._clock.now()))
            while len(found) < limit and start < end:
                page = min(limit - len(found) + 1, self._row.candles_per_page)
                rows = client.fetch_ohlcv(symbol, str(timeframe), start, page)
                found += self._closed(rows, timeframe, since)
                last = int(rows[-1][0]) + step if rows else start
                start = last if len(rows) >= page else max(last, start + page * step)
            return found[:limit]

        return self._ask(read)

    def _closed(self, rows: Sequence[Sequence[Any]], timeframe: Timeframe, since: datetime) -> list[Candle]:
        now, found = self._clock.now(), []
        for row in rows:
            try:
                candle = parsing.candle_of(row, timeframe)
            except TradewindsError as error:  # A hole is seen by who scans; one bad candle must not hide the good ones.
                _log.warning("candle of %s left out: %s", self.name, error)
                continue
            if candle.opened_at >= since and candle.closed_at <= now:
                found.append(candle)
        return found

    def book(self, symbol: str, depth: int) -> OrderBook:
        """The order book, `depth` levels a side."""
        asked = next((size for size in self._row.book_depths if size >= depth), depth)

        def read(client: Any) -> OrderBook:
            self._check(client, symbol)
            # ccxt sorts the levels, and texts would be sorted as texts.
            client.number = Decimal
            try:
                return parsing.book_of(client.fetch_order_book(symbol, asked), depth, self._clock.now())
            finally:
                client.number = str

        return self._ask(read)

    def market(self, instrument: Instrument) -> MarketState:
        """Book, last, mark and funding of `instrument` right now."""
        book = self.book(instrument.symbol, _DEPTH)

        def read(client: Any) -> tuple[Any, Any]:
            ticker = client.fetch_ticker(instrument.symbol)
            is_perpetual = self._row.market_type == "swap"
            return ticker, client.fetch_funding_rate(instrument.symbol) if is_perpetual else {}

        ticker, funding = self._ask(read)
        coming = _mark_price(funding)
        return MarketState(
            instrument=instrument,
            book=book,
            last=_decimal(ticker.get("last")),
            mark=coming.mark or _decimal(ticker.get("last")),
            quote_at=book.occurred_at,
            funding_rate=coming.funding_rate,
            next_funding_at=coming.next_funding_at,
        )

    def mark(self, symbol: str) -> Decimal | None:
        """The mark price of `symbol` in one request, the last price where the venue has no marks."""

        def read(client: Any) -> Decimal | None:
            self._check(client, symbol)
            if self._row.market_type == "swap":
                mark = _decimal(client.fetch_funding_rate(symbol).get("markPrice"))
                if mark is not None:
                    return mark
            return _decimal(client.fetch_ticker(symbol).get("last"))

        return self._ask(read)

    def marks(self, symbols: Sequence[str]) -> dict[str, MarkPrice]:
        """Mark price and coming funding by symbol in one request; empty where the venue does not say."""

        def read(client: Any) -> dict[str, MarkPrice]:
            if self._row.market_type != "swap" or not client.has.get("fetchFundingRates"):
                return {}
            known = [symbol for symbol in symbols if symbol in client.markets]
            told = client.fetch_funding_rates(known) if known else {}
            return {symbol: _mark_price(told[symbol]) for symbol in known if symbol in told}

        return self._ask(read)

    def raw_book(self, symbol: str, limit: int) -> Any:
        """ccxt's own order book, which a stream of differences goes on from; sorted as numbers."""

        def read(client: Any) -> Any:
            client.number = float
            try:
                return client.fetch_order_book(symbol, limit)
            finally:
                client.number = str

        return self._ask(read)

    def open_interest(self, symbol: str) -> Decimal | None:
        """Base units held in `symbol`, None where the venue does not say; implements ports.market_stream.OpenInterest."""

        def read(client: Any) -> Decimal | None:
            self._check(client, symbol)
            if self._row.market_type != "swap" or not client.has.get("fetchOpenInterest"):
                return None
            return _decimal(client.fetch_open_interest(symbol).get("openInterestAmount"))

        return self._ask(read)

    def clock_offset(self) -> timedelta:
        """The venue's clock less ours, half the journey taken off; the venue refuses what is too far from its own."""

        def read(client: Any) -> timedelta:
            asked = self._clock.now()
            told = parsing.instant(client.fetch_time(), "the venue's time")
            answered = self._clock.now()
            return told - asked - (answered - asked) / 2

        with self._clients.lease(self._link.read_timeout_s) as client:
            return reading(self._row, client, (), lambda: read(client))

    def _check(self, client: Any, symbol: str) -> None:
        if symbol not in client.markets:
            raise NotFound("instrument", symbol, difflib.get_close_matches(symbol, client.markets, n=5, cutoff=0.3))


def _mark_price(told: Mapping[str, Any]) -> MarkPrice:
    next_at = told.get("fundingTimestamp")
    return MarkPrice(
        _decimal(told.get("markPrice")),
        _decimal(told.get("fundingRate")),
        parsing.instant(next_at) if next_at else None,
    )


def _decimal(value: object) -> Decimal | None:
    return None if value is None else parsing.exact(value, "a price")
