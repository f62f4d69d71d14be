"""Tenants, their accounts and what they subscribe to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from common.domain.advice import AdvisorFallback
from common.domain.risk.book import Environment, TradingState


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer of the platform; sees only itself."""

    id: UUID
    name: str
    state: TradingState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """One account at one venue; its environment never changes.

    `limits` are the tenant's settings inside the profile named by `profile`; `live_enabled` is the account's own say.
    """

    id: UUID
    tenant_id: UUID
    name: str
    venue: str
    environment: Environment
    profile: str
    limits: Mapping[str, Any] = field(default_factory=dict)
    live_enabled: bool = False
    is_reconciled: bool = False


@dataclass(frozen=True, slots=True)
class Subscription:
    """An account's wish to trade a strategy on instruments of its venue; `advisor` None = the model is not asked.

    `pool` names the candidates that its instruments follow, such as `candidates:20`; None where they were chosen.
    """

    id: UUID
    tenant_id: UUID
    account_id: UUID
    strategy: str
    timeframe: str
    instruments: tuple[str, ...]
    advisor: str | None
    on_advisor_unavailable: AdvisorFallback
    active_from: datetime
    active_to: datetime | None = None
    pool: str | None = None

    def is_active(self, now: datetime) -> bool:
        """Whether it counts at `now`."""
        return self.active_to is None or self.active_to > now


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One account that is to be asked about a signal; `can_act` is False when it could not enter now whatever risk says."""

    tenant_id: UUID
    account_id: UUID
    advisor: str | None
    can_act: bool
