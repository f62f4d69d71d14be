"""The real services over candles: scan, evaluate, place, monitor, in one thread and in the order of the backtest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

from common.domain.backtest import Counsel, Setup
from common.domain.backtest.account import backtest_account
from common.domain.decision import Decision
from common.domain.exits import stop_price_now
from common.domain.job import JobRef, Stage
from common.domain.order import Order, OrderType
from common.domain.position import Position
from common.domain.risk.book import Environment, TradingState
from common.domain.signal import Side, Signal
from common.domain.strategies import Strategy
from common.domain.strategies.base import exact
from common.domain.tenant import Tenant
from common.ports.advisor import Advisor
from common.services.fleet import Fleet, Policy
from common.services.monitor_account import monitor_account
from common.services.parameters import approve_parameters, propose_parameters
from common.services.recorded_counsel import recorded_counsel
from common.services.routines import ROUTINES
from common.services.schedule_scans import request_scan
from common.services.snapshot_equity import snapshot_equity
from common.services.stage import run
from common.services.tenants import refresh_instruments, subscribe
from common.store import Store
from simulation.clock import GlassVault, SeededIds, Silence, VirtualClock
from simulation.parity.venue import CandleDoor, CandleVenue
from simulation.venue import ZERO, Resting

POLICY = Policy(
    order_prefix="bt", market_fresh_s=0.0, mark_fresh=timedelta(0), history_candles=2_000, live_trading=False
)

_A_MOMENT = timedelta(microseconds=1)
"""So long before its end is within a bar: the least that the ledger can tell apart."""


@dataclass(slots=True)
class Inbox:
    """The Bus port: what was rung waits here until the driver takes it."""

    waiting: list[JobRef] = field(default_factory=list)

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Keep `refs`."""
        self.waiting.extend(refs)

    def take(self, stage: Stage) -> list[JobRef]:
        """What waits for `stage`."""
        found = [ref for ref in self.waiting if ref.stage is stage]
        self.waiting = [ref for ref in self.waiting if ref.stage is not stage]
        return found


@dataclass(frozen=True, slots=True)
class Lived:
    """What the fleet did, from its own ledger."""

    signals: list[Signal]
    decisions: list[Decision]
    orders: list[Order]
    positions: list[Position]


class Driver:
    """Leads one fleet with one account through the bars of `setup`, from `first` on; `advisor` confirms its entries."""

    def __init__(self, store: Store, setup: Setup, first: int, advisor: Advisor | None = None) -> None:
        self.setup, self.first, self.advisor = setup, first, advisor
        self.lead = setup.markets[0]
        self.clock = VirtualClock(self.lead.closed_at(first - 1))
        self.venue = CandleVenue(self.clock, setup.markets, setup.assumptions)
        self.inbox = Inbox()
        self.account = replace(
            backtest_account(self.lead.instrument.venue, setup.profile), environment=Environment.PAPER
        )
        self.door = CandleDoor(self.venue, self.account.id, setup.equity, self.clock)
        self.fleet = Fleet(
            store=store,
            clock=self.clock,
            ids=SeededIds(random.Random(0)),
            bus=self.inbox,
            market_data={self.venue.name: self.venue},
            open_venue=lambda account, credentials: self.door,
            advisors={} if advisor is None else {advisor.profile: advisor},
            vault=GlassVault(),
            notifier=Silence(),
            policy=POLICY,
        )
        self.symbols = sorted(self.venue.markets)
        self.open: list[Position] = []
        self._settle()

    def _settle(self) -> None:
        for symbol in self.symbols:
            self.venue.close_bar(symbol, self.first - 1)
        refresh_instruments(self.fleet, self.venue.name)
        tenant = Tenant(self.account.tenant_id, "parity", TradingState.ACTIVE, self.clock.now())
        with self.fleet.store.unit_of_work(tenant.id) as uow:
            uow.tenants.add(tenant)
            uow.accounts.add(self.account)
            uow.accounts.mark_reconciled(self.account.id, True)
            uow.commit()
        for strategy in self.setup.strategies:
            subscribe(
                self.fleet,
                tenant.id,
                self.account.id,
                strategy=strategy.name,
                timeframe=str(self.lead.columns.timeframe),
                instruments=self.symbols,
                advisor=None if self.advisor is None else self.advisor.profile,
            )
            if strategy.parameters.changes:
                self._approve(strategy)
        self.visit()
        # The day that the run begins in begins with it: the fleet's clock takes the account's equity when it starts.
        snapshot_equity(self.fleet, self.account.tenant_id, self.account.id)

    def _approve(self, strategy: Strategy) -> None:
        of = (self.fleet, "parity", strategy.name)
        proposed = propose_parameters(*of, strategy.parameters.changes, by="parity", reason="those of the backtest")
        approve_parameters(*of, proposed.number, by="parity", reason="those of the backtest")

    def visit(self) -> None:
        """One visit of the monitor."""
        monitor_account(self.fleet, self.account.tenant_id, self.account.id)
        with self.fleet.store.unit_of_work(self.account.tenant_id) as uow:
            self.open = uow.positions.open(self.account.id)

    def work(self, *stages: Stage) -> int:
        """Run what waits for `stages`, in their order, until nothing does; returns how many jobs that was."""
        count = 0
        for stage in stages:
            while refs := self.inbox.take(stage):
                for ref in refs:
                    count += 1
                    run(self.fleet, ROUTINES, ref)
        return count

    def lead_through(self, last: int, tell: Any) -> None:
        """Every bar from the first up to `last`."""
        for bar in range(self.first, last):
            for symbol in self.symbols:
                self.venue.close_bar(symbol, bar)
            self.clock.advance_to(self.lead.closed_at(bar))
            self.at_close()
            self.within(bar + 1)
            tell(bar)

    def at_close(self) -> None:
        """A bar has closed: signals, verdicts, and what they and the strategies' leavings make of it at the next open."""
        now = self.clock.now()
        with self.fleet.store.unit_of_work(None) as uow:
            frame = str(self.lead.columns.timeframe)
            request_scan(self.fleet, uow, self.venue.name, frame, self.symbols, now, shard="0", now=now)
            refs = uow.commit()
        self.fleet.publish(refs)
        self.work(Stage.SCAN, Stage.CONFIRM)
        is_midnight = now.time() == time(0)
        if self.open or is_midnight:
            # Equity as of this close; what this visit wants to leave leaves after the verdicts, at the open.
            self.visit()
        if is_midnight:
            snapshot_equity(self.fleet, self.account.tenant_id, self.account.id)
        leaving = self.inbox.take(Stage.PLACE)
        for ref in self.inbox.take(Stage.EVALUATE):
            # Each entry is filled and known before the next is judged, as in the backtest.
            run(self.fleet, ROUTINES, ref)
            self._settle_orders()
        self.inbox.ring(leaving)
        self._settle_orders()

    def _settle_orders(self) -> None:
        if self.work(Stage.PLACE):
            self._look()

    def within(self, bar: int) -> None:
        """What the prices of `bar` do to what is held: the worst is believed first."""
        if not self.open:
            return
        # A candle does not tell when within it something happened: just before its end, as in the backtest. What is due
        # at its end is not due yet: the close decides it.
        self.clock.advance_to(self.lead.closed_at(bar) - _A_MOMENT)
        for position in list(self.open):
            # A price on its way down meets the trailing stop before one at the venue that has not followed as far.
            self._trail(position, bar)
            self._stop(position)
            self._target(position, bar)
        for position in list(self.open):
            self._best(position, bar)

    def _is_open(self, position: Position) -> bool:
        return any(item.id == position.id for item in self.open)

    def _resting(self, position: Position) -> list[Resting]:
        """The stops of `position` at the venue."""
        return [
            order
            for order in self.venue.account(self.account.id).orders
            if order.is_open and order.intent.type is OrderType.STOP_MARKET
            and order.intent.position_id == position.id
        ]  # fmt: skip

    def _stop(self, position: Position) -> None:
        met = [order for order in self._resting(position) if self.venue.is_met(order.intent)]
        # While a stop follows the price the one before it rests there too: the price comes to the nearest first.
        nearest = sorted(met, key=lambda order: order.intent.trigger_price or ZERO, reverse=position.side is Side.LONG)
        for order in nearest:
            self.venue.finish(self.account.id, order)
        if met:
            self._look()

    def _look(self) -> None:
        self.visit()
        while self.work(Stage.PLACE, Stage.CANCEL):
            self.visit()

    def _come_to(self, position: Position, price: Decimal) -> None:
        """Let the price be `price` for a moment in which the monitor looks."""
        before = self.venue.prices[position.instrument]
        self.venue.move(position.instrument, price)
        self._look()
        self.venue.prices[position.instrument] = before

    def _trail(self, position: Position, bar: int) -> None:
        if not self._is_open(position) or position.exits.trail_distance is None:
            return
        columns, level = self.venue.markets[position.instrument].columns, stop_price_now(position)
        if any(order.intent.price == level for order in self._resting(position)):
            return  # The venue's own stop is met there.
        is_long = position.side is Side.LONG
        worst, opening = exact((columns.low if is_long else columns.high)[bar]), exact(columns.open[bar])
        if (worst - level) * position.side.sign <= 0:
            self._come_to(position, min(level, opening) if is_long else max(level, opening))

    def _target(self, position: Position, bar: int) -> None:
        if not self._is_open(position) or position.exits.target is None:
            return
        columns = self.venue.markets[position.instrument].columns
        best = exact((columns.high if position.side is Side.LONG else columns.low)[bar])
        if (best - position.exits.target) * position.side.sign >= 0:
            self._come_to(position, position.exits.target)

    def _best(self, position: Position, bar: int) -> None:
        if not self._is_open(position) or position.exits.trail_distance is None:
            return
        columns = self.venue.markets[position.instrument].columns
        best = exact((columns.high if position.side is Side.LONG else columns.low)[bar])
        if (best - position.best_price) * position.side.sign > 0:
            # It stays there until the bar closes: to those who look meanwhile, it has not been anywhere else since.
            self.venue.move(position.instrument, best)
            self._look()

    def counsel(self) -> Counsel | None:
        """What the advisor answered, as the backtest may hear it again; None where nobody was asked."""
        return None if self.advisor is None else recorded_counsel(self.fleet, self.advisor.profile)

    def lived(self) -> Lived:
        """Everything in the ledger, oldest first."""
        with self.fleet.store.unit_of_work(self.account.tenant_id) as uow:
            orders = uow.orders.of_account(self.account.id)
            positions = [
                position for order in orders if (position := uow.positions.get(order.intent.position_id)) is not None
            ]
            signals = uow.signals.list(venue=self.venue.name, limit=1_000_000)
            decided = [uow.decisions.for_signal(signal.id) for signal in signals]
        decisions = [item for items in decided for item in items]
        unique = {position.id: position for position in positions}
        return Lived(signals[::-1], decisions[::-1], orders, list(unique.values()))
