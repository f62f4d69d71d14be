"""The ledger: what was decided, asked, done and held, each kept once and changed by one at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from common.domain.decision import DecisionOutcome
from common.domain.errors import Permanent
from common.domain.order import OrderRole, OrderStatus
from common.domain.position import CloseReason, fold
from common.store import UnitOfWork
from tests.clocks import NOON
from tests.store.world import (
    SYMBOL,
    World,
    closed,
    decision,
    entry,
    fill,
    funding,
    intent,
    position,
    signal,
    stop,
)

MINUTE = timedelta(minutes=1)


def test_an_account_decides_once_on_a_signal(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.decisions.add(decision(world.ours))
        assert not uow.decisions.add(replace(decision(world.ours), outcome=DecisionOutcome.EXPIRED, veto=None))
        assert uow.decisions.get(decision(world.ours).id) == decision(world.ours)
        assert uow.decisions.for_signal(signal().id) == [decision(world.ours)]


def test_a_decision_keeps_its_inputs_in_the_order_they_were_given(world: World) -> None:
    approved = replace(decision(world.ours), outcome=DecisionOutcome.APPROVED, veto=None, order_id=entry(world.ours).id)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.decisions.add(approved)
        uow.orders.add(entry(world.ours))
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        kept = uow.decisions.get(approved.id)
    assert kept == approved


def test_an_approval_without_its_order_is_refused_by_the_commit(world: World) -> None:
    approved = replace(decision(world.ours), veto=None, order_id=entry(world.ours).id)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.decisions.add(approved)
        with pytest.raises(Permanent, match="decisions_orders_fkey"):
            uow.commit()


def test_decisions_are_listed_newest_first(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        for number in range(3):
            uow.decisions.add(decision(world.ours, number))
        assert [item.signal_id for item in uow.decisions.list(2)] == [signal(2).id, signal(1).id]
        assert [item.signal_id for item in uow.decisions.list(5, signal(1).closed_at)] == [signal(0).id]
        assert uow.decisions.list(outcome=DecisionOutcome.APPROVED) == []
        assert len(uow.decisions.list(account_id=world.ours.account.id)) == 3


def test_an_order_comes_back_as_it_was_written(world: World) -> None:
    order = entry(world.ours)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(order)
        assert uow.orders.get(order.id) == order
        assert uow.orders.by_client_id(order.intent.client_order_id) == order
        assert uow.orders.by_client_id("somebody else's") is None


def test_an_order_is_never_added_twice(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(entry(world.ours))
        with pytest.raises(Permanent, match="orders_pkey"):
            uow.orders.add(entry(world.ours))


def test_the_faster_of_two_changes_wins(world: World) -> None:
    order = entry(world.ours)
    sent = order.move(OrderStatus.SUBMITTING, submitted_at=NOON, valid_until=NOON + MINUTE, updated_at=NOON)
    abandoned = order.move(OrderStatus.ABANDONED, reason="halted")
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(order)
        assert uow.orders.save(sent)
        assert not uow.orders.save(abandoned)
        assert uow.orders.get(order.id) == sent


def test_the_slower_of_two_transactions_learns_that_it_lost(world: World) -> None:
    order = entry(world.ours)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(order)
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as slower, world.store.unit_of_work(world.ours.id) as faster:
        seen = slower.orders.get(order.id)
        assert seen == order
        assert faster.orders.save(order.move(OrderStatus.SUBMITTING))
        faster.commit()
        assert not slower.orders.save(seen.move(OrderStatus.ABANDONED))


def test_orders_are_found_by_what_they_wait_for(world: World) -> None:
    doubtful = replace(entry(world.ours, 1), status=OrderStatus.UNKNOWN)
    done = replace(entry(world.ours, 2), status=OrderStatus.FILLED)
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        for order in (entry(world.ours), doubtful, done):
            uow.orders.add(order)
        assert uow.orders.live(account) == [entry(world.ours), doubtful]
        assert uow.orders.live(account, "ETH/USDT:USDT") == []
        assert uow.orders.in_doubt(account) == [doubtful]
        assert uow.orders.of_account(account) == [entry(world.ours), doubtful, done]
        assert uow.orders.list(status=OrderStatus.FILLED, instrument=SYMBOL) == [done]
        assert uow.orders.list(1, account_id=account) == [done]
        assert uow.orders.by_venue_id(account, "v-1") is None


def test_an_order_is_found_by_the_venues_id_of_its_account(world: World) -> None:
    acknowledged = replace(entry(world.ours), status=OrderStatus.ACCEPTED, venue_order_id="v-1")
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(acknowledged)
        assert uow.orders.by_venue_id(world.ours.account.id, "v-1") == acknowledged
        assert uow.orders.by_venue_id(world.theirs.account.id, "v-1") is None


def test_the_orders_of_a_position_are_numbered_by_role(world: World) -> None:
    position_id = intent(world.ours).position_id
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(entry(world.ours))
        assert uow.orders.next_number(position_id, OrderRole.STOP) == 1
        uow.orders.add(stop(world.ours, 1))
        uow.orders.add(stop(world.ours, 2))
        assert uow.orders.next_number(position_id, OrderRole.STOP) == 3
        assert uow.orders.next_number(position_id, OrderRole.EXIT) == 1
        assert uow.orders.of_position(position_id) == [entry(world.ours), stop(world.ours, 1), stop(world.ours, 2)]


@pytest.mark.parametrize("quantity", ["0", "-1", "NaN"])
def test_an_impossible_quantity_is_refused_by_its_constraint(world: World, quantity: str) -> None:
    absurd = replace(entry(world.ours), intent=intent(world.ours, quantity=Decimal(quantity)))
    with world.store.unit_of_work(world.ours.id) as uow, pytest.raises(Permanent, match="orders_quantity_above_zero"):
        uow.orders.add(absurd)


def with_order(uow: UnitOfWork, world: World) -> UnitOfWork:
    """The unit, with our house's entry order in it."""
    uow.orders.add(entry(world.ours))
    return uow


def test_a_fill_is_booked_once(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        with_order(uow, world)
        assert uow.fills.add(fill(world.ours))
        assert not uow.fills.add(fill(world.ours))
        assert uow.fills.of_order(entry(world.ours).id) == [fill(world.ours)]


def test_venues_may_number_the_trades_of_each_instrument_anew(world: World) -> None:
    elsewhere = fill(world.ours, instrument="ETH/USDT:USDT")
    with world.store.unit_of_work(world.ours.id) as uow:
        with_order(uow, world)
        assert uow.fills.add(fill(world.ours))
        assert uow.fills.add(elsewhere)


def test_a_fill_needs_an_order_of_its_own_tenant(world: World) -> None:
    with world.store.unit_of_work(world.theirs.id) as uow:
        uow.orders.add(entry(world.theirs))
        uow.commit()
    stolen = fill(world.ours, order_id=entry(world.theirs).id)
    with world.store.unit_of_work(world.ours.id) as uow, pytest.raises(Permanent, match="fills_orders_fkey"):
        uow.fills.add(stolen)


def test_fills_are_listed_and_dated(world: World) -> None:
    later = fill(world.ours, "t2", occurred_at=NOON + MINUTE)
    with world.store.unit_of_work(world.ours.id) as uow:
        with_order(uow, world)
        assert uow.fills.last_at(world.ours.account.id, SYMBOL) is None
        uow.fills.add(later)
        uow.fills.add(fill(world.ours))
        assert uow.fills.of_position(fill(world.ours).position_id) == [fill(world.ours), later]
        assert uow.fills.of_account(world.ours.account.id) == [fill(world.ours), later]
        assert uow.fills.list(1) == [later]
        assert uow.fills.last_at(world.ours.account.id, SYMBOL) == later.occurred_at


def test_funding_is_booked_once(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.fundings.last_at(world.ours.account.id) is None
        assert uow.fundings.add(funding(world.ours))
        assert not uow.fundings.add(funding(world.ours))
        assert uow.fundings.of_position(intent(world.ours).position_id) == [funding(world.ours)]
        assert uow.fundings.last_at(world.ours.account.id) == funding(world.ours).occurred_at


def test_a_position_folded_from_its_fills_is_kept_to_the_last_digit(world: World) -> None:
    fills = [fill(world.ours, "t1", price=Decimal("40000.1")), fill(world.ours, "t2", quantity=Decimal("0.1"))]
    folded = fold(position(world.ours), fills)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.positions.add(folded)
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        kept = uow.positions.get(folded.id)
    assert kept == folded
    assert str(kept.entry_price) == str(folded.entry_price)


def test_a_position_changes_by_version(world: World) -> None:
    held = position(world.ours)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.positions.add(held)
        raised = replace(held, best_price=Decimal(41000), version=1)
        assert uow.positions.save(raised)
        assert not uow.positions.save(replace(held, best_price=Decimal(40500), version=1))
        assert uow.positions.get(held.id) == raised


def test_positions_are_found_by_what_is_asked_of_them(world: World) -> None:
    account = world.ours.account.id
    done = replace(closed(world.ours, 1, 50, NOON), close_reason=CloseReason.TARGET)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.positions.add(position(world.ours))
        uow.positions.add(done)
        assert uow.positions.open(account) == [position(world.ours)]
        assert uow.positions.list(open_only=True) == [position(world.ours)]
        assert uow.positions.list(1, instrument=SYMBOL) == [position(world.ours)]
        assert uow.positions.closed_since(account, NOON) == [done]
        assert uow.positions.closed_since(account, NOON + MINUTE) == []
        assert uow.positions.held_at(account, SYMBOL, NOON - MINUTE) == done
        assert uow.positions.held_at(account, SYMBOL, NOON) == position(world.ours)
        assert uow.positions.held_at(account, SYMBOL, NOON - timedelta(days=1)) is None
