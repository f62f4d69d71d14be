"""The one place where doors are fitted to walls: builds the fleet of a process from its settings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Literal
from uuid import UUID

from common.adapters import broker
from common.adapters.ccxt_venue import (
    BrokeredPace,
    CcxtAccountStream,
    CcxtFigures,
    CcxtMarketData,
    CcxtMarketStream,
    CcxtVenue,
    Connection,
    Guard,
    Markets,
    Pace,
    Pacer,
    build_of,
    capability,
    practice_capability,
)
from common.adapters.ccxt_venue.stream import CcxtStream
from common.adapters.clock import FollowedClock, SystemClock
from common.adapters.ids import SystemIds
from common.adapters.made_market import made_market
from common.adapters.memory_state import MemoryBreakers, MemoryBudgets, MemorySingleFlight
from common.adapters.notifier import AppriseNotifier, Fanout, LogNotifier, fixed_channels
from common.adapters.openai_advisor import OpenAIAdvisor, SharedAdvisor, SharingPolicy, prompt_profile
from common.adapters.paper import PaperVenue
from common.adapters.paper_market import PaperMarket
from common.adapters.practice import PracticeDesk
from common.adapters.public_sources import CoinGecko, CoinMarketCap, FearGreedIndex
from common.adapters.rate_broker import MemoryRateBroker
from common.adapters.redis_state import RedisBreakers, RedisBudgets, RedisRateBroker, RedisSingleFlight, connect_redis
from common.adapters.strategy_folder import load_folder, load_packages
from common.adapters.vault import EnvelopeVault
from common.domain.candidates import CandidateLimits
from common.domain.capability import CapabilityRecord, CaseOutcome
from common.domain.errors import InvalidInput, NotFound, Permanent
from common.domain.job import JobRef
from common.domain.market import InstrumentStatus, Timeframe
from common.domain.risk.book import Environment
from common.domain.strategies import try_out
from common.domain.tenant import Account, Tenant
from common.ports.account_stream import AccountStream
from common.ports.advisor import Advisor
from common.ports.bus import Bus
from common.ports.candle_stream import CandleStream
from common.ports.clock import Clock
from common.ports.market_stream import MarketStream
from common.ports.notifier import OPERATOR, Notifier
from common.ports.rate_limits import CallClass, Caller, RateBroker
from common.ports.shared_state import Breakers, Budgets, SingleFlight
from common.ports.sources import CoinSource
from common.ports.vault import Vault
from common.ports.venue import Credentials, MarketData, Venue
from common.services import demo
from common.services.fleet import Fleet, Policy, open_credentials
from common.services.probe_lab import IdRules, Lab
from common.services.probe_venue import has_passing_record, keep_record, probe_venue
from common.services.tenants import find_tenant
from common.settings import Settings, channels_of
from common.store import RoleName, Store
from common.store import migrate as migrate_store
from common.telemetry import ObservedAdvisor, ObservedBus, share_metrics

__all__ = [
    "build_fleet",
    "load_strategies",
    "migrate",
    "ping_broker",
    "seed_demo",
]

SIMULATOR = "simulator"
ADVISOR = "default"

Purpose = Literal["worker", "cli", "api", "standalone", "stream", "account-stream"]


class SilentBus:
    """For processes that have no broker: nobody is rung, the relay finds the jobs."""

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Ring nobody."""


@dataclass(frozen=True, slots=True)
class SharedState:
    """What the fleet's processes know together and may lose: breakers, answers, budgets and venues' rate limits.

    In Redis where there is one; in memory for a process that is the whole fleet.
    """

    venue_breakers: Breakers
    model_breakers: Breakers
    flights: SingleFlight
    budgets: Budgets
    rates: RateBroker


# Seconds of life. A venue that came back is noticed within a second, for recovery is measured in seconds; a model may
# take longer, for entries wait on it and nothing else does.
_FAILURES_MAX = 5
# A probe that was lost (its worker killed, its connection half open) keeps everybody waiting for as long as its lease.
_VENUE_OPEN_S, _VENUE_PROBE_S = 1.0, 2.0
_MODEL_OPEN_S, _MODEL_PROBE_S = 10.0, 30.0


def shared_state(settings: Settings) -> SharedState:
    """The shared state that `settings` name: that of all processes on their Redis, or this process's own."""
    if settings.redis_url is None:
        return SharedState(
            venue_breakers=MemoryBreakers(_FAILURES_MAX, _VENUE_OPEN_S, _VENUE_PROBE_S),
            model_breakers=MemoryBreakers(_FAILURES_MAX, _MODEL_OPEN_S, _MODEL_PROBE_S),
            flights=MemorySingleFlight(),
            budgets=MemoryBudgets(),
            rates=MemoryRateBroker(),
        )
    client, prefix = connect_redis(settings.redis_url), settings.redis_prefix
    return SharedState(
        venue_breakers=RedisBreakers(client, prefix, _FAILURES_MAX, _VENUE_OPEN_S, _VENUE_PROBE_S),
        model_breakers=RedisBreakers(client, prefix, _FAILURES_MAX, _MODEL_OPEN_S, _MODEL_PROBE_S),
        flights=RedisSingleFlight(client, prefix),
        budgets=RedisBudgets(client, prefix),
        rates=RedisRateBroker(client, prefix),
    )


@dataclass(slots=True)
class VenueRoom:
    """Opens the private side of accounts, one connection per account, all under one rate budget per venue address."""

    connections: Mapping[str, Connection]
    market_data: Mapping[str, MarketData]
    clock: Clock
    store: Store
    shared: SharedState
    guards: Mapping[str, Guard]
    nets: Mapping[str, Pacer]
    _open: dict[UUID, Venue] = field(default_factory=dict)
    _paper_markets: dict[str, PaperMarket] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, account: Account, credentials: Credentials | None) -> Venue:
        """The venue of `account`; PAPER accounts trade on paper at the live market's prices, whatever keys they have."""
        with self._lock:
            if account.id not in self._open:
                self._open[account.id] = self._connect(account, credentials)
            return self._open[account.id]

    def _connect(self, account: Account, credentials: Credentials | None) -> Venue:
        if account.environment is Environment.PAPER:
            market = PaperMarket(self.market_data[account.venue], self.clock)
            market = self._paper_markets.setdefault(account.venue, market)
            return PaperVenue(account, market, self.store.paper, self.clock)
        if credentials is None:
            raise InvalidInput("credentials", None, f"keys for account {account.name} at {account.venue}")
        link = self.connections[account.venue]
        who = Caller(CallClass.RECONCILE, str(account.tenant_id))
        pace = _pace(link, self.clock, self.shared, self.nets[link.name], who, str(account.id))
        return CcxtVenue(link, self.clock, credentials, pace, guard=self.guards[link.name])


@dataclass(slots=True)
class StreamRoom:
    """Opens what venues tell of accounts by themselves; the markets of a venue are loaded once for all of them."""

    connections: Mapping[str, Connection]
    clock: Clock
    _markets: dict[str, Markets] = field(default_factory=dict)

    def __call__(self, account: Account, credentials: Credentials) -> AccountStream | None:
        """The stream of `account`; None at venues that are not ours to reach."""
        link = self.connections.get(account.venue)
        if link is None:
            return None
        return CcxtAccountStream(link, self.clock, credentials, self._markets.setdefault(link.name, Markets()))


def _pace(link: Connection, clock: Clock, shared: SharedState, net: Pacer, who: Caller, account: str = "") -> Pace:
    """The fleet's measure for the requests of one account, or of market data; `net` paces while the fleet has none."""

    def cap() -> float:
        # A practice venue that runs faster than life grants as many requests more in a minute of life.
        return link.capability.weight_per_minute * (max(1.0, clock.rate) if link.base_url else 1.0)

    return BrokeredPace(shared.rates, link.name, cap, who, account, net, patience_s=_PATIENCE_S)


_PATIENCE_S = 2.0  # An order that waits longer would be refused by the venue: its window is five seconds.


def build_fleet(settings: Settings, purpose: Purpose, *, bus: Bus | None = None) -> Fleet:
    """The fleet of one process; `bus` is the broker it rings through, none for processes that only read or ask."""
    share_metrics(settings)
    clock: Clock = FollowedClock(settings.simulator_url) if settings.simulator_url else SystemClock()
    role = RoleName.API if purpose == "api" else RoleName.APP
    store = Store(_database(settings), role=role, pool_size=settings.database_pool_size)
    connections = _connections(settings)
    shared = shared_state(settings)
    nets = {name: Pacer() for name in connections}
    guards = {name: Guard(shared.venue_breakers, f"venue:{name}") for name in connections}
    market_data = {
        name: CcxtMarketData(link, clock, _pace(link, clock, shared, nets[name], Caller()), guards[name])
        for name, link in connections.items()
    }
    return Fleet(
        store=store,
        clock=clock,
        ids=SystemIds(),
        bus=ObservedBus(bus or SilentBus()),
        market_data=market_data,
        open_venue=VenueRoom(connections, market_data, clock, store, shared, guards, nets),
        advisors=_advisors(settings, clock, shared),
        vault=_vault(settings),
        notifier=_notifier(settings),
        policy=_policy(settings),
        figures={
            name: CcxtFigures(link, clock, _pace(link, clock, shared, nets[name], Caller()), guards[name])
            for name, link in connections.items()
        },
        coins=list(_coins(settings, clock)),
        mood=FearGreedIndex(settings.fear_greed_url) if settings.fear_greed_url else None,
        open_account_stream=StreamRoom(connections, clock),
    )


def _notifier(settings: Settings) -> Notifier:
    """Alerts are always in the log, and go to the channels of those who have some."""
    channels = channels_of(settings.alert_channels)
    channels[OPERATOR] = channels.pop("operator", ())
    return Fanout([LogNotifier(), AppriseNotifier(fixed_channels(channels))])


def _coins(settings: Settings, clock: Clock) -> Iterator[CoinSource]:
    key = settings.coingecko_api_key
    if settings.coingecko_url is not None:
        yield CoinGecko(settings.coingecko_url, clock, key.get_secret_value() if key else None)
    if settings.coinmarketcap_url is not None:
        if settings.coinmarketcap_api_key is None:
            raise InvalidInput(
                "coinmarketcap_api_key", None, "the key that CoinMarketCap gave you, for its address is set"
            )
        yield CoinMarketCap(settings.coinmarketcap_url, clock, settings.coinmarketcap_api_key.get_secret_value())


def _database(settings: Settings) -> str:
    if settings.database_url is None:
        raise Permanent("no database: set TRADEWINDS_DATABASE_URL, or start the embedded one with `tradewinds up`")
    return settings.database_url


def _connections(settings: Settings) -> dict[str, Connection]:
    links = {name: Connection(capability(name), name=name) for name in settings.venues}
    if settings.simulator_url:
        # The practice venue speaks Binance's protocol, and enforces its weights.
        row = capability("binanceusdm")
        if settings.simulator_visibility_s is not None:
            row = replace(row, visibility=timedelta(seconds=settings.simulator_visibility_s))
        if settings.simulator_weight_per_minute is not None:
            row = replace(row, weight_per_minute=settings.simulator_weight_per_minute)
        links[SIMULATOR] = Connection(row, name=SIMULATOR, base_url=settings.simulator_url)
    return links


def _advisors(settings: Settings, clock: Clock, shared: SharedState) -> dict[str, Advisor]:
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
    per_minute = settings.model_calls_per_minute * max(1.0, clock.rate)
    policy = SharingPolicy(
        wait_s=settings.model_deadline_s, calls_max=max(1.0, per_minute / 6), calls_per_s=per_minute / 60
    )
    asked_once = SharedAdvisor(
        advisor,
        prompt_profile("balanced").version,
        settings.model_name,
        shared.flights,
        shared.model_breakers,
        shared.budgets,
        policy,
    )
    return {ADVISOR: ObservedAdvisor(asked_once)}


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
        candidates=CandidateLimits(open_interest_min=settings.candidate_interest_min),
    )


def load_strategies(settings: Settings) -> list[str]:
    """Make the strategies of the settings' folders and of installed packages known, each tried out once; their names.

    For processes that scan, and commands that name strategies. Raises InvalidInput naming the file or the strategy that
    is at fault.
    """
    found = [name for folder in settings.strategies for name in load_folder(Path(folder))]
    found += load_packages()
    for name in found:
        try_out(name, lambda candles: made_market(1, candles)[1])
    return found


def migrate(settings: Settings) -> None:
    """Bring the database to this version's schema and let the app's login act in the fleet's roles."""
    migrate_store(settings.database_owner_url or _database(settings), app_url=_database(settings))


PRACTICE_NATURE = "binance-futures"
"""How the practice venue behaves unless it is asked to behave like another."""

_PROBE_BALANCE = Decimal(100_000)


def probe_practice(url: str, personality: str = PRACTICE_NATURE, *, quick: bool = False) -> CapabilityRecord:
    """Probe the practice venue at `url` through an account of its own, towards which it behaves as `personality`.

    The record of any other nature than its own is kept under a name of its own: it says nothing about the venue that
    the fleet's accounts meet.
    """
    row, clock, ids = practice_capability(personality), FollowedClock(url), SystemIds()
    token = ids.new().hex
    keys = Credentials(key=f"probe{token}", secret=f"practice{token[::-1]}", extra={})
    PracticeDesk(url).open_account(keys, _PROBE_BALANCE, personality)
    name = SIMULATOR if personality == PRACTICE_NATURE else f"{SIMULATOR}:{personality}"
    link = Connection(row, name=name, base_url=url, is_paced=False)
    return _probe(link, clock, keys, CcxtMarketData(link, clock), personality, quick=quick)


def probe_account(settings: Settings, fleet: Fleet, venue: str, tenant: str) -> CapabilityRecord:
    """Probe a real venue through the account that `tenant` has there: small orders are placed, filled and left again."""
    link = _connections(settings).get(venue)
    if link is None:
        raise NotFound("venue", venue, _connections(settings))
    owner = find_tenant(fleet, tenant)
    with fleet.store.unit_of_work(owner.id) as uow:
        account = next((item for item in uow.accounts.list() if item.venue == venue), None)
        if account is None:
            raise NotFound(f"account of {owner.name} at", venue)
        keys = open_credentials(fleet.vault, account, uow.accounts.sealed_credentials(account.id))
    if keys is None:
        raise InvalidInput("account", account.name, f"one with keys for {venue}")
    return _probe(link, fleet.clock, keys, fleet.market(venue), link.capability.ccxt_id)


def _probe(
    link: Connection,
    clock: Clock,
    keys: Credentials,
    market: MarketData,
    personality: str,
    *,
    quick: bool = False,
) -> CapabilityRecord:
    row = link.capability
    listed = [item for item in market.instruments() if item.status is InstrumentStatus.TRADING]
    instrument = next((item for item in listed if item.base == "BTC"), listed[0])
    lab = Lab(
        venue=CcxtVenue(link, clock, keys),
        market=market,
        instrument=instrument,
        clock=clock,
        ids=SystemIds(),
        id_rules=IdRules(row.wire_id, None if row.id_is_hex else row.id_length_max),
        wait=time.sleep,
        began=clock.now() - clock.transport(1),
    )
    return probe_venue(lab, link.name, personality, build_of(row), quick=quick)


def prove_practice_venue(fleet: Fleet, simulator_url: str) -> None:
    """Give the practice venue its capability record by a quick probe, where this build has none yet; Permanent if it fails."""
    if has_passing_record(fleet, SIMULATOR, build_of(practice_capability(PRACTICE_NATURE))):
        return
    record = probe_practice(simulator_url, quick=True)
    keep_record(fleet, record)
    if not record.is_passing:
        failed = ", ".join(f"{c.number} {c.name}: {c.seen}" for c in record.cases if c.outcome is CaseOutcome.FAILED)
        raise Permanent(f"the practice venue does not behave as our orders rely on: {failed}")


def seed_demo(fleet: Fleet, settings: Settings) -> Sequence[Tenant]:
    """Create the three demo tenants on the practice venue; safe to repeat."""
    if settings.simulator_url is None:
        raise Permanent("demo tenants live on the practice venue: set TRADEWINDS_SIMULATOR_URL")
    prove_practice_venue(fleet, settings.simulator_url)
    desk = PracticeDesk(settings.simulator_url)
    advisor = ADVISOR if ADVISOR in fleet.advisors else None
    return demo.seed_demo(fleet, SIMULATOR, desk.open_account, settings.scan_timeframes[0], advisor)


def candle_stream(
    settings: Settings,
    fleet: Fleet,
    venue: str,
    markets: Sequence[tuple[str, Timeframe]],
    since: Mapping[tuple[str, Timeframe], datetime],
) -> CandleStream:
    """The websocket of `venue` for the candles of `markets`, going on from `since`."""
    return CcxtStream(_connections(settings)[venue], fleet.clock, fleet.market(venue), markets, since)


def market_stream(
    settings: Settings, fleet: Fleet, venue: str, markets: Sequence[tuple[str, Timeframe]]
) -> MarketStream:
    """The websockets of `venue` for books, tapes and marks of `markets`, told at the closes of their candles."""
    market_data = fleet.market(venue)
    if not isinstance(market_data, CcxtMarketData):
        raise Permanent(f"the market of {venue} has no websockets")
    return CcxtMarketStream(_connections(settings)[venue], fleet.clock, market_data, markets)


def ping_broker(settings: Settings) -> None:
    """Return when the broker answers; raises Transient when it does not, Permanent when none is named."""
    if settings.redis_url is None:
        raise Permanent("no broker: set TRADEWINDS_REDIS_URL, or start the embedded one with `tradewinds up`")
    broker.ping_broker(settings.redis_url)
