"""Tenants, accounts and subscriptions, and who is asked about a signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from common.domain.errors import NotFound, Permanent
from common.domain.risk.book import HaltMode, HaltScope, TradingState
from common.domain.tenant import Subscriber
from common.store import Balance, Store, UnitOfWork, Wanted
from tests.clocks import NOON
from tests.store.world import (
    STRATEGY,
    SYMBOL,
    TIMEFRAME,
    VENUE,
    House,
    World,
    identity,
    position,
    settle,
    subscription,
)

HOUR = timedelta(hours=1)
OTHER = "ETH/USDT:USDT"


def test_the_platform_knows_every_tenant_by_name(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        assert uow.tenants.list() == [world.ours.tenant, world.theirs.tenant]
        assert uow.tenants.by_name("theirs") == world.theirs.tenant
        assert uow.tenants.by_name("nobody") is None
        assert uow.tenants.get(world.ours.id) == world.ours.tenant


def test_the_platform_enters_and_pauses_a_tenant(store: Store) -> None:
    house = settle(store, "first")
    second = replace(house.tenant, id=identity("second"), name="second")
    with store.unit_of_work(None) as uow:
        uow.tenants.add(second)
        assert uow.tenants.set_state(second.id, TradingState.HALTED)
        assert not uow.tenants.set_state(identity("nobody"), TradingState.HALTED)
        assert uow.tenants.get(second.id) == replace(second, state=TradingState.HALTED)


def test_a_name_belongs_to_one_tenant(world: World) -> None:
    with world.store.unit_of_work(None) as uow, pytest.raises(Permanent, match="tenants_name_key"):
        uow.tenants.add(replace(world.ours.tenant, id=identity("imitator")))


def test_an_account_comes_back_as_it_was_opened(world: World) -> None:
    account = replace(
        world.ours.account, id=identity("second"), name="aaa", limits={"max_positions": 2, "leverage": "3"}
    )
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.accounts.add(account)
        assert uow.accounts.get(account.id) == account
        assert uow.accounts.list() == [account, world.ours.account]
        uow.accounts.mark_reconciled(account.id, False)
        assert uow.accounts.get(account.id) == replace(account, is_reconciled=False)
        assert uow.accounts.get(world.theirs.account.id) is None


def test_every_account_of_the_platform_is_listed_by_id(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        listed = uow.accounts.active()
    assert set(listed) == {(house.id, house.account.id) for house in (world.ours, world.theirs)}


def test_an_account_is_claimed_by_one_at_a_time(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as first, world.store.unit_of_work(world.ours.id) as second:
        assert first.accounts.claim(world.ours.account.id)
        assert not second.accounts.claim(world.ours.account.id)
    with world.store.unit_of_work(world.ours.id) as third:
        assert third.accounts.claim(world.ours.account.id)
        assert not third.accounts.claim(world.theirs.account.id)


def test_sealed_keys_are_replaced_by_newer_ones(world: World) -> None:
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.accounts.sealed_credentials(account) is None
        uow.accounts.save_credentials(account, "kek-1", b"\x00one", "…1111")
        uow.accounts.save_credentials(account, "kek-2", b"\x00two", "…2222")
        assert uow.accounts.sealed_credentials(account) == b"\x00two"


def test_the_last_balance_is_kept(world: World) -> None:
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.accounts.balance(account) is None
        uow.accounts.save_balance(account, Decimal(1), Decimal(2), Decimal(3), NOON)
        uow.accounts.save_balance(account, Decimal("10.50"), Decimal(11), Decimal(9), NOON + HOUR)
        assert uow.accounts.balance(account) == Balance(Decimal("10.50"), Decimal(11), Decimal(9), NOON + HOUR)


def test_a_subscription_is_replaced_by_the_next_to_the_same_strategy_and_timeframe(world: World) -> None:
    wider = subscription(world.ours, instruments=(SYMBOL, OTHER), advisor="default", active_from=NOON)
    same = replace(wider, active_from=NOON + HOUR)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.subscriptions.add(wider)
        assert uow.subscriptions.list() == [wider]
        uow.subscriptions.add(same)
        assert uow.subscriptions.list() == [wider]


def test_a_subscription_needs_an_account_of_its_own_tenant(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow, pytest.raises(NotFound):
        uow.subscriptions.add(subscription(world.ours, account_id=world.theirs.account.id))


def test_what_is_wanted_is_said_once_for_all_tenants(world: World) -> None:
    with world.store.unit_of_work(world.theirs.id) as uow:
        uow.subscriptions.add(subscription(world.theirs, instruments=(OTHER, SYMBOL)))
        uow.subscriptions.add(subscription(world.theirs, id=identity("ended"), strategy="ended", active_to=NOON - HOUR))
        uow.commit()
    with world.store.unit_of_work(None) as uow:
        assert uow.subscriptions.wanted(VENUE, NOON) == [Wanted(STRATEGY, "", {}, TIMEFRAME, (SYMBOL, OTHER))]
        assert [want.strategy for want in uow.subscriptions.wanted(VENUE)] == [STRATEGY, "ended"]
        assert uow.subscriptions.wanted("elsewhere") == []


def asked(world: World, **caps: int) -> dict[str, Subscriber]:
    """Who is asked about a signal at noon, by name of the tenant."""
    names = {house.id: house.tenant.name for house in (world.ours, world.theirs)}
    with world.store.unit_of_work(None) as uow:
        found = uow.subscriptions.subscribers(VENUE, SYMBOL, TIMEFRAME, STRATEGY, NOON, max_positions=caps)
    return {names[subscriber.tenant_id]: subscriber for subscriber in found}


def test_every_subscriber_is_asked_and_can_act(world: World) -> None:
    assert asked(world) == {
        house.tenant.name: Subscriber(house.id, house.account.id, None, True) for house in (world.ours, world.theirs)
    }


@pytest.mark.parametrize(
    "change",
    [{"strategy": "another"}, {"timeframe": "1h"}, {"instruments": (OTHER,)}],
)
def test_who_wants_something_else_is_not_asked(store: Store, change: dict[str, object]) -> None:
    world = World(store, settle(store, "ours"), settle(store, "theirs"))
    with store.unit_of_work(world.ours.id) as uow:
        uow.session.execute("DELETE FROM subscriptions")
        uow.subscriptions.add(subscription(world.ours, **change))
        uow.commit()
    assert list(asked(world)) == ["theirs"]


def test_who_does_not_want_it_now_is_not_asked(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.subscriptions.end(subscription(world.ours).id, NOON)
        assert not uow.subscriptions.end(subscription(world.ours).id, NOON)
        uow.commit()
    assert list(asked(world)) == ["theirs"]


def hold(uow: UnitOfWork, house: House) -> None:
    uow.positions.add(position(house))


def pause(uow: UnitOfWork, house: House) -> None:
    uow.tenants.set_state(house.id, TradingState.REDUCING)


def unreconcile(uow: UnitOfWork, house: House) -> None:
    uow.accounts.mark_reconciled(house.account.id, False)


def cool(uow: UnitOfWork, house: House) -> None:
    uow.risk.start_cooldown(house.account.id, NOON + HOUR, "losses")


def halt(uow: UnitOfWork, house: House) -> None:
    uow.halts.add(HaltScope.STRATEGY, STRATEGY, HaltMode.HALT_NEW, "a test", "tester", NOON)


def doubt(uow: UnitOfWork, house: House) -> None:
    uow.quarantine.add(house.account.id, SYMBOL, "v-1", None, "a stranger", NOON)


@pytest.mark.parametrize("happening", [hold, pause, unreconcile, cool, halt, doubt])
def test_who_could_not_enter_anyway_is_asked_but_cannot_act(
    world: World, happening: Callable[[UnitOfWork, House], None]
) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        happening(uow, world.ours)
        uow.commit()
    able = {name: subscriber.can_act for name, subscriber in asked(world, standard=1).items()}
    assert able == {"ours": False, "theirs": True}


def test_an_accounts_own_limit_on_positions_comes_first(store: Store) -> None:
    world = World(store, settle(store, "ours", limits={"position_count_max": 2}), settle(store, "theirs"))
    for house in (world.ours, world.theirs):
        with store.unit_of_work(house.id) as uow:
            hold(uow, house)
            uow.commit()
    able = {name: subscriber.can_act for name, subscriber in asked(world, standard=1).items()}
    assert able == {"ours": True, "theirs": False}


def test_a_cool_down_that_is_over_holds_nobody_back(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.risk.start_cooldown(world.ours.account.id, NOON, "losses")
        uow.commit()
    assert asked(world)["ours"].can_act
