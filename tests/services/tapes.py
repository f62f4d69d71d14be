"""Recorded candles in memory, for use cases that read them through the port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from common.domain.backtest import FundingRates
from common.domain.features import Columns
from common.domain.market import EPOCH, Candle, Instrument
from common.domain.recording import Recording, traded_as
from tests.domain.features_candles import FIVE_MINUTES, walk

BTC, ETH = "BTC/USDT", "ETH/USDT"
_MS = timedelta(milliseconds=1)


def recording(symbol: str, **changes: object) -> Recording:
    """A file of 5 m candles of `symbol`."""
    return replace(Recording("binance", symbol, FIVE_MINUTES, f"{symbol.replace('/', '_')}-5m.parquet"), **changes)


def busy(seed: int, bars: int) -> Columns:
    """A walk of a market large enough for entries to fill."""
    columns = walk(seed, bars)
    return replace(columns, volume=columns.volume * 1000)


@dataclass
class Tapes:
    """Series by recording, and funding rates by symbol."""

    series: Mapping[Recording, Columns]
    rates: Mapping[str, FundingRates] = field(default_factory=dict)

    def recordings(self) -> Sequence[Recording]:
        return list(self.series)

    def columns(self, wanted: Recording, since: datetime | None = None, until: datetime | None = None) -> Columns:
        found = self.series[wanted]
        first = 0 if since is None else int(np.searchsorted(found.opened_at, (since - EPOCH) // _MS))
        last = len(found) if until is None else int(np.searchsorted(found.opened_at, (until - EPOCH) // _MS))
        return found.slice(first, last)

    def instrument(self, wanted: Recording) -> Instrument:
        return traded_as(wanted.venue, wanted.symbol, 2, 3)

    def batches(self, wanted: Recording, size: int) -> Iterator[Sequence[Candle]]:
        raise NotImplementedError  # A backtest reads columns.

    def funding(self, wanted: Recording) -> FundingRates | None:
        return self.rates.get(wanted.symbol)


def two_markets(bars: int = 1500) -> Tapes:
    """Two busy markets of `bars` candles each."""
    return Tapes({recording(BTC): busy(0, bars), recording(ETH): busy(1, bars)})
