"""Halts: once one commits, nothing that read an older epoch can still be submitted."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread
from typing import Any

import psycopg
import pytest

from common.domain.errors import Permanent
from common.domain.risk.book import Halt, HaltMode, HaltScope
from common.store import RoleName, Store, UnitOfWork
from tests.clocks import NOON
from tests.servers import Database
from tests.store.world import STRATEGY, SYMBOL, VENUE, World, somebody_waits


def halt(uow: UnitOfWork, scope: HaltScope = HaltScope.PLATFORM, subject: str = "") -> Halt:
    """Halt `subject` for a test."""
    return uow.halts.add(scope, subject, HaltMode.HALT_NEW, "a test", "tester", NOON)


def covering(uow: UnitOfWork, world: World) -> list[HaltScope]:
    """Scopes of the halts that cover our house's one market."""
    return [item.scope for item in uow.halts.in_force(VENUE, world.ours.id, STRATEGY, SYMBOL)]


def test_every_halt_and_every_lifting_begins_a_new_epoch(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        assert uow.halts.epoch_for_share() == 0
        assert halt(uow).epoch == 1
        assert halt(uow, HaltScope.VENUE, VENUE).epoch == 2
        assert uow.halts.lift(HaltScope.PLATFORM, "", "tester", NOON)
        assert uow.halts.epoch() == 3
        assert not uow.halts.lift(HaltScope.PLATFORM, "", "tester", NOON)


@pytest.mark.parametrize(
    ("scope", "subject", "covers"),
    [
        (HaltScope.PLATFORM, "", True),
        (HaltScope.VENUE, VENUE, True),
        (HaltScope.VENUE, "elsewhere", False),
        (HaltScope.STRATEGY, STRATEGY, True),
        (HaltScope.STRATEGY, "another", False),
        (HaltScope.INSTRUMENT, SYMBOL, True),
        (HaltScope.INSTRUMENT, "ETH/USDT:USDT", False),
    ],
)
def test_a_halt_covers_its_subject_and_nothing_else(world: World, scope: HaltScope, subject: str, covers: bool) -> None:
    with world.store.unit_of_work(None) as uow:
        halt(uow, scope, subject)
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        assert (covering(uow, world) == [scope]) is covers


def test_the_platform_halts_one_tenant_and_not_the_other(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        halt(uow, HaltScope.TENANT, str(world.ours.id))
        uow.commit()
    with world.store.unit_of_work(None) as uow:
        assert len(uow.halts.in_force(VENUE, world.ours.id, None, None)) == 1
        assert uow.halts.in_force(VENUE, world.theirs.id, None, None) == []


def test_a_halt_is_replaced_by_the_next_one_on_the_same_subject(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        halt(uow)
        uow.halts.add(HaltScope.PLATFORM, "", HaltMode.FLATTEN, "worse", "tester", NOON)
        assert [(item.mode, item.epoch) for item in uow.halts.list()] == [(HaltMode.FLATTEN, 2)]


def test_a_tenant_lifts_its_own_halt_and_never_the_platforms(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        halt(uow, HaltScope.TENANT, str(world.ours.id))
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        halt(uow, HaltScope.TENANT, str(world.ours.id))
        assert len(covering(uow, world)) == 2
        assert uow.halts.lift(HaltScope.TENANT, str(world.ours.id), "ours", NOON)
        assert not uow.halts.lift(HaltScope.TENANT, str(world.ours.id), "ours", NOON)
        assert covering(uow, world) == [HaltScope.TENANT]


def test_a_tenants_own_halt_is_nobody_elses_business(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        halt(uow, HaltScope.STRATEGY, STRATEGY)
        uow.commit()
    with world.store.unit_of_work(world.theirs.id) as uow:
        assert uow.halts.list() == []
    with world.store.unit_of_work(None) as uow:
        assert uow.halts.list() == []
    with world.store.operator() as view:
        assert [item.scope for item in view.halts()] == [HaltScope.STRATEGY]


def test_a_halt_waits_for_orders_that_are_being_submitted_and_the_next_one_sees_it(
    world: World, root: psycopg.Connection[Any]
) -> None:
    """The halt cannot commit between an order's look at the epoch and its commit."""
    order: list[str] = []

    def arm() -> None:
        with world.store.unit_of_work(None) as uow:
            halt(uow)
            order.append("halted")
            uow.commit()

    with world.store.unit_of_work(world.ours.id) as submitting:
        assert submitting.halts.epoch_for_share() == 0
        arming = Thread(target=arm)
        arming.start()
        while not somebody_waits(root):
            arming.join(0.01)
        order.append("submitted")
        submitting.commit()
    arming.join(10)
    assert order == ["submitted", "halted"]
    with world.store.unit_of_work(world.ours.id) as late:
        assert late.halts.epoch_for_share() == 1
        assert covering(late, world) == [HaltScope.PLATFORM]


def test_two_orders_may_look_at_the_epoch_at_once(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as ours, world.store.unit_of_work(world.theirs.id) as theirs:
        assert ours.halts.epoch_for_share() == theirs.halts.epoch_for_share() == 0


def test_a_nonce_is_used_once(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        assert uow.halts.use_nonce("n-1", NOON)
        assert not uow.halts.use_nonce("n-1", NOON)
        uow.commit()
    with store.unit_of_work(None) as uow:
        assert not uow.halts.use_nonce("n-1", NOON)
        assert uow.prune({"nonces": NOON + timedelta(seconds=1)}) == {"nonces": 1}
        assert uow.halts.use_nonce("n-1", NOON)


def test_the_api_may_halt_and_says_so_in_the_audit_trail(world: World, books: Database) -> None:
    api = Store(books.url_app, role=RoleName.API)
    with api.unit_of_work(world.ours.id) as uow:
        assert uow.halts.use_nonce("n-2", NOON)
        raised = halt(uow, HaltScope.TENANT, str(world.ours.id))
        uow.audit.append("halt", str(world.ours.id), {"epoch": raised.epoch}, NOON)
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        assert covering(uow, world) == [HaltScope.TENANT]
        assert uow.audit.verify() == 1
    api.close()


def test_the_api_changes_no_position(world: World, books: Database) -> None:
    api = Store(books.url_app, role=RoleName.API)
    with api.unit_of_work(world.ours.id) as uow, pytest.raises(Permanent, match="permission denied"):
        uow.accounts.mark_reconciled(world.ours.account.id, False)
    api.close()
