"""How soon a fill is covered by a stop that the venue has acknowledged: counted from the ledger, told in seconds of life."""

from __future__ import annotations

from common.domain.order import OrderRole
from common.domain.signal import ExitPlan
from common.services.status import fleet_status
from tests.services.test_positions import fill_entry, look, rest_entry
from tests.services.venue import SOL, Fate
from tests.services.world import House, World


def figures(world: World) -> tuple[object, ...]:
    found = fleet_status(world.fleet)["protection"]
    return tuple(found[name] for name in ("fills", "covered", "p50_s", "p99_s", "max_s", "late"))


def test_nothing_filled_is_nothing_to_cover(world: World, house: House) -> None:
    assert figures(world) == (0, 0, None, None, None, 0)


def test_each_fill_is_covered_when_the_stops_over_all_that_was_filled_are_acknowledged(
    world: World, house: House
) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    world.clock.advance(2)
    look(world, house)
    fill_entry(world, house, "50")
    world.clock.advance(4)
    look(world, house)
    assert figures(world) == (2, 2, 3.0, 5.0, 5.0, 0)


def test_a_fill_whose_stop_never_rested_is_late_once_its_deadline_is_over(world: World, house: House) -> None:
    world.door_of(house).fates = [None, Fate.LOST]
    world.announce()
    world.work()
    assert figures(world) == (1, 0, None, None, None, 0)
    world.clock.advance(world.fleet.policy.stop_deadline_s + 1)
    assert figures(world) == (1, 0, None, None, None, 1)


def test_a_position_that_was_left_in_time_was_not_naked_for_too_long(world: World, house: House) -> None:
    world.door_of(house).fates = [None, Fate.REFUSED]
    world.announce()
    world.work()
    world.clock.advance(100)
    assert figures(world) == (1, 0, None, None, None, 0)


def test_a_venue_that_runs_fast_is_told_in_seconds_of_life(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    world.clock.advance(5)
    look(world, house)
    world.clock.rate = 3.0
    assert figures(world)[2] == 2.0


def test_a_stop_that_follows_the_price_does_not_count_as_the_first_cover(world: World, house: House) -> None:
    plan = ExitPlan(world.signal().exits.stop, None, trail_distance=world.signal().price / 50)
    world.enter(house, world.signal(exits=plan))
    before = figures(world)
    world.venue.prices[SOL] *= 2
    world.clock.advance(60)
    look(world, house)
    assert len(world.orders(house, OrderRole.STOP)) == 2
    assert figures(world) == before
