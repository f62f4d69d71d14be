"""The stop at the venue follows the price: the new one rests before the old one goes, seldom, and never backwards."""

from __future__ import annotations

from decimal import Decimal

import pytest

from common.domain.exits import next_stop
from common.domain.job import Stage
from common.domain.order import Order, OrderRole, OrderStatus
from common.domain.position import CloseReason, Position
from common.domain.signal import ExitPlan, Side
from tests.services.test_positions import look
from tests.services.venue import SOL, Fate
from tests.services.world import House, World

S = OrderStatus
TRAILING = ExitPlan(Decimal(98), Decimal(120), trail_distance=Decimal(2), trail_activation=Decimal(2))


@pytest.fixture
def held(world: World, house: House) -> Position:
    """A position whose plan trails by two, opened at a hundred with its stop at 98."""
    return world.enter(house, world.signal(exits=TRAILING))


def run_to(world: World, house: House, price: str) -> Position:
    """The price moves, and the monitor sees it."""
    world.venue.prices[SOL] = Decimal(price)
    return look(world, house)


def stops(world: World, house: House) -> list[Order]:
    return world.orders(house, OrderRole.STOP)


def triggers(world: World, house: House) -> list[tuple[str, S]]:
    return [(str(stop.intent.trigger_price), stop.status) for stop in stops(world, house)]


def test_a_stop_is_moved_by_placing_the_new_one_first_and_cancelling_the_old_when_it_rests(
    world: World, house: House, held: Position
) -> None:
    run_to(world, house, "105")
    old, new = stops(world, house)
    assert (new.intent.replaces, new.status, old.status) == (old.id, S.ACCEPTED, S.ACCEPTED)
    assert old.cancel_requested_at is None
    run_to(world, house, "105")
    assert triggers(world, house) == [("98", S.CANCELED), ("103", S.ACCEPTED)]
    [cancel] = world.jobs(Stage.CANCEL)
    assert cancel.causation_id == new.id
    places = [job for job in world.jobs(Stage.PLACE) if job.payload["order_id"] == str(new.id)]
    assert [job.causation_id for job in places] == [old.id]


def test_a_position_is_never_covered_less_than_once_while_its_stop_moves(
    world: World, house: House, held: Position
) -> None:
    covered: list[Decimal] = []

    def note() -> None:
        resting = [o for o in world.at_venue(house).orders if o.is_open and o.intent.role is OrderRole.STOP]
        covered.append(sum((o.intent.quantity for o in resting), Decimal(0)))

    door = world.door_of(house)
    door.when = dict.fromkeys(("place", "cancel", "find", "open_orders"), note)
    for price in ("105", "105", "110", "110"):
        world.clock.advance(40)
        run_to(world, house, price)
    assert min(covered) == held.quantity
    assert max(covered) == 2 * held.quantity


def test_the_moved_stop_takes_what_was_earned_and_says_so(world: World, house: House, held: Position) -> None:
    run_to(world, house, "105")
    run_to(world, house, "105")
    world.move_price("102.9")
    after = look(world, house)
    assert (after.is_open, after.close_reason) == (False, CloseReason.TRAILING)
    assert world.statuses(house, OrderRole.EXIT) == []


def test_a_stop_that_is_refused_its_new_place_stays_where_it_is_and_the_position_is_kept(
    world: World, house: House, held: Position
) -> None:
    world.door_of(house).fates = [Fate.REFUSED]
    assert run_to(world, house, "105").is_open
    assert triggers(world, house) == [("98", S.ACCEPTED), ("103", S.REJECTED)]
    run_to(world, house, "106")
    assert len(stops(world, house)) == 2
    world.clock.advance(40)
    run_to(world, house, "106")
    assert triggers(world, house)[2:] == [("104", S.ACCEPTED)]


def test_a_new_stop_in_doubt_keeps_the_old_one_and_calls_for_no_third(
    world: World, house: House, held: Position
) -> None:
    world.door_of(house).fates = [Fate.LOST]
    run_to(world, house, "105")
    world.clock.advance(40)
    assert run_to(world, house, "107").is_open
    assert triggers(world, house) == [("98", S.ACCEPTED), ("103", S.UNKNOWN)]
    world.pass_time(seconds=10, rounds=8)
    run_to(world, house, "107")
    assert triggers(world, house)[1:] == [("103", S.NOT_PLACED), ("105", S.ACCEPTED)]


def test_moves_are_seldom_and_worth_it(world: World, house: House, held: Position) -> None:
    for price in ("105", "105", "106", "107", "108"):
        run_to(world, house, price)
    assert len(stops(world, house)) == 2
    world.clock.advance(30)
    run_to(world, house, "108")
    run_to(world, house, "108")
    assert triggers(world, house)[-1] == ("106", S.ACCEPTED)
    world.clock.advance(60)
    run_to(world, house, "108.1")
    assert len(stops(world, house)) == 3


def test_a_stop_that_the_venue_lost_comes_back_where_the_price_has_earned_it(
    world: World, house: House, held: Position
) -> None:
    run_to(world, house, "105")
    run_to(world, house, "105")
    [resting] = [o for o in world.at_venue(house).orders if o.is_open and o.intent.role is OrderRole.STOP]
    resting.status = S.CANCELED
    run_to(world, house, "105")
    assert triggers(world, house)[2:] == [("103", S.ACCEPTED)]


def test_a_stop_that_is_lost_after_a_refused_move_is_given_its_whole_deadline(
    world: World, house: House, held: Position
) -> None:
    world.door_of(house).fates = [Fate.REFUSED]
    run_to(world, house, "105")
    world.clock.advance(25)
    [resting] = [o for o in world.at_venue(house).orders if o.is_open and o.intent.role is OrderRole.STOP]
    resting.status = S.CANCELED
    world.door_of(house).fates = [Fate.LOST]
    run_to(world, house, "105")
    assert run_to(world, house, "105").is_open


@pytest.mark.parametrize(("side", "stop", "best", "mark", "wanted"), [
    (Side.LONG, "98", "105", "105", "103"), (Side.LONG, "98", "105", "102.9", None),
    (Side.LONG, "102.9", "105", "105", None), (Side.SHORT, "102", "95", "95", "97"),
    (Side.SHORT, "102", "95", "97", None), (Side.LONG, "98", "101", "101", None),
    (Side.LONG, "98", "105.006", "106", "103.00"), (Side.SHORT, "102", "94.994", "94", "97.00"),
])  # fmt: skip
def test_where_a_stop_ought_to_be(
    house: House, world: World, side: Side, stop: str, best: str, mark: str, wanted: str | None
) -> None:
    position = Position(
        id=house.tenant.id, tenant_id=house.tenant.id, account_id=house.account.id, venue="v", instrument=SOL, side=side,
        strategy="s", signal_id=None, leverage=1, quantity=Decimal(1), entry_price=Decimal(100), best_price=Decimal(best),
        exits=ExitPlan(
            Decimal(98) if side is Side.LONG else Decimal(102), None, trail_distance=Decimal(2),
            trail_activation=Decimal(2),
        ),
    )  # fmt: skip
    found = next_stop(position, Decimal(stop), Decimal(mark), Decimal("0.1"), Decimal("0.01"))
    assert found == (None if wanted is None else Decimal(wanted))
