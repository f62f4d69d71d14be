"""The fleet as a use case sees it: storage, doors and policy, fitted together once in bootstrap."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from common.domain.candidates import CandidateLimits
from common.domain.errors import NotFound, Transient
from common.domain.job import JobRef
from common.domain.market import Instrument
from common.domain.tenant import Account
from common.ports.account_stream import AccountStream
from common.ports.advisor import Advisor
from common.ports.bus import Bus
from common.ports.clock import Clock
from common.ports.ids import Ids
from common.ports.notifier import Notifier
from common.ports.sources import CoinSource, MarketFigures, MoodSource
from common.ports.vault import Vault
from common.ports.venue import Credentials, MarketData, Venue
from common.services.kept_markets import KeptMarkets
from common.store import Store, UnitOfWork

log = logging.getLogger(__name__)

VenueOpener = Callable[[Account, Credentials | None], Venue]
StreamOpener = Callable[[Account, Credentials], AccountStream | None]
"""Opens what a venue tells of an account by itself; None where it tells nothing."""


def no_stream(account: Account, credentials: Credentials) -> AccountStream | None:
    """For fleets whose venues tell nothing by themselves: the monitor asks."""
    return None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator decided for the whole platform.

    A stop at the venue is moved at most once in `stop_move_every`, and for no less than `stop_move_step` of the distance
    between entry and first stop. A quiet account is looked at once in `observe_every`, a restless one as often as it is visited
    but never twice in `look_again_s`. A candle that is not there yet is looked for again until `late_candle_s` after its
    close. For `late_fill_s` after an entry was taken back the venue may yet tell that it had filled. A process keeps at
    most `kept_markets_max` series of candles for its scans. Whether an account is flat is asked at once for
    `flatten_haste`. Durations named `*_s` are seconds of life (they concern transport and people), the others are venue
    time.
    """

    order_prefix: str = "tw"
    live_trading: bool = False
    signal_expiry_candles: Decimal = Decimal(1)
    history_candles: int = 400
    kept_markets_max: int = 5_000
    shard_size: int = 100
    book_depth: int = 20
    market_fresh_s: float = 0.25
    mark_fresh: timedelta = timedelta(seconds=1)
    observe_every: timedelta = timedelta(seconds=15)
    look_again_s: float = 1.0
    late_candle_s: float = 5.0
    flatten_haste: timedelta = timedelta(minutes=1)
    transit_s: float = 2.0
    stop_deadline_s: float = 10.0
    parameters_settle_s: float = 2.0
    stop_move_every: timedelta = timedelta(seconds=30)
    stop_move_step: Decimal = Decimal("0.1")
    settle_first_s: float = 0.2
    settle_again_s: float = 1.0
    late_fill_s: float = 10.0
    retry_base_s: float = 0.2
    retry_max_s: float = 30.0
    defect_attempts_max: int = 5
    relay_grace_s: float = 1.0
    relay_quiet_s: float = 1.5
    relay_batch: int = 500
    overlap: timedelta = timedelta(minutes=5)
    memory: timedelta = timedelta(days=3)
    market_memory: timedelta = timedelta(days=400)
    work_memory: timedelta = timedelta(days=30)
    candidates: CandidateLimits = field(default_factory=CandidateLimits)


@dataclass(slots=True)
class Fleet:
    """Everything a use case may touch; there is one per process."""

    store: Store
    clock: Clock
    ids: Ids
    bus: Bus
    market_data: Mapping[str, MarketData]
    open_venue: VenueOpener
    advisors: Mapping[str, Advisor]
    vault: Vault
    notifier: Notifier
    policy: Policy = field(default_factory=Policy)
    open_account_stream: StreamOpener = no_stream
    looked_back: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """How many candles of (venue, symbol, timeframe) this process has asked for already, whether there were so many."""
    kept: KeptMarkets = field(default_factory=KeptMarkets)
    """What scans of this process keep of markets, so that the next one looks at new candles only."""
    lacking: set[UUID] = field(default_factory=set)
    """Accounts of which this process was told, when it last looked, that more was filled than the venue's fills show."""
    figures: Mapping[str, MarketFigures] = field(default_factory=dict)
    coins: Sequence[CoinSource] = ()
    mood: MoodSource | None = None

    def market(self, venue: str) -> MarketData:
        """The public side of `venue`; raises NotFound naming the venues there are."""
        if venue not in self.market_data:
            raise NotFound("venue", venue, self.market_data)
        return self.market_data[venue]

    def advisor(self, profile: str) -> Advisor:
        """The advisor of `profile`; raises NotFound naming the profiles there are."""
        if profile not in self.advisors:
            raise NotFound("advisor profile", profile, self.advisors)
        return self.advisors[profile]

    def venue_of(self, uow: UnitOfWork, account: Account) -> Venue:
        """The private side of `account`, with its keys opened from the vault."""
        sealed = uow.accounts.sealed_credentials(account.id)
        return self.open_venue(account, open_credentials(self.vault, account, sealed))

    def publish(self, refs: Sequence[JobRef]) -> None:
        """Ring for `refs`; a broker that cannot be reached is no loss, because the relay rings again."""
        if not refs:
            return
        try:
            self.bus.ring(refs)
        except Transient as error:
            log.warning("ring failed, the relay will ring again: %s", error)

    def expiry(self, closed_at: datetime, timeframe: timedelta) -> datetime:
        """When a signal raised on a candle that closed at `closed_at` becomes too old to act on."""
        return closed_at + timeframe * float(self.policy.signal_expiry_candles)


def credential_context(account: Account) -> str:
    """What a sealed key is bound to: it opens in its own place only."""
    return f"{account.tenant_id}|{account.id}|{account.venue}"


def open_credentials(vault: Vault, account: Account, sealed: bytes | None) -> Credentials | None:
    """The keys of `account` in the clear, or None when it has none (paper)."""
    if sealed is None:
        return None
    key, secret = vault.open(sealed, credential_context(account)).decode().split("\n", 1)
    return Credentials(key=key, secret=secret, extra={})


def instrument_of(uow: UnitOfWork, venue: str, symbol: str) -> Instrument:
    """The instrument, or NotFound naming those the venue lists."""
    instrument = uow.instruments.get(venue, symbol)
    if instrument is None:
        raise NotFound(f"instrument at {venue}", symbol, (item.symbol for item in uow.instruments.list(venue)))
    return instrument
