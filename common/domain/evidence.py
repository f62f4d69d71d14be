"""Evidence of blunders: what the judges' own inputs, the fills and the candles after the entry say about a trade."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from common.domain.blunder import Evidence
from common.domain.market import Instrument, Timeframe
from common.domain.money import BPS, ONE, ZERO, bps, exactly
from common.domain.position import Position
from common.domain.risk import forbidden
from common.domain.risk.context import Context
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Rule

BARS = 10
"""Bars from the entry's own on, over which the market's return is measured."""

_SIZES = (Rule.POSITION_SIZE_EXCEEDS_LIMIT, Rule.NOTIONAL_EXCEEDS_LIMIT)


def judged_from(position: Position, timeframe: Timeframe) -> datetime | None:
    """When the last of the ten bars closes, that of the entry being the first; None for what was never opened."""
    return None if position.opened_at is None else timeframe.floor(position.opened_at) + timeframe.duration * BARS


@exactly
def return_after(position: Position, close: Decimal | None) -> Decimal | None:
    """The market's return from the entry price to `close`, the close of the tenth bar; None where that is not known."""
    return None if close is None or position.entry_price <= ZERO else close / position.entry_price - ONE


@exactly
def evidence_of(position: Position, context: Context | None, close: Decimal | None) -> Evidence:
    """What the stored inputs of its decision (`context`, None where there are none) hold for or against a trade.

    Spread and largest size are those of the judges. A condition is forbidden that their rules forbid on these inputs, and
    a fill that paid more slippage, against the middle of the decision, than the limit allows.
    """
    planned, after = position.exits.max_hold, return_after(position, close)
    if context is None:
        return Evidence(planned_hold=planned, return_after=after)
    mid = None if context.orders is None else context.orders.mid
    measures = [check(context) for check in forbidden.RULES.values()]
    rooms = [context.caps[rule].room() for rule in _SIZES if rule in context.caps]
    return Evidence(
        entry_spread_bps=None if context.orders is None else context.orders.spread_bps,
        spread_bps_max=context.limits.spread_bps_max,
        largest_quantity=min(rooms, default=None),
        planned_hold=planned,
        return_after=after,
        was_forbidden=any(item is not None and item.is_crossed for item in measures)
        or slipped(position, mid, context.limits),
    )


@exactly
def recorded_evidence(
    position: Position,
    instrument: Instrument,
    limits: Limits,
    quote: tuple[Decimal, Decimal],
    close: Decimal | None,
) -> Evidence:
    """As `evidence_of` for a backtest, which keeps no inputs: from best bid and ask at the decision and fixed limits.

    Caps that are a share of equity are left out: what the equity was to the last digit is not kept.
    """
    bid, ask = quote
    mid = (bid + ask) / 2
    worst = ask * (ONE + (limits.slippage_bps_max or ZERO) / BPS)
    sizes = [None if limits.notional_max is None else limits.notional_max / worst]
    sizes.append(limits.btc_quantity_max if instrument.base == "BTC" else None)
    return Evidence(
        entry_spread_bps=bps(ask - bid, mid),
        spread_bps_max=limits.spread_bps_max,
        largest_quantity=min((size for size in sizes if size is not None), default=None),
        planned_hold=position.exits.max_hold,
        return_after=return_after(position, close),
        was_forbidden=slipped(position, mid, limits),
    )


def slipped(position: Position, mid: Decimal | None, limits: Limits) -> bool:
    """Whether the entry paid more slippage against `mid`, the middle at the decision, than is allowed."""
    if mid is None or limits.slippage_bps_max is None:
        return False
    return bps(position.entry_price - mid, mid) * position.side.sign > limits.slippage_bps_max
