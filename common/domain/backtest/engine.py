"""The engine: signals of every bar at once, then only the moments at which something happens, in the order of time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import numpy as np

from common.domain import features as feature_room
from common.domain import sizing
from common.domain.advice import Advice
from common.domain.backtest.account import Held, Ledger, backtest_account
from common.domain.backtest.clearance import (
    MARGIN,
    Asked,
    Bounds,
    Cleared,
    Grid,
    Stacked,
    Standing,
    clear,
    clear_markets,
    rates_are_clear,
)
from common.domain.backtest.counsel import Counsel
from common.domain.backtest.leaving import Ahead, Leaving, find_leaving, look_ahead
from common.domain.backtest.market import Assumptions, BacktestMarket, Bars, moment
from common.domain.errors import InvalidInput
from common.domain.indicators.series import Series
from common.domain.market import EPOCH, MarketState
from common.domain.money import ONE, ZERO, round_to
from common.domain.position import Position
from common.domain.risk.book import Book
from common.domain.risk.judge import Assessment, Proposal, assessments, context_of, judge, propose
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Approved, Level, Rule, Verdict, Veto
from common.domain.signal import ExitPlan, LateId, Side, Signal, signal_id
from common.domain.strategies import Entries, Strategy, signal_at
from common.domain.strategies.base import CONFIDENCE_STEP, Holds, exact, exit_plan

ORDER_PREFIX = "bt"

DAY_MS = 86_400_000
_A_MOMENT = timedelta(microseconds=1)

FILLED, VETOED, EXPIRED, UNFILLED = "filled", "vetoed", "expired", "unfilled"

STACKED = "one in this direction is held or on its way"


@dataclass(frozen=True, slots=True)
class Setup:
    """A backtest: which strategies on which markets, with how much, inside which limits and assumptions.

    What is wanted at one moment is judged in the order of `markets`, and in each of them in that of `strategies`.
    Signals are taken from bars that open at or after `start` (None: from the first); earlier candles warm up. A signal
    whose next open comes `expires_in` or more after its close has expired. With `counsel` entries want the model's
    confirmation, and its recorded answers are heard.
    """

    markets: tuple[BacktestMarket, ...]
    strategies: tuple[Strategy, ...]
    limits: Limits
    equity: Decimal
    assumptions: Assumptions = field(default_factory=Assumptions)
    expires_in: timedelta = timedelta(minutes=5)
    start: datetime | None = None
    profile: str = "backtest"
    counsel: Counsel | None = None


class Decided(NamedTuple):
    """What became of one signal: `outcome` is filled, vetoed (see `veto`), expired or unfilled."""

    market: int
    strategy: int
    bar: int
    outcome: str
    veto: Veto | None = None
    quantity: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Result:
    """Everything a backtest did; positions in the order in which they were closed, decisions in that of their signals.

    `unanswered` counts the signals of which counsel had no answer; 0 without counsel.
    """

    setup: Setup
    positions: tuple[Position, ...]
    decisions: tuple[Decided, ...]
    final_equity: Decimal
    breaker_trips: int
    judged: int
    unanswered: int = 0

    @property
    def outcomes(self) -> dict[str, int]:
        """How many signals had each outcome; vetoes by rule as `vetoed:<rule>`."""
        names = (f"vetoed:{item.veto.rule}" if item.veto else item.outcome for item in self.decisions)
        return dict(sorted(Counter(names).items()))

    def signal(self, decided: Decided) -> Signal:
        """The signal that `decided` is about, as the fleet would have raised it."""
        return _signal(self.setup, _prepared(self.setup), decided)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A strategy's entries on a market, with what is asked of them again and again.

    `shares` are the fractions of equity that each of `bars` is worth risking, `ahead` what lies ahead of an entry on it.
    """

    market: int
    strategy: int
    features: dict[str, Series]
    entries: Entries
    bars: Bars
    is_clear: list[bool]
    shares: list[float]
    holds: Holds
    ahead: list[Ahead]


@dataclass(slots=True)
class Witness:
    """Keeps what the judges saw of the signals `wanted`, each (market, strategy, bar)."""

    wanted: frozenset[tuple[int, int, int]]
    seen: dict[tuple[int, int, int], Trial] = field(default_factory=dict)


class Trial(NamedTuple):
    """Everything a verdict followed from."""

    signal: Signal
    advice: Advice | None
    proposal: Proposal
    market: MarketState
    book: Book
    limits: Limits
    now: datetime
    verdict: Verdict

    def assessments(self) -> list[Assessment]:
        """Every rule with what it measured, those that passed too."""
        context = context_of(self.proposal, self.signal, self.advice, self.market, self.book, self.limits, now=self.now)
        return assessments(context)


def run(setup: Setup, *, judge_all: bool = False, witness: Witness | None = None) -> Result:
    """The backtest of `setup`. With `judge_all` every entry goes through the full judge: same result, more slowly.

    `witness` is told what the judges saw. Raises InvalidInput when there is nothing to run.
    """
    if not setup.markets or not setup.strategies:
        raise InvalidInput("backtest", "empty", "at least one market and one strategy")
    return _Run(setup, _prepared(setup), judge_all, witness).result()


def _prepared(setup: Setup) -> dict[tuple[int, int], Prepared]:
    found: dict[tuple[int, int], Prepared] = {}
    names = sorted({name for strategy in setup.strategies for name in strategy.features})
    for number, market in enumerate(setup.markets):
        values = feature_room.compute(names, market.columns)
        for place, strategy in enumerate(setup.strategies):
            entries = strategy.evaluate(values, market.columns)
            bars = _candidates(setup, market, entries)
            fine = clear_markets(market, entries, bars, setup.limits, setup.assumptions)
            found[number, place] = Prepared(
                number,
                place,
                values,
                entries,
                bars,
                fine.tolist(),
                _shares(entries.confidence[bars], setup.limits),
                _holds(entries, setup.limits),
                look_ahead(market, entries, bars, setup.assumptions),
            )
    return found


def _candidates(setup: Setup, market: BacktestMarket, entries: Entries) -> Bars:
    bars = np.flatnonzero(entries.side)
    # There is no bar after the last to fill in, and the position could only be closed where it was opened.
    bars = bars[bars < len(market) - 2]
    if setup.start is None:
        return bars
    first = round((setup.start - EPOCH) / timedelta(milliseconds=1))
    return bars[market.columns.opened_at[bars] >= first]


def _shares(confidences: Series, limits: Limits) -> list[float]:
    """Of the confidences as signals state them; most strategies have few different ones."""
    shares = {value: _share(value, limits) for value in set(confidences.tolist())}
    return [shares[value] for value in confidences.tolist()]


def _share(confidence: float, limits: Limits) -> float:
    stated = round_to(exact(min(max(confidence, 0.0), 1.0)), CONFIDENCE_STEP)
    return float(sizing.risk_fraction(limits, stated, None, None))


def _holds(entries: Entries, limits: Limits) -> Holds:
    """(longest, least) time that a position is held, as a proposal within `limits` has them."""
    longest = [hold for hold in (entries.max_hold, limits.hold_max) if hold is not None]
    return min(longest, default=None), limits.hold_min


def _signal(setup: Setup, prepared: dict[tuple[int, int], Prepared], decided: Decided) -> Signal:
    market, strategy = setup.markets[decided.market], setup.strategies[decided.strategy]
    item = prepared[decided.market, decided.strategy]
    found = signal_at(
        strategy,
        market.instrument,
        market.instrument.venue,
        market.columns.timeframe,
        item.features,
        market.columns,
        decided.bar,
        candle_closed_at=market.closed_at(decided.bar),
        expires_in=setup.expires_in,
        entries=item.entries,
    )
    if found is None:
        raise InvalidInput("decision", decided.bar, "a bar on which the strategy has a signal")
    return found


class Approval(NamedTuple):
    """An entry that may be filled: how much, and on which plan."""

    quantity: Decimal
    leverage: int
    exits: ExitPlan


class Marks:
    """The last close of every market at any moment, looked up without searching."""

    def __init__(self, markets: tuple[BacktestMarket, ...]) -> None:
        self.step = min(market.step_ms for market in markets)
        starts = [int(market.columns.opened_at[0]) for market in markets if len(market)]
        ends = [int(market.columns.opened_at[-1]) + market.step_ms for market in markets if len(market)]
        self.start = min(starts, default=0)
        count = (max(ends, default=0) - self.start) // self.step + 1
        self.closes = [self._closes(market, count).data for market in markets]

    def _closes(self, market: BacktestMarket, count: int) -> Series:
        if not len(market):
            return np.empty(0)
        places = -((self.start - market.columns.opened_at - market.step_ms) // self.step)
        # From the place of its close on a bar is the last that has closed, until the place of the next.
        lasts = np.diff(places, append=count)
        return np.concatenate((np.full(int(places[0]), np.nan), np.repeat(market.columns.close, lasts)))

    def at(self, market: int, at_ms: int) -> float:
        """Close of the last bar of `market` that had closed at `at_ms`; NaN before the first."""
        return self.closes[market][self.place(at_ms)]

    def place(self, at_ms: int) -> int:
        """Where `at_ms` lies in every market's closes."""
        return (at_ms - self.start) // self.step


class _Run:
    def __init__(
        self, setup: Setup, prepared: dict[tuple[int, int], Prepared], judge_all: bool, witness: Witness | None
    ) -> None:
        self.setup = setup
        self.witness = witness
        self.prepared = prepared
        self.judge_all = judge_all
        self.venue = setup.markets[0].instrument.venue
        self.ledger = Ledger(backtest_account(self.venue, setup.profile), setup.equity, setup.limits)
        self.marks = Marks(setup.markets)
        self.bounds = Bounds.of(setup.limits)
        self.endings: list[tuple[int, int, int, Held, Leaving]] = []
        self.positions: list[Position] = []
        self.decisions: list[Decided] = []
        self.held_in: list[list[Held]] = [[] for _ in setup.markets]
        self.judged = 0
        self.unanswered = 0
        self.pairs = 0
        self.has_clear_rates = True
        self.grids = [Grid.of(market, setup.limits) for market in setup.markets]
        self.frames = [str(market.columns.timeframe) for market in setup.markets]
        self.versions = [strategy.version for strategy in setup.strategies]

    def result(self) -> Result:
        for at_ms, number, place, order in _moments(self.setup, self.prepared):
            self.settle(at_ms)
            self.decide(at_ms, self.prepared[number, place], order)
        self.settle(None)
        ledger = self.ledger
        return Result(
            self.setup,
            tuple(self.positions),
            tuple(self.decisions),
            ledger.wallet,
            ledger.trips,
            self.judged,
            self.unanswered,
        )

    def settle(self, until_ms: int | None) -> None:
        """Everything that ended before `until_ms`: in a bar that closes then, but not at the open that follows."""
        while self.endings and (until_ms is None or self.endings[0][:2] <= (until_ms, 0)):
            at_ms, _, _, held, leaving = heapq.heappop(self.endings)
            self.leave(at_ms, held, leaving)

    def leave(self, at_ms: int, held: Held, leaving: Leaving) -> None:
        market, now, ledger = self.setup.markets[held.market], moment(at_ms), self.ledger
        fee = leaving.price * held.quantity * held.instrument.taker_fee
        funding = market.funding_paid(held.side, held.quantity, held.opened_ms, at_ms)
        closed = held.closed(leaving.price, fee, funding, leaving.reason, now)
        here = self.held_in[held.market]
        here.remove(held)
        self.pairs -= held.side not in [other.side for other in here]
        # What ends within the last candle of a day ends in that day.
        day, day_ms = (now, at_ms) if leaving.at_open else (now - _A_MOMENT, at_ms - 1)
        if ledger.is_new_day(day):
            self.begin_day(day_ms, day)
        ledger.close(held, closed, now)
        # Within a bar nobody knows yet where it closes: what else is held is worth what it was at the close before.
        marked_ms = at_ms if leaving.at_open else at_ms - market.step_ms
        profit = self.guess(at_ms, marked_ms)
        self.watch(at_ms, marked_ms, profit)
        self.has_clear_rates = rates_are_clear(ledger, self.bounds)
        if self.judge_all or not self.has_clear_rates or may_trip(ledger, self.bounds, profit):
            ledger.look(now, self.unrealised(at_ms, marked_ms))
            self.has_clear_rates = rates_are_clear(ledger, self.bounds)
        self.positions.append(closed)

    def begin_day(self, at_ms: int, now: datetime) -> None:
        """The day begins at midnight, with the equity of then: nothing has been booked since."""
        midnight_ms = max(at_ms - at_ms % DAY_MS, self.marks.start)
        self.ledger.begin_day(now, self.ledger.wallet + self.unrealised(midnight_ms, midnight_ms))

    def watch(self, at_ms: int, marked_ms: int, profit: float) -> None:
        """Remember the equity where it may be the highest yet."""
        ledger = self.ledger
        if float(ledger.wallet) + profit > float(ledger.peak) * (1.0 - MARGIN):
            ledger.observe(ledger.wallet + self.unrealised(at_ms, marked_ms))

    def guess(self, at_ms: int, marked_ms: int) -> float:
        """As `unrealised`, in floats."""
        closes, place, total = self.marks.closes, self.marks.place(marked_ms), 0.0
        for held in self.ledger.open:
            if held.opened_ms < at_ms:
                total += (closes[held.market][place] - held.entry) * held.units
        return total

    def unrealised(self, at_ms: int, marked_ms: int) -> Decimal:
        """Profit of what is held at `at_ms`, at the closes of `marked_ms`; what opens at this very moment has none yet."""
        held = [item for item in self.ledger.open if item.opened_ms < at_ms]
        return sum((item.unrealised(exact(self.marks.at(item.market, marked_ms))) for item in held), ZERO)

    def decide(self, at_ms: int, item: Prepared, order: int) -> None:
        market, bar = self.setup.markets[item.market], item.bars.item(order)
        now, tick = moment(at_ms), market.instrument.tick_size
        side = Side.LONG if item.entries.side.item(bar) > 0 else Side.SHORT
        close = exact(market.columns.close.item(bar))
        plan = exit_plan(item.entries, bar, side, round_to(close, tick), tick, item.holds)
        if plan is None:
            return
        if self.ledger.is_new_day(now):
            self.begin_day(at_ms, now)
        profit = self.guess(at_ms, at_ms)
        self.watch(at_ms, at_ms, profit)
        verdict = self.verdict(at_ms, now, item, order, side, close, plan, profit)
        if isinstance(verdict, Veto):
            self.decisions.append(Decided(item.market, item.strategy, bar, VETOED, verdict))
            return
        outcome = self.enter(now, item, order, side, verdict)
        self.decisions.append(Decided(item.market, item.strategy, bar, outcome, None, verdict.quantity))

    def verdict(
        self,
        at_ms: int,
        now: datetime,
        item: Prepared,
        order: int,
        side: Side,
        close: Decimal,
        plan: ExitPlan,
        profit: float,
    ) -> Approval | Veto:
        bar = item.bars.item(order)
        is_watched = self.witness is not None and (item.market, item.strategy, bar) in self.witness.wanted
        if item.is_clear[order] and not self.judge_all and not is_watched and self.is_confirmed(item, bar):
            asked = self.asked(item, order, bar, side, close, plan)
            grid = self.grids[item.market]
            found = clear(asked, grid, self.ledger, self.bounds, self.standing(now, item, profit))
            if isinstance(found, Cleared):
                return Approval(found.quantity, found.leverage, plan)
            if isinstance(found, Stacked):
                return Veto(Level.RULEBOOK, Rule.STACKED_POSITION, ONE, ZERO, "positions", STACKED)
        return self.judge(at_ms, now, item, bar)

    def is_confirmed(self, item: Prepared, bar: int) -> bool:
        """Whether nothing that an advisor says can matter; what can is for the judge."""
        counsel = self.setup.counsel
        return counsel is None or counsel.confirms(self.signal_id(item.market, item.strategy, bar))

    def signal_id(self, market: int, strategy: int, bar: int) -> UUID:
        """The id that the fleet would give this signal."""
        place, name = self.setup.markets[market], self.setup.strategies[strategy].name
        symbol, closed_at = place.instrument.symbol, place.closed_at(bar)
        return signal_id(self.venue, symbol, self.frames[market], name, self.versions[strategy], closed_at)

    def judge(self, at_ms: int, now: datetime, item: Prepared, bar: int) -> Approval | Veto:
        """The verdict of the live judge on the live proposal."""
        self.judged += 1
        setup, ledger = self.setup, self.ledger
        signal = _signal(setup, self.prepared, Decided(item.market, item.strategy, bar, ""))
        state = setup.markets[item.market].state(bar, setup.assumptions)
        book, advice = ledger.book(now, self.unrealised(at_ms, at_ms)), None
        if setup.counsel is not None:
            book, advice = setup.counsel.required(book), setup.counsel.answers.get(signal.id)
            self.unanswered += advice is None
        proposal = propose(signal, ledger.account, state, book, setup.limits, now=now, order_prefix=ORDER_PREFIX)
        verdict = judge(proposal, signal, advice, state, book, setup.limits, now=now)
        key = item.market, item.strategy, bar
        if self.witness is not None and key in self.witness.wanted:
            self.witness.seen[key] = Trial(signal, advice, proposal, state, book, setup.limits, now, verdict)
        if isinstance(verdict, Approved):
            intent = verdict.intent
            return Approval(intent.quantity, intent.leverage, proposal.exits)
        return verdict

    def asked(self, item: Prepared, order: int, bar: int, side: Side, close: Decimal, plan: ExitPlan) -> Asked:
        market, assumptions = self.setup.markets[item.market], self.setup.assumptions
        bid, ask = market.around(close, assumptions)
        price = ask if side is Side.LONG else bid
        stop = plan.stop_from(price, side, market.instrument.tick_size)
        depth = market.level_quantity(bar, assumptions)
        return Asked(self.setup.strategies[item.strategy].name, side, item.shares[order], price, stop, depth)

    def standing(self, now: datetime, item: Prepared, profit: float) -> Standing:
        ledger, here = self.ledger, self.held_in[item.market]
        strategy = self.setup.strategies[item.strategy].name
        return Standing(
            now,
            float(ledger.wallet) + profit,
            profit,
            float(ledger.notional),
            float(ledger.margin),
            float(ledger.risk),
            float(sum([held.notional for held in here])),
            float(ledger.by_strategy.get(strategy, ZERO)),
            [held.side for held in here],
            self.pairs,
            self.has_clear_rates,
        )

    def enter(self, now: datetime, item: Prepared, order: int, side: Side, approval: Approval) -> str:
        """Fill an approved entry at the next open and find out at once how it will end; returns its outcome."""
        setup, market, bar = self.setup, self.setup.markets[item.market], item.bars.item(order)
        columns, assumptions, entry_bar = market.columns, setup.assumptions, bar + 1
        self.ledger.ordered(now)
        opened_ms = columns.opened_at.item(entry_bar)
        opened_at = moment(opened_ms)
        if not assumptions.gaps_are_outages and opened_at >= now + setup.expires_in:
            return EXPIRED
        quantity = market.fillable(entry_bar, approval.quantity, assumptions)
        if quantity <= ZERO:
            return UNFILLED
        price = market.fill_price(entry_bar, exact(columns.open.item(entry_bar)), side, True, assumptions)
        held = Held(
            account=self.ledger.account,
            instrument=market.instrument,
            market=item.market,
            strategy=setup.strategies[item.strategy].name,
            # A digest, of which most runs never look at one.
            signal_id=LateId(lambda: self.signal_id(item.market, item.strategy, bar)),
            side=side,
            leverage=approval.leverage,
            exits=approval.exits.drawn_from(price, side, market.instrument.tick_size),
            quantity=quantity,
            price=price,
            opened_at=opened_at,
            opened_ms=opened_ms,
        )
        leaving = find_leaving(market, held, entry_bar, item.ahead[order], assumptions)
        self.ledger.add(held)
        here = self.held_in[item.market]
        self.pairs += side not in [other.side for other in here]
        here.append(held)
        at_ms = columns.opened_at.item(leaving.bar) + (0 if leaving.at_open else market.step_ms)
        heapq.heappush(self.endings, (at_ms, int(leaving.at_open), len(self.decisions), held, leaving))
        return FILLED


def may_trip(ledger: Ledger, bounds: Bounds, unrealised: float) -> bool:
    """Whether the breaker could open now for another reason than rates; told by floats, with a margin on the safe side."""
    if bounds.consecutive_losses is not None and ledger.streak >= bounds.consecutive_losses:
        return True
    start = float(ledger.day_start_equity)
    earned = float(ledger.realised_today - ledger.paid) + unrealised
    worth, peak = start + earned, max(float(ledger.peak), float(ledger.wallet) + unrealised)
    allowed = min(bounds.daily_loss * start, bounds.daily_loss_amount)
    if start <= 0 or peak <= 0 or -earned > allowed * (1.0 - MARGIN):
        return True
    return (peak - worth) / peak > bounds.drawdown - MARGIN


def _moments(setup: Setup, prepared: dict[tuple[int, int], Prepared]) -> Iterator[tuple[int, int, int, int]]:
    """(ms, market, strategy, number) of every signal, by time, then as the setup lists them."""
    times, keys = [], []
    for (number, place), item in prepared.items():
        market = setup.markets[number]
        times.append(market.columns.opened_at[item.bars] + market.step_ms)
        keys.append(
            np.array([(number, place, order) for order in range(item.bars.size)], dtype=np.int64).reshape(-1, 3)
        )
    moments, rows = np.concatenate(times), np.concatenate(keys)
    order = np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0], moments))
    for at_ms, (number, place, row) in zip(moments[order].tolist(), rows[order].tolist(), strict=True):
        yield at_ms, number, place, row
