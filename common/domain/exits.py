"""Exits: when a position is to be left and at what price; stops come first, and nothing here waits for a gate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from common.domain.market import Instrument
from common.domain.money import ONE, ZERO, ceil_to, floor_to
from common.domain.position import CloseReason, Position
from common.domain.signal import Side


@dataclass(frozen=True, slots=True)
class ExitDecision:
    """Leave `fraction` of what is held because of `reason`; `price` is the reference that the decision was made at."""

    reason: CloseReason
    price: Decimal
    fraction: Decimal = ONE


@dataclass(frozen=True, slots=True)
class ExitTactics:
    """Further ways out (FS-37, P-29); every figure a fraction of the entry price, leverage apart, None = not used.

    `lock_at` reached once locks `lock_keep`; `give_back_at` reached once allows at most the share `give_back` of the best
    gain to be lost; `partial_at` closes `partial_fraction` once; `idle_after` without `idle_gain` ends the position.
    Targets in here must clear the round-trip cost (trap 10): FlashScalper's own numbers at 10x do not.
    """

    lock_at: Decimal | None = None
    lock_keep: Decimal = ZERO
    give_back_at: Decimal | None = None
    give_back: Decimal = Decimal("0.4")
    partial_at: Decimal | None = None
    partial_fraction: Decimal = Decimal("0.5")
    idle_after: timedelta | None = None
    idle_gain: Decimal = ZERO


NO_TACTICS = ExitTactics()


def gain(position: Position, price: Decimal) -> Decimal:
    """Fraction of the entry price gained at `price`; 0 before the first fill."""
    if position.entry_price <= ZERO:
        return ZERO
    return (price - position.entry_price) / position.entry_price * position.side.sign


def best_of(position: Position, mark: Decimal) -> Decimal:
    """The more favourable of the best price so far and `mark`; the entry counts as the first mark."""
    choose = max if position.side is Side.LONG else min
    return choose(position.best_price or position.entry_price, mark)


def track(position: Position, mark: Decimal) -> Position:
    """`position` having seen `mark`: its best price moves in its favour only. Not finite or not positive = not seen."""
    if not mark.is_finite() or mark <= ZERO:
        return position
    return dataclasses.replace(position, best_price=best_of(position, mark))


def stop_price_now(position: Position, tactics: ExitTactics = NO_TACTICS) -> Decimal:
    """The stop in force: the plan's, tightened by what the best price so far has earned, never loosened."""
    candidates = [position.exits.stop, *_earned_stops(position, tactics)]
    return max(candidates) if position.side is Side.LONG else min(candidates)


def next_stop(position: Position, resting: Decimal, mark: Decimal, step: Decimal, tick: Decimal) -> Decimal | None:
    """Where the stop that rests at `resting` ought to be moved, on `tick`; None to leave it.

    It moves in the position's favour only, by no less than the share `step` of the distance between entry and first
    stop, and never to where `mark` is already: that is for an exit, not for a stop. What lies between two ticks is
    rounded away from the price: the stop at the venue never leaves before the one in force.
    """
    sign = position.side.sign
    wanted = (floor_to if sign > 0 else ceil_to)(stop_price_now(position), tick)
    least = max(step * abs(position.entry_price - position.exits.stop), tick)
    is_worth_it = (wanted - resting) * sign >= least
    return wanted if is_worth_it and (mark - wanted) * sign > ZERO else None


def _earned_stops(position: Position, tactics: ExitTactics) -> list[Decimal]:
    exits, sign, entry = position.exits, position.side.sign, position.entry_price
    best = position.best_price or entry
    stops = []
    if exits.trail_distance is not None and (best - entry) * sign >= (exits.trail_activation or ZERO):
        stops.append(best - exits.trail_distance * sign)
    if tactics.lock_at is not None and gain(position, best) >= tactics.lock_at:
        stops.append(entry * (ONE + tactics.lock_keep * sign))
    if tactics.give_back_at is not None and gain(position, best) >= tactics.give_back_at:
        stops.append(entry + (best - entry) * (ONE - tactics.give_back))
    return stops


def decide_exit(
    position: Position,
    mark: Decimal,
    *,
    now: datetime,
    high: Decimal | None = None,
    low: Decimal | None = None,
    tactics: ExitTactics = NO_TACTICS,
) -> ExitDecision | None:
    """Whether `position` is to be left now, and why; None to hold.

    `mark` is the price now; `high` and `low` span the candle that ends now, if a whole candle is looked at. The worst is
    believed first: stop, then target, then time. Inside a candle the stop is the one earned before it (call `track`
    afterwards), and the reference price is the stop or target itself, or `mark` where the candle lies wholly beyond.
    `min_hold` delays a target, never a stop.
    """
    if not position.is_open or not mark.is_finite() or mark <= ZERO:
        return None
    is_long = position.side is Side.LONG
    top, bottom = high if high is not None else mark, low if low is not None else mark
    worst, best = (bottom, top) if is_long else (top, bottom)
    sign, stop = position.side.sign, stop_price_now(position, tactics)
    if (worst - stop) * sign <= ZERO:
        reason = CloseReason.STOP if stop == position.exits.stop else CloseReason.TRAILING
        return ExitDecision(reason, stop if (best - stop) * sign >= ZERO else mark)
    held = now - (position.opened_at or now)
    may_take = position.exits.min_hold is None or held >= position.exits.min_hold
    target = position.exits.target
    if may_take and target is not None and (best - target) * sign >= ZERO:
        return ExitDecision(CloseReason.TARGET, target if (worst - target) * sign <= ZERO else mark)
    if position.exits.max_hold is not None and held >= position.exits.max_hold:
        return ExitDecision(CloseReason.TIME, mark)
    return _tactical(position, mark, held, tactics) if may_take else None


def _tactical(position: Position, mark: Decimal, held: timedelta, tactics: ExitTactics) -> ExitDecision | None:
    gained = gain(position, mark)
    is_whole = position.quantity == position.opened_quantity
    if tactics.partial_at is not None and is_whole and gained >= tactics.partial_at:
        return ExitDecision(CloseReason.TARGET, mark, tactics.partial_fraction)
    if tactics.idle_after is not None and held >= tactics.idle_after and gained < tactics.idle_gain:
        return ExitDecision(CloseReason.TIME, mark)
    return None


def liquidation_price(position: Position, instrument: Instrument) -> Decimal | None:
    """Mark price at which an isolated position's margin falls to the maintenance margin; None where it cannot.

    Entry margin entry/leverage plus profit equals maintenance x price: entry x (1 - 1/L) / (1 - m) for a long,
    entry x (1 + 1/L) / (1 + m) for a short (Binance USD-M, one tier, fees apart). An unlevered long has none.
    """
    sign, leverage = position.side.sign, Decimal(position.leverage)
    if position.entry_price <= ZERO or (sign > 0 and leverage <= ONE):
        return None
    return position.entry_price * (ONE - sign / leverage) / (ONE - sign * instrument.maintenance_margin)
