"""Tenants for benches: accounts at the practice venue with limits so wide that every signal may be filled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

from common.adapters.practice import PracticeDesk
from common.bootstrap import ADVISOR, SIMULATOR, prove_practice_venue
from common.domain import strategies
from common.domain.errors import Transient
from common.domain.market import Instrument, InstrumentStatus, Timeframe
from common.domain.money import ceil_to, floor_to
from common.domain.risk.book import Environment
from common.domain.signal import ExitPlan, Side, Signal, signal_id
from common.ports.venue import Credentials
from common.services.fleet import Fleet
from common.services.ingest_candles import refill
from common.services.monitor_account import CLAIMED, monitor_account
from common.services.reconcile_account import BUSY, reconcile_account
from common.services.tenants import allow_live, create_tenant, open_account, refresh_instruments, subscribe

TIMEFRAMES = ("15m", "30m", "1h")
"""Long ones, so that hardly any candle closes during a bench and brings signals of its own."""

GENEROUS: dict[str, Any] = {
    # A thousandth of the equity at risk: all instruments fit into one account's margin, and every book takes it.
    "risk_fraction_max": "0.001",
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
    "exposure_max": 20,
    "symbol_exposure_max": 10,
    "strategy_exposure_max": 20,
    "position_count_max": 20,
    "margin_use_max": "0.9",
    "orders_per_minute_max": 60,
    "orders_per_hour_max": 600,
    "edge_margin_bps_min": 0,
    "reward_min": "0.5",
    "drift_bps_max": 200,
    "confidence_min": 0,
    "symbol_cooldown_min": None,
}
_BALANCE = Decimal(100_000)
_WORKERS = 4
_VISITS_MAX, _SECONDS_BETWEEN = 100, 0.1


@dataclass(frozen=True, slots=True)
class Desk:
    """One tenant's account and the strategy and timeframe that nobody else subscribes to: its signals are its own."""

    tenant_id: UUID
    account_id: UUID
    strategy: str
    timeframe: str


def open_desks(fleet: Fleet, simulator_url: str, count: int) -> tuple[Sequence[Desk], Sequence[Instrument]]:
    """`count` tenants with reconciled accounts, subscribed to every instrument, with whole histories of candles."""
    prove_practice_venue(fleet, simulator_url)
    refresh_instruments(fleet, SIMULATOR)
    with fleet.store.unit_of_work(None) as uow:
        listed = uow.instruments.list(SIMULATOR)
    instruments = [item for item in listed if item.status is InstrumentStatus.TRADING]
    symbols = [item.symbol for item in instruments]
    wanted = list(product(TIMEFRAMES, strategies.names()))[:count]
    for name in sorted({timeframe for timeframe, _ in wanted}):
        timeframe = Timeframe.parse(name)
        refill(fleet, SIMULATOR, symbols, timeframe, timeframe.floor(fleet.clock.now()))
    with ThreadPoolExecutor(_WORKERS) as pool:
        desks = list(pool.map(lambda each: _open(fleet, simulator_url, symbols, *each), wanted))
    return desks, instruments


def _open(fleet: Fleet, simulator_url: str, symbols: Sequence[str], timeframe: str, strategy: str) -> Desk:
    tenant = create_tenant(fleet, f"bench-{strategy}-{timeframe}")
    allow_live(fleet, tenant.name, True)
    keys = Credentials(key=f"bench{tenant.id.hex}", secret=f"practice{tenant.id.hex[::-1]}", extra={})
    PracticeDesk(simulator_url).open_account(keys, _BALANCE)
    account = open_account(
        fleet,
        tenant.id,
        name="main",
        venue=SIMULATOR,
        environment=Environment.LIVE,
        profile="standard",
        limits=GENEROUS,
        credentials=keys,
        live_enabled=True,
    )
    subscribe(
        fleet,
        tenant.id,
        account.id,
        strategy=strategy,
        timeframe=timeframe,
        instruments=symbols,
        advisor=ADVISOR,
    )
    # Nothing is sized before the account's balance is known, and nothing entered before its books were compared.
    _insist(lambda: monitor_account(fleet, tenant.id, account.id), CLAIMED)
    _insist(lambda: reconcile_account(fleet, tenant.id, account.id), BUSY)
    return Desk(tenant.id, account.id, strategy, timeframe)


def _insist(visit: Callable[[], str], busy: str) -> None:
    """Repeat `visit` while one of the fleet's own workers is at the account; raises Transient when that does not end."""
    for _ in range(_VISITS_MAX):
        if visit() != busy:
            return
        time.sleep(_SECONDS_BETWEEN)
    raise Transient(f"the account was {busy} for {_VISITS_MAX * _SECONDS_BETWEEN:.0f} s")


def signal_for(desk: Desk, instrument: Instrument, price: Decimal, now: datetime) -> Signal:
    """A long signal for one desk's account, far from its exits, that the practice model confirms."""
    stop = floor_to(price * Decimal("0.97"), instrument.tick_size)
    target = ceil_to(price * Decimal("1.06"), instrument.tick_size)
    return Signal(
        id=signal_id(instrument.venue, instrument.symbol, desk.timeframe, desk.strategy, "bench", now),
        venue=instrument.venue,
        instrument=instrument.symbol,
        timeframe=desk.timeframe,
        strategy=desk.strategy,
        strategy_version="bench",
        side=Side.LONG,
        confidence=Decimal("0.9"),
        price=price,
        exits=ExitPlan(stop=stop, target=target),
        reasons=("raised by the bench",),
        # A moderate pull-back in a calm market on good volume: nothing speaks against it, whatever the strategy is called.
        features={"rsi_14": 26.0, "volume_ratio_20": 2.2},
        closed_at=now,
        expires_at=now + timedelta(minutes=10),
    )
