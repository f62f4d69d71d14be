"""Each rule of risk lets through what it allows and vetoes, with its numbers, what lies just beyond."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from common.domain.advice import AdviceVerdict, AdvisorFallback
from common.domain.market import InstrumentStatus, Level
from common.domain.risk.book import Environment, HaltScope, TradingState
from common.domain.risk.judge import LEVELS, assessments
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Approved, Rule, Veto
from common.domain.signal import Side
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D, exposure

MS = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Case:
    """What to change in the ordinary world so that `rule` just passes, and so that it just fails."""

    rule: Rule
    passing: dict[str, Any]
    failing: dict[str, Any]


def halts(scope: HaltScope, subject: str) -> dict[str, Any]:
    return {"book": world.book(halts=(world.halt(scope, subject),))}


def holding(*held: Any, **changes: Any) -> dict[str, Any]:
    return {"book": world.book(exposures=held), "limits": world.limits(**changes)}


def other(number: int) -> Any:
    return exposure(instrument=f"A{number}/USDT:USDT", notional=D(100), margin=D(30), risk=D(1))


TENANT = str(world.TENANT)
HEDGED = {"instrument": world.SYMBOL, "side": Side.SHORT, "quantity": D("0.1")}
REQUIRED = {"advisor_required": True}
TECHNICAL = {"advisor_required": True, "on_advisor_unavailable": AdvisorFallback.TECHNICAL}

CASES = [
    Case(Rule.HALTED_PLATFORM, {}, halts(HaltScope.PLATFORM, "")),
    Case(Rule.HALTED_VENUE, halts(HaltScope.VENUE, "binance"), halts(HaltScope.VENUE, "simulator")),
    Case(Rule.HALTED_TENANT, halts(HaltScope.TENANT, "another"), halts(HaltScope.TENANT, TENANT)),
    Case(Rule.HALTED_STRATEGY, halts(HaltScope.STRATEGY, "other"), halts(HaltScope.STRATEGY, "confluence")),
    Case(
        Rule.HALTED_INSTRUMENT,
        halts(HaltScope.INSTRUMENT, "ETH/USDT:USDT"),
        halts(HaltScope.INSTRUMENT, world.SYMBOL),
    ),
    Case(Rule.TENANT_NOT_ACTIVE, {}, {"book": world.book(tenant_state=TradingState.REDUCING)}),
    Case(Rule.ACCOUNT_NOT_RECONCILED, {}, {"book": world.book(is_reconciled=False)}),
    Case(
        Rule.ENVIRONMENT_NOT_ALLOWED,
        {"book": world.book(environment=Environment.LIVE, live_allowed=True)},
        {"book": world.book(environment=Environment.LIVE, live_allowed=False)},
    ),
    Case(
        Rule.QUARANTINED,
        {"book": world.book(quarantined=frozenset({"ETH/USDT:USDT"}))},
        {"book": world.book(quarantined=frozenset({world.SYMBOL}))},
    ),
    Case(Rule.MISSING_QUOTE, {}, {"market": world.market(book=None)}),
    Case(
        Rule.EMPTY_BOOK,
        {"market": world.market(book=world.orders(levels=3))},
        {"market": world.market(book=replace(world.orders(), bids=()))},
    ),
    Case(
        Rule.THIN_BOOK,
        {"market": world.market(book=world.orders(levels=3))},
        {"market": world.market(book=world.orders(levels=2))},
    ),
    Case(
        Rule.SPREAD_TOO_WIDE,
        {"market": world.market(book=world.orders(half_spread=D(50)))},
        {"market": world.market(book=world.orders(half_spread=D("50.1")))},
    ),
    Case(
        Rule.SLIPPAGE_TOO_HIGH,
        {"limits": world.limits(slippage_bps_max=D("0.125"))},
        {"limits": world.limits(slippage_bps_max=D("0.124"))},
    ),
    Case(
        Rule.LIQUIDITY_TOO_LOW,
        {"limits": world.limits(liquidity_notional_min=D("599977.5"))},
        {"limits": world.limits(liquidity_notional_min=D("599977.6"))},
    ),
    Case(
        Rule.STALE_QUOTES,
        {"market": world.market(quote_at=NOW - 5 * SECOND)},
        {"market": world.market(quote_at=NOW - 5 * SECOND - MS)},
    ),
    Case(
        Rule.STALE_CANDLES,
        {"market": world.market(candle_closed_at=NOW - 420 * SECOND)},
        {"market": world.market(candle_closed_at=NOW - 420 * SECOND - MS)},
    ),
    Case(Rule.PRICE_DEVIATION, {"market": world.market(last=D(39801))}, {"market": world.market(last=D(39800))}),
    Case(
        Rule.VOLUME_TOO_LOW,
        {"market": world.market(volume_ratio=D("0.3"))},
        {"market": world.market(volume_ratio=D("0.29"))},
    ),
    Case(
        Rule.VOLATILITY_TOO_HIGH,
        {"market": world.market(atr=D(1600), atr_median=D(1600))},
        {"market": world.market(atr=D("1600.1"), atr_median=D(1600))},
    ),
    Case(
        Rule.FUNDING_TOO_HIGH,
        {"market": world.market(funding_rate=D("0.001"))},
        {"market": world.market(funding_rate=D("0.0011"))},
    ),
    Case(Rule.DATA_GAP, {}, {"market": world.market(has_gap=True)}),
    Case(Rule.VENUE_UNHEALTHY, {}, {"market": world.market(venue_healthy=False)}),
    Case(Rule.NEWS_WINDOW, {"market": world.market(news_impact="low")}, {"market": world.market(news_impact="high")}),
    Case(
        Rule.POSITION_SIZE_EXCEEDS_LIMIT,
        {"limits": world.limits(btc_quantity_max=D("0.003"))},
        {"limits": world.limits(btc_quantity_max=D("0.002"))},
    ),
    Case(
        Rule.NOTIONAL_EXCEEDS_LIMIT,
        {"limits": world.limits(notional_max=D(121))},
        {"limits": world.limits(notional_max=D(120))},
    ),
    Case(
        Rule.LEVERAGE_EXCEEDS_LIMIT,
        {"proposal": replace(world.proposed(), leverage=3)},
        {"proposal": replace(world.proposed(), leverage=4)},
    ),
    Case(
        Rule.EXPOSURE_EXCEEDS_LIMIT,
        holding(exposure(notional=D(19000)), exposure_max=D(2)),
        holding(exposure(notional=D(19900)), exposure_max=D(2)),
    ),
    Case(
        Rule.SYMBOL_EXPOSURE_EXCEEDS_LIMIT,
        holding(exposure(notional=D(9000), **HEDGED), positions_per_symbol_max=2),
        holding(exposure(notional=D(9900), **HEDGED), positions_per_symbol_max=2),
    ),
    Case(
        Rule.STRATEGY_EXPOSURE_EXCEEDS_LIMIT,
        holding(exposure(notional=D(19000), strategy="confluence")),
        holding(exposure(notional=D(19900), strategy="confluence")),
    ),
    Case(
        Rule.POSITION_COUNT_EXCEEDS_LIMIT,
        holding(*map(other, range(4))),
        holding(*map(other, range(5))),
    ),
    Case(
        Rule.DAILY_LOSS_EXCEEDS_LIMIT,
        {"book": world.record(day_profit=D("-490"))},
        {"book": world.record(day_profit=D("-500"))},
    ),
    Case(
        Rule.DRAWDOWN_EXCEEDS_LIMIT,
        {"book": world.record(peak_equity=D(11700))},
        {"book": world.record(peak_equity=D(11800))},
    ),
    Case(
        Rule.CONSECUTIVE_LOSSES_EXCEED_LIMIT,
        {"book": world.record(consecutive_losses=9)},
        {"book": world.record(consecutive_losses=10)},
    ),
    Case(
        Rule.WIN_RATE_BELOW_FLOOR,
        {"book": world.record(win_rate=D("0.25"), closed_trades=20)},
        {"book": world.record(win_rate=D("0.24"), closed_trades=20)},
    ),
    Case(
        Rule.SHARPE_BELOW_FLOOR,
        {"book": world.record(sharpe=D("-0.5"), closed_trades=20)},
        {"book": world.record(sharpe=D("-0.6"), closed_trades=20)},
    ),
    Case(
        Rule.COOLING_DOWN,
        {"book": world.record(cooling_until=NOW, cooling_reason="losses")},
        {"book": world.record(cooling_until=NOW + MS, cooling_reason="losses")},
    ),
    Case(
        Rule.SYMBOL_COOLING_DOWN,
        {"book": world.record(symbol_cooling_until={"ETH/USDT:USDT": NOW + MS})},
        {"book": world.record(symbol_cooling_until={world.SYMBOL: NOW + MS})},
    ),
    Case(Rule.MARGIN_EXCEEDS_LIMIT, holding(exposure(margin=D(7900))), holding(exposure(margin=D(7990)))),
    Case(Rule.BALANCE_TOO_LOW, {"book": world.book(available=D(41))}, {"book": world.book(available=D(40))}),
    Case(
        Rule.STACKED_POSITION,
        holding(exposure(notional=D(100))),
        holding(exposure(notional=D(100), instrument=world.SYMBOL)),
    ),
    Case(
        Rule.CORRELATED_POSITION,
        holding(exposure(), correlated_count_max=1),
        holding(exposure(instrument="ETH/USDT:USDT"), correlated_count_max=1),
    ),
    Case(
        Rule.ORDER_RATE_EXCEEDS_LIMIT,
        {"book": world.record(orders_last_minute=9, orders_last_hour=99)},
        {"book": world.record(orders_last_minute=10)},
    ),
    Case(
        Rule.EDGE_BELOW_COST,
        {"limits": world.limits(edge_margin_bps_min=D("50.9"))},
        {"limits": world.limits(edge_margin_bps_min=D(51))},
    ),
    Case(Rule.UNKNOWN_INSTRUMENT, {}, {"signal": world.signal(instrument="DOGE/USDT:USDT")}),
    Case(Rule.INSTRUMENT_NOT_TRADING, {}, {"market": world.instrument(status=InstrumentStatus.HALTED)}),
    Case(Rule.NUMBER_NOT_FINITE, {}, {"signal": world.signal(confidence=D("NaN"))}),
    Case(
        Rule.OFF_GRID,
        {"proposal": replace(world.proposed(), quantity=D("0.004"))},
        {"proposal": replace(world.proposed(), quantity=D("0.0045"))},
    ),
    Case(
        Rule.SIZE_TOO_SMALL,
        {"limits": world.limits(risk_fraction_max=D("0.000121"))},
        {"limits": world.limits(risk_fraction_max=D("0.000120"))},
    ),
    Case(
        Rule.STOP_ON_WRONG_SIDE,
        {"signal": world.plan(stop=D("40000.4"))},
        {"signal": world.plan(stop=D("40000.5"))},
    ),
    Case(
        Rule.TARGET_ON_WRONG_SIDE,
        {"signal": world.plan(target=D("40000.6")), "limits": world.limits(edge_margin_bps_min=None, reward_min=None)},
        {"signal": world.plan(target=D("40000.5")), "limits": world.limits(edge_margin_bps_min=None, reward_min=None)},
    ),
    Case(
        Rule.REWARD_TOO_SMALL,
        {"signal": world.plan(target=D("40361.1"))},
        {"signal": world.plan(target=D("40361.0"))},
    ),
    Case(
        Rule.SIGNAL_EXPIRED,
        {"signal": world.signal(expires_at=NOW + MS)},
        {"signal": world.signal(expires_at=NOW)},
    ),
    Case(Rule.PRICE_DRIFTED, {"signal": world.signal(price=D("39801.5"))}, {"signal": world.signal(price=D(39801))}),
    Case(
        Rule.CONFIDENCE_TOO_LOW,
        {"signal": world.signal(confidence=D("0.3"))},
        {"signal": world.signal(confidence=D("0.29"))},
    ),
    Case(
        Rule.ADVISOR_REJECTED,
        {"advice": world.advice(AdviceVerdict.CONFIRM)},
        {"advice": world.advice(AdviceVerdict.REJECT)},
    ),
    Case(
        Rule.ADVISOR_ABSTAINED,
        {"book": world.book(**REQUIRED), "advice": world.advice(AdviceVerdict.CONFIRM)},
        {"book": world.book(**REQUIRED), "advice": world.advice(AdviceVerdict.ABSTAIN)},
    ),
    Case(
        Rule.ADVISOR_UNAVAILABLE,
        {"book": world.book(**TECHNICAL), "advice": world.advice(AdviceVerdict.UNAVAILABLE)},
        {"book": world.book(**REQUIRED), "advice": world.advice(AdviceVerdict.UNAVAILABLE)},
    ),
]

LEVEL_OF = {rule: level for level, rules in LEVELS.items() for rule in rules}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.rule))
def test_what_a_rule_just_allows_is_approved(case: Case) -> None:
    verdict = world.judged(**case.passing)
    assert isinstance(verdict, Approved), verdict


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.rule))
def test_what_lies_just_beyond_is_vetoed_by_that_rule_with_numbers(case: Case) -> None:
    verdict = world.judged(**case.failing)
    assert isinstance(verdict, Veto), verdict
    assert (verdict.rule, verdict.level) == (case.rule, LEVEL_OF[case.rule]), verdict
    assert verdict.measured.is_finite()
    assert verdict.limit.is_finite()
    assert verdict.unit


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.rule))
def test_the_why_page_lists_every_rule_and_agrees_with_the_verdict(case: Case) -> None:
    verdict = world.judged(**case.failing)
    page = assessments(world.context(**case.failing))
    first = next(line for line in page if line.is_crossed)
    assert [line.rule for line in page] == [rule for rules in LEVELS.values() for rule in rules]
    assert (
        Veto(first.level, first.rule, first.measured or D(0), first.limit or D(0), first.unit, first.detail) == verdict
    )


def test_every_rule_has_its_case_and_its_place_in_one_level() -> None:
    in_levels = [rule for rules in LEVELS.values() for rule in rules]
    assert in_levels == list(Rule)
    assert [case.rule for case in CASES] == list(Rule)


MORE_VETOES: list[tuple[str, Rule, dict[str, Any]]] = [
    ("no last and no mark", Rule.MISSING_QUOTE, {"market": world.market(last=None, mark=None)}),
    (
        "a crossed book",
        Rule.MISSING_QUOTE,
        {"market": world.market(book=replace(world.orders(), bids=(Level(D(40001), D(3)),) * 3))},
    ),
    (
        "a book of numbers that are none",
        Rule.MISSING_QUOTE,
        {"market": world.market(book=replace(world.orders(), asks=(Level(D("NaN"), D(3)),) * 3))},
    ),
    ("a quote from the future", Rule.STALE_QUOTES, {"market": world.market(quote_at=NOW + 6 * SECOND)}),
    (
        "a short book",
        Rule.SLIPPAGE_TOO_HIGH,
        {
            "market": world.market(book=world.orders(quantity=D("0.0001"))),
            "limits": world.limits(liquidity_notional_min=None),
        },
    ),
    ("too little BTC in the book", Rule.LIQUIDITY_TOO_LOW, {"limits": world.limits(btc_liquidity_min=D("15.1"))}),
    (
        "an ATR far over its median",
        Rule.VOLATILITY_TOO_HIGH,
        {"market": world.market(atr=D(401), atr_median=D(100))},
    ),
    ("news of a kind we do not know", Rule.NEWS_WINDOW, {"market": world.market(news_impact="apocalyptic")}),
    (
        "more than the venue takes in one order",
        Rule.POSITION_SIZE_EXCEEDS_LIMIT,
        {"market": world.instrument(max_quantity=D("0.002"))},
    ),
    (
        "an account already levered to its limit",
        Rule.LEVERAGE_EXCEEDS_LIMIT,
        {"book": world.book(exposures=(exposure(notional=D(29950)),))},
    ),
    (
        "more leverage than the venue gives",
        Rule.LEVERAGE_EXCEEDS_LIMIT,
        {"market": world.instrument(max_leverage=2), "proposal": replace(world.proposed(), leverage=3)},
    ),
    (
        "a multiple of equity for an alternative",
        Rule.NOTIONAL_EXCEEDS_LIMIT,
        {"market": world.instrument(base="SOL"), "limits": world.limits(notional_equity_max=D("0.01"))},
    ),
    (
        "a day's loss that open stops could complete",
        Rule.DAILY_LOSS_EXCEEDS_LIMIT,
        {"book": world.book(exposures=(exposure(risk=D(499)),))},
    ),
    (
        "a day's loss in money",
        Rule.DAILY_LOSS_EXCEEDS_LIMIT,
        {"book": world.record(day_profit=D(-150)), "limits": world.limits(daily_loss_amount_max=D(150))},
    ),
    (
        "the opposite direction where one position a symbol is the limit",
        Rule.STACKED_POSITION,
        {"book": world.book(exposures=(exposure(notional=D(100), **HEDGED | {"quantity": D("0.001")}),))},
    ),
    (
        "a balance that our own reservations have spent before the venue knows",
        Rule.BALANCE_TOO_LOW,
        {"book": world.book(exposures=(exposure(margin=D(9990)),)), "limits": world.limits(margin_use_max=None)},
    ),
    ("too many orders an hour", Rule.ORDER_RATE_EXCEEDS_LIMIT, {"book": world.record(orders_last_hour=100)}),
    (
        "an ATR that cannot pay the costs where there is no target",
        Rule.EDGE_BELOW_COST,
        {"signal": world.plan(target=None), "market": world.market(atr=D(10), atr_median=None)},
    ),
    ("a stop that is no number", Rule.NUMBER_NOT_FINITE, {"signal": world.plan(stop=D("NaN"))}),
    ("an endless equity", Rule.NUMBER_NOT_FINITE, {"book": world.book(equity=D("Infinity"))}),
    ("a price of zero", Rule.NUMBER_NOT_FINITE, {"signal": world.signal(price=D(0))}),
    (
        "a negative quantity",
        Rule.NUMBER_NOT_FINITE,
        {"proposal": replace(world.proposed(), quantity=D("-0.003"))},
    ),
    ("no answer where one is required", Rule.ADVISOR_UNAVAILABLE, {"book": world.book(**REQUIRED)}),
    (
        "an answer about another signal",
        Rule.ADVISOR_UNAVAILABLE,
        {"book": world.book(**REQUIRED), "advice": world.advice(AdviceVerdict.CONFIRM, signal_id=world.TENANT)},
    ),
    (
        "a rejection nobody required",
        Rule.ADVISOR_REJECTED,
        {"advice": world.advice(AdviceVerdict.REJECT, reason=None)},
    ),
    ("a ruined account", Rule.NOTIONAL_EXCEEDS_LIMIT, {"book": world.book(equity=D(-5), available=D(0))}),
]


@pytest.mark.parametrize(("rule", "changes"), [row[1:] for row in MORE_VETOES], ids=[row[0] for row in MORE_VETOES])
def test_a_further_way_to_be_vetoed(rule: Rule, changes: dict[str, Any]) -> None:
    verdict = world.judged(**changes)
    assert isinstance(verdict, Veto), verdict
    assert verdict.rule is rule, verdict


MORE_APPROVALS: list[tuple[str, dict[str, Any]]] = [
    ("a day's profit is no loss", {"book": world.record(day_profit=D(9000))}),
    ("being paid funding", {"market": world.market(funding_rate=D("-0.05"))}),
    (
        "what another account of the tenant holds",
        {"book": world.book(exposures=(exposure(account_id=world.OTHER_ACCOUNT, notional=D(10**6), margin=D(10**6)),))},
    ),
    ("rates below the minimum sample", {"book": world.record(win_rate=D(0), sharpe=D(-9), closed_trades=19)}),
    (
        "unknown volume, volatility and funding",
        {"market": world.market(volume_ratio=None, atr=None, funding_rate=None)},
    ),
    ("numbers that are none count as unknown", {"market": world.market(volume_ratio=D("NaN"), atr=D("Infinity"))}),
    ("no last but a mark", {"market": world.market(last=None)}),
    ("a quote that only its book dates", {"market": world.market(quote_at=None)}),
    ("no news of the newest candle but the signal's", {"market": world.market(candle_closed_at=None)}),
    ("no target but a trailing stop", {"signal": world.plan(target=None, trail_distance=D(200))}),
    (
        "neither target nor ATR to measure an edge by",
        {"signal": world.plan(target=None), "market": world.market(atr=None)},
    ),
    ("an unrequired model that abstains", {"advice": world.advice(AdviceVerdict.ABSTAIN)}),
    ("an unrequired model that is away", {"advice": world.advice(AdviceVerdict.UNAVAILABLE)}),
    ("a median that is none", {"market": world.market(atr_median=D(0))}),
    (
        "a reduction of parts: one entry, partly filled, counts once",
        {
            "book": world.book(
                exposures=tuple(
                    exposure(notional=D(50), margin=D(17), risk=D(1), is_position=flag) for flag in (True, False)
                )
            ),
            "limits": world.limits(position_count_max=2),
        },
    ),
    ("a short", {"signal": world.SHORT_SIGNAL}),
    ("an account in its first day", {"book": world.record(day_start_equity=D(0), peak_equity=D(0))}),
    (
        "a profile with every optional limit off",
        {"limits": Limits(risk_fraction_max=D("0.01"))},
    ),
]


@pytest.mark.parametrize("changes", [row[1] for row in MORE_APPROVALS], ids=[row[0] for row in MORE_APPROVALS])
def test_what_is_no_reason_to_refuse(changes: dict[str, Any]) -> None:
    verdict = world.judged(**changes)
    assert isinstance(verdict, Approved), verdict


def test_a_higher_level_speaks_before_a_lower_one() -> None:
    everything_wrong = {
        "signal": world.signal(confidence=D("0.1")),
        "market": world.market(book=None),
        "book": replace(
            world.record(consecutive_losses=50), halts=(world.halt(HaltScope.PLATFORM, ""),), advisor_required=True
        ),
    }
    crossed = [line.level for line in assessments(world.context(**everything_wrong)) if line.is_crossed]
    verdict = world.judged(**everything_wrong)
    assert isinstance(verdict, Veto)
    assert verdict.rule is Rule.HALTED_PLATFORM
    assert crossed == sorted(crossed)
    assert set(crossed) == set(LEVELS)


def test_without_a_book_every_rule_that_reads_it_fails_closed() -> None:
    page = assessments(world.context(market=world.market(book=None, quote_at=None)))
    crossed = {line.rule for line in page if line.is_crossed}
    assert crossed == {
        Rule.MISSING_QUOTE,
        Rule.EMPTY_BOOK,
        Rule.THIN_BOOK,
        Rule.SPREAD_TOO_WIDE,
        Rule.SLIPPAGE_TOO_HIGH,
        Rule.LIQUIDITY_TOO_LOW,
        Rule.STALE_QUOTES,
        Rule.PRICE_DEVIATION,
        Rule.EDGE_BELOW_COST,
        Rule.SIZE_TOO_SMALL,
    }


def test_transit_widens_ages_and_nothing_else() -> None:
    late = world.market(quote_at=NOW - 60 * SECOND)
    context = world.context(market=late)
    slow = replace(context, transit=55 * SECOND)
    crossed = [line.rule for line in assessments(context) if line.is_crossed]
    assert crossed == [Rule.STALE_QUOTES]
    assert not [line.rule for line in assessments(slow) if line.is_crossed]
