"""Leaving: the first bar on which a position ends, found at once and confirmed by the live rule of exits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from common.domain.backtest.market import Assumptions, BacktestMarket
from common.domain.exits import ExitDecision, best_of, decide_exit, liquidation_price, stop_price_now
from common.domain.position import CloseReason, Position
from common.domain.signal import Side
from common.domain.strategies.base import exact

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


def find_leaving(
    market: BacktestMarket, position: Position, entry_bar: int, leaves: Sequence[int], assumptions: Assumptions
) -> Leaving:
    """End of `position`, opened at the open of `entry_bar`; `leaves` are the bars whose close says to leave its side.

    Within a bar the stop comes first, then the target; what a close decides is filled at the next open; what is held
    after the last bar is closed at its close (MANUAL: nobody decided it).
    """
    last = len(market) - 1
    flagged = _first_from(leaves, entry_bar, last)
    timed = _timed(market, position, entry_bar, last)
    bound = min(flagged, timed, last)
    exits = position.exits
    if exits.trail_distance is None and not exits.min_hold:
        found = _met(market, position, entry_bar, bound)
        if found is not None:
            return _within(market, position, *found, assumptions)
    else:
        touched = _touched(market, position, entry_bar, bound)
        if touched is not None:
            bar, decision, tracked = touched
            return _within(market, tracked, bar, decision.reason, assumptions)
    if bound < last:
        reason = CloseReason.TIME if timed <= flagged else CloseReason.OPPOSITE
        opening = exact(market.columns.open.item(bound + 1))
        price = market.fill_price(bound + 1, opening, position.side, False, assumptions)
        return _unless_liquidated(market, position, Leaving(bound + 1, True, reason, price))
    price = market.fill_price(last, exact(market.columns.close[last]), position.side, False, assumptions)
    return Leaving(last, False, CloseReason.MANUAL, price)


def _first_from(bars: Sequence[int], start: int, otherwise: int) -> int:
    place = bisect_left(bars, start)
    return bars[place] if place < len(bars) else otherwise + 1


def _timed(market: BacktestMarket, position: Position, entry_bar: int, last: int) -> int:
    limit = position.exits.max_hold
    if limit is None:
        return last + 1
    opened = market.columns.opened_at
    closes_at = opened.item(entry_bar) + int(limit.total_seconds() * 1000)
    if closes_at > opened.item(last) + market.step_ms:
        return last + 1
    return max(entry_bar, int(opened.searchsorted(closes_at - market.step_ms)))


def _met(market: BacktestMarket, position: Position, entry_bar: int, bound: int) -> tuple[int, CloseReason] | None:
    """The first bar from `entry_bar` to `bound` that meets a stop or target that never moves, and which of them.

    A candle's prices are the shortest decimals of their floats and rounding keeps order, so that of two floats that differ
    the decimals differ the same way; equal ones are compared as decimals.
    """
    columns, exits = market.columns, position.exits
    is_long = position.side is Side.LONG
    worsts, bests = (columns.low, columns.high) if is_long else (columns.high, columns.low)
    stop, target = float(exits.stop), float("nan") if exits.target is None else float(exits.target)
    start, size = entry_bar, FIRST_CHUNK
    while start <= bound:
        end = min(start + size, bound + 1)
        worst, best = worsts[start:end], bests[start:end]
        # A NaN target is never reached.
        hits = (worst <= stop) | (best >= target) if is_long else (worst >= stop) | (best <= target)
        place = int(hits.argmax())
        if not hits[place]:
            start, size = end, size * 4
            continue
        bar, low, high = start + place, worst.item(place), best.item(place)
        if _is_at_or_beyond(exits.stop, stop, low, is_long):
            return bar, CloseReason.STOP
        if exits.target is not None and _is_at_or_beyond(exits.target, target, high, not is_long):
            return bar, CloseReason.TARGET
        start = bar + 1
    return None


def _is_at_or_beyond(level: Decimal, rounded: float, price: float, is_below: bool) -> bool:
    """Whether `price` is at `level` (nearest float: `rounded`) or, on the side `is_below` names, beyond it."""
    if price == rounded:
        return exact(price) <= level if is_below else exact(price) >= level
    return (price < rounded) is is_below


def _touched(
    market: BacktestMarket, position: Position, entry_bar: int, bound: int
) -> tuple[int, ExitDecision, Position] | None:
    start, size, tracked = entry_bar, FIRST_CHUNK, position
    while start <= bound:
        stop = min(start + size, bound + 1)
        place = _proposed(market, tracked, start, stop)
        if place is None:
            tracked, start, size = _seen(market, tracked, start, stop), stop, size * 4
            continue
        tracked = _seen(market, tracked, start, place)
        decision = decide_exit(
            tracked,
            exact(market.columns.close[place]),
            now=market.closed_at(place),
            high=exact(market.columns.high[place]),
            low=exact(market.columns.low[place]),
        )
        # Time is decided by the bound; a bar proposed by rounding alone decides nothing.
        if decision is not None and decision.reason is not CloseReason.TIME:
            return place, decision, tracked
        tracked, start = _seen(market, tracked, place, place + 1), place + 1
    return None


def _seen(market: BacktestMarket, position: Position, start: int, stop: int) -> Position:
    """`position` having seen the bars from `start` up to `stop`; only a trailing stop needs to know."""
    if position.exits.trail_distance is None or stop <= start:
        return position
    if position.side is Side.LONG:
        mark = exact(market.columns.high[start:stop].max())
    else:
        mark = exact(market.columns.low[start:stop].min())
    return replace(position, best_price=best_of(position, mark))


def _proposed(market: BacktestMarket, position: Position, start: int, stop: int) -> int | None:
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
        hits = worst <= levels + abs(level) * SLACK
    if exits.target is not None:
        target = sign * float(exits.target)
        hits |= best >= target - abs(target) * SLACK
    place = int(hits.argmax())
    return start + place if hits[place] else None


def _within(
    market: BacktestMarket, position: Position, bar: int, reason: CloseReason, assumptions: Assumptions
) -> Leaving:
    side, target = position.side, position.exits.target
    if reason is CloseReason.TARGET and target is not None:
        # A gap beyond the target is not counted as luck.
        reference = target
    else:
        stop, opening = stop_price_now(position), exact(market.columns.open.item(bar))
        reference = min(stop, opening) if side is Side.LONG else max(stop, opening)
    price = market.fill_price(bar, reference, side, False, assumptions)
    return _unless_liquidated(market, position, Leaving(bar, False, reason, price))


def _unless_liquidated(market: BacktestMarket, position: Position, leaving: Leaving) -> Leaving:
    """`leaving`, or the liquidation that a price beyond it would have met first."""
    if position.leverage <= 1 and position.side is Side.LONG:
        return leaving
    level = liquidation_price(position, market.instrument)
    if level is None or (leaving.price - level) * position.side.sign > 0:
        return leaving
    return Leaving(leaving.bar, leaving.at_open, CloseReason.LIQUIDATION, level)
