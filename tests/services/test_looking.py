"""A visit guards by marks every time, and asks the venue about the account when that is due or something is restless."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from common.domain.errors import Transient
from common.domain.job import Stage
from common.domain.order import OrderRole, OrderSide, OrderStatus
from common.domain.position import CloseReason
from common.domain.risk.book import HaltMode, HaltScope
from common.domain.signal import ExitPlan
from common.ports.venue import VenueFunding
from common.services.flatness import flatness
from common.services.halts import halt
from common.services.market_view import mark_now
from common.services.monitor_account import CLAIMED, visit_account
from common.store import Balance
from tests.services.venue import ADA, NOON, SOL, Fate
from tests.services.world import House, World

S = OrderStatus
TRAILING = ExitPlan(Decimal(98), Decimal(200), trail_distance=Decimal(2), trail_activation=Decimal(2))


def pass_by(world: World, house: House, seconds: float = 2.0) -> list[str]:
    """A visit of the beat's after `seconds`; what it asked the venue about the account."""
    world.clock.advance(seconds)
    calls = world.door_of(house).calls
    calls.clear()
    visit_account(world.fleet, *house.ids)
    return list(calls)


def balance(world: World, house: House) -> Balance:
    with world.store.unit_of_work(house.tenant.id) as uow:
        found = uow.accounts.balance(house.account.id)
    assert found is not None
    return found


@pytest.fixture
def quiet(world: World, house: House) -> House:
    """A house with one position, its stop at the venue, looked at a moment ago."""
    world.enter(house)
    world.clock.advance(1)
    world.visit(house)
    return house


# --- When nothing is restless ---------------------------------------------------------------------------------------


def test_a_quiet_account_is_looked_at_once_in_fifteen_seconds_however_often_it_is_visited(
    world: World, quiet: House
) -> None:
    asked = [pass_by(world, quiet, 1) for _ in range(31)]
    assert [number + 1 for number, calls in enumerate(asked) if calls] == [15, 30]
    assert asked[14] == ["balance", "find", "positions"]


def test_a_visit_without_a_look_does_not_say_that_the_venue_was_asked(world: World, quiet: House) -> None:
    before = balance(world, quiet)
    assert pass_by(world, quiet) == []
    assert balance(world, quiet) == before


def test_an_account_nobody_has_looked_at_is_looked_at(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        uow.accounts.save_balance(house.account.id, Decimal(1), Decimal(1), Decimal(1), NOON - timedelta(hours=1))
        uow.commit()
    assert pass_by(world, house) == ["balance"]
    assert pass_by(world, house) == []


def test_a_clock_that_was_set_back_keeps_nobody_from_looking(world: World, quiet: House) -> None:
    world.clock.advance(-60)
    assert pass_by(world, quiet)


def test_the_best_price_is_followed_and_the_stop_moved_without_a_look(world: World, house: House) -> None:
    world.enter(house, world.signal(exits=TRAILING))
    world.clock.advance(1)
    world.visit(house)
    world.venue.prices[SOL] = Decimal(105)
    assert pass_by(world, house) == []
    world.work()
    [position] = world.positions(house)
    assert position.best_price == Decimal(105)
    assert [str(order.intent.trigger_price) for order in world.orders(house, OrderRole.STOP)] == ["98", "103"]


def test_a_visit_that_finds_another_one_there_does_nothing(world: World, quiet: House) -> None:
    with world.store.unit_of_work(quiet.tenant.id) as uow:
        assert uow.accounts.claim(quiet.account.id)
        assert visit_account(world.fleet, *quiet.ids) == CLAIMED


# --- What is restless -----------------------------------------------------------------------------------------------


def test_an_order_on_its_way_is_looked_at_at_every_visit(world: World, house: House) -> None:
    world.door_of(house).fates = [Fate.REST]
    world.announce()
    world.work()
    assert all("find" in pass_by(world, house) for _ in range(3))


def test_nobody_is_looked_at_twice_within_a_second(world: World, house: House) -> None:
    world.approve(house)
    assert pass_by(world, house, 1.0)
    assert pass_by(world, house, 0.9) == []
    assert pass_by(world, house, 0.1)


def test_a_price_beyond_the_stop_calls_for_a_look(world: World, quiet: House) -> None:
    world.venue.prices[SOL] = Decimal(97)
    world.venue.tick()
    assert pass_by(world, quiet) == ["balance", "find", "positions", "fills"]
    position = world.position(quiet)
    assert position is not None
    assert position.close_reason is CloseReason.STOP


def test_a_position_is_left_on_what_the_venue_has_just_told(world: World, quiet: House) -> None:
    world.venue.prices[SOL] = Decimal(107)
    assert "positions" in pass_by(world, quiet)
    world.work()
    position = world.position(quiet)
    assert position is not None
    assert position.close_reason is CloseReason.TARGET


def test_a_position_without_cover_is_looked_at_until_it_has_some(world: World, quiet: House) -> None:
    [stop] = world.orders(quiet, OrderRole.STOP)
    with world.store.unit_of_work(quiet.tenant.id) as uow:
        uow.orders.save(stop.move(S.CANCELED, adopt=True))
        uow.commit()
    assert pass_by(world, quiet)
    world.work()
    assert pass_by(world, quiet) == []


def test_fills_that_the_venue_still_owes_are_asked_for_at_every_visit(
    world: World, quiet: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = world.door_of(quiet).ledger
    world.venue.prices[SOL] = Decimal(97)
    world.venue.tick()
    world.venue.prices[SOL] = Decimal(100)
    owed, ledger.fills = ledger.fills, []
    world.clock.advance(15)
    assert "fills" in pass_by(world, quiet)
    assert "fills" in pass_by(world, quiet)
    ledger.fills = owed
    pass_by(world, quiet)
    world.work()
    assert world.positions(quiet) == []
    assert pass_by(world, quiet) == []


def test_a_forced_close_is_seen_in_the_holding_by_the_next_look(world: World, quiet: House) -> None:
    assert "fills" not in pass_by(world, quiet, 15)
    world.venue.book_fill(quiet.account.id, SOL, OrderSide.SELL, Decimal(1), "v1")
    assert "fills" in pass_by(world, quiet, 15)


# --- Halts ----------------------------------------------------------------------------------------------------------


def flatten(world: World) -> None:
    halt(world.fleet, scope=HaltScope.PLATFORM, subject="", mode=HaltMode.FLATTEN, reason="drill", by="operator")


def test_while_our_ledger_is_not_flat_the_dear_list_of_orders_is_not_asked_for(world: World, quiet: House) -> None:
    flatten(world)
    calls = pass_by(world, quiet)
    assert "find" in calls
    assert "open_orders" not in calls
    assert flatness(world.fleet)[0]["open"][0]["at_venue"] == ["not asked while the ledger is not flat"]
    asked = []
    while not flatness(world.fleet)[0]["is_flat"]:
        world.work()
        asked.append("open_orders" in pass_by(world, quiet))
    assert asked.count(True) == 1
    assert flatness(world.fleet)[0]["time_to_flat_s"] <= 10


def test_what_stays_open_under_a_halt_is_asked_for_at_once_for_a_minute_and_then_seldom(
    world: World, house: House
) -> None:
    flatten(world)
    world.venue.book_fill(house.account.id, ADA, OrderSide.BUY, Decimal(3), "somebody else's")
    assert all(pass_by(world, house) for _ in range(3))
    pass_by(world, house, 60)
    later = [pass_by(world, house) for _ in range(7)]
    assert [bool(calls) for calls in later] == [False] * 7


# --- Funding --------------------------------------------------------------------------------------------------------


def test_fundings_are_asked_for_once_a_minute_and_none_is_lost(world: World, quiet: House) -> None:
    paid = VenueFunding("i1", SOL, Decimal("-1.5"), "USDT", world.clock.now() + timedelta(seconds=70))
    asked = 0
    for _ in range(100):
        if world.clock.now() >= paid.occurred_at:
            world.door_of(quiet).payments = [paid]
        asked += "fundings" in pass_by(world, quiet)
    assert asked == 3
    assert world.positions(quiet)[0].funding == Decimal("-1.5")


def test_a_payment_that_fell_due_while_an_entry_was_in_doubt_finds_its_position(world: World, house: House) -> None:
    world.enter(house)
    world.door_of(house).fates = [Fate.AFTER]
    second = world.signal(ADA)
    world.approve(house, second)
    world.run(world.take(Stage.PLACE))
    due = world.clock.now() + timedelta(seconds=1)
    world.door_of(house).payments = [
        VenueFunding("i1", ADA, Decimal(-2), "USDT", due),
        VenueFunding("i2", SOL, Decimal(-1), "USDT", due + timedelta(seconds=1)),
    ]
    world.clock.advance(3)
    world.visit(house)
    assert world.position(house, second) is None
    world.pass_time(5, rounds=3)
    world.visit(house)
    position = world.position(house, second)
    assert position is not None
    assert position.funding == Decimal(-2)


# --- Marks ----------------------------------------------------------------------------------------------------------


def test_accounts_that_hold_the_same_market_cost_one_mark_a_second(world: World, quiet: House) -> None:
    neighbour = world.settle_in("meridian")
    world.enter(neighbour, world.signal(SOL, id=UUID(int=7)))
    world.clock.advance(2)
    before = world.venue.mark_calls
    for house in (quiet, neighbour):
        visit_account(world.fleet, *house.ids)
    assert world.venue.mark_calls == before + 1
    world.clock.advance(1)
    visit_account(world.fleet, *quiet.ids)
    assert world.venue.mark_calls == before + 2


def test_a_venue_that_runs_fast_is_not_asked_faster_for_it(world: World, house: House) -> None:
    world.clock.rate = 3600.0
    mark_now(world.fleet, world.venue.name, SOL)
    world.clock.advance(800)
    mark_now(world.fleet, world.venue.name, SOL)
    assert world.venue.mark_calls == 1
    world.clock.advance(800)
    mark_now(world.fleet, world.venue.name, SOL)
    assert world.venue.mark_calls == 2


def test_a_mark_nobody_can_tell_now_lets_the_visit_fail_and_the_next_one_try_again(
    world: World, quiet: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(symbol: str) -> Decimal:
        raise Transient(f"no answer about {symbol}")

    monkeypatch.setattr(world.venue, "mark", fail)
    with pytest.raises(Transient, match="no answer"):
        pass_by(world, quiet)
    monkeypatch.undo()
    assert pass_by(world, quiet) == []
