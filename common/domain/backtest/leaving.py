"""Leaving: the first bar on which a position ends, found at once and confirmed by the live rule of exits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from common.domain.backtest.account import Held
from common.domain.backtest.market import Assumptions, BacktestMarket, Bars
from common.domain.exits import ExitDecision, best_of, decide_exit, liquidation_price, stop_price_now
from common.domain.indicators.series import Series
from common.domain.money import BPS
from common.domain.position import CloseReason, Position
from common.domain.signal import Side
from common.domain.strategies.base import Entries, exact

FIRST_CHUNK = 64
"""Bars looked at in one step; most positions end within them."""

SLACK = 1e-9
"""Relative: floats propose a bar a little too eagerly, exact decimals decide."""


class Leaving(NamedTuple):
    """How a position ends: in `bar`, at its open or somewhere within it, at the price that is filled."""

    bar: int
    at_open: bool
    reason: CloseReason
    price: Decimal


class Ahead(NamedTuple):
    """What lies ahead of an entry, seen from its signal alone; the number of bars where there is no such bar.

    `flagged` is the first bar from the entry's on whose close says to leave its side; no bar before `touched` can meet a
    stop or target that never moves.
    """

    flagged: int
    touched: int


def look_ahead(market: BacktestMarket, entries: Entries, bars: Bars, assumptions: Assumptions) -> list[Ahead]:
    """What lies ahead of an entry on each of `bars`, all of them looked for at once."""
    flagged, touched = np.full((2, bars.size), len(market))
    for side, leaves in ((Side.LONG, entries.leaves_long), (Side.SHORT, entries.leaves_short)):
        own = np.flatnonzero(entries.side[bars] * side.sign > 0)
        if own.size:
            flagged[own] = _first_flag(bars[own] + 1, leaves, len(market))
            touched[own] = _first_touch(market, entries, bars[own], side, flagged[own], assumptions)
    return [Ahead(*pair) for pair in zip(flagged.tolist(), touched.tolist(), strict=True)]


def _first_flag(starts: Bars, leaves: npt.NDArray[np.bool_] | None, count: int) -> Bars:
    flags = np.append(np.array([], np.intp) if leaves is None else np.flatnonzero(leaves), count)
    return flags[np.searchsorted(flags, starts)]


def _first_touch(
    market: BacktestMarket, entries: Entries, bars: Bars, side: Side, flagged: Bars, assumptions: Assumptions
) -> Bars:
    """For each of `bars` the first bar after it that comes to the nearest that stop or target may lie; at most `flagged`."""
    columns, starts, last = market.columns, bars + 1, len(market) - 1
    stop, target = (levels[:, None] for levels in _nearest_levels(market, entries, bars, side, assumptions))
    found, ends = np.full(bars.size, last + 1), np.minimum(flagged, last)
    waiting, size = np.arange(bars.size), FIRST_CHUNK
    while waiting.size:
        window = np.minimum(starts[waiting, None] + np.arange(size), last)
        low, high = columns.low[window], columns.high[window]
        # A NaN target is never reached.
        if side is Side.LONG:
            hits = (low <= stop[waiting]) | (high >= target[waiting])
        else:
            hits = (high >= stop[waiting]) | (low <= target[waiting])
        places = hits.argmax(axis=1)
        is_hit = hits[np.arange(waiting.size), places]
        found[waiting[is_hit]] = starts[waiting[is_hit]] + places[is_hit]
        waiting = waiting[~is_hit]
        starts[waiting] += size
        waiting = waiting[starts[waiting] <= ends[waiting]]
        size *= 4
    return found


def _nearest_levels(
    market: BacktestMarket, entries: Entries, bars: Bars, side: Side, assumptions: Assumptions
) -> tuple[Series, Series]:
    """(stop, target) of entries on `bars`, neither farther away than the plan that is made of the fill will have it."""
    columns, sign = market.columns, float(side.sign)
    close, opening = columns.close[bars], columns.open[bars + 1]
    # The plan's levels are on the tick, away from the price: with a tick to spare no float is too far away.
    spare = 2 * float(market.instrument.tick_size) + close * SLACK
    stop, target = close - sign * (entries.stop[bars] - spare), close + sign * (entries.target[bars] - spare)
    worst = columns.high[bars + 1] if side is Side.LONG else columns.low[bars + 1]
    slipped = opening * float(assumptions.slippage_bps / BPS) + spare
    filled = (worst if assumptions.latency else opening) + sign * slipped
    if entries.stop_fraction is not None:
        stop = filled * (1.0 - sign * float(entries.stop_fraction)) + sign * spare
    if entries.target_fraction is not None:
        target = opening * (1.0 + sign * float(entries.target_fraction)) - sign * spare
    return stop, target


def find_leaving(market: BacktestMarket, held: Held, entry_bar: int, ahead: Ahead, assumptions: Assumptions) -> Leaving:
    """End of `held`, opened at the open of `entry_bar`, with what lies `ahead` of it.

    Within a bar the stop comes first, then the target; what a close decides is filled at the next open, and so is a close
    at or beyond the stop that its own bar has drawn behind it; what is held after the last bar is closed at its close
    (MANUAL: nobody decided it).
    """
    last = len(market) - 1
    timed = _timed(market, held, entry_bar, last)
    bound = min(ahead.flagged, timed, last)
    exits = held.exits
    if exits.trail_distance is None and not exits.min_hold:
        found = _met(market, held, max(entry_bar, ahead.touched), bound)
        if found is not None:
            bar, reason = found
            return _within(market, held, bar, reason, exits.stop, assumptions)
    else:
        touched = _touched(market, held.opened(), entry_bar, bound)
        if touched is not None:
            bar, reason, level = touched
            if level is None:
                return _at_open(market, held, bar, reason, assumptions)
            return _within(market, held, bar, reason, level, assumptions)
    if bound < last:
        reason = CloseReason.TIME if timed <= ahead.flagged else CloseReason.OPPOSITE
        return _at_open(market, held, bound + 1, reason, assumptions)
    price = market.fill_price(last, exact(market.columns.close[last]), held.side, False, assumptions)
    return Leaving(last, False, CloseReason.MANUAL, price)


def _timed(market: BacktestMarket, held: Held, entry_bar: int, last: int) -> int:
    limit = held.exits.max_hold
    if limit is None:
        return last + 1
    opened = market.columns.opened_at
    closes_at = held.opened_ms + int(limit.total_seconds() * 1000)
    if closes_at > opened.item(last) + market.step_ms:
        return last + 1
    return max(entry_bar, int(opened.searchsorted(closes_at - market.step_ms)))


def _met(market: BacktestMarket, held: Held, start: int, bound: int) -> tuple[int, CloseReason] | None:
    """The first bar from `start` to `bound` that meets a stop or target that never moves, and which of them.

    A candle's prices are the shortest decimals of their floats and rounding keeps order, so that of two floats that differ
    the decimals differ the same way; equal ones are compared as decimals.
    """
    columns, exits = market.columns, held.exits
    is_long = held.side is Side.LONG
    worsts, bests = (columns.low, columns.high) if is_long else (columns.high, columns.low)
    stop, target = float(exits.stop), float("nan") if exits.target is None else float(exits.target)
    bar = start
    while bar <= bound:
        if _is_at_or_beyond(exits.stop, stop, worsts.item(bar), is_long):
            return bar, CloseReason.STOP
        if exits.target is not None and _is_at_or_beyond(exits.target, target, bests.item(bar), not is_long):
            return bar, CloseReason.TARGET
        bar = _next_hit(worsts, bests, stop, target, is_long, bar + 1, bound)
    return None


def _next_hit(worsts: Series, bests: Series, stop: float, target: float, is_long: bool, start: int, bound: int) -> int:
    """The first bar from `start` to `bound` at which either float is met; beyond `bound` where none is."""
    size = FIRST_CHUNK
    while start <= bound:
        end = min(start + size, bound + 1)
        worst, best = worsts[start:end], bests[start:end]
        # A NaN target is never reached.
        hits = (worst <= stop) | (best >= target) if is_long else (worst >= stop) | (best <= target)
        place = int(hits.argmax())
        if hits[place]:
            return start + place
        start, size = end, size * 4
    return start


def _is_at_or_beyond(level: Decimal, rounded: float, price: float, is_below: bool) -> bool:
    """Whether `price` is at `level` (nearest float: `rounded`) or, on the side `is_below` names, beyond it."""
    if price == rounded:
        return exact(price) <= level if is_below else exact(price) >= level
    return (price < rounded) is is_below


def _touched(
    market: BacktestMarket, position: Position, entry_bar: int, bound: int
) -> tuple[int, CloseReason, Decimal | None] | None:
    """The first bar from `entry_bar` on in which `position` is left, why, and the stop in force within it.

    None for the stop of a bar that is left at its open, as the close before it decided; that may be the one after `bound`.
    """
    start, size, tracked = entry_bar, FIRST_CHUNK, position
    while start <= bound:
        stop = min(start + size, bound + 1)
        place = _proposed(market, tracked, start, stop, closes_count=start > entry_bar)
        if place is None:
            tracked, start, size = _seen(market, tracked, start, stop), stop, size * 4
            continue
        tracked = _seen(market, tracked, start, place)
        if place > entry_bar and (decided := _decided_at_close(market, tracked, place - 1)):
            return place, decided.reason, None
        decision = decide_exit(
            tracked,
            exact(market.columns.close[place]),
            now=market.closed_at(place),
            high=exact(market.columns.high[place]),
            low=exact(market.columns.low[place]),
        )
        # Time is decided by the bound; a bar proposed by rounding alone decides nothing.
        if decision is not None and decision.reason is not CloseReason.TIME:
            return place, decision.reason, stop_price_now(tracked)
        tracked, start = _seen(market, tracked, place, place + 1), place + 1
    if bound < len(market) - 1 and (decided := _decided_at_close(market, tracked, bound)):
        return bound + 1, decided.reason, None
    return None


def _decided_at_close(market: BacktestMarket, tracked: Position, bar: int) -> ExitDecision | None:
    """What the close of `bar` says to a position that has seen it all; time is decided by the bound."""
    decision = decide_exit(tracked, exact(market.columns.close[bar]), now=market.closed_at(bar))
    return None if decision is None or decision.reason is CloseReason.TIME else decision


def _seen(market: BacktestMarket, position: Position, start: int, stop: int) -> Position:
    """`position` having seen the bars from `start` up to `stop`; only a trailing stop needs to know."""
    if position.exits.trail_distance is None or stop <= start:
        return position
    if position.side is Side.LONG:
        mark = exact(market.columns.high[start:stop].max())
    else:
        mark = exact(market.columns.low[start:stop].min())
    return replace(position, best_price=best_of(position, mark))


def _proposed(market: BacktestMarket, position: Position, start: int, stop: int, *, closes_count: bool) -> int | None:
    """The first bar from `start` up to `stop` that a stop or the target may be met in, or by the close before it.

    The close before the first of them counts with `closes_count`: not for the bar that the position was opened in.
    """
    high, low = market.columns.high[start:stop], market.columns.low[start:stop]
    sign, exits = position.side.sign, position.exits
    worst, best = (low, high) if sign > 0 else (-high, -low)
    level = sign * float(exits.stop)
    if exits.trail_distance is None:
        hits = worst <= level + abs(level) * SLACK
    else:
        entry, top = sign * float(position.entry_price), sign * float(best_of(position, position.entry_price))
        before = np.maximum.accumulate(np.concatenate(([top], best[:-1])))
        activation = float(exits.trail_activation or 0)
        trailed = np.where(
            before - entry >= activation - abs(entry) * SLACK, before - float(exits.trail_distance), -np.inf
        )
        levels = np.maximum(level, trailed)
        closes = sign * market.columns.close[start - 1 : stop - 1]
        # Only the best of its own bar draws a stop to where that bar has closed; farther away it was met within.
        hits = np.minimum(worst, closes) <= levels + abs(level) * SLACK
        if not closes_count:
            hits[0] = worst[0] <= levels[0] + abs(level) * SLACK
    if exits.target is not None:
        target = sign * float(exits.target)
        hits |= best >= target - abs(target) * SLACK
    place = int(hits.argmax())
    return start + place if hits[place] else None


def _at_open(market: BacktestMarket, held: Held, bar: int, reason: CloseReason, assumptions: Assumptions) -> Leaving:
    price = market.fill_price(bar, exact(market.columns.open.item(bar)), held.side, False, assumptions)
    return _unless_liquidated(held, Leaving(bar, True, reason, price))


def _within(
    market: BacktestMarket, held: Held, bar: int, reason: CloseReason, stop: Decimal, assumptions: Assumptions
) -> Leaving:
    side, target = held.side, held.exits.target
    if reason is CloseReason.TARGET and target is not None:
        # A gap beyond the target is not counted as luck.
        reference = target
    else:
        opening = exact(market.columns.open.item(bar))
        reference = min(stop, opening) if side is Side.LONG else max(stop, opening)
    price = market.fill_price(bar, reference, side, False, assumptions)
    return _unless_liquidated(held, Leaving(bar, False, reason, price))


def _unless_liquidated(held: Held, leaving: Leaving) -> Leaving:
    """`leaving`, or the liquidation that a price beyond it would have met first."""
    if held.leverage <= 1 and held.side is Side.LONG:
        return leaving
    level = liquidation_price(held.opened(), held.instrument)
    if level is None or (leaving.price - level) * held.side.sign > 0:
        return leaving
    return Leaving(leaving.bar, leaving.at_open, CloseReason.LIQUIDATION, level)
