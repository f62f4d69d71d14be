"""The judge: what an account would do about a signal, and whether it may; five levels, the first veto wins.

There is no judge for exits, on purpose: entry gates never apply to them. A reduce-only order needs no approval, whatever
the spread, the news, the halt or the model says (trap 13).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from common.domain import sizing
from common.domain.advice import Advice
from common.domain.errors import InvalidInput
from common.domain.market import Instrument, MarketState, OrderBook, walk
from common.domain.money import ZERO, ceil_to, exactly, floor_to, round_to
from common.domain.order import (
    OrderIntent,
    OrderRole,
    OrderType,
    client_order_id,
    entry_order_id,
    side_of,
)
from common.domain.position import position_id
from common.domain.risk import advice as advice_level
from common.domain.risk import forbidden, kill_switch, rulebook, sanity
from common.domain.risk.book import Book
from common.domain.risk.caps import Terms, terms_of
from common.domain.risk.context import Check, Context, Measure, Proposal, context_of, flaws_of, known, usable_orders
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Approved, Level, Reservation, Rule, Verdict
from common.domain.signal import ExitPlan, Side, Signal
from common.domain.tenant import Account

__all__ = ["LEVELS", "Assessment", "Proposal", "assessments", "context_of", "judge", "propose"]

LEVELS: Mapping[Level, Mapping[Rule, Check]] = {
    Level.KILL_SWITCH: kill_switch.RULES,
    Level.FORBIDDEN: forbidden.RULES,
    Level.RULEBOOK: rulebook.RULES,
    Level.SANITY: sanity.RULES,
    Level.ADVICE: advice_level.RULES,
}
"""Every rule in the order in which it is asked."""

_NEEDS_NUMBERS = frozenset(rulebook.RULES) | frozenset(sanity.RULES) - {
    Rule.UNKNOWN_INSTRUMENT,
    Rule.INSTRUMENT_NOT_TRADING,
    Rule.NUMBER_NOT_FINITE,
    Rule.SIGNAL_EXPIRED,
}
"""Rules that compute with the proposal: where a number is none they say nothing and NUMBER_NOT_FINITE vetoes."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """One line of the why page: a rule, what it measured against which limit; both None when it was not measured."""

    level: Level
    rule: Rule
    measured: Decimal | None
    limit: Decimal | None
    unit: str
    is_crossed: bool
    detail: str


@exactly
def propose(
    signal: Signal,
    account: Account,
    market: MarketState,
    book: Book,
    limits: Limits,
    *,
    now: datetime,
    order_prefix: str,
) -> Proposal:
    """The entry that `account` would make on `signal`: side, size, leverage, price and exits, on the venue's grid.

    Pure, and never raises for a bad market: where quote or numbers are unusable the quantity is 0 and the judges say why.
    Raises InvalidInput when `book` is another account's.
    """
    if (account.tenant_id, account.id) != (book.tenant_id, book.account_id):
        raise InvalidInput("account", account.id, f"the account of the book, {book.account_id}")
    draft = Proposal(
        tenant_id=account.tenant_id,
        account_id=account.id,
        signal_id=signal.id,
        side=side_of(signal.side, OrderRole.ENTRY),
        quantity=ZERO,
        price=_reference(signal, market),
        leverage=1,
        exits=signal.exits,
        budget=ZERO,
        capped_by=None,
        order_prefix=order_prefix,
        proposed_at=now,
    )
    if flaws_of(signal, market, book):
        return draft
    exits = _exits(signal, market.instrument, limits)
    orders = usable_orders(market)
    return (
        dataclasses.replace(draft, exits=exits, price=_on_tick(draft.price, signal.side, market.instrument))
        if orders is None
        else _sized(dataclasses.replace(draft, exits=exits), signal, market, orders, book, limits)
    )


def _reference(signal: Signal, market: MarketState) -> Decimal:
    return known(market.last) or known(market.mark) or signal.price


def _on_tick(price: Decimal, side: Side, instrument: Instrument) -> Decimal:
    """`price` on the tick, rounded against us."""
    step = instrument.tick_size
    return ceil_to(price, step) if side is Side.LONG else max(step, floor_to(price, step))


def _exits(signal: Signal, instrument: Instrument, limits: Limits) -> ExitPlan:
    """The signal's plan on the venue's grid, the stop rounded towards the entry, hold times inside the limits.

    Fractional stops and targets are drawn again from the price of the entry, once that is known.
    """
    plan, tick = signal.exits, instrument.tick_size
    holds = [hold for hold in (plan.max_hold, limits.hold_max) if hold is not None]
    least = [hold for hold in (plan.min_hold, limits.hold_min) if hold is not None]
    return dataclasses.replace(
        plan,
        stop=ceil_to(plan.stop, tick) if signal.side is Side.LONG else max(tick, floor_to(plan.stop, tick)),
        target=None if plan.target is None else max(tick, round_to(plan.target, tick)),
        max_hold=min(holds, default=None),
        min_hold=max(least, default=None),
    )


def _sized(
    draft: Proposal, signal: Signal, market: MarketState, orders: OrderBook, book: Book, limits: Limits
) -> Proposal:
    """Size at the best price, price that size by walking the book, and size again at that worse price."""
    instrument, levels = market.instrument, sizing.takes(orders, signal.side)
    best = _on_tick(levels[0].price, signal.side, instrument)
    first = _at(best, draft, signal, market, orders, book, limits)
    average, _ = walk(levels, first.quantity)
    expected = _on_tick(average, signal.side, instrument) if first.quantity else best
    return first if expected == best else _at(expected, draft, signal, market, orders, book, limits)


def _at(
    price: Decimal,
    draft: Proposal,
    signal: Signal,
    market: MarketState,
    orders: OrderBook,
    book: Book,
    limits: Limits,
) -> Proposal:
    instrument = market.instrument
    exits = draft.exits.drawn_from(price, signal.side, instrument.tick_size)
    stop, target = exits.stop, exits.target
    leverage = sizing.leverage_for(instrument, price, stop, limits)
    terms = terms_of(instrument, signal.strategy, price, stop, leverage, limits)
    payoff = None if target is None or price == stop else abs(target - price) / abs(price - stop)
    fraction = sizing.risk_fraction(limits, signal.confidence, book.record.win_rate, payoff)
    budget = max(ZERO, book.equity) * fraction * sizing.news_share(market.news_impact)
    room = sizing.room(book, limits, terms, signal.side, orders)
    wanted = sizing.fixed_fraction(budget, terms.unit_risk)
    return dataclasses.replace(
        draft,
        price=price,
        exits=exits,
        leverage=leverage,
        budget=budget,
        quantity=sizing.size(budget, terms, room),
        capped_by=room.binding if room.quantity < wanted else None,
    )


@exactly
def judge(
    proposal: Proposal,
    signal: Signal,
    advice: Advice | None,
    market: MarketState,
    book: Book,
    limits: Limits,
    *,
    now: datetime,
    transit: timedelta = timedelta(0),
) -> Verdict:
    """Approved with intent and reservation, or the first Veto of the five levels, in order.

    `transit` is added to allowed ages: the venue time that a request takes where the venue's clock runs faster than life;
    zero otherwise. Exits are not judged, see the module.
    """
    context = context_of(proposal, signal, advice, market, book, limits, now=now, transit=transit)
    for level, checks in LEVELS.items():
        for rule, check in checks.items():
            measure = _measure(context, rule, check)
            if measure is not None and measure.is_crossed:
                return measure.veto(level, rule)
    return _approved(context)


def assessments(context: Context) -> list[Assessment]:
    """Every rule with what it measured, those that passed too; in the order of judging."""
    return [
        _assessment(level, rule, _measure(context, rule, check))
        for level, checks in LEVELS.items()
        for rule, check in checks.items()
    ]


def _measure(context: Context, rule: Rule, check: Check) -> Measure | None:
    return None if context.flaws and rule in _NEEDS_NUMBERS else check(context)


def _assessment(level: Level, rule: Rule, measure: Measure | None) -> Assessment:
    if measure is None:
        return Assessment(level, rule, None, None, "", False, "not measured: no limit is set or nothing is known")
    return Assessment(level, rule, measure.measured, measure.limit, measure.unit, measure.is_crossed, measure.detail)


def _approved(context: Context) -> Approved:
    proposal, signal, book = context.proposal, context.signal, context.book
    order_id = entry_order_id(proposal.tenant_id, proposal.account_id, signal.id)
    intent = OrderIntent(
        order_id=order_id,
        tenant_id=proposal.tenant_id,
        account_id=proposal.account_id,
        venue=signal.venue,
        instrument=signal.instrument,
        role=OrderRole.ENTRY,
        side=proposal.side,
        type=OrderType.MARKET,
        quantity=proposal.quantity,
        price=proposal.price,
        trigger_price=None,
        client_order_id=client_order_id(proposal.order_prefix, order_id, OrderRole.ENTRY),
        signal_id=signal.id,
        position_id=position_id(order_id),
        leverage=proposal.leverage,
        halt_epoch=book.halt_epoch,
        expires_at=signal.expires_at,
    )
    return Approved(intent, reservation(context.terms, proposal.quantity))


def reservation(terms: Terms | None, quantity: Decimal) -> Reservation:
    """What `quantity` on `terms` holds of the limits: notional and margin at the worst accepted price, risk at the stop."""
    if terms is None:
        raise InvalidInput("terms", None, "the terms of an entry whose numbers are all finite")
    notional = terms.worst_price * quantity
    return Reservation(notional, notional / terms.leverage, terms.unit_risk * quantity)
