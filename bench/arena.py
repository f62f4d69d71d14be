"""Many threads on one real Postgres around a venue in memory: where limits are raced for and halts raced against."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from queue import SimpleQueue
from typing import Any, Self
from uuid import uuid5

import psycopg
from sqlalchemy import event

from bench.tenants import GENEROUS
from common.domain import strategies
from common.domain.advice import AdvisorFallback
from common.domain.capability import CapabilityRecord, CaseOutcome, CaseResult
from common.domain.errors import TradewindsError
from common.domain.job import JobRef
from common.domain.market import Timeframe
from common.domain.risk.book import Environment, TradingState
from common.domain.signal import NAMESPACE, ExitPlan, Side, Signal, signal_id
from common.domain.tenant import Account, Subscription, Tenant
from common.ports.venue import Credentials, Venue
from common.services.fleet import Fleet, Policy, credential_context
from common.services.ingest_candles import refill
from common.services.monitor_account import monitor_account
from common.services.reconcile_account import reconcile_account
from common.services.relay_jobs import relay_jobs
from common.services.routines import ROUTINES
from common.services.scan_market import raise_signal
from common.services.stage import run
from common.store import Store
from simulation.clock import START, GlassVault, SeededIds, Silence, VirtualClock
from simulation.database import prepare, url_of
from simulation.venue import AccountDoor, Character, FaultDraw, PlaceFault, Uniqueness, VirtualVenue, Watch
from simulation.world import instrument

TIMEFRAME = Timeframe.parse("5m")
_LOCK = "SELECT tenant_id FROM tenant_risk"
_CHARACTER = Character(
    Uniqueness.FOREVER,
    validity=timedelta(seconds=1),
    horizon=timedelta(seconds=1),
    clock_tolerance=timedelta(seconds=2),
)
_LEFT = """
    SELECT (SELECT count(*) FROM jobs WHERE state = 'pending'),
        (SELECT count(*) FROM orders WHERE role = 'entry' AND status IN
            ('intended', 'submitting', 'unknown', 'accepted', 'partially_filled'))
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who races: `tenants` with `accounts` each, `threads` that work, `intents` evaluations; and what goes wrong."""

    threads: int = 64
    intents: int = 10_000
    tenants: int = 1
    accounts: int = 8
    symbols: int = 12
    limits: dict[str, Any] = field(default_factory=dict)
    hold_s: float = 2.0
    fault_share: float = 0.3
    seed: int = 1
    patience_s: float = 120.0


class LifeClock(VirtualClock):
    """Venue time that passes as life does, from the start of the simulated market on."""

    def __init__(self) -> None:
        super().__init__(START + timedelta(minutes=5))
        self._began = time.monotonic()

    def now(self) -> datetime:
        """The instant of the venue."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds since the arena was opened."""
        return time.monotonic() - self._began


class _Locked:
    """A part of the venue behind the venue's one lock: what happens there happens in one order."""

    def __init__(self, part: Any, lock: threading.RLock) -> None:
        self._part, self._lock = part, lock

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._part, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any) -> Any:
            with self._lock:
                return attribute(*arguments)

        return call


class _Fates(FaultDraw):
    def __init__(self, rng: random.Random, share: float) -> None:
        self._rng, self._share = rng, share

    def place(self) -> PlaceFault | None:
        """A share of placements is lost, late, answered with an error, refused or filled in part."""
        return self._rng.choice(list(PlaceFault)) if self._rng.random() < self._share else None


class _Doorbell:
    def __init__(self, queue: SimpleQueue[Any]) -> None:
        self._queue = queue

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Into the one queue that all threads take from."""
        for ref in refs:
            self._queue.put(ref)


@dataclass(slots=True)
class Arena:
    """The threads, the fleet they share, and what was counted."""

    plan: Plan
    fleet: Fleet
    venue: VirtualVenue
    lock: threading.RLock
    root: psycopg.Connection[Any]
    accounts: list[Account]
    queue: SimpleQueue[Any]
    results: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock_waits_s: list[float] = field(default_factory=list)
    _asked: set[Any] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Set everybody to work: the threads, the venue's time, and the ticks."""
        loops: list[Callable[[], None]] = [self._work] * self.plan.threads
        loops += [lambda: self._every(0.05, self._tick_venue), lambda: self._every(0.4, self._tick_fleet)]
        for number, loop in enumerate(loops):
            thread = threading.Thread(target=loop, name=f"arena-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let everybody finish what they are doing, and end."""
        self._done.set()
        for _ in range(self.plan.threads):
            self.queue.put(None)
        for thread in self._threads:
            thread.join(self.plan.patience_s)

    def _work(self) -> None:
        while (item := self.queue.get()) is not None:
            try:
                outcome = str(run(self.fleet, ROUTINES, item)) if isinstance(item, JobRef) else item()
            except TradewindsError as error:
                outcome = f"left to the next tick: {type(error).__name__}"
            except Exception as error:  # noqa: BLE001 - a defect of ours is a finding and must not end the thread.
                self.failures.append(f"{type(error).__name__}: {error}")
                outcome = "defect"
            self.results[outcome] += 1

    def _every(self, seconds: float, act: Callable[[], None]) -> None:
        while not self._done.wait(seconds):
            act()

    def _tick_venue(self) -> None:
        with self.lock:
            self.venue.tick()

    def _tick_fleet(self) -> None:
        errands: dict[Any, Callable[[], object]] = {
            account.id: partial(monitor_account, self.fleet, account.tenant_id, account.id) for account in self.accounts
        }
        errands["relay"] = partial(relay_jobs, self.fleet)
        for name in errands.keys() - self._asked:
            # One of a kind at once: ticks must not crowd out the race where the machine is slow.
            self._asked.add(name)
            self.queue.put(partial(self._run_errand, name, errands[name]))

    def _run_errand(self, name: Any, act: Callable[[], object]) -> str:
        try:
            act()
        finally:
            self._asked.discard(name)
        return "tick"

    def feed(self, first: int, count: int, enough: threading.Event | None = None) -> None:
        """Raise signals `first` and so on, each for every account; no more at once than the threads take.

        Ends before `count` of them once there were `enough`.
        """
        rng = random.Random(f"signals|{self.plan.seed}|{first}")
        for number in range(first, first + count):
            if enough is not None and enough.is_set():
                return
            while self.queue.qsize() > 4 * self.plan.threads:
                time.sleep(0.01)
            with self.fleet.store.unit_of_work(None) as uow:
                raise_signal(self.fleet, uow, self._signal(number, rng), self.fleet.ids.new())
                refs = uow.commit()
            self.fleet.publish(refs)

    def _signal(self, number: int, rng: random.Random) -> Signal:
        now = self.fleet.clock.now()
        market = rng.choice(list(self.venue.instruments()))
        side = rng.choice(list(Side))
        with self.lock:
            price = self.venue.price(market.symbol)
        stop, target = (price * (1 - side.sign * share) for share in (Decimal("0.03"), Decimal("-0.06")))
        closed_at, version = TIMEFRAME.floor(now), f"race{number}"
        return Signal(
            id=signal_id(market.venue, market.symbol, str(TIMEFRAME), _strategy(), version, closed_at),
            venue=market.venue,
            instrument=market.symbol,
            timeframe=str(TIMEFRAME),
            strategy=_strategy(),
            strategy_version=version,
            side=side,
            confidence=Decimal("0.9"),
            price=price,
            exits=ExitPlan(
                stop=stop.quantize(market.tick_size),
                target=target.quantize(market.tick_size),
                max_hold=timedelta(seconds=self.plan.hold_s * rng.uniform(0.3, 1.0)),
            ),
            reasons=("raised by the race",),
            features={},
            closed_at=closed_at,
            expires_at=now + timedelta(minutes=10),
        )

    def settle(self) -> tuple[int, int]:
        """Wait until nothing is pending and no entry is alive; (jobs, entries) that are left when patience ends."""
        deadline = time.monotonic() + self.plan.patience_s
        while True:
            jobs, entries = self.root.execute(_LEFT).fetchone() or (0, 0)
            if (not jobs and not entries) or time.monotonic() > deadline:
                return int(jobs), int(entries)
            time.sleep(0.2)


def _strategy() -> str:
    return strategies.names()[0]


@contextmanager
def open_arena(url_superuser: str, database: str, plan: Plan, watch: Watch) -> Iterator[Arena]:
    """A database of that name, made anew, with everybody in it; nobody works yet."""
    prepare(url_superuser, [database])
    # A placement holds two connections, and the ticks hold some.
    store = Store(url_of(url_superuser, database, login=True), pool_size=2 * plan.threads + 8)
    root = psycopg.connect(url_of(url_superuser, database), autocommit=True)
    clock, rng = LifeClock(), random.Random(f"arena|{plan.seed}")
    listed = [instrument("arena", f"R{number:02}/USDT:USDT") for number in range(plan.symbols)]
    venue, lock = VirtualVenue("arena", clock, rng, listed, _CHARACTER, plan.seed), threading.RLock()
    venue.watch = watch
    queue: SimpleQueue[Any] = SimpleQueue()

    def door(account: Account, _: Credentials | None) -> Venue:
        part: Venue = _Locked(AccountDoor(venue, account.id, _Fates(rng, plan.fault_share), clock), lock)
        return part

    fleet = Fleet(
        store=store,
        clock=clock,
        ids=SeededIds(rng),
        bus=_Doorbell(queue),
        market_data={"arena": _Locked(venue, lock)},
        open_venue=door,
        advisors={},
        vault=GlassVault(),
        notifier=Silence(),
        policy=Policy(live_trading=True, history_candles=30, market_fresh_s=0.0),
    )
    arena = Arena(plan, fleet, venue, lock, root, [], queue)
    try:
        _settle(arena)
        _time_locks(store, arena.lock_waits_s)
        yield arena
    finally:
        store.close()
        root.close()


class _TimedCursor(psycopg.Cursor[Any]):
    """A cursor that notes how long the risk row's lock was waited for."""

    def __init__(self, *arguments: Any, waits_s: list[float], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waits_s = waits_s

    def execute(self, query: Any, *arguments: Any, **named: Any) -> Self:
        """Send `query`."""
        began = time.monotonic()
        answer = super().execute(query, *arguments, **named)
        if str(query).startswith(_LOCK):
            self._waits_s.append(time.monotonic() - began)
        return answer


def _time_locks(store: Store, waits_s: list[float]) -> None:
    def on_connect(connection: Any, _: Any) -> None:
        connection.cursor_factory = partial(_TimedCursor, waits_s=waits_s)

    store.close()  # Those that are connected already would not be timed.
    event.listen(store._engine, "connect", on_connect)  # noqa: SLF001 - how long the store waits is known to its driver alone.


def _settle(arena: Arena) -> None:
    fleet, plan = arena.fleet, arena.plan
    case = CaseResult(1, "arena", CaseOutcome.PASSED, "the venue of this race")
    with fleet.store.unit_of_work(None) as uow:
        uow.instruments.save(list(arena.venue.instruments()))
        uow.capability_records.put(CapabilityRecord("arena", "swap/one-way", "arena", "arena", START, {}, (case,)))
        uow.commit()
    symbols = [item.symbol for item in arena.venue.instruments()]
    refill(fleet, "arena", symbols, TIMEFRAME, TIMEFRAME.floor(fleet.clock.now()))
    for number in range(plan.tenants):
        tenant = Tenant(uuid5(NAMESPACE, f"arena|{number}"), f"racer-{number}", TradingState.ACTIVE, START)
        arena.accounts += _open(fleet, plan, tenant, symbols)
    for account in arena.accounts:
        monitor_account(fleet, account.tenant_id, account.id)
        reconcile_account(fleet, account.tenant_id, account.id)


def _open(fleet: Fleet, plan: Plan, tenant: Tenant, symbols: Sequence[str]) -> list[Account]:
    accounts = []
    with fleet.store.unit_of_work(tenant.id) as uow:
        uow.tenants.add(tenant)
        uow.tenants.allow_live(tenant.id, True)
        for number in range(plan.accounts):
            account = Account(
                id=uuid5(NAMESPACE, f"{tenant.id}|{number}"),
                tenant_id=tenant.id,
                name=f"a{number}",
                venue="arena",
                environment=Environment.LIVE,
                profile="standard",
                limits=GENEROUS | plan.limits,
                live_enabled=True,
            )
            uow.accounts.add(account)
            sealed = fleet.vault.seal(b"key\nsecret", credential_context(account))
            uow.accounts.save_credentials(account.id, "current", sealed, "last")
            uow.subscriptions.add(_wish(account, symbols))
            accounts.append(account)
        uow.commit()
    return accounts


def _wish(account: Account, symbols: Sequence[str]) -> Subscription:
    return Subscription(
        id=uuid5(NAMESPACE, f"wish|{account.id}"),
        tenant_id=account.tenant_id,
        account_id=account.id,
        strategy=_strategy(),
        timeframe=str(TIMEFRAME),
        instruments=tuple(symbols),
        advisor=None,
        on_advisor_unavailable=AdvisorFallback.TECHNICAL,
        active_from=START,
    )
