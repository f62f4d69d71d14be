"""The paper venue's book: what it keeps, it finds again, and one visitor at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from threading import Thread
from typing import Any

import psycopg
import pytest

from common.domain.order import OrderSide, OrderStatus
from common.domain.paper import PaperAccount, PaperFill, PaperFunding, PaperPosition
from common.ports.paper import PaperBook, PaperBooks
from common.store import Store
from tests.clocks import NOON
from tests.store.world import SYMBOL, World, paper_order, somebody_waits

FILL = PaperFill(2, 1, "c1", SYMBOL, OrderSide.BUY, Decimal("0.1"), Decimal(40000), Decimal("1.60"), False, NOON)


def books_of(store: Store) -> PaperBooks:
    """The store as the port that the paper venue knows."""
    return store.paper


def opened(world: World) -> AbstractContextManager[PaperBook]:
    """Our house's paper book."""
    return books_of(world.store)(world.ours.id)


def state(world: World) -> PaperAccount | None:
    """Our house's paper account as kept."""
    with opened(world) as book:
        return book.load(world.ours.account.id)


def test_an_account_is_opened_once(world: World) -> None:
    account = world.ours.account.id
    assert state(world) is None
    with opened(world) as book:
        assert book.open(account, "USDT", Decimal(1000)) == PaperAccount(account, "USDT", Decimal(1000))
        assert book.open(account, "USDT", Decimal(5)).wallet == 1000
    assert state(world) == PaperAccount(account, "USDT", Decimal(1000))


def test_what_the_venue_saves_it_finds_again(world: World) -> None:
    account = world.ours.account.id
    held = PaperPosition(SYMBOL, Decimal("-0.1"), Decimal(40000), 4, NOON)
    funding = PaperFunding(3, SYMBOL, Decimal("-0.4"), NOON)
    with opened(world) as book:
        after = replace(
            book.open(account, "USDT", Decimal(1000)), wallet=Decimal("998.40"), next_number=4, positions=(held,)
        )
        book.save(after, orders=[paper_order()], fills=[FILL], fundings=[funding])
    assert state(world) == replace(after, orders=(paper_order(),))
    with opened(world) as book:
        assert book.fills(account, SYMBOL, NOON) == [FILL]
        assert book.fills(account, SYMBOL, NOON + timedelta(seconds=1)) == []
        assert book.fundings(account, NOON) == [funding]


def test_a_finished_order_is_found_by_name_and_not_among_the_working(world: World) -> None:
    account = world.ours.account.id
    done = paper_order(status=OrderStatus.FILLED, filled_quantity=Decimal("0.1"))
    again = paper_order(7)
    with opened(world) as book:
        book.save(book.open(account, "USDT", Decimal(1000)), orders=[paper_order()])
    with opened(world) as book:
        before = book.load(account)
        assert before is not None
        book.save(before, orders=[done, again])
    with opened(world) as book:
        after = book.load(account)
        assert after is not None
        assert after.orders == (again,)
        assert book.order(account, "c1") == again
        assert book.order(account, "c2") is None


def test_a_flat_position_is_forgotten(world: World) -> None:
    account = world.ours.account.id
    held = PaperPosition(SYMBOL, Decimal("0.1"), Decimal(40000), 4)
    other = PaperPosition("ETH/USDT:USDT", Decimal(1), Decimal(2000), 2)
    with opened(world) as book:
        book.save(replace(book.open(account, "USDT", Decimal(1000)), positions=(held, other)))
    with opened(world) as book:
        before = book.load(account)
        assert before is not None
        book.save(replace(before, positions=(replace(held, quantity=Decimal(0)), other)))
    after = state(world)
    assert after is not None
    assert after.positions == (other,)


def test_a_block_that_raises_keeps_nothing(world: World) -> None:
    def fail() -> None:
        with opened(world) as book:
            book.open(world.ours.account.id, "USDT", Decimal(1000))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert state(world) is None


def test_a_second_visitor_waits_for_the_first(world: World, root: psycopg.Connection[Any]) -> None:
    account = world.ours.account.id
    seen: list[Decimal] = []
    with opened(world) as book:
        book.open(account, "USDT", Decimal(1000))

    def visit() -> None:
        found = state(world)
        seen.extend([found.wallet] if found else [])

    with opened(world) as book:
        before = book.load(account)
        assert before is not None
        visitor = Thread(target=visit)
        visitor.start()
        while not somebody_waits(root):
            visitor.join(0.01)
        book.save(replace(before, wallet=Decimal(900)))
    visitor.join(10)
    assert seen == [900]


def test_another_tenant_has_another_book(world: World) -> None:
    with opened(world) as book:
        book.open(world.ours.account.id, "USDT", Decimal(1000))
    with books_of(world.store)(world.theirs.id) as book:
        assert book.load(world.ours.account.id) is None
