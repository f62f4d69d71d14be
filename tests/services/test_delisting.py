"""Listings that halt or end: no entry passes, exits stay possible, and what the venue closes is booked as closed."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from common.domain.decision import DecisionOutcome
from common.domain.errors import NotFound, Transient
from common.domain.market import InstrumentStatus
from common.domain.order import OrderRole, OrderSide, OrderStatus
from common.domain.position import CloseReason
from common.domain.risk.verdict import Rule
from common.ports.venue import VenueFill
from common.services.refresh_instruments import refresh_instruments
from tests.services.venue import ADA, SOL, VENUE
from tests.services.world import House, World


def set_status(world: World, status: InstrumentStatus, symbol: str = SOL) -> None:
    """The venue's word on a listing, heard by the fleet."""
    world.venue.listed[symbol] = replace(world.venue.listed[symbol], status=status)
    refresh_instruments(world.fleet, VENUE)


def status_of(world: World, symbol: str = SOL) -> InstrumentStatus:
    with world.store.unit_of_work(None) as uow:
        found = uow.instruments.get(VENUE, symbol)
    assert found is not None
    return found.status


def forced(world: World, house: House, quantity: Decimal, number: str, why: CloseReason) -> VenueFill:
    """The venue closes `quantity` of a long by itself, under an id of its own."""
    fill = world.venue.book_fill(house.account.id, SOL, OrderSide.SELL, quantity, f"v{number}")
    ours = replace(fill, client_order_id=f"settlement_autoclose-{number}", forced_by=why)
    world.at_venue(house).fills[-1] = ours
    return ours


def settle(world: World, house: House) -> None:
    """The venue ends the listing: orders cancelled, the position closed at the last price."""
    ledger = world.at_venue(house)
    for order in ledger.orders:
        order.status = OrderStatus.CANCELED if order.is_open else order.status
    forced(world, house, ledger.held[SOL], "1", CloseReason.DELISTED)


def test_what_is_listed_no_more_is_delisted_audited_and_told(world: World) -> None:
    del world.venue.listed[SOL]
    assert refresh_instruments(world.fleet, VENUE) == 1
    assert (status_of(world), status_of(world, ADA)) == (InstrumentStatus.DELISTED, InstrumentStatus.TRADING)
    assert [alert[1:3] for alert in world.notifier.alerts] == [("instrument_status", f"{SOL} at {VENUE} is delisted")]
    with world.store.unit_of_work(None) as uow:
        assert [entry.payload["to"] for entry in uow.audit.of(SOL)] == ["delisted"]
    refresh_instruments(world.fleet, VENUE)
    assert len(world.notifier.alerts) == 1


def test_an_empty_listing_delists_nothing(world: World) -> None:
    world.venue.listed.clear()
    with pytest.raises(Transient, match="empty listing"):
        refresh_instruments(world.fleet, VENUE)
    assert status_of(world) is InstrumentStatus.TRADING


def test_a_status_is_kept_where_nobody_can_be_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Transient("no channel")

    monkeypatch.setattr(world.notifier, "notify", fail)
    set_status(world, InstrumentStatus.HALTED)
    assert status_of(world) is InstrumentStatus.HALTED


@pytest.mark.parametrize("status", [InstrumentStatus.HALTED, InstrumentStatus.DELISTED])
def test_no_entry_passes_risk_on_a_listing_that_does_not_trade(
    world: World, house: House, status: InstrumentStatus
) -> None:
    set_status(world, status)
    signal = world.announce()
    world.work()
    decision = world.decision(house, signal)
    assert decision is not None
    assert decision.outcome is DecisionOutcome.VETOED
    assert decision.veto is not None
    assert (decision.veto.rule, decision.veto.level.name) == (Rule.INSTRUMENT_NOT_TRADING, "SANITY")


def test_a_position_on_a_halted_listing_is_left_as_ever(world: World, house: House) -> None:
    world.enter(house)
    set_status(world, InstrumentStatus.HALTED)
    world.move_price("107")
    world.visit(house)
    world.work()
    world.visit(house)
    (position,) = [world.position(house)]
    assert position is not None
    assert (position.is_open, position.close_reason) == (False, CloseReason.TARGET)


@pytest.mark.parametrize("by", ["visit", "reconcile"])
def test_a_settlement_closes_the_position_and_the_books_agree(world: World, house: House, by: str) -> None:
    world.enter(house)
    settle(world, house)
    set_status(world, InstrumentStatus.DELISTED)
    getattr(world, by)(house)
    world.work()
    position = world.position(house)
    assert position is not None
    assert (position.is_open, position.close_reason) == (False, CloseReason.DELISTED)
    assert world.statuses(house, OrderRole.EXIT) == [OrderStatus.FILLED]
    world.visit(house)
    assert world.reconcile(house) == "equal"
    assert (world.quarantined(house), world.account(house).is_reconciled) == ([], True)
    assert sum(fill.quantity * fill.side.sign for fill in world.fills(house)) == 0


def test_a_settlement_in_several_fills_is_one_exit(world: World, house: House) -> None:
    held = world.enter(house).quantity
    forced(world, house, Decimal("0.1"), "1", CloseReason.LIQUIDATION)
    forced(world, house, held - Decimal("0.1"), "1", CloseReason.LIQUIDATION)
    world.visit(house)
    world.visit(house)
    position = world.position(house)
    assert position is not None
    assert (position.is_open, position.close_reason) == (False, CloseReason.LIQUIDATION)
    assert world.statuses(house, OrderRole.EXIT) == [OrderStatus.FILLED]


def test_what_the_venue_closed_beyond_what_we_hold_parts_the_books(world: World, house: House) -> None:
    held = world.enter(house).quantity
    forced(world, house, held + 1, "1", CloseReason.DELISTED)
    assert world.reconcile(house) == "1 positions differ"
    position = world.position(house)
    assert position is not None
    assert not position.is_open


def test_what_the_venue_closed_of_nothing_is_a_strangers(world: World, house: House) -> None:
    forced(world, house, Decimal(1), "1", CloseReason.DELISTED)
    world.reconcile(house)
    assert len(world.quarantined(house)) == 1


def test_books_that_part_are_told_to_the_tenant_and_the_operator(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.venue.book_fill(house.account.id, SOL, OrderSide.BUY, Decimal(3), "v9")
    world.reconcile(house)
    assert [(alert[0], alert[1]) for alert in world.notifier.alerts] == [
        (house.tenant.name, "books_differ"), ("", "books_differ"),
    ]  # fmt: skip
    world.reconcile(house)
    assert len(world.notifier.alerts) == 2


def test_books_part_also_where_nobody_can_be_told(world: World, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Transient("no channel")

    monkeypatch.setattr(world.notifier, "notify", fail)
    world.venue.book_fill(house.account.id, SOL, OrderSide.BUY, Decimal(3), "v9")
    assert world.reconcile(house) == "1 positions differ"


def forget_listing(world: World, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue answers nothing about SOL any more, as to a process that started after its end."""
    door = world.door_of(house)
    asked = type(door).fills, type(door).find, type(world.venue).mark

    def fills(this: Any, symbol: str, since: Any) -> Any:
        if symbol == SOL:
            raise NotFound("instrument", symbol)
        return asked[0](this, symbol, since)

    def find(this: Any, intent: Any) -> Any:
        if intent.instrument == SOL:
            raise NotFound("instrument", SOL)
        return asked[1](this, intent)

    def mark(this: Any, symbol: str) -> Any:
        if symbol == SOL:
            raise NotFound("instrument", SOL)
        return asked[2](this, symbol)

    monkeypatch.setattr(type(door), "fills", fills)
    monkeypatch.setattr(type(door), "find", find)
    monkeypatch.setattr(type(world.venue), "mark", mark)


def test_a_listing_nobody_can_be_asked_about_stops_entries_and_not_the_care_of_others(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = world.enter(house), world.enter(house, world.signal(ADA))
    settle(world, house)
    forget_listing(world, house, monkeypatch)
    world.visit(house)
    set_status(world, InstrumentStatus.DELISTED)
    world.move_price("107", ADA)
    world.visit(house)
    world.work()
    world.visit(house)
    assert [position.id for position in world.positions(house)] == [gone.id]
    assert kept.id != gone.id
    world.reconcile(house)
    assert not world.account(house).is_reconciled
    assert "books_differ" in {alert[1] for alert in world.notifier.alerts}
