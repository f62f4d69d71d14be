"""Level 2, forbidden conditions: markets in which nobody should open anything, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from common.domain.market import Level, Timeframe
from common.domain.money import BPS, ONE, ZERO, bps
from common.domain.risk.context import Check, Context, Measure, at_least, at_most, blind, known, seconds, state
from common.domain.risk.limits import NEWS_RANKS
from common.domain.risk.verdict import Rule

LIQUIDITY_LEVELS = 5


def first_crossed(*measures: Measure | None) -> Measure | None:
    """The first measure whose line is crossed, else the first there is."""
    there = [measure for measure in measures if measure is not None]
    return next((measure for measure in there if measure.is_crossed), there[0] if there else None)


def missing_quote(context: Context) -> Measure:
    """No book, no price beside it, or a book that cannot be true (crossed, or numbers that are none)."""
    orders, market = context.market.book, context.market
    if orders is None:
        return state(True, "quotes", "no book")
    if known(market.last) is None and known(market.mark) is None:
        return state(True, "quotes", "no last and no mark price")
    is_false = bool(orders.bids and orders.asks) and context.orders is None
    return state(is_false, "quotes", "the book is crossed or holds numbers that are none")


def empty_book(context: Context) -> Measure:
    """A side of the book holds nothing."""
    orders = context.market.book
    levels = 0 if orders is None else min(len(orders.bids), len(orders.asks))
    return Measure(Decimal(levels), ONE, "levels", levels == 0)


def thin_book(context: Context) -> Measure | None:
    """Too few levels on the thinner side."""
    orders = context.market.book
    levels = 0 if orders is None else min(len(orders.bids), len(orders.asks))
    return at_least(levels, context.limits.depth_levels_min, "levels")


def spread_too_wide(context: Context) -> Measure | None:
    """Best ask less best bid over the middle."""
    if context.limits.spread_bps_max is None:
        return None
    return (
        blind("bps")
        if context.orders is None
        else at_most(context.orders.spread_bps, context.limits.spread_bps_max, "bps")
    )


def slippage_too_high(context: Context) -> Measure | None:
    """Average price of walking the book with this order, against the middle; 1000 bps when the depth does not suffice."""
    if context.limits.slippage_bps_max is None:
        return None
    slippage = context.slippage_bps
    return blind("bps") if slippage is None else at_most(slippage, context.limits.slippage_bps_max, "bps")


def liquidity_too_low(context: Context) -> Measure | None:
    """What the thinner side offers in its five best levels: the entry takes one side, its exit the other."""
    limits, instrument = context.limits, context.market.instrument
    if limits.liquidity_notional_min is None and limits.btc_liquidity_min is None:
        return None
    if context.orders is None:
        return blind(instrument.settle)
    sides = (context.orders.bids[:LIQUIDITY_LEVELS], context.orders.asks[:LIQUIDITY_LEVELS])
    quantity = min(sum((level.quantity for level in side), ZERO) for side in sides)
    notional = min(_notional(side) for side in sides)
    is_btc = instrument.base == "BTC"
    return first_crossed(
        at_least(quantity, limits.btc_liquidity_min, "BTC") if is_btc else None,
        at_least(notional, limits.liquidity_notional_min, instrument.settle),
    )


def _notional(levels: tuple[Level, ...]) -> Decimal:
    return sum((level.price * level.quantity for level in levels), ZERO)


def stale_quotes(context: Context) -> Measure | None:
    """Age of the quote, in either direction: a quote from the future means that a clock is wrong."""
    limit, orders = context.limits.quote_age_max, context.market.book
    if limit is None:
        return None
    quoted_at = context.market.quote_at or (orders.occurred_at if orders is not None else None)
    if quoted_at is None:
        return blind("seconds")
    return at_most(abs(seconds(context.now - quoted_at)), seconds(limit + context.transit), "seconds")


def stale_candles(context: Context) -> Measure | None:
    """How long the next candle than the newest we hold is overdue."""
    if context.limits.candle_lag_max is None:
        return None
    closed_at = context.market.candle_closed_at or context.signal.closed_at
    overdue = context.now - closed_at - Timeframe.parse(context.signal.timeframe).duration
    allowed = seconds(context.limits.candle_lag_max + context.transit)
    return at_most(seconds(max(overdue, timedelta(0))), allowed, "seconds")


def price_deviation(context: Context) -> Measure | None:
    """Middle of the book against the last trade, or the mark price where no trade is known."""
    if context.limits.deviation_bps_max is None:
        return None
    reference = known(context.market.last) or known(context.market.mark)
    mid = None if context.orders is None else context.orders.mid
    if mid is None or reference is None:
        return blind("bps")
    return at_most(abs(bps(mid - reference, reference)), context.limits.deviation_bps_max, "bps")


def volume_too_low(context: Context) -> Measure | None:
    """Volume of the last candle over the average."""
    return at_least(known(context.market.volume_ratio), context.limits.volume_ratio_min, "x")


def volatility_too_high(context: Context) -> Measure | None:
    """ATR against the price, and against its own median."""
    atr, median = known(context.market.atr), known(context.market.atr_median)
    mid = None if context.orders is None else context.orders.mid
    share = None if atr is None or mid is None else atr / mid * BPS
    ratio = None if atr is None or median is None or median <= ZERO else atr / median
    return first_crossed(
        at_most(share, context.limits.atr_bps_max, "bps"), at_most(ratio, context.limits.atr_ratio_max, "x")
    )


def funding_too_high(context: Context) -> Measure | None:
    """What the position would pay per interval; being paid is no reason to refuse."""
    rate = known(context.market.funding_rate)
    paid = None if rate is None else max(ZERO, rate * context.signal.side.sign * BPS)
    return at_most(paid, context.limits.funding_bps_max, "bps")


def data_gap(context: Context) -> Measure:
    """Candles are missing, so indicators lie."""
    return state(context.market.has_gap, "gaps", "candles are missing")


def venue_unhealthy(context: Context) -> Measure:
    """The venue does not answer as it should, so exits could not be relied on."""
    return state(not context.market.venue_healthy, "state", "the venue is unhealthy")


def news_window(context: Context) -> Measure | None:
    """Impact of the news or event whose window is open."""
    impact = context.market.news_impact
    rank = 0 if impact is None else NEWS_RANKS.get(impact, NEWS_RANKS["critical"])
    return at_most(rank, context.limits.news_impact_max, "rank", impact or "")


RULES: Mapping[Rule, Check] = {
    Rule.MISSING_QUOTE: missing_quote,
    Rule.EMPTY_BOOK: empty_book,
    Rule.THIN_BOOK: thin_book,
    Rule.SPREAD_TOO_WIDE: spread_too_wide,
    Rule.SLIPPAGE_TOO_HIGH: slippage_too_high,
    Rule.LIQUIDITY_TOO_LOW: liquidity_too_low,
    Rule.STALE_QUOTES: stale_quotes,
    Rule.STALE_CANDLES: stale_candles,
    Rule.PRICE_DEVIATION: price_deviation,
    Rule.VOLUME_TOO_LOW: volume_too_low,
    Rule.VOLATILITY_TOO_HIGH: volatility_too_high,
    Rule.FUNDING_TOO_HIGH: funding_too_high,
    Rule.DATA_GAP: data_gap,
    Rule.VENUE_UNHEALTHY: venue_unhealthy,
    Rule.NEWS_WINDOW: news_window,
}
