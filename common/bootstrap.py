"""The one place where doors are fitted to walls: builds the fleet of a process from its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Literal
from uuid import UUID

from common.adapters import broker
from common.adapters.ccxt_venue import CcxtMarketData, CcxtVenue, Connection, Pacer, capability
from common.adapters.ccxt_venue.stream import CcxtStream
from common.adapters.clock import FollowedClock, SystemClock
from common.adapters.embedded import EmbeddedPostgres, EmbeddedValkey, ManagedProcess
from common.adapters.embedded.home import free_port
from common.adapters.ids import SystemIds
from common.adapters.notifier import LogNotifier
from common.adapters.openai_advisor import OpenAIAdvisor
from common.adapters.paper import PaperVenue
from common.adapters.practice import PracticeDesk
from common.adapters.vault import EnvelopeVault
from common.domain.errors import InvalidInput, Permanent
from common.domain.job import JobRef
from common.domain.market import Timeframe
from common.domain.risk.book import Environment
from common.domain.tenant import Account, Tenant
from common.ports.advisor import Advisor
from common.ports.bus import Bus
from common.ports.candle_stream import CandleStream
from common.ports.clock import Clock
from common.ports.ids import Ids
from common.ports.vault import Vault
from common.ports.venue import Credentials, MarketData, Venue
from common.services import demo
from common.services.fleet import Fleet, Policy
from common.settings import Settings
from common.store import RoleName, Store
from common.store import migrate as migrate_store
from common.telemetry import ObservedAdvisor, ObservedBus, share_metrics

__all__ = [
    "ManagedProcess",
    "build_fleet",
    "embedded_servers",
    "free_port",
    "migrate",
    "ping_broker",
    "seed_demo",
    "system_clock",
    "system_ids",
]

SIMULATOR = "simulator"
ADVISOR = "default"

Purpose = Literal["worker", "cli", "api", "standalone", "stream"]


class SilentBus:
    """For processes that have no broker: nobody is rung, the relay finds the jobs."""

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Ring nobody."""


@dataclass(slots=True)
class VenueRoom:
    """Opens the private side of accounts, one connection per account, all under one rate budget per venue address."""

    connections: Mapping[str, Connection]
    market_data: Mapping[str, MarketData]
    clock: Clock
    store: Store
    pacers: Mapping[str, Pacer]
    _open: dict[UUID, Venue] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, account: Account, credentials: Credentials | None) -> Venue:
        """The venue of `account`; PAPER accounts trade on paper at the live market's prices, whatever keys they have."""
        with self._lock:
            if account.id not in self._open:
                self._open[account.id] = self._connect(account, credentials)
            return self._open[account.id]

    def _connect(self, account: Account, credentials: Credentials | None) -> Venue:
        if account.environment is Environment.PAPER:
            return PaperVenue(account, self.market_data[account.venue], self.store.paper, self.clock)
        if credentials is None:
            raise InvalidInput("credentials", None, f"keys for account {account.name} at {account.venue}")
        return CcxtVenue(self.connections[account.venue], self.clock, credentials, self.pacers[account.venue])


def build_fleet(settings: Settings, purpose: Purpose, *, bus: Bus | None = None) -> Fleet:
    """The fleet of one process; `bus` is the broker it rings through, none for processes that only read or ask."""
    share_metrics(settings)
    clock: Clock = FollowedClock(settings.simulator_url) if settings.simulator_url else SystemClock()
    role = RoleName.API if purpose == "api" else RoleName.APP
    store = Store(_database(settings), role=role, pool_size=settings.database_pool_size)
    connections = _connections(settings)
    pacers = {name: Pacer() for name in connections}
    market_data = {name: CcxtMarketData(link, clock, pacers[name]) for name, link in connections.items()}
    return Fleet(
        store=store,
        clock=clock,
        ids=SystemIds(),
        bus=ObservedBus(bus or SilentBus()),
        market_data=market_data,
        open_venue=VenueRoom(connections, market_data, clock, store, pacers),
        advisors=_advisors(settings, clock),
        vault=_vault(settings),
        notifier=LogNotifier(),
        policy=_policy(settings),
    )


def _database(settings: Settings) -> str:
    if settings.database_url is None:
        raise Permanent("no database: set TRADEWINDS_DATABASE_URL, or start the embedded one with `tradewinds up`")
    return settings.database_url


def _connections(settings: Settings) -> dict[str, Connection]:
    links = {name: Connection(capability(name), name=name) for name in settings.venues}
    if settings.simulator_url:
        # The practice venue speaks Binance's protocol and needs no courtesy: it enforces its own weights.
        row = capability("binanceusdm")
        if settings.simulator_visibility_s is not None:
            row = replace(row, visibility=timedelta(seconds=settings.simulator_visibility_s))
        links[SIMULATOR] = Connection(row, name=SIMULATOR, base_url=settings.simulator_url, is_paced=False)
    return links


def _advisors(settings: Settings, clock: Clock) -> dict[str, Advisor]:
    if settings.model_url is None:
        return {}
    key = settings.model_api_key.get_secret_value() if settings.model_api_key else "none"
    advisor = OpenAIAdvisor(
        ADVISOR,
        base_url=settings.model_url,
        api_key=key,
        model=settings.model_name,
        clock=clock,
        deadline_s=settings.model_deadline_s,
    )
    return {ADVISOR: ObservedAdvisor(advisor)}


class ClosedVault:
    """For processes without the master key: sealing and opening say which setting is missing."""

    def seal(self, secret: bytes, context: str) -> bytes:
        """Refuse."""
        raise Permanent("no master key: set TRADEWINDS_MASTER_KEY_FILE; `tradewinds doctor --init` writes one")

    def open(self, sealed: bytes, context: str) -> bytes:
        """Refuse."""
        raise Permanent("no master key: set TRADEWINDS_MASTER_KEY_FILE; `tradewinds doctor --init` writes one")


def _vault(settings: Settings) -> Vault:
    return EnvelopeVault(settings.master_key.get_secret_value()) if settings.master_key else ClosedVault()


def _policy(settings: Settings) -> Policy:
    return Policy(
        order_prefix=settings.order_prefix,
        live_trading=settings.live_trading,
        signal_expiry_candles=Decimal(settings.signal_expiry_candles),
    )


def migrate(settings: Settings) -> None:
    """Bring the database to this version's schema and let the app's login act in the fleet's roles."""
    migrate_store(settings.database_owner_url or _database(settings), app_url=_database(settings))


def seed_demo(fleet: Fleet, settings: Settings) -> Sequence[Tenant]:
    """Create the three demo tenants on the practice venue; safe to repeat."""
    if settings.simulator_url is None:
        raise Permanent("demo tenants live on the practice venue: set TRADEWINDS_SIMULATOR_URL")
    desk = PracticeDesk(settings.simulator_url)
    advisor = ADVISOR if ADVISOR in fleet.advisors else None
    return demo.seed_demo(fleet, SIMULATOR, desk.open_account, settings.scan_timeframes[0], advisor)


@contextmanager
def embedded_servers(settings: Settings, directory: Path, *, redis: bool = True) -> Iterator[Settings]:
    """Real Postgres and Valkey below `directory` for those the settings do not name; yields settings that name them."""
    stops: list[Callable[[], None]] = []
    changes: dict[str, object] = {}
    try:
        if settings.database_url is None:
            postgres = EmbeddedPostgres(directory / "postgres").start()
            stops.append(postgres.stop)
            owner = postgres.url_superuser
            changes |= {"database_owner_url": owner, "database_url": owner}
        if redis and settings.redis_url is None:
            valkey = EmbeddedValkey(directory / "valkey").start()
            stops.append(valkey.stop)
            changes["redis_url"] = valkey.url
        yield settings.model_copy(update=changes)
    finally:
        for stop in reversed(stops):
            stop()


def candle_stream(
    settings: Settings,
    fleet: Fleet,
    venue: str,
    symbols: Sequence[str],
    timeframes: Sequence[Timeframe],
    since: Mapping[tuple[str, Timeframe], datetime],
) -> CandleStream:
    """The websocket of `venue` for the candles of `symbols`, going on from `since`."""
    return CcxtStream(_connections(settings)[venue], fleet.clock, fleet.market(venue), symbols, timeframes, since)


def ping_broker(settings: Settings) -> None:
    """Return when the broker answers; raises Transient when it does not, Permanent when none is named."""
    if settings.redis_url is None:
        raise Permanent("no broker: set TRADEWINDS_REDIS_URL, or start the embedded one with `tradewinds up`")
    broker.ping_broker(settings.redis_url)


def system_clock() -> Clock:
    """Life's own clock, for what happens before there is a fleet: stopwatches and the command line's patience."""
    return SystemClock()


def system_ids() -> Ids:
    """The system's source of ids and secrets."""
    return SystemIds()
