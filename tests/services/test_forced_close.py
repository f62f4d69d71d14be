"""What a venue closes by itself, and markets that it takes away: the ledger follows, and says why."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from common.domain.errors import NotFound
from common.domain.market import InstrumentStatus
from common.domain.order import OrderRole, OrderSide, OrderStatus
from common.domain.position import FORCED, CloseReason
from common.ports.venue import VenueFill
from common.services.tenants import refresh_instruments
from tests.services.test_positions import fill_entry, look, take_back_entry
from tests.services.venue import ADA, SOL, Fate
from tests.services.world import House, World

S = OrderStatus


def force(world: World, house: House, quantity: str, why: CloseReason = CloseReason.LIQUIDATION) -> VenueFill:
    """The venue closes `quantity` of the house's long position by an order of its own."""
    world.clock.advance(1)
    number = "77"
    fill = world.venue.book_fill(house.account.id, SOL, OrderSide.SELL, Decimal(quantity), number)
    forced = replace(fill, client_order_id=f"autoclose-{number}", forced_by=why)
    fills = world.at_venue(house).fills
    fills[fills.index(fill)] = forced
    return forced


@pytest.mark.parametrize("why", sorted(FORCED))
def test_a_position_that_the_venue_closed_is_closed_for_the_venues_reason(
    world: World, house: House, why: CloseReason
) -> None:
    position = world.enter(house)
    force(world, house, str(position.quantity), why)
    after = look(world, house)
    assert (after.is_open, after.close_reason) == (False, why)
    assert "forced_close" in world.audited(house, position.id)
    [order] = world.orders(house, OrderRole.EXIT)
    assert (order.status, order.filled_quantity, order.submitted_at) == (S.FILLED, position.quantity, None)
    world.pass_time()
    assert world.statuses(house, OrderRole.STOP) == [S.CANCELED]
    assert world.reconcile(house) == "equal"
    assert world.quarantined(house) == []


def test_a_late_fill_that_the_venue_closed_again_before_anybody_looked_is_found(world: World, house: House) -> None:
    """Nothing is held and nothing is live: only that an entry was taken back tells where to look."""
    take_back_entry(world, house)
    fill_entry(world, house, "426.7")
    force(world, house, "426.7", CloseReason.DELEVERAGED)
    world.visit(house)
    assert world.fills(house) == []
    assert world.reconcile(house) == "equal"
    assert len(world.fills(house)) == 2
    position = world.position(house)
    assert position is not None
    assert (position.is_open, position.close_reason) == (False, CloseReason.DELEVERAGED)
    assert world.entry(house).status is S.FILLED


def test_a_part_that_the_venue_took_leaves_the_rest_open_and_covered(world: World, house: House) -> None:
    position = world.enter(house)
    force(world, house, "10", CloseReason.DELEVERAGED)
    after = look(world, house)
    assert after.quantity == position.quantity - 10
    assert after.close_reason is None
    assert sum(stop.remaining for stop in world.orders(house, OrderRole.STOP)) >= after.quantity


def test_several_fills_of_one_forced_order_are_one_order_of_the_ledger_whenever_they_are_told(
    world: World, house: House
) -> None:
    position = world.enter(house)
    force(world, house, "10")
    look(world, house)
    force(world, house, str(position.quantity - 10))
    after = look(world, house)
    look(world, house)
    [order] = world.orders(house, OrderRole.EXIT)
    assert order.intent.quantity == order.filled_quantity == position.quantity
    assert after.close_reason is CloseReason.LIQUIDATION


def test_a_forced_fill_that_reduces_nothing_of_ours_is_a_strangers(world: World, house: House) -> None:
    position = world.enter(house)
    fill = force(world, house, "10")
    fills = world.at_venue(house).fills
    fills[-1] = replace(fill, side=OrderSide.BUY)
    world.at_venue(house).held[SOL] = position.quantity + 10
    look(world, house)
    world.reconcile(house)
    assert world.orders(house, OrderRole.EXIT) == []
    assert len(world.quarantined(house)) == 1


def test_a_liquidation_rests_its_market_like_a_stop_out(world: World) -> None:
    house = world.settle_in(limits={"symbol_cooldown_min": 120})
    position = world.enter(house)
    world.venue.prices[SOL] = Decimal(90)
    force(world, house, str(position.quantity))
    look(world, house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        record = uow.risk.lock_book(house.account.id, world.clock.now()).record
    assert SOL in (record.symbol_cooling_until or {})


def delist(world: World, symbol: str = SOL) -> None:
    """The venue takes a market away."""
    world.venue.listed[symbol] = replace(world.venue.listed[symbol], status=InstrumentStatus.DELISTED)
    refresh_instruments(world.fleet, world.venue.name)


def test_a_market_that_is_taken_away_is_left_while_it_still_can_be(world: World, house: House) -> None:
    world.enter(house)
    delist(world, ADA)
    assert look(world, house).is_open
    delist(world)
    assert look(world, house).close_reason is CloseReason.DELISTED


def test_an_exit_that_a_settling_market_refused_is_not_asked_for_at_every_visit(world: World, house: House) -> None:
    world.enter(house)
    delist(world)
    world.door_of(house).fates = [Fate.REFUSED]
    look(world, house)
    look(world, house)
    assert world.statuses(house, OrderRole.EXIT) == [S.REJECTED]
    world.clock.advance(60)
    assert look(world, house).close_reason is CloseReason.DELISTED


def test_a_market_the_venue_knows_no_more_does_not_keep_the_others_unguarded(world: World, house: House) -> None:
    world.enter(house)
    signal = replace(world.signal(ADA), side=world.signal().side)
    world.enter(house, signal)
    door = world.door_of(house)
    fills = door.fills
    asked: list[str] = []

    def gone(symbol: str, since: object) -> object:
        asked.append(symbol)
        if symbol == ADA:
            raise NotFound("instrument", symbol)
        return fills(symbol, since)

    door.fills = gone  # type: ignore[method-assign, assignment]
    door.ledger.held.pop(ADA)
    world.move_price("107")
    assert look(world, house).close_reason is CloseReason.TARGET
    assert set(asked) >= {ADA, SOL}
