"""The judge approves only what lies inside every limit, and says exactly which order may leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import ROUND_UP, Decimal, localcontext
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.domain.errors import InvalidInput
from common.domain.market import Level, OrderBook
from common.domain.order import OrderRole, OrderSide, OrderType, client_order_id, entry_order_id
from common.domain.position import position_id
from common.domain.risk.book import Book, Exposure
from common.domain.risk.judge import judge, propose, reservation
from common.domain.risk.limits import PLATFORM_CEILINGS, PROFILES
from common.domain.risk.verdict import Approved, Rule, Veto
from common.domain.signal import ExitPlan, Side, Signal
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D


def test_an_approval_carries_the_one_order_and_what_it_holds() -> None:
    proposal = world.proposed()
    verdict = world.judged()
    assert isinstance(verdict, Approved)
    intent, held = verdict.intent, verdict.reservation
    order = entry_order_id(world.TENANT, world.ACCOUNT, world.SIGNAL.id)
    assert (intent.order_id, intent.position_id) == (order, position_id(order))
    assert intent.client_order_id == client_order_id("tw", order, OrderRole.ENTRY)
    assert (intent.type, intent.side, intent.role) == (OrderType.MARKET, OrderSide.BUY, OrderRole.ENTRY)
    assert (intent.quantity, intent.price, intent.leverage) == (proposal.quantity, proposal.price, 3)
    assert (intent.halt_epoch, intent.expires_at) == (7, world.SIGNAL.expires_at)
    assert held.notional == intent.quantity * intent.price * D("1.002")
    assert held.margin == held.notional / 3
    assert held.risk <= proposal.budget


def test_the_same_world_gives_the_same_verdict_bit_for_bit() -> None:
    assert world.judged() == world.judged()


def test_the_threads_own_rules_of_arithmetic_change_no_verdict() -> None:
    plain = (world.proposed(), world.judged())
    with localcontext(prec=9, rounding=ROUND_UP):
        assert (world.proposed(), world.judged()) == plain


def test_a_short_sells_below_and_stops_above() -> None:
    proposal = world.proposed(signal=world.SHORT_SIGNAL)
    assert proposal.side is OrderSide.SELL
    assert proposal.price == D("39999.5")
    assert proposal.quantity > 0


def test_the_plan_is_put_on_the_grid_with_the_stop_towards_the_entry() -> None:
    long = world.proposed(signal=world.plan(stop=D("39700.01"), target=D("40700.06")))
    short = world.proposed(signal=replace(world.SHORT_SIGNAL, exits=ExitPlan(D("40300.09"), D("39300.04"))))
    assert (long.exits.stop, long.exits.target) == (D("39700.1"), D("40700.1"))
    assert (short.exits.stop, short.exits.target) == (D("40300.0"), D("39300.0"))


def test_fractional_exits_are_drawn_from_the_price_of_the_entry() -> None:
    proposal = world.proposed(signal=world.plan(stop_fraction=D("0.01"), target_fraction=D("0.02")))
    terms_risk = proposal.quantity * (proposal.price - D("39600.4"))
    assert (proposal.price, proposal.exits.stop, proposal.exits.target) == (D("40000.5"), D("39600.4"), D("40800.6"))
    assert terms_risk < proposal.budget


def test_a_stop_fraction_of_everything_is_vetoed_and_not_raised() -> None:
    verdict = world.judged(signal=world.plan(stop_fraction=D("1.5")))
    assert isinstance(verdict, Veto)
    assert verdict.rule is Rule.NUMBER_NOT_FINITE


def test_hold_times_are_the_tighter_of_plan_and_limits() -> None:
    scalper = PROFILES["scalper"]
    long_plan = world.plan(max_hold=timedelta(hours=4), min_hold=timedelta(seconds=1))
    proposal = world.proposed(signal=long_plan, limits=scalper)
    assert (proposal.exits.max_hold, proposal.exits.min_hold) == (timedelta(minutes=5), timedelta(seconds=5))
    assert world.proposed().exits.max_hold is None


def test_a_large_order_is_priced_by_walking_the_book() -> None:
    thin = world.orders(quantity=D("0.05"), half_spread=D(2))
    limits = world.limits(liquidity_notional_min=None)
    proposal = world.proposed(market=world.market(book=thin), limits=limits)
    assert proposal.quantity > D("0.2")
    assert proposal.price > thin.asks[0].price
    assert proposal.price % world.INSTRUMENT.tick_size == 0
    assert isinstance(world.judged(market=world.market(book=thin), limits=limits), Approved)


def test_the_proposal_names_the_limit_that_capped_it() -> None:
    assert world.proposed(limits=world.limits(notional_max=D(500))).capped_by is Rule.NOTIONAL_EXCEEDS_LIMIT
    assert world.proposed(limits=world.limits(risk_fraction_max=D("0.001"))).capped_by is None


def test_a_stop_at_the_entry_has_no_payoff_and_is_vetoed() -> None:
    at_entry = world.plan(stop=D("40000.5"))
    verdict = world.judged(signal=at_entry, limits=world.limits(kelly_share_max=D("0.25")))
    assert isinstance(verdict, Veto)
    assert verdict.rule is Rule.STOP_ON_WRONG_SIDE


def test_another_accounts_book_is_refused() -> None:
    with pytest.raises(InvalidInput, match="account"):
        world.proposed(book=world.book(account_id=world.OTHER_ACCOUNT))


def test_nothing_is_reserved_on_unknown_terms() -> None:
    with pytest.raises(InvalidInput, match="terms"):
        reservation(None, D(1))


def test_without_any_quote_the_proposal_is_empty_and_still_on_the_grid() -> None:
    blind = world.proposed(
        signal=world.signal(price=D("40000.03")), market=world.market(book=None, last=None, mark=None)
    )
    assert (blind.quantity, blind.price) == (D(0), D("40000.1"))


money = st.decimals("0", "4000", places=2)
small = st.decimals("0", "60", places=2)
exposures = st.builds(
    lambda symbol, strategy, side, notional, margin, risk, mine: world.exposure(
        instrument=symbol,
        strategy=strategy,
        side=side,
        quantity=notional / 40000,
        notional=notional,
        margin=margin,
        risk=risk,
        account_id=world.ACCOUNT if mine else world.OTHER_ACCOUNT,
    ),
    st.sampled_from(["ETH/USDT:USDT", "SOL/USDT:USDT", "XRP/USDT:USDT", "ADA/USDT:USDT", world.SYMBOL]),
    st.sampled_from(["confluence", "other"]),
    st.sampled_from(Side),
    money,
    small,
    small,
    st.booleans(),
)
books = st.builds(
    lambda mid, spread, bids, asks: OrderBook(
        tuple(Level(mid - spread * (n + 1), q) for n, q in enumerate(bids)),
        tuple(Level(mid + spread * (n + 1), q) for n, q in enumerate(asks)),
        NOW,
    ),
    st.just(D(40000)),
    st.sampled_from([D("0.1"), D("0.5"), D(3), D(20)]),
    st.lists(st.decimals("0.01", "3", places=2), min_size=3, max_size=8),
    st.lists(st.decimals("0.01", "3", places=2), min_size=3, max_size=8),
)
limit_changes = st.fixed_dictionaries(
    {},
    optional={
        "risk_fraction_max": st.decimals("0.0005", "0.02", places=4),
        "entry_leverage_max": st.integers(1, 20),
        "notional_max": st.decimals("150", "20000", places=0),
        "btc_quantity_max": st.decimals("0.003", "1", places=3),
        "exposure_max": st.decimals("0.4", "5", places=1),
        "symbol_exposure_max": st.decimals("0.3", "2", places=1),
        "strategy_exposure_max": st.decimals("0.3", "3", places=1),
        "position_count_max": st.integers(2, 8),
        "positions_per_symbol_max": st.integers(1, 2),
        "correlated_count_max": st.integers(1, 3),
        "margin_use_max": st.decimals("0.3", "0.9", places=1),
        "slippage_bps_max": st.decimals("1", "20", places=1),
        "daily_loss_amount_max": st.decimals("300", "900", places=0),
        "liquidity_notional_min": st.none(),
    },
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    profile=st.sampled_from(["standard", "futures", "spot"]),
    changes=limit_changes,
    held=st.lists(exposures, max_size=3),
    orders=books,
    equity=st.decimals("5000", "60000", places=2),
    available=st.decimals("100", "60000", places=2),
    day_profit=st.decimals("-200", "600", places=2),
    confidence=st.decimals("0.3", "1", places=2),
    short=st.booleans(),
    distance=st.decimals("150", "1500", places=1),
)
def test_an_approved_order_crosses_no_limit_counted_independently(
    profile: str,
    changes: dict[str, Any],
    held: list[Exposure],
    orders: OrderBook,
    equity: Decimal,
    available: Decimal,
    day_profit: Decimal,
    confidence: Decimal,
    short: bool,
    distance: Decimal,
) -> None:
    limits = replace(PROFILES[profile], **changes, btc_liquidity_min=None)
    side = Side.SHORT if short else Side.LONG
    signal = world.signal(
        side=side,
        confidence=confidence,
        exits=ExitPlan(D(40000) - side.sign * distance, D(40000) + side.sign * distance * 3),
    )
    record = replace(world.RECORD, day_profit=day_profit, day_start_equity=equity, peak_equity=equity)
    book = world.book(equity=equity, available=available, exposures=tuple(held), record=record)
    verdict = world.judged(signal=signal, market=world.market(book=orders), book=book, limits=limits)
    crossed = crossings(verdict, signal, orders, book, limits) if isinstance(verdict, Approved) else []
    assert crossed == []


def crossings(verdict: Approved, signal: Signal, orders: OrderBook, book: Book, limits: Any) -> list[str]:
    """Every limit that the approved order crosses, worked out without the code under test."""
    intent, held = verdict.intent, [item for item in book.exposures if item.account_id == world.ACCOUNT]
    quantity, equity, far = intent.quantity, book.equity, orders.asks if signal.side is Side.LONG else orders.bids
    left, cost = quantity, D(0)
    for level in far:
        part = min(left, level.quantity)
        left, cost = left - part, cost + part * level.price
    notional, mid = cost, (orders.asks[0].price + orders.bids[0].price) / 2
    here = [item for item in held if item.instrument == world.SYMBOL]
    total = sum(item.notional for item in held)
    loss_at_stop = (abs(intent.price - signal.exits.stop) + D("0.0005") * (intent.price + signal.exits.stop)) * quantity
    lost = max(D(0), -book.record.day_profit) + sum(item.risk for item in held) + loss_at_stop
    margins = sum(item.margin for item in held) + notional / intent.leverage
    slip = abs(cost / quantity - mid) / mid * 10_000
    major = {"group": sum(item.instrument[:3] in {"BTC", "ETH", "BNB"} for item in held) + 1}
    allowed = {
        "size": (sum(item.quantity for item in here) + quantity, limits.btc_quantity_max),
        "depth": (left, D(0)),
        "notional": (notional, limits.notional_max),
        "multiple": (notional, limits.major_notional_equity_max * equity),
        "leverage": (intent.leverage, limits.major_leverage_max),
        "real leverage": (total + notional, limits.major_leverage_max * equity),
        "exposure": (total + notional, limits.exposure_max * equity),
        "symbol": (sum(item.notional for item in here) + notional, limits.symbol_exposure_max * equity),
        "strategy": (
            sum(item.notional for item in held if item.strategy == signal.strategy) + notional,
            limits.strategy_exposure_max * equity,
        ),
        "count": (len({(item.instrument, item.side) for item in held}) + 1, limits.position_count_max),
        "stack": (sum(item.side is signal.side for item in here), 0),
        "sides": (len({item.side for item in here}) + 1, limits.positions_per_symbol_max),
        "group": (major["group"], limits.correlated_count_max),
        "day": (lost, limits.daily_loss_max * equity),
        "day amount": (lost, limits.daily_loss_amount_max),
        "budget": (loss_at_stop, limits.risk_fraction_max * equity),
        "margin": (margins, limits.margin_use_max * equity),
        "available": (notional / intent.leverage + notional * D("0.0005"), book.available),
        "slippage": (slip, limits.slippage_bps_max),
    }
    over = [name for name, (measured, limit) in allowed.items() if limit is not None and measured > limit]
    return over + (["grid"] if quantity % world.INSTRUMENT.step_size else [])


ODD_PLACES: dict[str, Callable[[Decimal], dict[str, Any]]] = {
    "confidence": lambda odd: {"signal": world.signal(confidence=odd)},
    "price": lambda odd: {"signal": world.signal(price=odd)},
    "stop": lambda odd: {"signal": world.plan(stop=odd)},
    "target": lambda odd: {"signal": world.plan(target=odd)},
    "equity": lambda odd: {"book": world.book(equity=odd)},
    "available": lambda odd: {"book": world.book(available=odd)},
    "day_profit": lambda odd: {"book": world.record(day_profit=odd)},
    "peak_equity": lambda odd: {"book": world.record(peak_equity=odd)},
    "notional": lambda odd: {"book": world.book(exposures=(world.exposure(notional=odd),))},
    "margin": lambda odd: {"book": world.book(exposures=(world.exposure(margin=odd),))},
    "risk": lambda odd: {"book": world.book(exposures=(world.exposure(risk=odd),))},
    "step": lambda odd: {"market": world.instrument(step_size=odd)},
    "tick": lambda odd: {"market": world.instrument(tick_size=odd)},
}


@pytest.mark.parametrize("place", ODD_PLACES)
@pytest.mark.parametrize("odd", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_vetoed_as_such_wherever_it_stands(place: str, odd: str) -> None:
    verdict = world.judged(**ODD_PLACES[place](D(odd)))
    assert isinstance(verdict, Veto)
    assert verdict.rule is Rule.NUMBER_NOT_FINITE


@given(st.sampled_from(sorted(ODD_PLACES)), st.sampled_from(["0", "-1", "1e-9", "1e15", "39999.99"]))
def test_no_number_however_odd_makes_the_judge_raise(place: str, odd: str) -> None:
    assert world.judged(**ODD_PLACES[place](D(odd))) is not None


@given(st.sampled_from(["last", "mark", "funding_rate", "atr", "atr_median", "volume_ratio"]), st.booleans())
def test_a_market_of_numbers_that_are_none_never_makes_the_judge_raise(field: str, negative: bool) -> None:
    odd = {field: D("-Infinity") if negative else D("NaN")}
    assert world.judged(market=world.market(**odd)) is not None


def test_a_tenant_at_the_ceilings_still_cannot_cross_them() -> None:
    book = world.book(exposures=tuple(world.exposure(instrument=f"A{n}/USDT:USDT") for n in range(20)))
    verdict = world.judged(book=book, limits=replace(PLATFORM_CEILINGS, entry_leverage_max=50))
    assert isinstance(verdict, Veto)
    assert verdict.rule is Rule.POSITION_COUNT_EXCEEDS_LIMIT


def test_two_signals_have_two_orders_and_one_signal_has_one() -> None:
    again = judge(world.proposed(), world.SIGNAL, None, world.MARKET, world.BOOK, world.LIMITS, now=NOW)
    other = world.judged(signal=world.signal(id=UUID(int=77)))
    first = world.judged()
    assert isinstance(first, Approved)
    assert isinstance(again, Approved)
    assert isinstance(other, Approved)
    assert first.intent.order_id == again.intent.order_id != other.intent.order_id


def test_proposing_is_pure_of_the_order_prefix() -> None:
    proposal = propose(
        world.SIGNAL, world.ACCOUNT_ROW, world.MARKET, world.BOOK, world.LIMITS, now=NOW, order_prefix="zz"
    )
    assert replace(proposal, order_prefix="tw") == world.proposed()
