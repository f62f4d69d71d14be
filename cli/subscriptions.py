"""`tradewinds tenant subscribe` and `unsubscribe`: which account trades which strategy on what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.acts import one_of
from cli.context import asked_fleet
from cli.output import answer
from common.domain.advice import AdvisorFallback
from common.domain.codec import encode
from common.domain.errors import InvalidInput

ALL = "all"


def subscribe_account(
    tenant: str,
    account: str | None,
    strategy: str,
    timeframe: str,
    instruments: Sequence[str],
    advisor: str | None,
    on_unavailable: str,
    folders: Sequence[Path],
    as_json: bool,
    world: str | None,
) -> None:
    """`tradewinds tenant subscribe`."""
    from common.domain.market import InstrumentStatus
    from common.services.invariants import find_account
    from common.services.tenants import find_tenant, subscribe

    fallback = one_of(AdvisorFallback, "on-advisor-unavailable", on_unavailable)
    if not instruments:
        raise InvalidInput("instruments", "", f"symbols such as BTC/USDT:USDT,ETH/USDT:USDT, candidates:20, or {ALL}")
    with asked_fleet(world, folders=folders, in_venue_time=True) as fleet:
        owner = find_tenant(fleet, tenant)
        chosen = find_account(fleet, owner.id, account)
        symbols = list(instruments)
        if symbols == [ALL]:
            with fleet.store.unit_of_work(None) as uow:
                listed = uow.instruments.list(chosen.venue)
            symbols = [item.symbol for item in listed if item.status is InstrumentStatus.TRADING]
        made = subscribe(
            fleet,
            owner.id,
            chosen.id,
            strategy=strategy,
            timeframe=timeframe,
            instruments=symbols,
            advisor=advisor,
            on_advisor_unavailable=fallback,
        )
    follows = f", following {made.pool}" if made.pool else ""
    words = (
        f"{owner.name}'s account {chosen.name} trades {strategy} {made.timeframe} on "
        f"{', '.join(made.instruments)}{follows}"
    )
    answer(encode(made), as_json, lambda console: console.print(words))


def unsubscribe_account(
    tenant: str, account: str | None, strategy: str, timeframe: str, as_json: bool, world: str | None
) -> None:
    """`tradewinds tenant unsubscribe`."""
    from common.services.invariants import find_account
    from common.services.tenants import find_tenant
    from common.services.unsubscribe import unsubscribe

    with asked_fleet(world, in_venue_time=True) as fleet:
        owner = find_tenant(fleet, tenant)
        chosen = find_account(fleet, owner.id, account)
        ended = unsubscribe(fleet, owner.id, chosen.id, strategy=strategy, timeframe=timeframe)
    words = (
        f"{owner.name}'s account {chosen.name} enters no more by {strategy} {ended.timeframe}; what it holds is managed"
    )
    answer(encode(ended), as_json, lambda console: console.print(words))
