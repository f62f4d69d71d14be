"""The tenant's book: everything that counts against its limits, read under the lock of its risk row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from common.domain.advice import AdvisorFallback
from common.domain.money import ZERO
from common.domain.signal import Side


class TradingState(StrEnum):
    """Whether new risk may be taken (ACTIVE), only reduced (REDUCING), or nothing sent but protection (HALTED)."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


class Environment(StrEnum):
    """Where an account's orders go; fixed per account."""

    BACKTEST = "backtest"
    PAPER = "paper"
    LIVE = "live"


class HaltScope(StrEnum):
    """What a halt covers."""

    PLATFORM = "platform"
    VENUE = "venue"
    TENANT = "tenant"
    STRATEGY = "strategy"
    INSTRUMENT = "instrument"


class HaltMode(StrEnum):
    """How far a halt goes: no new entries, entries cancelled too, or everything closed."""

    HALT_NEW = "halt_new"
    CANCEL_ENTRIES = "cancel_entries"
    FLATTEN = "flatten"


@dataclass(frozen=True, slots=True)
class Halt:
    """One halt in force; `subject` is the venue, tenant id, strategy or instrument, empty for the platform."""

    scope: HaltScope
    subject: str
    mode: HaltMode
    epoch: int
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Exposure:
    """One open position, working entry, reservation or entry of unknown fate, as it counts against limits.

    `risk` is the loss at the stop, costs included, as it was reserved; it counts against the day's loss.
    """

    instrument: str
    strategy: str
    side: Side
    quantity: Decimal
    notional: Decimal
    margin: Decimal
    is_position: bool
    account_id: UUID
    risk: Decimal = ZERO


EVERY_INSTRUMENT = "*"
"""Stands for all instruments of an account in `Record.symbol_cooling_until`."""


@dataclass(frozen=True, slots=True)
class Record:
    """The account's recent results: signed money in the settle asset, rates as fractions, counts of closed positions.

    `day_profit` is realised today (UTC) after costs plus unrealised now; `win_rate` and `sharpe` are None below the
    minimum sample, and `sharpe` is the mean net profit per closed position over its standard deviation, not annualised: a
    trade is no period of time (trap 14); `peak_equity` is the highest equity seen since the last breaker reset. Streak, rates and peak count
    from the end of the last breaker cool-down that is over: otherwise what tripped it would trip it again for ever.
    """

    day_profit: Decimal = ZERO
    day_start_equity: Decimal = ZERO
    peak_equity: Decimal = ZERO
    consecutive_losses: int = 0
    closed_trades: int = 0
    win_rate: Decimal | None = None
    sharpe: Decimal | None = None
    cooling_until: datetime | None = None
    cooling_reason: str = ""
    symbol_cooling_until: Mapping[str, datetime] | None = None
    orders_last_minute: int = 0
    orders_last_hour: int = 0


@dataclass(frozen=True, slots=True)
class Book:
    """All that risk knows of one tenant's account at the moment of a decision; money in the settle asset."""

    tenant_id: UUID
    account_id: UUID
    environment: Environment
    tenant_state: TradingState
    equity: Decimal
    available: Decimal
    exposures: tuple[Exposure, ...]
    record: Record
    halts: tuple[Halt, ...]
    halt_epoch: int
    live_allowed: bool
    is_reconciled: bool
    quarantined: frozenset[str]
    on_advisor_unavailable: AdvisorFallback
    advisor_required: bool
