"""Live trading wants a passing probe: without one no account is opened and no entry leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.domain.capability import CaseOutcome
from common.domain.errors import InvalidInput
from common.domain.order import OrderRole, OrderStatus
from common.domain.risk.book import Environment
from common.services.probe_venue import MODE, has_passing_record, keep_record
from tests.services.venue import VENUE
from tests.services.world import World, passing_record


def fail_the_probe(world: World) -> None:
    record = passing_record()
    keep_record(world.fleet, replace(record, cases=(replace(record.cases[0], outcome=CaseOutcome.FAILED),)))


def test_a_live_account_is_not_opened_at_a_venue_that_failed_its_probe(world: World) -> None:
    fail_the_probe(world)
    with pytest.raises(InvalidInput, match="tradewinds venue probe practice"):
        world.settle_in(environment=Environment.LIVE)
    assert world.settle_in("paper", environment=Environment.PAPER)


def test_an_entry_does_not_leave_once_the_venue_failed_its_probe_and_exits_do(world: World) -> None:
    house = world.settle_in(environment=Environment.LIVE)
    position = world.enter(house)
    order = world.approve(house, world.signal("ADA/USDT:USDT"))
    fail_the_probe(world)
    world.work()
    kept_back = world.order(house, order.id)
    assert kept_back.status is OrderStatus.ABANDONED
    assert kept_back.reason == "no probe of practice has passed: see `tradewinds venue probe`"
    world.move_price("97")
    world.visit(house)
    world.work()
    assert world.at_venue(house).held[position.instrument] == 0
    assert OrderStatus.ABANDONED not in world.statuses(house, OrderRole.EXIT)


def test_a_record_without_a_single_case_proves_nothing(world: World) -> None:
    keep_record(world.fleet, replace(passing_record(), cases=()))
    assert not has_passing_record(world.fleet, VENUE, "tests")


def test_another_build_wants_another_probe(world: World) -> None:
    assert has_passing_record(world.fleet, VENUE, "tests")
    assert not has_passing_record(world.fleet, VENUE, "tests 2")


def test_one_failing_mode_is_enough_to_refuse_a_venue(world: World) -> None:
    record = passing_record()
    worse = replace(record, mode="swap/hedge", cases=(replace(record.cases[0], outcome=CaseOutcome.FAILED),))
    keep_record(world.fleet, worse)
    with world.store.unit_of_work(None) as uow:
        assert not uow.capability_records.is_passing(VENUE)
        assert uow.capability_records.get(VENUE, MODE) == record
    with world.store.operator() as view:
        assert [item.mode for item in view.capability_records()] == ["swap/hedge", MODE]


def test_every_probe_is_in_the_platforms_audit_trail(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        assert [entry.kind for entry in uow.audit.of(VENUE)] == ["probe"]
