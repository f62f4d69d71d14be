"""Tenants with accounts at the practice venue and on paper, wide limits, and signals thrown at them by seeded dice."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.adapters.practice import PracticeDesk
from common.bootstrap import ADVISOR, SIMULATOR, prove_practice_venue
from common.domain import strategies
from common.domain.errors import TradewindsError
from common.domain.market import Instrument, InstrumentStatus, Timeframe
from common.domain.money import ceil_to, floor_to
from common.domain.risk.book import Environment
from common.domain.signal import ExitPlan, Side, Signal, signal_id
from common.domain.tenant import Account
from common.ports.venue import Credentials
from common.services.fleet import Fleet
from common.services.market_view import market_now
from common.services.monitor_account import monitor_account
from common.services.reconcile_account import reconcile_account
from common.services.scan_market import raise_signal
from common.services.tenants import allow_live, create_tenant, open_account, refresh_instruments, subscribe

log = logging.getLogger(__name__)

TIMEFRAME = "5m"
BALANCE = Decimal(1_000_000)
POSITIONS_MAX = 5
EXPOSURE_MAX = Decimal(2)

LIMITS: dict[str, Any] = {
    # Little money at risk and much to lose, so that a long run is not ended by its own fees.
    "risk_fraction_max": "0.0002",
    "depth_levels_min": 1,
    "spread_bps_max": 50,
    "slippage_bps_max": 50,
    "liquidity_notional_min": None,
    "quote_age_max": 30,
    "candle_lag_max": 600,
    "deviation_bps_max": 200,
    "volume_ratio_min": None,
    "atr_bps_max": None,
    "atr_ratio_max": None,
    "funding_bps_max": None,
    "exposure_max": str(EXPOSURE_MAX),
    "position_count_max": POSITIONS_MAX,
    "consecutive_losses_max": 10,
    "win_rate_min": None,
    "sharpe_min": None,
    "daily_loss_max": "0.10",
    "drawdown_max": "0.20",
    "breaker_cooldown_min": 3600,
    "symbol_cooldown_min": None,
    "orders_per_minute_max": 60,
    "orders_per_hour_max": 600,
    "edge_margin_bps_min": 0,
    "reward_min": "0.5",
    "drift_bps_max": 200,
    "confidence_min": 0,
}


@dataclass(slots=True)
class Tenancy:
    """Who trades: accounts with the keys they have at the venue, and on what."""

    accounts: list[Account]
    keys: dict[UUID, str]
    secrets: list[str]
    instruments: Sequence[Instrument]
    strategies: tuple[str, ...]


def open_tenants(fleet: Fleet, simulator_url: str, count: int) -> Tenancy:
    """`count` live tenants, the first with the model asked, and one on paper; funded and reconciled."""
    prove_practice_venue(fleet, simulator_url)
    refresh_instruments(fleet, SIMULATOR)
    with fleet.store.unit_of_work(None) as uow:
        listed = uow.instruments.list(SIMULATOR)
    instruments = [item for item in listed if item.status is InstrumentStatus.TRADING]
    tenancy = Tenancy([], {}, [], instruments, strategies.names())
    for number in range(count):
        _open(fleet, simulator_url, tenancy, f"storm-{number}", Environment.LIVE, ADVISOR if number == 0 else None)
    _open(fleet, simulator_url, tenancy, "lee", Environment.PAPER, None)
    return tenancy


def _open(
    fleet: Fleet, simulator_url: str, tenancy: Tenancy, name: str, environment: Environment, advisor: str | None
) -> None:
    tenant = create_tenant(fleet, name)
    is_live = environment is Environment.LIVE
    allow_live(fleet, name, is_live)
    keys = None
    if is_live:
        keys = Credentials(key=f"chaos{tenant.id.hex}", secret=f"canary{tenant.id.hex[::-1]}", extra={})
        PracticeDesk(simulator_url).open_account(keys, BALANCE)
        tenancy.secrets.append(keys.secret)
    account = open_account(
        fleet,
        tenant.id,
        name="main",
        venue=SIMULATOR,
        environment=environment,
        profile="standard",
        limits=LIMITS,
        credentials=keys,
        live_enabled=is_live,
    )
    tenancy.accounts.append(account)
    if keys is not None:
        tenancy.keys[account.id] = keys.key
    for strategy in tenancy.strategies:
        symbols = [item.symbol for item in tenancy.instruments]
        subscribe(
            fleet, tenant.id, account.id, strategy=strategy, timeframe=TIMEFRAME, instruments=symbols, advisor=advisor
        )
    monitor_account(fleet, tenant.id, account.id)
    reconcile_account(fleet, tenant.id, account.id)


@dataclass(slots=True)
class Weather:
    """Throws signals at the tenants, as the scan would raise them, a few every second, until it is told to stop.

    No more than `waiting_most` jobs of theirs wait at a time: on a slow machine a queue would grow without end, and the
    recovery would be measured behind it.
    """

    fleet: Fleet
    tenancy: Tenancy
    seed: int
    waiting: Callable[[], int]
    waiting_most: int = 12
    gap_s: float = 0.3
    thrown: int = 0
    _blowing: threading.Event = field(default_factory=threading.Event)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to throw."""
        self._blowing.set()
        self._thread = threading.Thread(target=self._throw_on, name="weather", daemon=True)
        self._thread.start()

    def calm(self) -> None:
        """Throw nothing for now."""
        self._blowing.clear()

    def blow(self) -> None:
        """Throw again."""
        self._blowing.set()

    def stop(self) -> None:
        """End it."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(20)

    def _throw_on(self) -> None:
        dice = random.Random(f"weather {self.seed}")
        while not self._done.wait(self.gap_s * dice.uniform(0.5, 1.5)):
            if not self._blowing.is_set():
                continue
            try:
                if self.waiting() < self.waiting_most:
                    throw_signal(self.fleet, self.tenancy, dice)
                    self.thrown += 1
            except TradewindsError as error:
                # Servers and venue are down now and then: that is what the run is about.
                log.info("no signal was thrown: %s", error)


def throw_signal(fleet: Fleet, tenancy: Tenancy, dice: random.Random) -> None:
    """Raise a signal as the scan would, drawn from `dice`, for everybody who listens to it."""
    instrument = dice.choice(list(tenancy.instruments))
    strategy = strategies.get(dice.choice(tenancy.strategies))
    side = dice.choice(list(Side))
    stop, hold_s = Decimal(dice.choice(("0.006", "0.01", "0.02"))), dice.choice((2, 3, 5, 8, 15))
    state = market_now(fleet, instrument)
    price = state.last or state.mark
    if price is None:
        return
    frame, now = Timeframe.parse(TIMEFRAME), fleet.clock.now()
    closed_at = frame.floor(now)
    version = strategy.version
    signal = Signal(
        id=signal_id(SIMULATOR, instrument.symbol, TIMEFRAME, strategy.name, version, closed_at),
        venue=SIMULATOR,
        instrument=instrument.symbol,
        timeframe=TIMEFRAME,
        strategy=strategy.name,
        strategy_version=version,
        side=side,
        confidence=Decimal("0.9"),
        price=price,
        exits=_exits(price, side, instrument.tick_size, stop, fleet.clock.transport(hold_s)),
        reasons=("the dice of a chaos run say so",),
        # A pull-back in a calm market on good volume: the practice model confirms most of it.
        features={"rsi_14": dice.uniform(20.0, 40.0), "volume_ratio_20": dice.uniform(0.8, 2.5)},
        closed_at=closed_at,
        expires_at=fleet.expiry(closed_at, frame.duration),
    )
    with fleet.store.unit_of_work(None) as uow:
        raise_signal(fleet, uow, signal, fleet.ids.new())
        refs = uow.commit()
    fleet.publish(refs)


def _exits(price: Decimal, side: Side, tick: Decimal, stop: Decimal, hold: timedelta) -> ExitPlan:
    floor, ceiling = (floor_to, ceil_to) if side is Side.LONG else (ceil_to, floor_to)
    return ExitPlan(
        stop=floor(price * (1 - side.sign * stop), tick),
        target=ceiling(price * (1 + side.sign * stop * 2), tick),
        max_hold=hold,
    )
