"""The life of an order is a table: every pair of states is walked, and ids are derived, never drawn."""

from __future__ import annotations

from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.errors import IllegalMove
from common.domain.order import (
    ADOPTIONS,
    IN_DOUBT,
    LIVE,
    TERMINAL,
    TRANSITIONS,
    WORKING,
    Order,
    OrderIntent,
    OrderRole,
    OrderSide,
    OrderStatus,
    client_order_id,
    closing_order_id,
    entry_order_id,
    side_of,
)
from common.domain.risk.verdict import Approved
from common.domain.signal import Side
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D

S = OrderStatus
AT_VENUE = {S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}

# Written down again by hand: the table under test must not be its own witness.
LEGAL = {
    (S.INTENDED, S.SUBMITTING),
    (S.INTENDED, S.ABANDONED),
    *((S.SUBMITTING, to) for to in AT_VENUE | {S.UNKNOWN, S.REJECTED}),
    *((S.UNKNOWN, to) for to in AT_VENUE | {S.NOT_PLACED, S.REJECTED}),
    *((S.ACCEPTED, to) for to in AT_VENUE - {S.ACCEPTED} | {S.REJECTED}),
    *((S.PARTIALLY_FILLED, to) for to in (S.FILLED, S.CANCELED, S.EXPIRED)),
    (S.CANCELED, S.FILLED),
    (S.EXPIRED, S.FILLED),
}
ADOPTED = {(source, to) for source in (S.REJECTED, S.NOT_PLACED, S.ABANDONED) for to in AT_VENUE}
PAIRS = list(product(S, S))
NAMES = [f"{source}->{to}" for source, to in PAIRS]


def intent() -> OrderIntent:
    verdict = world.judged()
    assert isinstance(verdict, Approved)
    return verdict.intent


INTENT = intent()


def order(status: OrderStatus, **changes: Any) -> Order:
    return Order(INTENT, status, version=3, created_at=NOW, **changes)


def outcome(source: OrderStatus, destination: OrderStatus, adopt: bool) -> object:
    try:
        return order(source).move(destination, adopt=adopt).status
    except IllegalMove as refusal:
        return (refusal.source, refusal.destination)


@pytest.mark.parametrize(("source", "to"), PAIRS, ids=NAMES)
def test_a_pair_of_states_is_a_move_exactly_when_the_table_says_so(source: OrderStatus, to: OrderStatus) -> None:
    expected = to if source is to or (source, to) in LEGAL else (source, to)
    assert outcome(source, to, adopt=False) == expected


@pytest.mark.parametrize(("source", "to"), PAIRS, ids=NAMES)
def test_the_reconciler_may_adopt_what_the_venue_holds_and_nothing_more(source: OrderStatus, to: OrderStatus) -> None:
    expected = to if source is to or (source, to) in LEGAL | ADOPTED else (source, to)
    assert outcome(source, to, adopt=True) == expected


def test_the_table_knows_every_state_and_the_groups_fit_together() -> None:
    assert set(TRANSITIONS) == set(S)
    assert set(ADOPTIONS) <= TERMINAL
    assert {S.INTENDED} | IN_DOUBT | WORKING == LIVE
    assert not LIVE & TERMINAL


def test_no_state_once_left_is_reached_again() -> None:
    reached = {status: set(TRANSITIONS[status]) for status in S}
    for middle, source in product(S, S):
        reached[source] |= reached[middle] if middle in reached[source] else set()
    assert [status for status in S if status in reached[status]] == []


def test_a_move_counts_versions_and_carries_changes() -> None:
    moved = order(S.SUBMITTING).move(S.ACCEPTED, venue_order_id="v1")
    assert (moved.version, moved.venue_order_id, moved.id) == (4, "v1", INTENT.order_id)


def test_what_remains_is_unfilled_and_nothing_remains_of_a_finished_order() -> None:
    part = order(S.PARTIALLY_FILLED, filled_quantity=D("0.001"))
    assert part.remaining == INTENT.quantity - D("0.001")
    assert order(S.CANCELED, filled_quantity=D("0.001")).remaining == 0


def test_only_an_entry_increases_risk() -> None:
    assert [role.increases_risk for role in OrderRole] == [True, False, False]
    assert INTENT.reduce_only is False


def test_an_entry_buys_a_long_and_everything_else_sells_it() -> None:
    assert side_of(Side.LONG, OrderRole.ENTRY) is OrderSide.BUY
    assert side_of(Side.SHORT, OrderRole.ENTRY) is OrderSide.SELL
    assert {side_of(Side.LONG, role) for role in (OrderRole.STOP, OrderRole.EXIT)} == {OrderSide.SELL}
    assert {side_of(Side.SHORT, role) for role in (OrderRole.STOP, OrderRole.EXIT)} == {OrderSide.BUY}
    assert (OrderSide.BUY.sign, OrderSide.SELL.sign) == (1, -1)


@given(st.uuids(), st.uuids(), st.uuids())
def test_one_signal_has_one_entry_per_account(tenant: UUID, account: UUID, signal: UUID) -> None:
    assert entry_order_id(tenant, account, signal) == entry_order_id(tenant, account, signal)
    assert entry_order_id(tenant, account, signal) != entry_order_id(tenant, signal, account) or account == signal


@given(st.uuids(), st.sampled_from(OrderRole))
def test_the_venues_id_is_derived_short_and_plain(order_id: UUID, role: OrderRole) -> None:
    name = client_order_id("tw1", order_id, role)
    assert name == client_order_id("tw1", order_id, role)
    assert len(name) == 28
    assert name.isalnum()
    assert name.startswith(f"tw1{role[0]}")


def test_closing_orders_are_numbered() -> None:
    position = UUID(int=4)
    ids = {closing_order_id(position, role, n) for role in (OrderRole.STOP, OrderRole.EXIT) for n in range(5)}
    assert len(ids) == 10
