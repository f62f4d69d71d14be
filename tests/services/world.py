"""A small fleet over real Postgres and a scripted venue, with verbs for what tests do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from common.adapters.vault import EnvelopeVault
from common.domain.advice import AdvisorFallback
from common.domain.capability import CapabilityRecord, CaseOutcome, CaseResult
from common.domain.decision import Decision, decision_id
from common.domain.fill import Fill
from common.domain.job import Job, JobRef, Stage
from common.domain.market import Timeframe
from common.domain.order import Order, OrderRole, OrderStatus, entry_order_id
from common.domain.position import Position
from common.domain.risk.book import Environment
from common.domain.signal import ExitPlan, Side, Signal, signal_id
from common.domain.tenant import Account, Tenant
from common.ports.venue import Credentials, Venue
from common.services.fleet import Fleet, Policy
from common.services.ingest_candles import refill
from common.services.monitor_account import monitor_account
from common.services.probe_venue import MODE, keep_record
from common.services.reconcile_account import reconcile_account
from common.services.relay_jobs import relay_jobs
from common.services.routines import ROUTINES
from common.services.scan_market import raise_signal
from common.services.stage import Result, run
from common.services.tenants import allow_live, create_tenant, open_account, refresh_instruments, subscribe
from common.store import Store
from tests.clocks import SeededIds
from tests.services.doors import RecordingBus, RecordingNotifier, ScriptedAdvisor, instrument, minutes
from tests.services.venue import ADA, NOON, SOL, VENUE, Ledger, ScriptedDoor, ScriptedVenue, StepClock

FRAME = Timeframe.parse("5m")
STRATEGY = "ema_crossover"
KEYS = Credentials("key-of-a-test-account", "secret-of-a-test-account", {})


@dataclass(frozen=True, slots=True)
class House:
    """A tenant with its one account."""

    tenant: Tenant
    account: Account

    @property
    def ids(self) -> tuple[UUID, UUID]:
        """Tenant and account."""
        return self.tenant.id, self.account.id


@dataclass(slots=True)
class World:
    """The fleet and everything behind its doors."""

    fleet: Fleet
    clock: StepClock
    venue: ScriptedVenue
    bus: RecordingBus
    advisor: ScriptedAdvisor
    notifier: RecordingNotifier
    doors: dict[UUID, ScriptedDoor] = field(default_factory=dict)
    credentials: dict[UUID, Credentials | None] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The fleet's store."""
        return self.fleet.store

    def open_venue(self, account: Account, credentials: Credentials | None) -> Venue:
        """The account's door; the keys it was opened with are remembered."""
        self.credentials[account.id] = credentials
        return self.door(account.id)

    def door(self, account_id: UUID) -> ScriptedDoor:
        """The door of an account."""
        return self.doors.setdefault(account_id, ScriptedDoor(self.venue, account_id, self.clock))

    def door_of(self, house: House) -> ScriptedDoor:
        """The door of a house's account."""
        return self.door(house.account.id)

    def settle_in(
        self,
        name: str = "harbour",
        *,
        profile: str = "standard",
        environment: Environment = Environment.PAPER,
        limits: dict[str, Any] | None = None,
        advisor: str | None = None,
        fallback: AdvisorFallback = AdvisorFallback.WAIT,
        strategies: Sequence[str] = (STRATEGY,),
        instruments: Sequence[str] = (SOL, ADA),
    ) -> House:
        """A tenant with one funded and reconciled account, subscribed to `strategies`."""
        tenant = create_tenant(self.fleet, name)
        live = environment is Environment.LIVE
        account = open_account(
            self.fleet,
            tenant.id,
            name="main",
            venue=VENUE,
            environment=environment,
            profile=profile,
            limits=limits,
            credentials=KEYS if live else None,
            live_enabled=live,
        )
        allow_live(self.fleet, name, live)
        for strategy in strategies:
            subscribe(
                self.fleet,
                tenant.id,
                account.id,
                strategy=strategy,
                timeframe=str(FRAME),
                instruments=instruments,
                advisor=advisor,
                on_advisor_unavailable=fallback,
            )
        house = House(tenant, account)
        self.visit(house)
        self.reconcile(house)
        return house

    def visit(self, house: House) -> str:
        """One visit of the monitor."""
        return monitor_account(self.fleet, *house.ids)

    def reconcile(self, house: House) -> str:
        """One reconciliation."""
        return reconcile_account(self.fleet, *house.ids)

    def signal(self, symbol: str = SOL, **changes: Any) -> Signal:
        """A long signal at noon, price 100, stop 98, target 106."""
        strategy = changes.get("strategy", STRATEGY)
        raised = Signal(
            id=signal_id(VENUE, symbol, str(FRAME), strategy, "1", NOON),
            venue=VENUE,
            instrument=symbol,
            timeframe=str(FRAME),
            strategy=STRATEGY,
            strategy_version="1",
            side=Side.LONG,
            confidence=Decimal("0.8"),
            price=Decimal(100),
            exits=ExitPlan(stop=Decimal(98), target=Decimal(106), max_hold=minutes(60)),
            reasons=("a test wants it",),
            features={"ema_9": 100.5},
            closed_at=NOON,
            expires_at=NOON + FRAME.duration,
        )
        return replace(raised, **changes)

    def announce(self, signal: Signal | None = None) -> Signal:
        """Raise a signal and ring for what follows."""
        signal = signal or self.signal()
        with self.store.unit_of_work(None) as uow:
            raise_signal(self.fleet, uow, signal, cause=UUID(int=1))
            refs = uow.commit()
        self.fleet.publish(refs)
        return signal

    def run(self, ref: JobRef) -> Result:
        """Run one job as a worker would."""
        return run(self.fleet, ROUTINES, ref)

    def take(self, stage: Stage) -> JobRef:
        """The one job of `stage` that was rung and not yet taken."""
        found = [ref for ref in self.bus.inbox if ref.stage is stage]
        assert len(found) == 1, f"{len(found)} jobs of {stage} in {self.bus.inbox}"
        self.bus.inbox.remove(found[0])
        return found[0]

    def work(self) -> None:
        """Run what was rung, and what that rings, until nothing is left."""
        while self.bus.inbox:
            self.run(self.bus.inbox.pop(0))

    def pass_time(self, seconds: float = 2.0, rounds: int = 1) -> None:
        """Let time pass and the relay and the workers do what has fallen due."""
        for _ in range(rounds):
            self.clock.advance(seconds)
            self.venue.tick()
            relay_jobs(self.fleet)
            self.work()

    def approve(self, house: House, signal: Signal | None = None) -> Order:
        """Raise a signal and run it up to the approved entry, which has not left yet."""
        signal = self.announce(signal)
        self.run(self.take(Stage.EVALUATE))
        return self.entry(house, signal)

    def enter(self, house: House, signal: Signal | None = None) -> Position:
        """Open a position, with its stop at the venue."""
        signal = self.announce(signal)
        self.work()
        position = self.position(house, signal)
        assert position is not None, self.decision(house, signal)
        return position

    def entry(self, house: House, signal: Signal | None = None) -> Order:
        """The entry of the house on the signal."""
        wanted = entry_order_id(*house.ids, (signal or self.signal()).id)
        return self.order(house, wanted)

    def order(self, house: House, order_id: UUID) -> Order:
        """An order as the ledger has it."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            order = uow.orders.get(order_id)
        assert order is not None
        return order

    def orders(self, house: House, role: OrderRole | None = None) -> list[Order]:
        """The house's orders of one role, oldest first."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            return [o for o in uow.orders.of_account(house.account.id) if role in {None, o.intent.role}]

    def statuses(self, house: House, role: OrderRole) -> list[OrderStatus]:
        """States of the house's orders of one role, oldest first."""
        return [order.status for order in self.orders(house, role)]

    def fills(self, house: House) -> list[Fill]:
        """The house's fills."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            return uow.fills.of_account(house.account.id)

    def positions(self, house: House) -> list[Position]:
        """The house's open positions."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            return uow.positions.open(house.account.id)

    def position(self, house: House, signal: Signal | None = None) -> Position | None:
        """The position on a signal, open or not."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            order = uow.orders.get(entry_order_id(*house.ids, (signal or self.signal()).id))
            return uow.positions.get(order.intent.position_id) if order else None

    def decision(self, house: House, signal: Signal | None = None) -> Decision | None:
        """The house's decision on the signal."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            return uow.decisions.get(decision_id(*house.ids, (signal or self.signal()).id))

    def reserved(self, house: House) -> list[UUID]:
        """Orders that hold a reservation which does not lapse."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            return [item.order_id for item in uow.risk.held() if item.lapses_at is None]

    def account(self, house: House) -> Account:
        """The account as the ledger has it now."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            found = uow.accounts.get(house.account.id)
        assert found is not None
        return found

    def quarantined(self, house: House) -> list[str]:
        """Details of what is in quarantine."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            return [item.detail for item in uow.quarantine.list(house.account.id)]

    def job(self, ref: JobRef) -> Job:
        """A job as it stands."""
        with self.store.unit_of_work(ref.tenant_id) as uow:
            job = uow.jobs.get(ref.id)
        assert job is not None
        return job

    def jobs(self, stage: Stage) -> list[Job]:
        """All jobs of a stage, the newest first."""
        with self.store.operator() as view:
            return [job for job in view.jobs(limit=500) if job.stage is stage]

    def audited(self, house: House, subject: object) -> list[str]:
        """Kinds of what the tenant's audit trail says of a subject, oldest first."""
        with self.store.unit_of_work(house.tenant.id) as uow:
            return [entry.kind for entry in uow.audit.of(str(subject))]

    def at_venue(self, house: House) -> Ledger:
        """The venue's own ledger of the house."""
        return self.venue.ledger(house.account.id)

    def move_price(self, price: str, symbol: str = SOL) -> None:
        """Set the price and let the venue act on it."""
        self.venue.prices[symbol] = Decimal(price)
        self.venue.tick()
        self.clock.advance(1)


def found_world(store: Store) -> World:
    """A fleet over `store` two seconds after noon, with instruments and candles in place."""
    clock = StepClock(NOON)
    clock.advance(2)
    venue, bus = ScriptedVenue(clock, [instrument(SOL), instrument(ADA)]), RecordingBus()
    advisor, notifier = ScriptedAdvisor(), RecordingNotifier()
    world = World(None, clock, venue, bus, advisor, notifier)  # The fleet needs the world's doors first.
    world.fleet = Fleet(
        store=store,
        clock=clock,
        ids=SeededIds(),
        bus=bus,
        market_data={VENUE: venue},
        open_venue=world.open_venue,
        advisors={"default": advisor},
        vault=EnvelopeVault("a master key for tests only, 32+"),
        notifier=notifier,
        policy=Policy(history_candles=60, live_trading=True),
    )
    keep_record(world.fleet, passing_record())
    refresh_instruments(world.fleet, VENUE)
    refill(world.fleet, VENUE, [SOL, ADA], FRAME, NOON)
    return world


def passing_record() -> CapabilityRecord:
    """What a probe of the scripted venue would write."""
    case = CaseResult(1, "a case", CaseOutcome.PASSED, "as scripted")
    return CapabilityRecord(VENUE, MODE, "scripted", "tests", NOON, {}, (case,))


def empty(connection: psycopg.Connection[Any]) -> None:
    """Empty every table, the audit trail too, and begin the epochs anew."""
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND relname <> 'alembic_version' AND NOT relispartition"
    ).fetchall()
    deletes = [sql.SQL("DELETE FROM {};").format(sql.Identifier(str(row[0]))) for row in tables]
    # As a replica, because the audit trail refuses to be shortened.
    connection.execute("SET session_replication_role = replica")
    connection.execute(sql.SQL("").join(deletes))
    connection.execute("SET session_replication_role = origin")
    connection.execute("INSERT INTO halt_epoch (is_only, epoch) VALUES (true, 0)")
