"""The blunder review over the trades of a backtest: the same rules, by the evidence that a backtest has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from common.domain.backtest import BacktestMarket, Result
from common.domain.blunder import Evidence, Review, counts_of, review
from common.domain.codec import encode
from common.domain.evidence import BARS, recorded_evidence
from common.domain.market import EPOCH
from common.domain.position import Position
from common.domain.strategies.base import exact

_MS = timedelta(milliseconds=1)


def review_backtest(result: Result) -> Iterator[Review]:
    """The review of every position of `result`, in their order."""
    markets = {market.instrument.symbol: market for market in result.setup.markets}
    for position in result.positions:
        yield review(position, _evidence(result, markets[position.instrument], position))


def blunders(result: Result) -> dict[str, Any]:
    """How many trades earned which grade and label, as plain values."""
    counted: dict[str, Any] = encode(counts_of(review_backtest(result)))
    return counted


def _evidence(result: Result, market: BacktestMarket, position: Position) -> Evidence:
    """Filled at the open of a bar, on what the close of the bar before had shown."""
    setup, opened = result.setup, market.columns.opened_at
    entered = 0 if position.opened_at is None else (position.opened_at - EPOCH) // _MS
    bar = int(opened.searchsorted(entered))
    tenth = entered + (BARS - 1) * market.step_ms
    place = int(opened.searchsorted(tenth))
    is_there = place < opened.size and opened.item(place) == tenth
    close = exact(market.columns.close.item(place)) if is_there else None
    quote = market.best(max(bar - 1, 0), setup.assumptions)
    return recorded_evidence(position, market.instrument, setup.limits, quote, close)
