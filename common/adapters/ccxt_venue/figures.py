"""What a venue tells of all its instruments at once, and what is held open in one of them, through ccxt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from common.adapters.ccxt_venue import parsing
from common.adapters.ccxt_venue.client import Clients, Connection
from common.adapters.ccxt_venue.errors import reading
from common.adapters.ccxt_venue.guard import Guard
from common.adapters.ccxt_venue.pacing import Pace, Pacer
from common.domain.candidates import Figures
from common.domain.market import Instrument
from common.ports.clock import Clock

T = TypeVar("T")


class CcxtFigures:
    """Figures of one venue, safe to share among threads; implements ports.sources.MarketFigures."""

    def __init__(self, link: Connection, clock: Clock, pacer: Pace | None = None, guard: Guard | None = None) -> None:
        self._link, self._row = link, link.capability
        self._clients = Clients(link, clock, None, pacer or Pacer())
        self._guard = guard or Guard(None, link.name)

    def _ask(self, question: Callable[[Any], T]) -> T:
        permit = self._guard.check()
        with self._clients.lease(self._link.read_timeout_s) as client:
            try:
                return reading(self._row, client, (), lambda: question(self._clients.with_markets(client)))
            finally:
                self._guard.report(permit, client.tw_last)

    def figures(self) -> Sequence[Figures]:
        """Price, best bid and ask and turnover of every instrument of the venue's market type."""

        def read(client: Any) -> list[Figures]:
            tickers = client.fetch_tickers()
            # Where tickers tell no book, another request tells the best prices of all instruments.
            is_apart = bool(client.has.get("fetchBidsAsks")) and not any(t.get("bid") for t in tickers.values())
            best = client.fetch_bids_asks() if is_apart else tickers
            return [
                _figures(symbol, ticker, best.get(symbol) or {})
                for symbol, ticker in sorted(tickers.items())
                if symbol in client.markets and client.markets[symbol]["type"] == self._row.market_type
            ]

        return self._ask(read)

    def open_interest(self, instrument: Instrument, price: Decimal) -> Decimal | None:
        """What is held open, in the settle asset; None on spot venues and where the venue does not tell."""

        def read(client: Any) -> Decimal | None:
            if self._row.market_type != "swap" or not client.has.get("fetchOpenInterest"):
                return None
            told = client.fetch_open_interest(instrument.symbol)
            if told.get("openInterestValue") is not None:
                return parsing.exact(told["openInterestValue"], "an open interest")
            if told.get("openInterestAmount") is None:
                return None
            size = parsing.exact_or(client.markets[instrument.symbol].get("contractSize"), Decimal(1))
            return parsing.exact(told["openInterestAmount"], "an open interest") * size * price

        return self._ask(read)


def _figures(symbol: str, ticker: Mapping[str, Any], best: Mapping[str, Any]) -> Figures:
    return Figures(
        symbol=symbol,
        last=_number(ticker.get("last")),
        bid=_number(best.get("bid")),
        ask=_number(best.get("ask")),
        turnover=_number(ticker.get("quoteVolume")),
    )


def _number(value: object) -> Decimal | None:
    return None if value is None else parsing.exact(value, "a figure")
