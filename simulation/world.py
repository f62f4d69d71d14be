"""One seed's world: a venue with a character, tenants with limits, worker processes with clocks, and two beats."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from common.domain.advice import AdvisorFallback
from common.domain.capability import CapabilityRecord, CaseOutcome, CaseResult
from common.domain.errors import TradewindsError
from common.domain.job import JobRef
from common.domain.market import Instrument
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderStatus, OrderType
from common.domain.risk.book import Environment, HaltMode, HaltScope, TradingState
from common.domain.risk.limits import Limits, resolve
from common.domain.signal import NAMESPACE
from common.domain.tenant import Account, Subscription, Tenant
from common.ports.venue import Credentials, Venue
from common.services import halts
from common.services.fleet import Fleet, Policy, credential_context
from common.services.monitor_account import monitor_account, visit_account
from common.services.reconcile_account import reconcile_account
from common.services.relay_jobs import relay_jobs
from common.services.routines import ROUTINES
from common.services.schedule_scans import schedule_scans
from common.services.snapshot_equity import snapshot_equity
from common.services.stage import run
from simulation.clock import START, GlassVault, SeededIds, Silence, SkewedClock, VirtualClock
from simulation.database import Database
from simulation.doors import AdvisorDoor, BusDoor, Draw, Errand, MarketDoor, StoreDoor, VenueDoor
from simulation.hub import Actor, Chances, Crash, Hub, KillPoint
from simulation.kill_points import takes_back
from simulation.laws import DEFECT, Laws
from simulation.strategy import NAME
from simulation.stream import Ears, Wires
from simulation.venue import AccountDoor, Character, Resting, VirtualVenue

SYMBOLS = ("AAA/USDT:USDT", "BBB/USDT:USDT", "CCC/USDT:USDT")
CANARY = "canary-4f1d"
"""Part of every secret of the world: it must never be seen outside of the vault."""

WORKERS = 4
POLICY = Policy(
    live_trading=True,
    history_candles=30,
    market_fresh_s=0.0,
    mark_fresh=timedelta(0),
    # Longer than the tick's period: every other visit of a quiet account goes by without a look at it.
    observe_every=timedelta(seconds=25),
    # Half a candle longer than usual: what lost its message gets through more often, and some still comes too late.
    signal_expiry_candles=Decimal("1.5"),
)

OPENED_SHARE = 0.75
"""So many worlds begin with all books compared, the others with the first visits and comparisons under fire."""

PERIODS_S: Mapping[str, float] = {
    "signal.schedule": 11.0,
    "position.tick": 15.0,
    "maintenance.relay": 7.0,
    "maintenance.reconcile": 40.0,
    "maintenance.equity": 60.0,
}


def instrument(venue: str, symbol: str) -> Instrument:
    """A market with a grid."""
    return Instrument(
        venue=venue,
        symbol=symbol,
        base=symbol[:3],
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.01"),
        step_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        max_quantity=Decimal(10_000),
        min_notional=Decimal(5),
        max_leverage=20,
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
    )


def _settings(rng: random.Random) -> dict[str, Any]:
    return {
        "drift_bps_max": "200",
        "position_count_max": rng.choice((1, 2, 3)),
        "exposure_max": rng.choice(("0.7", "3")),
        "symbol_cooldown_min": rng.choice((45, 90)),
        "consecutive_losses_max": rng.choice((1, 2, 10)),
        "daily_loss_max": rng.choice(("0.004", "0.05")),
        "orders_per_minute_max": rng.choice((3, 60)),
    }


@dataclass(slots=True)
class Beat:
    """One process that ticks."""

    name: str
    due_s: dict[str, float] = field(default_factory=dict)


class World:
    """Everything of one seed; `hub.turn` and `pass_time` move it."""

    def __init__(self, database: Database, seed: int, kinds: tuple[str, ...], aims: frozenset[KillPoint]) -> None:
        self.seed, self.database = seed, database
        self.rng = random.Random(f"tradewinds|{seed}")
        self.clock = VirtualClock(START)
        # Time enough to compare the books before the first candle closes.
        self.clock.advance(48)
        chances = Chances.swarm(self.rng, kinds)
        # A seed that means to kill whoever takes an order back sees to it that there is one.
        self.takes_back = bool(aims) and takes_back(seed)
        if self.takes_back:
            chances.take_back(kinds)
        self.hub = Hub(self.rng, self.clock, chances, aims)
        name = f"venue{seed}"
        listed = [instrument(name, symbol) for symbol in SYMBOLS]
        self.venue = VirtualVenue(name, self.clock, self.rng, listed, Character.drawn(self.rng), seed)
        self.venue.lag = self.hub.chances.lag
        if self.takes_back:
            self.venue.partial_s_most = (90.0,)
        self.laws = Laws(self.hub, self.venue)
        self.venue.watch = self.laws
        self.bus = BusDoor(self.hub)
        self._draw = Draw(self.hub, takes_back=self.takes_back)
        self._ids = SeededIds(self.rng)
        self._vault = GlassVault()
        self._market = MarketDoor(self.venue, self.hub)
        self.tenants: list[Tenant] = []
        self.strangers: list[tuple[UUID, str]] = []
        self.plain = self._fleet(timedelta(0))
        database.on_lock_wait = lambda statement: self.laws.broken("LOCK", self.hub.serving, statement[:200])
        self._settle()
        self._staff()
        if self.rng.random() < OPENED_SHARE:
            self._compare_books()

    # Tenants ---------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        store = self.database.store
        with store.unit_of_work(None) as uow:
            uow.instruments.save(list(self.venue.instruments()))
            case = CaseResult(1, "simulated", CaseOutcome.PASSED, "the venue of this world")
            uow.capability_records.put(
                CapabilityRecord(self.venue.name, "swap/one-way", "simulation", "simulation", START, {}, (case,))
            )
            uow.commit()
        limits: dict[UUID, Limits] = {}
        for number, (environment, advisor) in enumerate(
            ((Environment.LIVE, None), (Environment.LIVE, "model"), (Environment.PAPER, None))
        ):
            tenant = Tenant(
                uuid5(NAMESPACE, f"tenant|{self.seed}|{number}"), f"t{self.seed}-{number}", TradingState.ACTIVE, START
            )
            account = Account(
                id=uuid5(NAMESPACE, f"account|{tenant.id}"),
                tenant_id=tenant.id,
                name="main",
                venue=self.venue.name,
                environment=environment,
                profile="standard",
                limits=_settings(self.rng),
                live_enabled=environment is Environment.LIVE,
            )
            self._open(store, tenant, account, advisor)
            self.tenants.append(tenant)
            self.laws.accounts[account.id] = account
            limits[account.id] = resolve(account.profile, account.limits)
        self.laws.limits = limits

    def _open(self, store: Any, tenant: Tenant, account: Account, advisor: str | None) -> None:
        fallback = self.rng.choice(list(AdvisorFallback))
        wish = Subscription(
            id=uuid5(NAMESPACE, f"subscription|{account.id}"),
            tenant_id=tenant.id,
            account_id=account.id,
            strategy=NAME,
            timeframe="1m",
            instruments=SYMBOLS,
            advisor=advisor,
            on_advisor_unavailable=fallback,
            active_from=START,
        )
        with store.unit_of_work(tenant.id) as uow:
            uow.tenants.add(tenant)
            uow.accounts.add(account)
            if account.environment is Environment.LIVE:
                uow.tenants.allow_live(tenant.id, True)
                secret = f"{CANARY}-key-{account.id}\n{CANARY}-secret-{account.id}".encode()
                sealed = self._vault.seal(secret, credential_context(account))
                uow.accounts.save_credentials(account.id, "current", sealed, "last")
            uow.subscriptions.add(wish)
            uow.commit()

    def _compare_books(self) -> None:
        for errand in self.errands("position.monitor") + self.errands("maintenance.reconcile"):
            self.perform(self.plain, errand)
        for beat in self._beats:
            beat.due_s = {tick: self.clock.monotonic() + self.rng.uniform(0.0, PERIODS_S[tick]) for tick in PERIODS_S}

    def open_venue(self, account: Account, credentials: Credentials | None) -> Venue:
        """The private side of `account`; I11 and I12 are watched at this door."""
        expected = f"{CANARY}-secret-{account.id}" if account.environment is Environment.LIVE else None
        if (credentials.secret if credentials else None) != expected:
            self.laws.broken("I12", account.id, "the venue was opened with keys that are not this account's")
        return VenueDoor(AccountDoor(self.venue, account.id, self._draw, self.clock), self.hub)

    # Processes -------------------------------------------------------------------------------------------------------

    def _fleet(self, skew: timedelta) -> Fleet:
        return Fleet(
            store=StoreDoor(self.database.store, self.hub, self.laws.committed),  # type: ignore[arg-type]
            clock=SkewedClock(self.clock, skew),
            ids=self._ids,
            bus=self.bus,
            market_data={self.venue.name: self._market},
            open_venue=self.open_venue,
            advisors={"model": AdvisorDoor("model", self.hub)},
            vault=self._vault,
            notifier=Silence(),
            policy=POLICY,
        )

    def _staff(self) -> None:
        for number in range(WORKERS):
            skew = self.hub.skew(0.8) if self.hub.chances.clock_jump else timedelta(0)
            body = self._worker(skew)
            self.hub.actors.append(Actor(f"worker-{number}", body, lambda: bool(self.bus.bag)))
        self._orders: list[tuple[str, dict[str, Any]]] = []
        operator = self._fleet(timedelta(0))
        self.hub.actors.append(Actor("operator", lambda: self._command(operator), lambda: bool(self._orders)))
        self._listen()
        self._beats = [Beat("beat-1", dict.fromkeys(PERIODS_S, 0.0)), Beat("beat-2", dict.fromkeys(PERIODS_S, 1.5))]

    def _listen(self) -> None:
        live = [account for account in self.laws.accounts.values() if account.environment is Environment.LIVE]
        self.wires = Wires(self.hub, self.venue, [account.id for account in live], self.seed)
        self.ears = Ears(self._fleet(timedelta(0)), self.wires, live)

        def errand() -> None:
            try:
                self.ears.listen(self.hub)
            except Crash:
                self.ears = Ears(self._fleet(timedelta(0)), self.wires, live)
                self.ears.reconnect()
                raise
            except TradewindsError as error:
                self.hub.note(f"not heard: {error}")

        self.hub.actors.append(Actor("listener", errand, lambda: self.ears.has_work))

    def _worker(self, skew: timedelta) -> Any:
        memory = [self._fleet(skew)]

        def errand() -> None:
            message = self.bus.take()
            if message is None:
                return
            try:
                self.perform(memory[0], message)
            except Crash:
                # The next process remembers nothing; its message had been acknowledged, or it had not.
                memory[0] = self._fleet(skew)
                if not self.hub.is_healed and self.rng.random() < 0.5:
                    self.bus.bag.append(message)
                raise

        return errand

    def perform(self, fleet: Fleet, message: JobRef | Errand) -> None:
        """What a worker does with one message, as the tasks of workers/ do it."""
        self.hub.serve(message.stage.value if isinstance(message, JobRef) else message.name)
        try:
            if isinstance(message, JobRef):
                result = run(fleet, ROUTINES, message)
                self.hub.note(f"{message.stage} {str(message.id)[:8]} {result}")
            else:
                self.hub.note(f"{message.name}: {self._tick(fleet, message)}")
        except TradewindsError as error:
            self.hub.note(f"left to the next tick: {error}")
        except Exception as error:  # noqa: BLE001 - whatever else a service lets out is a defect of ours, and a finding.
            self.laws.broken(DEFECT, self.hub.serving, f"{type(error).__name__}: {error}")

    def _tick(self, fleet: Fleet, errand: Errand) -> object:
        if errand.name == "signal.schedule":
            return schedule_scans(fleet, self.venue.name)
        if errand.name == "maintenance.relay":
            return relay_jobs(fleet)
        visits = {
            "position.visit": visit_account,
            "position.monitor": monitor_account,
            "maintenance.reconcile": reconcile_account,
            "maintenance.equity": snapshot_equity,
        }
        if errand.tenant_id is None or errand.account_id is None:
            return "nobody"
        return visits[errand.name](fleet, errand.tenant_id, errand.account_id)

    def errands(self, tick: str) -> list[Errand]:
        """What a tick asks for."""
        if tick in {"signal.schedule", "maintenance.relay"}:
            return [Errand(tick)]
        name = "position.visit" if tick == "position.tick" else tick
        return [Errand(name, account.tenant_id, account.id) for account in self.laws.accounts.values()]

    # The passing of time ---------------------------------------------------------------------------------------------

    def pass_time(self) -> None:
        """A moment passes: the venue works, beats tick, people press buttons, and clocks may jump."""
        if self.hub.happens("clock_jump"):
            self.clock.advance(self.rng.choice((15.0, 40.0, 90.0)))
        self.clock.advance(self.rng.uniform(0.4, 2.6))
        self.venue.tick()
        self.wires.notice()
        for beat in self._beats:
            self._ring(beat)
        # A halt before there is anything to take back would only prevent it.
        if not self.takes_back and self.hub.happens("halt", name="kill_switch"):
            self._orders.append(self._kill_switch())
        # Nothing is harder to take back than an entry that is filled in part.
        if self._half_filled() and self.hub.happens("halt", 4.0, "kill_switch"):
            taking_back = self.rng.choice((HaltMode.CANCEL_ENTRIES, HaltMode.FLATTEN))
            wish = {"scope": HaltScope.PLATFORM, "subject": "", "by": "the operator", "mode": taking_back}
            self._orders.append(("halt", wish | {"reason": "simulated"}))
        if self.hub.happens("stranger"):
            self._place_stranger()

    def _half_filled(self) -> bool:
        entries = (o for a in self.venue.accounts.values() for o in a.orders if o.intent.role is OrderRole.ENTRY)
        return any(order.status is OrderStatus.PARTIALLY_FILLED for order in entries)

    def _ring(self, beat: Beat) -> None:
        now = self.clock.monotonic()
        for tick, due in beat.due_s.items():
            if now < due:
                continue
            beat.due_s[tick] = now + PERIODS_S[tick]
            if beat.name != "beat-1" and not self.hub.happens("beat", name="second_beat"):
                continue
            if beat.name == "beat-1" and self.hub.happens("beat", 0.3, "beat_missed"):
                continue
            for errand in self.errands(tick):
                self.bus.put(errand)

    def _kill_switch(self) -> tuple[str, dict[str, Any]]:
        scope = self.rng.choice(list(HaltScope))
        subjects = {
            HaltScope.PLATFORM: "",
            HaltScope.VENUE: self.venue.name,
            HaltScope.TENANT: self.rng.choice(self.tenants).name,
            HaltScope.STRATEGY: NAME,
            HaltScope.INSTRUMENT: self.rng.choice(SYMBOLS),
        }
        wish: dict[str, Any] = {"scope": scope, "subject": subjects[scope], "by": "the operator"}
        standing = [span for span in self.laws.record.halts if span.until is None]
        if standing and self.rng.random() < 0.6:
            span = self.rng.choice(standing)
            return "resume", {"scope": span.scope, "subject": span.subject, "by": "the operator"}
        return "halt", wish | {"mode": self.rng.choice(list(HaltMode)), "reason": "simulated"}

    def _command(self, fleet: Fleet) -> None:
        if not self._orders:
            return
        verb, wish = self._orders.pop()
        self.hub.serve(f"operator.{verb}")
        try:
            (halts.halt if verb == "halt" else halts.resume)(fleet, **wish)
            self.hub.note(f"{verb} {wish['scope']} {wish['subject']} done")
            if self.takes_back:
                # An entry is not filled in part for long: its account is looked at at once.
                for errand in self.errands("position.tick"):
                    self.bus.put(errand)
        except TradewindsError as error:
            self.hub.note(f"{verb} failed: {error}")
        self.hub.pause()

    def _place_stranger(self) -> None:
        account = self.rng.choice(list(self.laws.accounts.values()))
        symbol = self.rng.choice(SYMBOLS)
        prefix = self.rng.choice(("web_", "tw"))
        name = f"{prefix}{self.rng.getrandbits(64):016x}"
        intent = OrderIntent(
            order_id=UUID(int=0),
            tenant_id=account.tenant_id,
            account_id=account.id,
            venue=self.venue.name,
            instrument=symbol,
            role=OrderRole.ENTRY,
            side=OrderSide.BUY,
            type=OrderType.STOP_MARKET,
            quantity=Decimal(1),
            price=Decimal(1_000),
            trigger_price=Decimal(1_000),
            client_order_id=name,
            signal_id=None,
            position_id=UUID(int=0),
            leverage=1,
            halt_epoch=0,
            expires_at=self.clock.now(),
        )
        now = self.clock.now()
        order = Resting(intent, f"s{name[-6:]}", now, now, OrderStatus.ACCEPTED)
        self.venue.account(account.id).orders.append(order)
        self.strangers.append((account.id, name))
