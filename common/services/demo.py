"""Three demo tenants on the practice venue: one on paper, one live with the model confirming, one scalping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from common.domain.market import InstrumentStatus
from common.domain.risk.book import Environment
from common.domain.tenant import Tenant
from common.ports.venue import Credentials
from common.services.fleet import Fleet
from common.services.tenants import allow_live, create_tenant, open_account, refresh_instruments, subscribe

OpenAtVenue = Callable[[Credentials, Decimal], None]
"""Opens an account at the practice venue with these keys and this balance; opening it twice is harmless."""

BALANCE = Decimal(10_000)
STRATEGIES = ("rsi_mean_reversion", "ema_crossover", "confluence")


def seed_demo(
    fleet: Fleet, venue: str, open_at_venue: OpenAtVenue, timeframe: str, advisor: str | None
) -> Sequence[Tenant]:
    """Create the demo tenants with accounts and subscriptions on every instrument of `venue`; safe to repeat."""
    refresh_instruments(fleet, venue)
    with fleet.store.unit_of_work(None) as uow:
        symbols = [i.symbol for i in uow.instruments.list(venue) if i.status is InstrumentStatus.TRADING]
    return [
        _seed(fleet, venue, open_at_venue, timeframe, symbols, "harbour", Environment.PAPER, "standard", None),
        _seed(fleet, venue, open_at_venue, timeframe, symbols, "meridian", Environment.LIVE, "standard", advisor),
        _seed(fleet, venue, open_at_venue, timeframe, symbols, "skiff", Environment.LIVE, "scalper", None),
    ]


def _seed(
    fleet: Fleet,
    venue: str,
    open_at_venue: OpenAtVenue,
    timeframe: str,
    symbols: Sequence[str],
    name: str,
    environment: Environment,
    profile: str,
    advisor: str | None,
) -> Tenant:
    tenant = create_tenant(fleet, name)
    live = environment is Environment.LIVE
    allow_live(fleet, name, live)
    credentials = None
    if live:
        # Keys of the practice venue only; they follow from the tenant's id so that seeding again finds the account.
        credentials = Credentials(key=f"demo{tenant.id.hex}", secret=f"practice{tenant.id.hex[::-1]}", extra={})
        open_at_venue(credentials, BALANCE)
    account = open_account(
        fleet,
        tenant.id,
        name="main",
        venue=venue,
        environment=environment,
        profile=profile,
        credentials=credentials,
        live_enabled=live,
    )
    for strategy in STRATEGIES:
        subscribe(
            fleet,
            tenant.id,
            account.id,
            strategy=strategy,
            timeframe=timeframe,
            instruments=symbols,
            advisor=advisor,
        )
    return tenant
