"""Level 4, sanity: whether the order can be what somebody meant."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from common.domain.market import InstrumentStatus
from common.domain.money import ZERO, bps
from common.domain.risk.context import Check, Context, Measure, at_least, at_most, seconds, state
from common.domain.risk.verdict import Rule
from common.domain.sizing import smallest_order


def unknown_instrument(context: Context) -> Measure:
    """The market at hand is the signal's."""
    signal, instrument = context.signal, context.market.instrument
    is_other = (signal.venue, signal.instrument) != (instrument.venue, instrument.symbol)
    return state(is_other, "instruments", f"{signal.venue} {signal.instrument} is not known")


def instrument_not_trading(context: Context) -> Measure:
    """The venue trades it."""
    status = context.market.instrument.status
    return state(status is not InstrumentStatus.TRADING, "state", f"the instrument is {status}")


def number_not_finite(context: Context) -> Measure:
    """Every number that any rule computes with is one."""
    flaws = context.flaws
    return Measure(Decimal(len(flaws)), ZERO, "numbers", bool(flaws), ", ".join(flaws))


def off_grid(context: Context) -> Measure:
    """Quantity on the step; price, stop and target on the tick; measures the first remainder."""
    proposal, instrument = context.proposal, context.market.instrument
    remainders = {
        "quantity": proposal.quantity % instrument.step_size,
        "price": proposal.price % instrument.tick_size,
        "stop": proposal.exits.stop % instrument.tick_size,
        "target": ZERO if proposal.exits.target is None else proposal.exits.target % instrument.tick_size,
    }
    name = next((name for name, remainder in remainders.items() if remainder), "")
    return Measure(remainders.get(name, ZERO), ZERO, name or "grid", bool(name))


def size_too_small(context: Context) -> Measure | None:
    """What the risk budget and the rooms bought, against the smallest order that venue and limits take."""
    proposal, instrument = context.proposal, context.market.instrument
    detail = "" if proposal.capped_by is None else f"made smaller by {proposal.capped_by}"
    smallest = smallest_order(instrument, proposal.price, context.limits)
    return at_least(proposal.quantity, smallest, instrument.base, detail)


def stop_on_wrong_side(context: Context) -> Measure:
    """The stop is where the trade has gone wrong: below a long, above a short."""
    distance = (context.proposal.price - context.proposal.exits.stop) * context.signal.side.sign
    return Measure(distance, ZERO, context.market.instrument.quote, distance <= ZERO)


def target_on_wrong_side(context: Context) -> Measure | None:
    """The target is where the trade has gone right: above a long, below a short."""
    target = context.proposal.exits.target
    if target is None:
        return None
    distance = (target - context.proposal.price) * context.signal.side.sign
    return Measure(distance, ZERO, context.market.instrument.quote, distance <= ZERO)


def reward_too_small(context: Context) -> Measure | None:
    """Way to the target over way to the stop, from the price the entry really pays."""
    proposal, sign = context.proposal, context.signal.side.sign
    risk = (proposal.price - proposal.exits.stop) * sign
    if proposal.exits.target is None or risk <= ZERO:
        return None
    return at_least((proposal.exits.target - proposal.price) * sign / risk, context.limits.reward_min, "x")


def signal_expired(context: Context) -> Measure:
    """Seconds since the signal's end; a stale signal is never traded late."""
    late = seconds(context.now - context.signal.expires_at)
    return Measure(late, ZERO, "seconds", late >= ZERO)


def price_drifted(context: Context) -> Measure | None:
    """How far the price has moved since the signal; asked after the model's answer, which takes seconds."""
    drift = abs(bps(context.proposal.price - context.signal.price, context.signal.price))
    return at_most(drift, context.limits.drift_bps_max, "bps")


def confidence_too_low(context: Context) -> Measure | None:
    """The strategy's own confidence."""
    return at_least(context.signal.confidence, context.limits.confidence_min, "fraction")


RULES: Mapping[Rule, Check] = {
    Rule.UNKNOWN_INSTRUMENT: unknown_instrument,
    Rule.INSTRUMENT_NOT_TRADING: instrument_not_trading,
    Rule.NUMBER_NOT_FINITE: number_not_finite,
    Rule.OFF_GRID: off_grid,
    Rule.SIZE_TOO_SMALL: size_too_small,
    Rule.STOP_ON_WRONG_SIDE: stop_on_wrong_side,
    Rule.TARGET_ON_WRONG_SIDE: target_on_wrong_side,
    Rule.REWARD_TOO_SMALL: reward_too_small,
    Rule.SIGNAL_EXPIRED: signal_expired,
    Rule.PRICE_DRIFTED: price_drifted,
    Rule.CONFIDENCE_TOO_LOW: confidence_too_low,
}
