"""Fills are the ledger: however they arrive, they fold to the same order and the same position."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.fill import Fill, Funding, filled, status_after
from common.domain.order import OrderSide, OrderStatus
from common.domain.position import Position, fold, position_id
from common.domain.signal import ExitPlan, Side
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D
from tests.domain.test_order import INTENT, order

EMPTY = Position(
    id=UUID(int=5),
    tenant_id=world.TENANT,
    account_id=world.ACCOUNT,
    venue="simulator",
    instrument=world.SYMBOL,
    side=Side.LONG,
    strategy="confluence",
    signal_id=None,
    leverage=10,
    exits=ExitPlan(D(39000), D(42000)),
)


def fill(number: int, side: OrderSide, quantity: object, price: object, **changes: Any) -> Fill:
    taken = Fill(
        tenant_id=world.TENANT,
        account_id=world.ACCOUNT,
        venue="simulator",
        trade_id=str(number),
        order_id=UUID(int=9),
        position_id=EMPTY.id,
        instrument=world.SYMBOL,
        side=side,
        quantity=D(str(quantity)),
        price=D(str(price)),
        fee=D("0.1"),
        fee_asset="USDT",
        is_maker=False,
        occurred_at=NOW + timedelta(seconds=number),
    )
    return replace(taken, **changes)


def funding(amount: object) -> Funding:
    return Funding(world.TENANT, world.ACCOUNT, "simulator", "i", world.SYMBOL, EMPTY.id, D(str(amount)), "USDT", NOW)


BUY, SELL = OrderSide.BUY, OrderSide.SELL


def test_a_tenth_of_a_bitcoin_from_40000_to_42000_earns_200_at_any_leverage() -> None:
    fills = [fill(1, BUY, "0.1", 40000), fill(2, SELL, "0.1", 42000)]
    for leverage in (1, 10):
        closed = fold(replace(EMPTY, leverage=leverage), fills, [funding("-0.3")])
        assert closed.gross_profit == 200
        assert closed.net_profit == D("199.5")


def test_a_position_lives_from_its_first_fill_until_flat() -> None:
    opened = [fill(1, BUY, 1, 100), fill(2, BUY, 3, 104)]
    held = fold(EMPTY, opened)
    closed = fold(held, [*opened, fill(3, SELL, 1, 110), fill(4, SELL, 3, 106)])
    assert (held.quantity, held.entry_price) == (D(4), D(103))
    assert (held.opened_at, held.closed_at) == (NOW + timedelta(seconds=1), None)
    assert held.is_open
    assert held.unrealised(D(105)) == 8
    assert not closed.is_open
    assert (closed.exit_price, closed.gross_profit, closed.closed_at) == (D(107), D(16), NOW + timedelta(seconds=4))


def test_a_short_earns_when_the_price_falls() -> None:
    short = fold(replace(EMPTY, side=Side.SHORT), [fill(1, SELL, 2, 100), fill(2, BUY, 1, 90)])
    assert (short.quantity, short.gross_profit, short.unrealised(D(95))) == (D(1), D(10), D(5))


def test_no_fills_make_an_empty_position() -> None:
    empty = fold(EMPTY, [])
    assert {empty.quantity, empty.entry_price, empty.exit_price, empty.best_price} == {D(0)}
    assert (empty.opened_at, empty.closed_at) == (None, None)


def test_a_closing_fill_larger_than_what_is_held_closes_what_is_held() -> None:
    closed = fold(EMPTY, [fill(1, BUY, 1, 100), fill(2, SELL, 5, 110)])
    assert (closed.quantity, closed.gross_profit) == (D(0), D(10))


def test_what_closes_at_the_instant_of_its_entry_closes_it_whatever_the_trades_are_called() -> None:
    at_once = {"occurred_at": NOW}
    closed = fold(EMPTY, [fill(10, SELL, 1, 110, **at_once), fill(9, BUY, 1, 100, **at_once)])
    assert (closed.quantity, closed.gross_profit, closed.closed_at) == (D(0), D(10), NOW)


def test_the_best_price_seen_survives_a_fold() -> None:
    assert fold(replace(EMPTY, best_price=D(120)), [fill(1, BUY, 1, 100)]).best_price == 120


amounts = st.decimals("0.001", "5", places=3)
ledgers = st.lists(st.tuples(st.sampled_from([BUY, SELL]), amounts, st.decimals("1", "99", places=1)), max_size=8)


@given(ledgers, st.randoms(use_true_random=False), st.integers(0, 8), st.sampled_from(Side))
def test_fills_fold_to_the_same_position_in_any_order_and_grouping(
    ledger: list[tuple[OrderSide, Decimal, Decimal]], dice: Any, cut: int, side: Side
) -> None:
    fills = [fill(number, *row) for number, row in enumerate(ledger)]
    shuffled = dice.sample(fills, len(fills))
    empty = replace(EMPTY, side=side)
    whole = fold(empty, fills)
    regrouped = fold(fold(empty, shuffled[:cut]), shuffled)
    # What is folded on is the whole ledger each time; only the best price remembers what was seen.
    assert replace(regrouped, best_price=D(0)) == replace(whole, best_price=D(0))


@given(ledgers)
def test_a_fold_never_holds_less_than_nothing_and_pays_every_fee(
    ledger: list[tuple[OrderSide, Decimal, Decimal]],
) -> None:
    fills = [fill(number, *row) for number, row in enumerate(ledger)]
    position = fold(EMPTY, fills)
    assert position.quantity >= 0
    assert position.opened_quantity == sum(row[1] for row in ledger if row[0] is BUY)
    assert position.fees == D("0.1") * len(ledger)


@given(st.lists(st.tuples(amounts, st.decimals("1", "99", places=1)), max_size=6), st.randoms(use_true_random=False))
def test_an_orders_fills_add_up_in_any_order(rows: list[tuple[Decimal, Decimal]], dice: Any) -> None:
    fills = [fill(number, BUY, *row) for number, row in enumerate(rows)]
    quantity, average = filled(fills)
    again, average_again = filled(dice.sample(fills, len(fills)))
    assert quantity == again == sum(row[0] for row in rows)
    assert abs(average - average_again) < D("1e-20")


@pytest.mark.parametrize(
    ("status", "quantity", "expected"),
    [
        (OrderStatus.UNKNOWN, INTENT.quantity, OrderStatus.FILLED),
        (OrderStatus.CANCELED, INTENT.quantity, OrderStatus.FILLED),
        (OrderStatus.SUBMITTING, D("0.001"), OrderStatus.PARTIALLY_FILLED),
        (OrderStatus.UNKNOWN, D("0.001"), OrderStatus.PARTIALLY_FILLED),
        (OrderStatus.ACCEPTED, D("0.001"), OrderStatus.PARTIALLY_FILLED),
        (OrderStatus.CANCELED, D("0.001"), OrderStatus.CANCELED),
        (OrderStatus.UNKNOWN, D(0), OrderStatus.UNKNOWN),
    ],
)
def test_fills_prove_what_they_prove_and_no_more(status: OrderStatus, quantity: Decimal, expected: OrderStatus) -> None:
    assert status_after(order(status), quantity) is expected


def test_a_position_is_known_by_its_entry_order() -> None:
    assert position_id(INTENT.order_id) == INTENT.position_id
