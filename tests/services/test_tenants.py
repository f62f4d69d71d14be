"""Tenants, accounts, subscriptions, tokens, halts and the demo: names are checked and answered with what exists."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from common.domain.errors import InvalidInput, NotFound, Permanent
from common.domain.market import InstrumentStatus
from common.domain.risk.book import Environment, HaltMode, HaltScope, TradingState
from common.ports.venue import Credentials
from common.services.authenticate import authenticate, issue_token
from common.services.demo import seed_demo
from common.services.fleet import Fleet
from common.services.halts import halt, halts_in_force, resume
from common.services.invariants import find_account
from common.services.tenants import (
    allow_live,
    create_tenant,
    find_tenant,
    list_tenants,
    open_account,
    pause_tenant,
    refresh_instruments,
    resume_tenant,
    show_tenant,
    subscribe,
)
from tests.services.venue import ADA, SOL, VENUE
from tests.services.world import KEYS, House, World


def account_of(world: World, house: House, **changes: Any) -> Any:
    wanted: dict[str, Any] = {"name": "second", "venue": VENUE, "environment": Environment.PAPER, "profile": "standard"}
    return open_account(world.fleet, house.tenant.id, **(wanted | changes))


def wish(world: World, house: House, **changes: Any) -> Any:
    wanted: dict[str, Any] = {"strategy": "confluence", "timeframe": "1h", "instruments": [SOL]}
    return subscribe(world.fleet, *house.ids, **(wanted | changes))


@pytest.mark.parametrize("name", ["", " ", "two words", "a/b", "x" * 65, "--", "drop;table"])
def test_a_name_that_could_do_harm_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidInput, match="letters, digits"):
        create_tenant(world.fleet, name)


def test_creating_a_tenant_twice_gives_the_same_one(world: World) -> None:
    assert create_tenant(world.fleet, "harbour") == create_tenant(world.fleet, "harbour")
    assert [tenant.name for tenant in list_tenants(world.fleet)] == ["harbour"]


def test_a_tenant_is_found_by_name_and_by_id_and_an_unknown_one_is_answered_with_those_there_are(world: World) -> None:
    tenant = create_tenant(world.fleet, "harbour")
    create_tenant(world.fleet, "meridian")
    assert find_tenant(world.fleet, "harbour") == find_tenant(world.fleet, str(tenant.id)) == tenant
    with pytest.raises(NotFound, match=r"habour.*harbour, meridian"):
        find_tenant(world.fleet, "habour")


def test_pausing_and_resuming_are_states_of_the_tenant(world: World, house: House) -> None:
    assert pause_tenant(world.fleet, "harbour").state is TradingState.REDUCING
    assert resume_tenant(world.fleet, "harbour").state is TradingState.ACTIVE


def test_an_account_opened_twice_is_the_same_account(world: World, house: House) -> None:
    assert account_of(world, house) == account_of(world, house, profile="scalper")


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"venue": "elsewhere"}, "practice"),
        ({"profile": "reckless"}, "standard"),
        ({"limits": {"drawdown_max": "0.5"}}, "to 0.20"),
        ({"limits": {"leverage_max": 21}}, "to 20"),
        ({"limits": {"drawdown_mx": "0.1"}}, "drawdown_max"),
        ({"environment": Environment.LIVE}, "the key and secret"),
    ],
)
def test_an_account_that_must_not_be_is_refused_with_what_would_be_accepted(
    world: World, house: House, changes: dict[str, Any], answer: str
) -> None:
    with pytest.raises(Permanent, match=answer):
        account_of(world, house, **changes)
    with world.store.unit_of_work(house.tenant.id) as uow:
        assert len(uow.accounts.list()) == 1


def test_keys_are_sealed_and_nowhere_in_what_is_shown_of_a_tenant(world: World) -> None:
    house = world.settle_in(environment=Environment.LIVE)
    with world.store.unit_of_work(house.tenant.id) as uow:
        sealed = uow.accounts.sealed_credentials(house.account.id)
    assert sealed is not None
    assert KEYS.secret.encode() not in sealed
    assert KEYS.secret not in str(show_tenant(world.fleet, "harbour"))
    assert KEYS.key not in str(show_tenant(world.fleet, "harbour"))


def test_a_tenant_is_shown_with_accounts_limits_subscriptions_and_balance(world: World, house: House) -> None:
    account_of(world, house, limits={"drawdown_max": "0.10"})
    shown = show_tenant(world.fleet, "harbour")
    balances = {item["name"]: item["balance"] for item in shown["accounts"]}
    limits = {item["name"]: item["limits"]["drawdown_max"] for item in shown["accounts"]}
    assert (balances["second"], balances["main"]["wallet"]) == (None, "100000")
    assert limits == {"main": "0.15", "second": "0.10"}
    assert shown["subscriptions"][0]["strategy"] == "ema_crossover"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"strategy": "astrology"}, "ema_crossover"),
        ({"timeframe": "5x"}, "5m or 4h"),
        ({"instruments": ["DOGE/USDT:USDT"]}, "ADA/USDT:USDT"),
        ({"advisor": "oracle"}, "default"),
    ],
)
def test_a_subscription_to_what_does_not_exist_is_answered_with_what_does(
    world: World, house: House, changes: dict[str, Any], answer: str
) -> None:
    with pytest.raises(Permanent, match=answer):
        wish(world, house, **changes)


def test_a_subscription_of_an_account_that_is_not_the_tenants_is_refused(world: World, house: House) -> None:
    other = world.settle_in("meridian")
    with pytest.raises(NotFound, match=str(house.account.id)):
        subscribe(
            world.fleet,
            house.tenant.id,
            other.account.id,
            strategy="confluence",
            timeframe="5m",
            instruments=[SOL],
        )


def test_subscribing_again_changes_the_wish_instead_of_adding_one(world: World, house: House) -> None:
    wish(world, house)
    wish(world, house, instruments=[ADA, SOL], advisor="default")
    with world.store.unit_of_work(house.tenant.id) as uow:
        [found] = [item for item in uow.subscriptions.list() if item.strategy == "confluence"]
    assert (found.instruments, found.advisor) == ((ADA, SOL), "default")


def test_an_account_is_found_by_name_by_id_or_as_the_only_one(world: World, house: House) -> None:
    tenant = house.tenant.id
    for name in (None, "main", str(house.account.id)):
        assert find_account(world.fleet, tenant, name).id == house.account.id
    account_of(world, house)
    with pytest.raises(NotFound, match="main, second"):
        find_account(world.fleet, tenant, None)


def test_instruments_follow_what_the_venue_lists(world: World) -> None:
    world.venue.listed[SOL] = replace(world.venue.listed[SOL], tick_size=Decimal("0.05"))
    assert refresh_instruments(world.fleet, VENUE) == 2
    with world.store.unit_of_work(None) as uow:
        found = uow.instruments.get(VENUE, SOL)
    assert found is not None
    assert found.tick_size == Decimal("0.05")


# --- Tokens ---------------------------------------------------------------------------------------------------------


def test_a_token_opens_its_tenant_and_nothing_more(world: World, house: House) -> None:
    caller = authenticate(world.fleet, issue_token(world.fleet, "harbour", "dashboard"), None)
    assert (caller.tenant_id, caller.name, caller.is_operator) == (house.tenant.id, "dashboard", False)


def test_the_operators_token_comes_from_the_settings(world: World) -> None:
    assert authenticate(world.fleet, "an operator's token", "an operator's token").is_operator


@pytest.mark.parametrize("operator", [None, "another token"])
def test_nobodys_token_is_refused(world: World, operator: str | None) -> None:
    with pytest.raises(Permanent, match="not known"):
        authenticate(world.fleet, "guessed", operator)


@pytest.mark.parametrize("name", ["", "n" * 65])
def test_a_token_needs_a_name(world: World, house: House, name: str) -> None:
    with pytest.raises(InvalidInput):
        issue_token(world.fleet, "harbour", name)


# --- Halts ----------------------------------------------------------------------------------------------------------


def stop(fleet: Fleet, scope: HaltScope, subject: str) -> Any:
    return halt(fleet, scope=scope, subject=subject, mode=HaltMode.HALT_NEW, reason="a test", by="tester")


@pytest.mark.parametrize(
    ("scope", "subject", "answer"),
    [
        (HaltScope.TENANT, "nobody", "harbour"),
        (HaltScope.VENUE, "elsewhere", "practice"),
        (HaltScope.STRATEGY, "astrology", "ema_crossover"),
        (HaltScope.INSTRUMENT, "SOLUSDT", "SOL/USDT:USDT"),
        (HaltScope.STRATEGY, "", "the name of a strategy"),
    ],
)
def test_a_halt_on_a_name_that_does_not_exist_is_refused_because_it_would_stop_nothing(
    world: World, house: House, scope: HaltScope, subject: str, answer: str
) -> None:
    with pytest.raises(Permanent, match=answer):
        stop(world.fleet, scope, subject)
    assert halts_in_force(world.fleet) == []


def test_every_halt_raises_the_epoch_and_is_in_force_until_it_is_lifted(world: World, house: House) -> None:
    first = stop(world.fleet, HaltScope.PLATFORM, "ignored")
    second = stop(world.fleet, HaltScope.TENANT, "harbour")
    assert (first.subject, second.subject) == ("", str(house.tenant.id))
    assert second.epoch > first.epoch
    assert len(halts_in_force(world.fleet)) == 2
    assert resume(world.fleet, scope=HaltScope.TENANT, subject="harbour", by="tester")
    assert not resume(world.fleet, scope=HaltScope.TENANT, subject="harbour", by="tester")
    assert [item.scope for item in halts_in_force(world.fleet)] == [HaltScope.PLATFORM]


def test_what_is_halted_may_be_gone_when_the_halt_is_lifted(world: World) -> None:
    stop(world.fleet, HaltScope.VENUE, VENUE)
    world.fleet.market_data = {}
    assert resume(world.fleet, scope=HaltScope.VENUE, subject=VENUE, by="tester")


# --- The demo -------------------------------------------------------------------------------------------------------


def seed(world: World, opened: list[Credentials]) -> list[str]:
    def open_at_venue(credentials: Credentials, balance: Decimal) -> None:
        opened.append(credentials)

    return [tenant.name for tenant in seed_demo(world.fleet, VENUE, open_at_venue, "5m", "default")]


def test_seeding_the_demo_twice_makes_the_same_three_tenants(world: World) -> None:
    opened: list[Credentials] = []
    assert seed(world, opened) == seed(world, opened) == ["harbour", "meridian", "skiff"]
    shown = [show_tenant(world.fleet, name) for name in ("harbour", "meridian", "skiff")]
    assert [len(item["accounts"]) for item in shown] == [1, 1, 1]
    assert [len(item["subscriptions"]) for item in shown] == [3, 3, 3]
    assert (opened[0].key, opened[1].key) == (opened[2].key, opened[3].key)


def test_the_demo_trades_only_what_can_be_traded_and_moves_money_on_the_practice_venue_only(world: World) -> None:
    world.venue.listed[ADA] = replace(world.venue.listed[ADA], status=InstrumentStatus.DELISTED)
    seed(world, [])
    shown = {name: show_tenant(world.fleet, name) for name in ("harbour", "meridian", "skiff")}
    assert {tuple(item["instruments"]) for item in shown["skiff"]["subscriptions"]} == {(SOL,)}
    environments = {name: item["accounts"][0]["environment"] for name, item in shown.items()}
    assert environments == {"harbour": "paper", "meridian": "live", "skiff": "live"}


def test_the_live_tenants_of_the_demo_really_trade(world: World) -> None:
    seed(world, [])
    [account] = show_tenant(world.fleet, "skiff")["accounts"]
    skiff = House(
        find_tenant(world.fleet, "skiff"), find_account(world.fleet, find_tenant(world.fleet, "skiff").id, None)
    )
    world.visit(skiff)
    world.reconcile(skiff)
    with world.store.unit_of_work(skiff.tenant.id) as uow:
        book = uow.risk.lock_book(UUID(account["id"]), world.clock.now())
    assert book.live_allowed
    assert allow_live(world.fleet, "skiff", False).name == "skiff"
    with world.store.unit_of_work(skiff.tenant.id) as uow:
        assert not uow.risk.lock_book(UUID(account["id"]), world.clock.now()).live_allowed
