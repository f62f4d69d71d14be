"""Keeps the shared candle history whole: stores what the stream brings and fetches what is missing, once for everybody."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from common.domain.errors import InvalidInput, NotFound
from common.domain.market import Candle, Timeframe
from common.domain.timeframes import bases, merged
from common.ports.candle_stream import ClosedCandle
from common.services.fleet import Fleet
from common.store import UnitOfWork

log = logging.getLogger(__name__)

__all__ = ["ClosedCandle", "has_looked_back", "ingest_candles", "ingest_closed", "longer_frames", "refill"]

Market = tuple[str, Timeframe]
Longer = Mapping[Market, Sequence[Timeframe]]
"""Timeframes that are made of a market's candles, so that the venue is asked for one of them only."""

NOTHING_LONGER: Longer = MappingProxyType({})
NOTHING_SHORTER: Mapping[str, Timeframe] = MappingProxyType({})


def ingest_candles(fleet: Fleet, venue: str, symbol: str, timeframe: Timeframe, candles: Sequence[Candle]) -> int:
    """Store closed `candles` of one market; malformed ones are left out and reported. Returns how many were kept."""
    markets = _sound(venue, [ClosedCandle(symbol, timeframe, candle) for candle in candles])
    return _store(fleet, venue, markets, only_next=False)


def longer_frames(wanted: Mapping[str, Iterable[Timeframe]]) -> Longer:
    """Of the timeframes wanted of each symbol, the markets to ask the venue for and what is made of their candles."""
    found: dict[Market, list[Timeframe]] = {}
    for symbol, timeframes in wanted.items():
        for timeframe, base in bases(timeframes).items():
            made = found.setdefault((symbol, base), [])
            if timeframe != base:
                made.append(timeframe)
    return found


def ingest_closed(fleet: Fleet, venue: str, closed: Sequence[ClosedCandle], longer: Longer = NOTHING_LONGER) -> int:
    """Store closed candles of several markets in one transaction, as a stream brings them; returns how many were kept.

    Malformed ones are left out and reported. So are those that would leave a hole behind them, because an earlier one
    was missed or the market has no history yet: `refill` asks for what follows the newest candle, so nobody would ever
    fill the hole. The next scan fetches them together with what is missing. What `longer` says is made of them is
    stored beside them, once all its parts are there; a revised part revises it.
    """
    return _store(fleet, venue, _sound(venue, closed), only_next=True, longer=longer)


Markets = Mapping[Market, list[Candle]]


def _sound(venue: str, closed: Sequence[ClosedCandle]) -> Markets:
    markets: dict[Market, list[Candle]] = defaultdict(list)
    for item in closed:
        if _is_sound(venue, item.symbol, item.candle):
            markets[item.symbol, item.timeframe].append(item.candle)
    return markets


def _store(fleet: Fleet, venue: str, markets: Markets, *, only_next: bool, longer: Longer = NOTHING_LONGER) -> int:
    if not markets:
        return 0
    with fleet.store.unit_of_work(None) as uow:
        if only_next:
            known = {
                frame: uow.candles.last_closed_at(venue, frame, [symbol for symbol, _ in markets])
                for frame in {frame for _, frame in markets}
            }
            markets = {key: _next(candles, known[key[1]].get(key[0])) for key, candles in markets.items()}
        kept = uow.candles.save_all(venue, markets)
        made = {market: candles for market, candles in markets.items() if candles and longer.get(market)}
        if kept and made:
            kept += _make_longer(uow, venue, made, longer)
        uow.commit()
    return kept


def _make_longer(uow: UnitOfWork, venue: str, markets: Markets, longer: Longer) -> int:
    """Store what is made of the new candles of `markets` where that goes on a history or revises it."""
    frames = {frame for market in markets for frame in longer[market]}
    symbols = [symbol for symbol, _ in markets]
    last = {frame: uow.candles.last_closed_at(venue, frame, symbols) for frame in frames}
    kept = 0
    for (symbol, base), candles in sorted(markets.items()):
        newest = max(candle.closed_at for candle in candles)
        for frame in longer[symbol, base]:
            for start in sorted({frame.floor(candle.opened_at) for candle in candles}):
                end, known = start + frame.duration, last[frame].get(symbol)
                if known is not None and start <= known and end <= max(newest, known):
                    kept += _merge(uow, venue, symbol, base, frame, start, end)
                    last[frame][symbol] = max(known, end)
    return kept


def _merge(
    uow: UnitOfWork, venue: str, symbol: str, base: Timeframe, frame: Timeframe, since: datetime, until: datetime
) -> int:
    """Store the candles of `frame` from `since` up to `until` as far as their parts are there without a hole."""
    parts = uow.candles.series(venue, symbol, base, until, (until - since) // base.duration)
    made = merged([part for part in parts if part.opened_at >= since], frame)
    return uow.candles.save(venue, symbol, frame, _next(made, since))


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
    fleet: Fleet,
    venue: str,
    symbols: Sequence[str],
    timeframe: Timeframe,
    until: datetime,
    history: int = 0,
    made_of: Mapping[str, Timeframe] = NOTHING_SHORTER,
) -> int:
    """Fetch what `symbols` lack of the last `history` candles before `until`, at least the policy's; returns how many.

    What is missing after the last stored candle is always asked for; what is missing before the first one, because the
    stream was here earlier, once per process. One request serves every tenant. Symbols whose candles are `made_of`
    shorter ones have these asked for instead, and only what cannot be made of them is asked for itself.
    """
    history = _least(fleet, history)
    kept = _remade(fleet, venue, symbols, timeframe, until, made_of) if made_of else 0
    with fleet.store.unit_of_work(None) as uow:
        last = uow.candles.last_closed_at(venue, timeframe, symbols)
        young = [symbol for symbol in symbols if not has_looked_back(fleet, venue, [symbol], timeframe, history)]
        first = uow.candles.first_opened_at(venue, timeframe, young) if young else {}
    oldest = until - timeframe.duration * history
    found: list[ClosedCandle] = []
    for symbol in symbols:
        if symbol in young and first.get(symbol, until) > oldest:
            found += _fetched(fleet, venue, symbol, timeframe, oldest, min(first.get(symbol, until), until))
        since = max(last.get(symbol, until), oldest)
        found += _fetched(fleet, venue, symbol, timeframe, since, until)
    kept += _store(fleet, venue, _sound(venue, found), only_next=False)
    # Only what is kept was looked for: an attempt that failed on its way must be made again.
    fleet.looked_back.update({(venue, symbol, str(timeframe)): history for symbol in young})
    return kept


def has_looked_back(fleet: Fleet, venue: str, symbols: Iterable[str], timeframe: Timeframe, history: int) -> bool:
    """Whether this process has asked already for the last `history` candles of all `symbols`, at least the policy's."""
    least, frame = _least(fleet, history), str(timeframe)
    return all(fleet.looked_back.get((venue, symbol, frame), 0) >= least for symbol in symbols)


def _least(fleet: Fleet, history: int) -> int:
    return max(history, fleet.policy.history_candles)


def _remade(
    fleet: Fleet,
    venue: str,
    symbols: Sequence[str],
    timeframe: Timeframe,
    until: datetime,
    made_of: Mapping[str, Timeframe],
) -> int:
    """Make what follows the histories of `symbols` of shorter candles, which are fetched as far as they are missing."""
    with fleet.store.unit_of_work(None) as uow:
        last = uow.candles.last_closed_at(venue, timeframe, symbols)
    behind = [symbol for symbol in symbols if symbol in made_of and last.get(symbol, until) < until]
    kept = 0
    for base in sorted({made_of[symbol] for symbol in behind}):
        theirs = [symbol for symbol in behind if made_of[symbol] == base]
        kept += refill(fleet, venue, theirs, base, until)
        with fleet.store.unit_of_work(None) as uow:
            kept += sum(_merge(uow, venue, symbol, base, timeframe, last[symbol], until) for symbol in theirs)
            uow.commit()
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
