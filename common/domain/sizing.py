"""Sizing: how much to risk and how much that buys, always rounded down and never beyond any limit's room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext

from common.domain.market import Instrument, Level, OrderBook
from common.domain.money import BPS, ONE, ZERO, ceil_to, floor_to
from common.domain.risk.book import Book
from common.domain.risk.caps import Terms, caps_of, leverage_limit
from common.domain.risk.limits import NEWS_RANKS, Limits
from common.domain.risk.verdict import Rule
from common.domain.signal import Side

LIQUIDATION_BUFFER = Decimal("1.5")
"""The liquidation price must lie at least this many stop distances away from the entry (P-57)."""

_HALF = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class Room:
    """Room left under every limit, in base units (A-43); `quantity` is the smallest, `binding` the limit that sets it."""

    by_rule: Mapping[Rule, Decimal]
    quantity: Decimal
    binding: Rule


def fixed_fraction(budget: Decimal, unit_risk: Decimal) -> Decimal:
    """Base units that lose `budget` (settle asset) at the stop when one loses `unit_risk`; not on the grid yet (L-26)."""
    if budget <= ZERO or unit_risk <= ZERO:
        return ZERO
    with localcontext(rounding=ROUND_FLOOR):
        return budget / unit_risk


def kelly(win_rate: Decimal, payoff: Decimal) -> Decimal:
    """Kelly fraction f = p - (1 - p) / b, clipped to 0..1; `payoff` b is average win over average loss (L-25)."""
    if payoff <= ZERO:
        return ZERO
    return min(ONE, max(ZERO, win_rate - (ONE - win_rate) / payoff))


def kelly_mean_variance(mean: Decimal, variance: Decimal, risk_free: Decimal = ZERO) -> Decimal:
    """Half the mean-variance Kelly fraction, 0.5 x (mean - risk_free) / variance, clipped to 0..1 (T, seeds 1.5)."""
    if variance <= ZERO:
        return ZERO
    return min(ONE, max(ZERO, _HALF * (mean - risk_free) / variance))


def modulation(confidence: Decimal) -> Decimal:
    """Share of the risk fraction that a signal of `confidence` 0..1 is worth: 0.5 at none, 1 at full confidence.

    FlashScalper's x0.7 to x1.5 lifts a size beyond its limit; here the limit is what full confidence gets.
    """
    return _HALF + _HALF * min(ONE, max(ZERO, confidence))


def news_share(impact: str | None) -> Decimal:
    """Share of the size kept while news of `impact` are out: half from high impact on (B-35)."""
    return _HALF if impact is not None and NEWS_RANKS.get(impact, 3) >= NEWS_RANKS["high"] else ONE


def risk_fraction(limits: Limits, confidence: Decimal, win_rate: Decimal | None, payoff: Decimal | None) -> Decimal:
    """Fraction of equity to lose at the stop: the limit, capped by fractional Kelly where known, times modulation."""
    fraction = limits.risk_fraction_max or ZERO
    if limits.kelly_share_max is not None and win_rate is not None and payoff is not None:
        fraction = min(fraction, limits.kelly_share_max * kelly(win_rate, payoff))
    return fraction * modulation(confidence)


def leverage_for(instrument: Instrument, price: Decimal, stop: Decimal, limits: Limits) -> int:
    """Whole leverage of an entry: as the profile asks, but never so high that liquidation comes near the stop."""
    wanted = min(limits.entry_leverage_max or 1, leverage_limit(instrument, limits))
    if wanted <= 1:
        return 1
    distance = abs(price - stop) / price * LIQUIDATION_BUFFER + instrument.maintenance_margin
    safe = int(ONE / distance) if distance > ZERO else wanted
    return max(1, min(wanted, safe))


def takes(book: OrderBook, side: Side) -> tuple[Level, ...]:
    """The levels that an entry on `side` takes, best first."""
    return book.asks if side is Side.LONG else book.bids


def depth_room(levels: tuple[Level, ...], mid: Decimal, side: Side, slippage_bps: Decimal) -> Decimal:
    """Largest base quantity whose average price on walking `levels` stays within `slippage_bps` of `mid`; unrounded."""
    allowed = mid * (ONE + side.sign * slippage_bps / BPS)
    quantity, cost = ZERO, ZERO
    for level in levels:
        beyond = (level.price - allowed) * side.sign
        if beyond > ZERO:
            with localcontext(rounding=ROUND_FLOOR):
                fits = max(ZERO, (allowed * quantity - cost) * side.sign / beyond)
            if fits < level.quantity:
                return quantity + fits
        quantity, cost = quantity + level.quantity, cost + level.quantity * level.price
    return quantity


def room(book: Book, limits: Limits, terms: Terms, side: Side, orders: OrderBook) -> Room:
    """Room that every limit leaves an entry of `side` on `terms`, with `orders` as the market's depth (A-43).

    The depth must be usable: both sides quoted, all numbers finite.
    """
    by_rule = {rule: cap.room() for rule, cap in caps_of(book, limits, terms).items()}
    levels, mid = takes(orders, side), orders.mid
    by_rule[Rule.SLIPPAGE_TOO_HIGH] = (
        sum((level.quantity for level in levels), ZERO)
        if limits.slippage_bps_max is None or mid is None
        else depth_room(levels, mid, side, limits.slippage_bps_max)
    )
    binding = min(by_rule, key=lambda rule: by_rule[rule])
    return Room(by_rule, by_rule[binding], binding)


def smallest_order(instrument: Instrument, price: Decimal, limits: Limits) -> Decimal:
    """Smallest quantity on the grid that venue and limits take at `price`."""
    notional = max(instrument.min_notional, limits.notional_min or ZERO)
    wanted = max(instrument.min_quantity, notional / price, instrument.step_size)
    return ceil_to(wanted, instrument.step_size)


def size(budget: Decimal, terms: Terms, room: Room) -> Decimal:
    """Quantity in base units, on the grid: what `budget` may lose at the stop, within `room`; never rounded up.

    0 when not even one step fits. Leverage has no part in the budget, so the amount at risk does not grow with it.
    """
    return floor_to(min(fixed_fraction(budget, terms.unit_risk), room.quantity), terms.instrument.step_size)
