"""Tenants, their accounts and their subscriptions: made, listed, paused and resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from common.domain import strategies
from common.domain.advice import AdvisorFallback
from common.domain.codec import encode
from common.domain.errors import InvalidInput, NotFound
from common.domain.market import Timeframe
from common.domain.risk.book import Environment, TradingState
from common.domain.risk.limits import resolve
from common.domain.signal import NAMESPACE
from common.domain.tenant import Account, Subscription, Tenant
from common.ports.venue import Credentials
from common.services.fleet import Fleet, credential_context
from common.services.list_candidates import names_pool, pool_of
from common.services.refresh_instruments import refresh_instruments

__all__ = [
    "allow_live",
    "create_tenant",
    "find_tenant",
    "list_tenants",
    "open_account",
    "pause_tenant",
    "refresh_instruments",
    "resume_tenant",
    "show_tenant",
    "subscribe",
    "tenant_id_of",
]


def tenant_id_of(name: str) -> UUID:
    """A tenant's id follows from its name: creating it twice is harmless."""
    return uuid5(NAMESPACE, f"tenant|{name}")


def create_tenant(fleet: Fleet, name: str) -> Tenant:
    """Create the tenant `name`, or return the one there is."""
    if not name or len(name) > 64 or not name.replace("-", "").replace("_", "").isalnum():
        raise InvalidInput("name", name, "1 to 64 letters, digits, - and _")
    tenant = Tenant(tenant_id_of(name), name, TradingState.ACTIVE, fleet.clock.now())
    with fleet.store.unit_of_work(None) as uow:
        known = uow.tenants.get(tenant.id)
        if known is not None:
            return known
        uow.tenants.add(tenant)
        uow.audit.append("tenant", str(tenant.id), {"created": name}, fleet.clock.now())
        uow.commit()
    return tenant


def allow_live(fleet: Fleet, name_or_id: str, allowed: bool) -> Tenant:
    """Record the tenant's own say in moving money; the platform and the account have theirs."""
    tenant = find_tenant(fleet, name_or_id)
    with fleet.store.unit_of_work(None) as uow:
        uow.tenants.allow_live(tenant.id, allowed)
        uow.audit.append("tenant", str(tenant.id), {"live_allowed": allowed}, fleet.clock.now())
        uow.commit()
    return tenant


def find_tenant(fleet: Fleet, name_or_id: str) -> Tenant:
    """The tenant of that name or id; NotFound names those there are."""
    tenants = list_tenants(fleet)
    for tenant in tenants:
        if name_or_id in {tenant.name, str(tenant.id)}:
            return tenant
    raise NotFound("tenant", name_or_id, (tenant.name for tenant in tenants))


def list_tenants(fleet: Fleet) -> Sequence[Tenant]:
    """All tenants, by name: an operator's question."""
    with fleet.store.operator() as view:
        return sorted(view.tenants(), key=lambda tenant: tenant.name)


def show_tenant(fleet: Fleet, name_or_id: str) -> dict[str, Any]:
    """A tenant with its accounts, limits as resolved, subscriptions and last known balances; no keys."""
    tenant = find_tenant(fleet, name_or_id)
    with fleet.store.unit_of_work(tenant.id) as uow:
        accounts = uow.accounts.list()
        subscriptions = uow.subscriptions.list()
        balances = {account.id: uow.accounts.balance(account.id) for account in accounts}
    return {
        "tenant": encode(tenant),
        "accounts": [
            encode(account)
            | {
                "limits": encode(resolve(account.profile, account.limits, strict=False)),
                "balance": encode(balances[account.id]),
            }
            for account in accounts
        ],
        "subscriptions": encode(subscriptions),
    }


def pause_tenant(fleet: Fleet, name_or_id: str) -> Tenant:
    """No new entries for this tenant; its positions are managed as before."""
    return _set_state(fleet, name_or_id, TradingState.REDUCING)


def resume_tenant(fleet: Fleet, name_or_id: str) -> Tenant:
    """New entries again."""
    return _set_state(fleet, name_or_id, TradingState.ACTIVE)


def _set_state(fleet: Fleet, name_or_id: str, state: TradingState) -> Tenant:
    tenant = find_tenant(fleet, name_or_id)
    with fleet.store.unit_of_work(None) as uow:
        uow.tenants.set_state(tenant.id, state)
        uow.audit.append("tenant", str(tenant.id), {"state": state.value}, fleet.clock.now())
        uow.commit()
    return find_tenant(fleet, name_or_id)


def open_account(
    fleet: Fleet,
    tenant_id: UUID,
    *,
    name: str,
    venue: str,
    environment: Environment,
    profile: str,
    limits: Mapping[str, Any] | None = None,
    credentials: Credentials | None = None,
    live_enabled: bool = False,
) -> Account:
    """Open an account, or return the one of that name; limits are checked against the ceilings, keys sealed first."""
    fleet.market(venue)
    resolve(profile, limits or {})
    if environment is Environment.LIVE and credentials is None:
        raise InvalidInput("credentials", None, "the key and secret of a live account")
    account = Account(
        id=uuid5(NAMESPACE, f"account|{tenant_id}|{name}"),
        tenant_id=tenant_id,
        name=name,
        venue=venue,
        environment=environment,
        profile=profile,
        limits=limits or {},
        live_enabled=live_enabled,
    )
    with fleet.store.unit_of_work(tenant_id) as uow:
        known = uow.accounts.get(account.id)
        if known is not None:
            return known
        if environment is Environment.LIVE and not uow.capability_records.is_passing(venue):
            raise InvalidInput(
                "venue", venue, f"one that a probe has passed: run `tradewinds venue probe {venue}` first"
            )
        uow.accounts.add(account)
        if credentials is not None:
            secret = f"{credentials.key}\n{credentials.secret}".encode()
            sealed = fleet.vault.seal(secret, credential_context(account))
            uow.accounts.save_credentials(account.id, "current", sealed, credentials.key[-4:])
        uow.audit.append("account", str(account.id), encode(account), fleet.clock.now())
        uow.commit()
    return account


def subscribe(
    fleet: Fleet,
    tenant_id: UUID,
    account_id: UUID,
    *,
    strategy: str,
    timeframe: str,
    instruments: Sequence[str],
    advisor: str | None = None,
    on_advisor_unavailable: AdvisorFallback = AdvisorFallback.WAIT,
) -> Subscription:
    """Subscribe an account to a strategy; strategy, timeframe, instruments and advisor are checked by name.

    Instruments that are one pool of candidates, such as `candidates:20`, are those it holds now, and follow it.
    """
    strategies.get(strategy)
    name = str(Timeframe.parse(timeframe))
    if not instruments:
        raise InvalidInput("instruments", "", "at least one symbol, or candidates:20")
    if advisor is not None:
        fleet.advisor(advisor)
    with fleet.store.unit_of_work(tenant_id) as uow:
        account = uow.accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id, (item.id for item in uow.accounts.list()))
        pool = instruments[0] if len(instruments) == 1 and names_pool(instruments[0]) else None
        if pool is not None:
            instruments = pool_of(uow, account.venue, pool)
            if not instruments:
                raise InvalidInput("instruments", pool, f"a pool of {account.venue} that holds something")
        listed = {item.symbol for item in uow.instruments.list(account.venue)}
        for symbol in instruments:
            if symbol not in listed:
                raise NotFound(f"instrument at {account.venue}", symbol, listed)
        subscription = Subscription(
            id=uuid5(NAMESPACE, f"subscription|{account_id}|{strategy}|{name}"),
            tenant_id=tenant_id,
            account_id=account_id,
            strategy=strategy,
            timeframe=name,
            instruments=tuple(sorted(instruments)),
            advisor=advisor,
            on_advisor_unavailable=on_advisor_unavailable,
            active_from=fleet.clock.now(),
            pool=pool,
        )
        uow.subscriptions.add(subscription)
        uow.audit.append("subscription", str(subscription.id), encode(subscription), fleet.clock.now())
        uow.commit()
    return subscription
