"""What accounts on paper see of a venue's markets: looked at once for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from threading import Lock

from common.domain.errors import InvalidInput, NotFound, Permanent, Transient
from common.domain.market import Candle, Instrument, InstrumentStatus, OrderBook, Timeframe
from common.domain.matching import Observation
from common.domain.snapshot import BOOK_DEPTH
from common.ports.clock import Clock
from common.ports.venue import MarketData

FRESH_S = 0.5
"""For so long, in seconds of life, a look at a market will do."""

_TIMEFRAMES = tuple(Timeframe.parse(name) for name in ("1m", "5m", "15m", "1h"))
_CANDLES_MAX = 1500
_INSTRUMENTS_FRESH_S = 300.0


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at one market, without its book, and when in life it was taken."""

    seen: Observation
    taken_at: float


class PaperMarket:
    """The markets of one venue as accounts on paper see them, safe among threads; every read raises as MarketData does."""

    def __init__(self, market_data: MarketData, clock: Clock) -> None:
        self._market_data, self._clock = market_data, clock
        self._instruments: tuple[float, dict[str, Instrument]] = (float("-inf"), {})
        self._looks: dict[str, _Look] = {}
        self._timeframe: Timeframe | None = None
        self._lock = Lock()

    def instruments(self) -> Mapping[str, Instrument]:
        """Every instrument by symbol, as of at most five minutes ago."""
        with self._lock:
            read_at, known = self._instruments
        if self._clock.monotonic() - read_at > _INSTRUMENTS_FRESH_S:
            known = {item.symbol: item for item in self._market_data.instruments()}
            with self._lock:
                self._instruments = (self._clock.monotonic(), known)
        return known

    def instrument(self, symbol: str) -> Instrument:
        """The instrument of `symbol`; raises NotFound."""
        known = self.instruments()
        if symbol not in known:
            raise NotFound("instrument", symbol)
        return known[symbol]

    def lists(self, symbol: str) -> bool:
        """Whether `symbol` is listed still; raises Transient where nothing is, which ends no listing."""
        known = self.instruments()
        if not known:
            raise Transient(f"{self._market_data.name} lists nothing at all, which ends no listing")
        found = known.get(symbol)
        return found is not None and found.status is not InstrumentStatus.DELISTED

    def last_mark(self, symbol: str) -> Decimal | None:
        """The mark of `symbol` when it was looked at last, however long ago that is."""
        with self._lock:
            look = self._looks.get(symbol)
        return None if look is None else look.seen.mark

    def look(self, instrument: Instrument) -> Observation:
        """Mark, book and coming funding of `instrument` now."""
        state = self._market_data.market(instrument)
        mark = state.mark or state.last or (state.book.mid if state.book else None)
        if mark is None:
            raise Transient(f"{instrument.symbol} has no price now")
        seen = Observation(
            instrument, mark, state.book, funding_rate=state.funding_rate, next_funding_at=state.next_funding_at
        )
        self._remember([seen])
        return seen

    def glance(self, symbols: Collection[str], since: Mapping[str, datetime] | None = None) -> list[Observation]:
        """Mark and coming funding of `symbols`, at most half a second old and without books, by symbol.

        One question tells all of them where the venue answers it. Those in `since` come with the whole candles that
        opened since then.
        """
        stale = self._stale(symbols)
        told = self._market_data.marks(stale) if stale else {}
        seen = []
        for symbol in stale:
            instrument, price = self.instrument(symbol), told.get(symbol)
            if price is None or price.mark is None:
                self.look(instrument)
            else:
                seen.append(Observation(instrument, price.mark, None, (), price.funding_rate, price.next_funding_at))
        self._remember(seen)
        with self._lock:
            found = {symbol: self._looks[symbol].seen for symbol in sorted(symbols)}
        return [
            replace(item, candles=self._candles(symbol, since[symbol])) if since and symbol in since else item
            for symbol, item in found.items()
        ]

    def book(self, symbol: str) -> OrderBook:
        """The order book of `symbol` now."""
        return self._market_data.book(symbol, BOOK_DEPTH)

    def _stale(self, symbols: Collection[str]) -> list[str]:
        with self._lock:
            looks = {symbol: self._looks.get(symbol) for symbol in sorted(symbols)}
        oldest = self._clock.monotonic() - FRESH_S
        return [symbol for symbol, look in looks.items() if look is None or look.taken_at < oldest]

    def _remember(self, seen: Sequence[Observation]) -> None:
        with self._lock:
            for item in seen:
                self._looks[item.instrument.symbol] = _Look(replace(item, book=None), self._clock.monotonic())

    def _candles(self, symbol: str, since: datetime) -> tuple[Candle, ...]:
        """The whole candles that opened at or after `since`, in the finest timeframe this market has."""
        choices = _TIMEFRAMES if self._timeframe is None else (self._timeframe,)
        failure: Permanent | None = None
        for timeframe in choices:
            start = timeframe.floor(since)
            start = start if start == since else start + timeframe.duration
            if start + timeframe.duration > self._clock.now():
                return ()
            try:
                found = self._market_data.candles(symbol, timeframe, start, _CANDLES_MAX)
            except InvalidInput:
                raise
            except Permanent as error:  # This market does not make candles of that length.
                failure = error
                continue
            self._timeframe = timeframe
            return tuple(found)
        raise failure or Permanent(f"{symbol} has no candles")
