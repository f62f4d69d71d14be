"""Flat is what the venue shows: a FLATTEN is over when neither venue nor ledger has anything open, and its time is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from common.domain.market import Timeframe
from common.domain.order import OrderSide
from common.domain.risk.book import HaltMode, HaltScope
from common.services.flatness import flatness
from common.services.halts import halt
from common.services.status import fleet_status
from tests.services.venue import ADA, SOL, Fate
from tests.services.world import STRATEGY, House, World

FRAME = Timeframe.parse("5m")


def flatten(world: World, scope: HaltScope = HaltScope.PLATFORM, subject: str = "") -> None:
    halt(world.fleet, scope=scope, subject=subject, mode=HaltMode.FLATTEN, reason="drill", by="operator")


def progress(world: World) -> dict[str, Any]:
    (row,) = flatness(world.fleet)
    return row


def visits(world: World, house: House, count: int = 4) -> None:
    """Monitor and workers take turns."""
    for _ in range(count):
        world.visit(house)
        world.work()
        world.clock.advance(1)


def test_a_flattened_account_is_told_flat_with_the_time_it_took(world: World, house: House) -> None:
    world.enter(house)
    flatten(world)
    before = progress(world)
    visits(world, house)
    after = progress(world)
    assert (before["is_flat"], before["time_to_flat_s"]) == (False, None)
    assert (after["is_flat"], after["accounts"], after["flat"], after["open"]) == (True, 1, 1, [])
    assert 0 < after["time_to_flat_s"] <= 4
    assert world.audited(house, house.account.id)[-1] == "flat"
    assert world.at_venue(house).held[SOL] == 0


def test_an_account_that_was_not_looked_at_since_is_not_flat(world: World, house: House) -> None:
    flatten(world)
    assert progress(world)["open"][0]["at_venue"] == ["not visited since the halt"]
    world.visit(house)
    assert progress(world)["is_flat"]


def test_what_the_venue_holds_beyond_our_ledger_keeps_it_open(world: World, house: House) -> None:
    flatten(world)
    world.venue.book_fill(house.account.id, ADA, OrderSide.BUY, Decimal(3), "somebody else's")
    visits(world, house)
    assert progress(world)["open"][0]["at_venue"] == [f"3 {ADA}"]
    world.venue.book_fill(house.account.id, ADA, OrderSide.SELL, Decimal(3), "somebody else's")
    visits(world, house, 1)
    assert progress(world)["is_flat"]


def test_an_entry_in_doubt_keeps_it_open_until_its_fate_is_known(world: World, house: House) -> None:
    order = world.approve(house)
    world.door_of(house).fates = [Fate.LOST]
    world.work()
    flatten(world)
    world.visit(house)
    assert order.intent.client_order_id in progress(world)["open"][0]["in_ledger"][0]
    world.pass_time(60, rounds=2)
    world.visit(house)
    assert progress(world)["is_flat"]


def test_an_instruments_flattening_asks_nothing_of_the_others(world: World, house: House) -> None:
    world.enter(house)
    flatten(world, HaltScope.INSTRUMENT, ADA)
    world.visit(house)
    assert progress(world)["is_flat"]
    assert len(world.positions(house)) == 1


def test_a_strategys_flattening_leaves_the_positions_of_others(world: World, house: House) -> None:
    world.enter(house)
    flatten(world, HaltScope.STRATEGY, "confluence")
    world.visit(house)
    assert progress(world)["is_flat"]
    assert len(world.positions(house)) == 1


def test_a_strategys_flattening_closes_its_own(world: World, house: House) -> None:
    world.enter(house)
    flatten(world, HaltScope.STRATEGY, STRATEGY)
    world.visit(house)
    assert not progress(world)["is_flat"]
    visits(world, house)
    assert progress(world)["is_flat"]


def test_once_flat_the_venue_is_not_asked_again(world: World, house: House) -> None:
    flatten(world)
    world.visit(house)
    door = world.door_of(house)
    door.calls.clear()
    world.visit(house)
    assert "positions" not in door.calls


def test_only_accounts_that_a_halt_concerns_are_counted(world: World, house: House) -> None:
    world.settle_in("meridian")
    flatten(world, HaltScope.TENANT, "harbour")
    world.visit(house)
    assert (progress(world)["accounts"], progress(world)["is_flat"]) == (1, True)


def test_the_status_shows_it(world: World, house: House) -> None:
    assert fleet_status(world.fleet)["flatness"] == []
    flatten(world)
    assert fleet_status(world.fleet)["flatness"][0]["accounts"] == 1


def test_a_mere_halt_asks_for_no_flatness(world: World, house: House) -> None:
    halt(world.fleet, scope=HaltScope.PLATFORM, subject="", mode=HaltMode.CANCEL_ENTRIES, reason="drill", by="operator")
    assert flatness(world.fleet) == []
