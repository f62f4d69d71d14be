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
    markets = _sound(venue, [ClosedCandle(symbol, timeframe, candle) for candle in candles])
    return _store(fleet, venue, markets, only_next=False)


def ingest_closed(fleet: Fleet, venue: str, closed: Sequence[ClosedCandle]) -> int:
    """Store closed candles of several markets in one transaction, as a stream brings them; returns how many were kept.

    Malformed ones are left out and reported. So are those that would leave a hole behind them, because an earlier one
    was missed or the market has no history yet: `refill` asks for what follows the newest candle, so nobody would ever
    fill the hole. The next scan fetches them together with what is missing.
    """
    return _store(fleet, venue, _sound(venue, closed), only_next=True)


Markets = Mapping[tuple[str, Timeframe], list[Candle]]


def _sound(venue: str, closed: Sequence[ClosedCandle]) -> Markets:
    markets: dict[tuple[str, Timeframe], list[Candle]] = defaultdict(list)
    for item in closed:
        if _is_sound(venue, item.symbol, item.candle):
            markets[item.symbol, item.timeframe].append(item.candle)
    return markets


def _store(fleet: Fleet, venue: str, markets: Markets, *, only_next: bool) -> int:
    if not markets:
        return 0
    with fleet.store.unit_of_work(None) as uow:
        if only_next:
            known = {frame: uow.candles.last_closed_at(venue, str(frame)) for _, frame in markets}
            markets = {key: _next(candles, known[key[1]].get(key[0])) for key, candles in markets.items()}
        kept = sum(uow.candles.save(venue, *market, candles) for market, candles in sorted(markets.items()) if candles)
        uow.commit()
    return kept


def _next(candles: Sequence[Candle], known_until: datetime | None) -> list[Candle]:
    """Those that continue a history which ends at `known_until`, one by one."""
    chain: list[Candle] = []
    end = known_until
    for candle in sorted(candles, key=lambda item: item.opened_at):
        if end is not None and candle.opened_at <= end:
            chain.append(candle)
            end = max(end, candle.closed_at)
    return chain


def _is_sound(venue: str, symbol: str, candle: Candle) -> bool:
    try:
        candle.check()
    except InvalidInput as error:
        log.warning("candle of %s %s at %s left out: %s", venue, symbol, candle.opened_at.isoformat(), error)
        return False
    return True


def refill(
    fleet: Fleet, venue: str, symbols: Sequence[str], timeframe: Timeframe, until: datetime, history: int = 0
) -> int:
    """Fetch what `symbols` lack of the last `history` candles before `until`, at least the policy's; returns how many.

    What is missing after the last stored candle is always asked for; what is missing before the first one, because the
    stream was here earlier, once per process. One request serves every tenant.
    """
    history = max(history, fleet.policy.history_candles)
    with fleet.store.unit_of_work(None) as uow:
        last = uow.candles.last_closed_at(venue, str(timeframe))
        first = uow.candles.first_opened_at(venue, str(timeframe))
    oldest = until - timeframe.duration * history
    found: list[ClosedCandle] = []
    looked: list[tuple[str, str, str]] = []
    for symbol in symbols:
        key = (venue, symbol, str(timeframe))
        if first.get(symbol, until) > oldest and fleet.looked_back.get(key, 0) < history:
            found += _fetched(fleet, venue, symbol, timeframe, oldest, min(first.get(symbol, until), until))
            looked.append(key)
        since = max(last.get(symbol, until), oldest)
        found += _fetched(fleet, venue, symbol, timeframe, since, until)
    kept = _store(fleet, venue, _sound(venue, found), only_next=False)
    # Only what is kept was looked for: an attempt that failed on its way must be made again.
    fleet.looked_back.update(dict.fromkeys(looked, history))
    return kept


def _fetched(
    fleet: Fleet, venue: str, symbol: str, timeframe: Timeframe, since: datetime, until: datetime
) -> list[ClosedCandle]:
    wanted = (until - since) // timeframe.duration
    if wanted < 1:
        return []
    try:
        candles = fleet.market(venue).candles(symbol, timeframe, since, wanted)
    except NotFound as error:
        log.warning("no candles of %s: %s", symbol, error)
        return []
    return [ClosedCandle(symbol, timeframe, candle) for candle in candles if candle.closed_at <= until]
