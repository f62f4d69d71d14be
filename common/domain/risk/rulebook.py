"""Level 3, the rulebook: the account's limits, counting what is held, on its way, reserved or of unknown fate."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from common.domain import breaker
from common.domain.money import BPS, ZERO, bps
from common.domain.risk.book import EVERY_INSTRUMENT
from common.domain.risk.caps import correlated_count, leverage_limit
from common.domain.risk.context import Check, Context, Measure, at_least, at_most, blind, known, seconds
from common.domain.risk.forbidden import first_crossed
from common.domain.risk.limits import CORRELATED
from common.domain.risk.verdict import Rule

EDGE_SHARE = Decimal("0.5")
"""Share of the distance to the target that a sure signal may count on (L-91)."""


def _capped(rule: Rule) -> Check:
    def check(context: Context) -> Measure | None:
        cap = context.caps.get(rule)
        return None if cap is None else at_most(cap.measured(context.quantity), cap.limit, cap.unit)

    return check


def _tripped(rule: Rule) -> Check:
    def check(context: Context) -> Measure | None:
        return breaker.THRESHOLDS[rule](context.book.record, context.limits, context.book.equity)

    return check


def leverage_exceeds_limit(context: Context) -> Measure | None:
    """The leverage the venue would be told, and the account's notional with this entry over its equity (trap 12)."""
    limit = leverage_limit(context.market.instrument, context.limits)
    return first_crossed(at_most(context.proposal.leverage, limit, "x"), _capped(Rule.LEVERAGE_EXCEEDS_LIMIT)(context))


def position_count_exceeds_limit(context: Context) -> Measure | None:
    """Positions and entries on their way, this one included; the parts of one entry count once."""
    held = {(exposure.instrument, exposure.side) for exposure in context.exposures}
    return at_most(len(held) + 1, context.limits.position_count_max, "positions")


def daily_loss_exceeds_limit(context: Context) -> Measure | None:
    """The day's loss, and then with what every stop could still take, this entry's included."""
    return first_crossed(
        _tripped(Rule.DAILY_LOSS_EXCEEDS_LIMIT)(context), _capped(Rule.DAILY_LOSS_EXCEEDS_LIMIT)(context)
    )


def _cooling(until: datetime | None, context: Context, reason: str) -> Measure:
    left = ZERO if until is None else max(ZERO, seconds(until - context.now))
    return Measure(left, ZERO, "seconds", left > ZERO, reason if left > ZERO else "")


def cooling_down(context: Context) -> Measure:
    """Seconds until the account's cool-down ends."""
    record = context.book.record
    return _cooling(record.cooling_until, context, record.cooling_reason)


def symbol_cooling_down(context: Context) -> Measure:
    """Seconds until the cool-down of the instrument, or of every instrument after a stop-out, ends."""
    cooling = context.book.record.symbol_cooling_until or {}
    ends = [cooling[name] for name in (context.signal.instrument, EVERY_INSTRUMENT) if name in cooling]
    return _cooling(max(ends, default=None), context, context.signal.instrument)


def stacked_position(context: Context) -> Measure | None:
    """Never twice the same direction in one instrument, and no more directions than the profile allows."""
    here = {exposure.side for exposure in context.exposures if exposure.instrument == context.signal.instrument}
    same = int(context.signal.side in here)
    return first_crossed(
        at_most(same, 0, "positions", "one in this direction is held or on its way" if same else ""),
        at_most(len(here) + 1, context.limits.positions_per_symbol_max, "positions"),
    )


def correlated_position(context: Context) -> Measure | None:
    """BTC, ETH and BNB move together; this one included."""
    if context.market.instrument.base not in CORRELATED:
        return None
    return at_most(correlated_count(context.book) + 1, context.limits.correlated_count_max, "positions")


def order_rate_exceeds_limit(context: Context) -> Measure | None:
    """Orders of the last minute and of the last hour, this one included."""
    record, limits = context.book.record, context.limits
    return first_crossed(
        at_most(record.orders_last_minute + 1, limits.orders_per_minute_max, "orders/min"),
        at_most(record.orders_last_hour + 1, limits.orders_per_hour_max, "orders/h"),
    )


def edge_below_cost(context: Context) -> Measure | None:
    """Half the confident share of the way to the target, against both fees, slippage both ways and a margin.

    Corrected from L-91: the fee is the venue's, slippage is walked, and the way is the one to the order's own target (the
    ATR where it has none).
    """
    margin, price = context.limits.edge_margin_bps_min, context.proposal.price
    if margin is None:
        return None
    slippage, target, atr = context.slippage_bps, context.proposal.exits.target, known(context.market.atr)
    if slippage is None:
        return blind("bps")
    way = atr if target is None else (target - price) * context.signal.side.sign
    if way is None:
        return None
    cost = 2 * context.market.instrument.taker_fee * BPS + 2 * max(ZERO, slippage) + margin
    return at_least(bps(way, price) * context.signal.confidence * EDGE_SHARE, cost, "bps")


RULES: Mapping[Rule, Check] = {
    Rule.POSITION_SIZE_EXCEEDS_LIMIT: _capped(Rule.POSITION_SIZE_EXCEEDS_LIMIT),
    Rule.NOTIONAL_EXCEEDS_LIMIT: _capped(Rule.NOTIONAL_EXCEEDS_LIMIT),
    Rule.LEVERAGE_EXCEEDS_LIMIT: leverage_exceeds_limit,
    Rule.EXPOSURE_EXCEEDS_LIMIT: _capped(Rule.EXPOSURE_EXCEEDS_LIMIT),
    Rule.SYMBOL_EXPOSURE_EXCEEDS_LIMIT: _capped(Rule.SYMBOL_EXPOSURE_EXCEEDS_LIMIT),
    Rule.STRATEGY_EXPOSURE_EXCEEDS_LIMIT: _capped(Rule.STRATEGY_EXPOSURE_EXCEEDS_LIMIT),
    Rule.POSITION_COUNT_EXCEEDS_LIMIT: position_count_exceeds_limit,
    Rule.DAILY_LOSS_EXCEEDS_LIMIT: daily_loss_exceeds_limit,
    Rule.DRAWDOWN_EXCEEDS_LIMIT: _tripped(Rule.DRAWDOWN_EXCEEDS_LIMIT),
    Rule.CONSECUTIVE_LOSSES_EXCEED_LIMIT: _tripped(Rule.CONSECUTIVE_LOSSES_EXCEED_LIMIT),
    Rule.WIN_RATE_BELOW_FLOOR: _tripped(Rule.WIN_RATE_BELOW_FLOOR),
    Rule.SHARPE_BELOW_FLOOR: _tripped(Rule.SHARPE_BELOW_FLOOR),
    Rule.COOLING_DOWN: cooling_down,
    Rule.SYMBOL_COOLING_DOWN: symbol_cooling_down,
    Rule.MARGIN_EXCEEDS_LIMIT: _capped(Rule.MARGIN_EXCEEDS_LIMIT),
    Rule.BALANCE_TOO_LOW: _capped(Rule.BALANCE_TOO_LOW),
    Rule.STACKED_POSITION: stacked_position,
    Rule.CORRELATED_POSITION: correlated_position,
    Rule.ORDER_RATE_EXCEEDS_LIMIT: order_rate_exceeds_limit,
    Rule.EDGE_BELOW_COST: edge_below_cost,
}
