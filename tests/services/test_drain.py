"""Drain: what was begun is finished, nothing new begins, and books are compared while they stand still."""

from __future__ import annotations

from common.domain.job import Stage
from common.domain.order import OrderStatus
from common.services.drain import Backlog, backlog, compare_books, work_off
from tests.services.venue import Fate
from tests.services.world import House, World


def test_a_quiet_fleet_has_no_backlog(world: World, house: House) -> None:
    assert backlog(world.fleet) == Backlog(jobs=0, orders=0)
    assert backlog(world.fleet).is_empty


def test_jobs_that_wait_and_orders_that_have_not_left_are_the_backlog(world: World, house: House) -> None:
    world.approve(house)
    left = backlog(world.fleet)
    assert left == Backlog(jobs=1, orders=1)
    assert not left.is_empty


def test_jobs_that_nobody_was_rung_for_are_worked_off(world: World, house: House) -> None:
    order = world.approve(house)
    world.bus.inbox.clear()
    world.clock.advance(2)
    after_entry = work_off(world.fleet)
    entry = world.order(house, order.id)
    world.clock.advance(2)
    after_stop = work_off(world.fleet)
    assert entry.status is OrderStatus.FILLED
    # The entry's fill asked for its stop, which is finished too before the fleet counts as at rest.
    assert after_entry == Backlog(jobs=1, orders=1)
    assert after_stop.is_empty


def test_jobs_that_workers_may_still_take_are_left_to_them(world: World, house: House) -> None:
    world.approve(house)
    assert work_off(world.fleet) == Backlog(jobs=1, orders=1)


def test_an_order_of_unknown_fate_keeps_the_fleet_from_rest(world: World, house: House) -> None:
    world.door_of(house).fates = [Fate.LOST]
    world.approve(house)
    world.run(world.take(Stage.PLACE))
    assert backlog(world.fleet).orders == 1


def test_books_agree_after_a_trade(world: World, house: House) -> None:
    world.enter(house)
    found = compare_books(world.fleet)
    assert found["differences"] == []
    assert found["ledger_equals_venue"]
    assert found["every_signal_has_outcome"]


def test_a_fill_between_two_looks_is_no_difference(world: World, house: House) -> None:
    position = world.enter(house)
    door = world.door_of(house)
    # The stop is touched at the venue while the account is visited for the first time.
    door.when["open_orders"] = lambda: world.move_price("90")
    assert compare_books(world.fleet)["differences"] == []
    closed = world.position(house)
    assert closed is not None
    assert closed.id == position.id
    assert not closed.is_open


def test_a_difference_that_stays_is_told(world: World, house: House) -> None:
    world.enter(house)
    world.door_of(house).ledger.held.clear()
    found = compare_books(world.fleet, attempts=1)
    assert not found["ledger_equals_venue"]
    assert found["differences"]
