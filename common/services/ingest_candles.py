"""Keeps the shared candle history whole: stores what the stream brings and fetches what is missing, once for everybody."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from common.domain.errors import InvalidInput, NotFound
from common.domain.market import Candle, Timeframe
from common.ports.candle_stream import ClosedCandle
from common.services.fleet import Fleet

log = logging.getLogger(__name__)

__all__ = ["ClosedCandle", "ingest_candles", "ingest_closed", "refill"]


def ingest_candles(fleet: Fleet, venue: str, symbol: str, timeframe: Timeframe, candles: Sequence[Candle]) -> int:
    """Store closed `candles` of one market; malformed ones are left out and reported. Returns how many were kept."""
    return ingest_closed(fleet, venue, [ClosedCandle(symbol, timeframe, candle) for candle in candles])


def ingest_closed(fleet: Fleet, venue: str, closed: Sequence[ClosedCandle]) -> int:
    """Store closed candles of several markets in one transaction; malformed ones are left out and reported."""
    markets: dict[tuple[str, Timeframe], list[Candle]] = defaultdict(list)
    for item in closed:
        if _is_sound(venue, item.symbol, item.candle):
            markets[item.symbol, item.timeframe].append(item.candle)
    if not markets:
        return 0
    with fleet.store.unit_of_work(None) as uow:
        kept = sum(uow.candles.save(venue, *market, sound) for market, sound in sorted(markets.items()))
        uow.commit()
    return kept


def _is_sound(venue: str, symbol: str, candle: Candle) -> bool:
    try:
        candle.check()
    except InvalidInput as error:
        log.warning("candle of %s %s at %s left out: %s", venue, symbol, candle.opened_at.isoformat(), error)
        return False
    return True


def refill(
    fleet: Fleet, venue: str, symbols: Sequence[str], timeframe: Timeframe, until: datetime, history: int = 0
) -> Mapping[str, int]:
    """Fetch what `symbols` lack between their last stored candle and `until`; returns candles kept per symbol asked.

    A market without history gets the last `history` candles, at least the policy's. One request serves every tenant.
    """
    with fleet.store.unit_of_work(None) as uow:
        known = uow.candles.last_closed_at(venue, str(timeframe))
    history = max(history, fleet.policy.history_candles)
    oldest = until - timeframe.duration * history
    market, kept = fleet.market(venue), {}
    for symbol in symbols:
        since = max(known.get(symbol, oldest), oldest)
        if since < until:
            try:
                fetched = market.candles(symbol, timeframe, since, history)
            except NotFound as error:
                log.warning("no candles of %s: %s", symbol, error)
                continue
            kept[symbol] = ingest_candles(fleet, venue, symbol, timeframe, [c for c in fetched if c.closed_at <= until])
    return kept
