"""One ordinary world in which a standard entry is approved; tests change one thing at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.domain.advice import Advice, AdviceReason, AdviceVerdict, AdvisorFallback
from common.domain.market import Instrument, Level, MarketState, OrderBook
from common.domain.risk.book import Book, Environment, Exposure, Halt, HaltMode, HaltScope, Record, TradingState
from common.domain.risk.context import Context, Proposal, context_of
from common.domain.risk.judge import judge, propose
from common.domain.risk.limits import PROFILES, Limits
from common.domain.risk.verdict import Verdict
from common.domain.signal import ExitPlan, Side, Signal
from common.domain.tenant import Account

D = Decimal
NOW = datetime(2026, 3, 4, 12, 0, 2, tzinfo=UTC)
CLOSED = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
TENANT, ACCOUNT, OTHER_ACCOUNT = UUID(int=2), UUID(int=3), UUID(int=33)
SYMBOL = "BTC/USDT:USDT"

INSTRUMENT = Instrument(
    venue="simulator",
    symbol=SYMBOL,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=D("0.1"),
    step_size=D("0.001"),
    min_quantity=D("0.001"),
    max_quantity=D(1000),
    min_notional=D(100),
    max_leverage=125,
    maker_fee=D("0.0002"),
    taker_fee=D("0.0005"),
)
ALTERNATIVE = replace(INSTRUMENT, symbol="SOL/USDT:USDT", base="SOL", max_leverage=50)


def orders(
    *, mid: Decimal = D(40000), half_spread: Decimal = D("0.5"), quantity: Decimal = D(3), levels: int = 20
) -> OrderBook:
    """A book of equal levels, one half spread apart."""
    return OrderBook(
        tuple(Level(mid - half_spread * i, quantity) for i in range(1, levels + 1)),
        tuple(Level(mid + half_spread * i, quantity) for i in range(1, levels + 1)),
        NOW,
    )


MARKET = MarketState(
    instrument=INSTRUMENT,
    book=orders(),
    last=D(40000),
    mark=D(40000),
    quote_at=NOW,
    funding_rate=D("0.0001"),
    next_funding_at=NOW + timedelta(hours=4),
    atr=D(200),
    volume_ratio=D(1),
    candle_closed_at=CLOSED,
    atr_median=D(200),
)
SIGNAL = Signal(
    id=UUID(int=1),
    venue="simulator",
    instrument=SYMBOL,
    timeframe="5m",
    strategy="confluence",
    strategy_version="1",
    side=Side.LONG,
    confidence=D("0.7"),
    price=D(40000),
    exits=ExitPlan(stop=D(39700), target=D(40700)),
    reasons=("test",),
    features={},
    closed_at=CLOSED,
    expires_at=CLOSED + timedelta(minutes=2),
)
SHORT_SIGNAL = replace(SIGNAL, side=Side.SHORT, exits=ExitPlan(stop=D(40300), target=D(39300)))
ACCOUNT_ROW = Account(ACCOUNT, TENANT, "main", "simulator", Environment.PAPER, "standard")
RECORD = Record(day_start_equity=D(10000), peak_equity=D(10000))
BOOK = Book(
    tenant_id=TENANT,
    account_id=ACCOUNT,
    environment=Environment.PAPER,
    tenant_state=TradingState.ACTIVE,
    equity=D(10000),
    available=D(10000),
    exposures=(),
    record=RECORD,
    halts=(),
    halt_epoch=7,
    live_allowed=False,
    is_reconciled=True,
    quarantined=frozenset(),
    on_advisor_unavailable=AdvisorFallback.WAIT,
    advisor_required=False,
)
LIMITS = PROFILES["standard"]


def exposure(**changes: Any) -> Exposure:
    """A long of 1,000 USDT in another instrument, margin a third of it, 10 at risk."""
    held = Exposure("XRP/USDT:USDT", "other", Side.LONG, D(1000), D(1000), D(333), True, ACCOUNT, D(10))
    return replace(held, **changes)


def halt(scope: HaltScope, subject: str) -> Halt:
    """A halt of `scope` on `subject`."""
    return Halt(scope, subject, HaltMode.HALT_NEW, 8, "drill", NOW)


def advice(verdict: AdviceVerdict, **changes: Any) -> Advice:
    """A model's answer on SIGNAL."""
    answer = Advice(
        id=UUID(int=9),
        signal_id=SIGNAL.id,
        profile="default",
        verdict=verdict,
        reason=AdviceReason.TREND_ALIGNED,
        cause=None,
        p_target_first=D("0.6"),
        rationale="because",
        model="rules",
        prompt="",
        prompt_version="1",
        raw_answer="{}",
        latency_ms=900,
        tokens_in=1,
        tokens_out=1,
        cost_usd=D(0),
        occurred_at=NOW,
    )
    return replace(answer, **changes)


def limits(**changes: Any) -> Limits:
    """The standard profile with `changes`."""
    return replace(LIMITS, **changes)


def instrument(**changes: Any) -> MarketState:
    """The ordinary market of a changed instrument."""
    return replace(MARKET, instrument=replace(INSTRUMENT, **changes))


def market(**changes: Any) -> MarketState:
    """The ordinary market with `changes`."""
    return replace(MARKET, **changes)


def signal(**changes: Any) -> Signal:
    """The ordinary signal with `changes`."""
    return replace(SIGNAL, **changes)


def plan(**changes: Any) -> Signal:
    """The ordinary signal with a changed exit plan."""
    return replace(SIGNAL, exits=replace(SIGNAL.exits, **changes))


def book(**changes: Any) -> Book:
    """The ordinary book with `changes`."""
    return replace(BOOK, **changes)


def record(**changes: Any) -> Book:
    """The ordinary book with a changed record."""
    return replace(BOOK, record=replace(RECORD, **changes))


def proposed(
    signal: Signal = SIGNAL, market: MarketState = MARKET, book: Book = BOOK, limits: Limits = LIMITS
) -> Proposal:
    """What the ordinary account would do."""
    return propose(signal, ACCOUNT_ROW, market, book, limits, now=NOW, order_prefix="tw")


def judged(
    signal: Signal = SIGNAL,
    market: MarketState = MARKET,
    book: Book = BOOK,
    limits: Limits = LIMITS,
    advice: Advice | None = None,
    proposal: Proposal | None = None,
    now: datetime = NOW,
) -> Verdict:
    """The verdict on it."""
    entry = proposal or proposed(signal, market, book, limits)
    return judge(entry, signal, advice, market, book, limits, now=now)


def context(
    signal: Signal = SIGNAL,
    market: MarketState = MARKET,
    book: Book = BOOK,
    limits: Limits = LIMITS,
    advice: Advice | None = None,
    proposal: Proposal | None = None,
    now: datetime = NOW,
) -> Context:
    """The context of judging it."""
    entry = proposal or proposed(signal, market, book, limits)
    return context_of(entry, signal, advice, market, book, limits, now=now)
