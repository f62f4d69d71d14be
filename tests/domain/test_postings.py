"""Double entry: every entry sums to zero, and cash is what a venue's wallet must hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.fill import Fill
from common.domain.money import booked
from common.domain.order import OrderSide
from common.domain.postings import (
    Book,
    CashFlow,
    EntryKind,
    FlowKind,
    Movement,
    disagreements,
    entries_of,
    settle_of,
    trial_balance,
    wallet_of,
)
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D
from tests.domain.test_fill_and_position import fill, funding

BUY, SELL = OrderSide.BUY, OrderSide.SELL


def flow(amount: object, kind: FlowKind = FlowKind.TRANSFER, **changes: Any) -> CashFlow:
    came = CashFlow(
        world.TENANT, world.ACCOUNT, "simulator", kind, f"{kind}-{amount}", D(str(amount)), "USDT", "TRANSFER", NOW
    )
    return replace(came, **changes)


def line(kind: EntryKind, reference: str, amount: object, **changes: Any) -> Movement:
    told = Movement(kind, reference, world.SYMBOL, D(str(amount)), "USDT", NOW)
    return replace(told, **changes)


def balances(*parts: Any) -> dict[Book, Decimal]:
    return trial_balance(entries_of(*parts))["USDT"]


def test_a_round_trip_leaves_its_profit_and_costs_and_nothing_else() -> None:
    fills = [fill(1, BUY, "0.1", 40000), fill(2, SELL, "0.1", 42000)]
    found = balances(fills, [funding("-0.5")], [flow(1000, FlowKind.OPENING)])
    assert {book: amount for book, amount in found.items() if amount} == {
        Book.CASH: D("1199.3"),
        Book.REALISED: D(-200),
        Book.FEES: D("0.2"),
        Book.FUNDING: D("0.5"),
        Book.OPENING: D(-1000),
    }


def test_an_open_position_stands_at_its_cost_and_moves_no_cash() -> None:
    found = balances([fill(1, BUY, "0.1", 40000, fee=D(0)), fill(2, BUY, "0.1", 41000, fee=D(0))], [])
    assert (found[Book.POSITION], found[Book.CONTRACT]) == (D(8100), D(-8100))
    assert Book.CASH not in found


@pytest.mark.parametrize(
    ("fills", "profits"),
    [
        # Half of a long is sold, the rest turns to a short, which is bought back.
        (
            [(BUY, 2, 100), (SELL, 1, 110), (SELL, 3, 120), (BUY, 2, 90)],
            [D(0), D(10), D(20), D(60)],
        ),
        # A short that grows is left at its average.
        ([(SELL, 1, 100), (SELL, 3, 104), (BUY, 4, 100)], [D(0), D(0), D(12)]),
    ],
)
def test_profit_is_that_of_the_net_position_at_its_average(fills: list[Any], profits: list[Decimal]) -> None:
    entries = entries_of([fill(n, *item, fee=D(0)) for n, item in enumerate(fills)], [])
    assert [entry.cash("USDT") for entry in entries] == profits
    assert not any(amount for book, amount in trial_balance(entries)["USDT"].items() if book is Book.POSITION)


def test_profit_is_booked_to_eight_decimals_and_the_rest_is_seen() -> None:
    fills = [fill(1, BUY, 1, "1.00"), fill(2, BUY, 2, "1.01"), fill(3, SELL, 1, "1.02")]
    found = balances([replace(item, fee=D(0)) for item in fills], [])
    assert found[Book.CASH] == D("0.01333333")
    assert abs(found[Book.ROUNDING]) < D("1e-8")
    assert found[Book.CASH] + found[Book.REALISED] + found[Book.ROUNDING] == 0


def test_what_is_bought_outright_is_owned_and_paid_for() -> None:
    entries = entries_of([fill(1, BUY, "0.5", 40000, instrument="BTC/USDT", fee=D("0.001"), fee_asset="BTC")], [])
    found = trial_balance(entries)
    assert (found["BTC"][Book.CASH], found["USDT"][Book.CASH]) == (D("0.499"), D(-20000))
    assert wallet_of(entries, "BTC") == D("0.499")
    assert (settle_of("BTC/USDT"), settle_of("BTC/USDC:USDC")) == (None, "USDC")


def test_trades_of_one_moment_are_taken_as_they_were_numbered() -> None:
    at = NOW + timedelta(seconds=1)
    opened = fill(9, BUY, 1, 100, occurred_at=at, fee=D(0))
    closed = fill(10, SELL, 1, 103, occurred_at=at, fee=D(0))
    assert wallet_of(entries_of([closed, opened], []), "USDT") == D(3)


def test_fees_in_another_asset_are_paid_from_that_wallet() -> None:
    entries = entries_of([fill(1, BUY, 1, 100, fee=D("0.01"), fee_asset="BNB")], [])
    assert (wallet_of(entries, "USDT"), wallet_of(entries, "BNB")) == (D(0), D("-0.01"))


SIDES = st.sampled_from([BUY, SELL])
PRICES = st.decimals("0.00001", "99999", places=5)
QUANTITIES = st.decimals("0.001", "999", places=3)
TRADES = st.lists(st.tuples(SIDES, QUANTITIES, PRICES, st.decimals("-1", "5", places=8)), max_size=12)


def venue_wallet(fills: list[Fill]) -> Decimal:
    """What a venue books for `fills`, told the other way round: value received less value of what is left, at cost."""
    held = cost = wallet = D(0)
    for item in fills:
        signed, wallet = item.quantity * item.side.sign, wallet - item.fee
        if held * signed >= 0:
            held, cost = held + signed, cost + signed * item.price
            continue
        closing = min(abs(held), abs(signed)) * (1 if held > 0 else -1)
        share = cost * (closing / held)
        wallet += booked(closing * item.price - share)
        held, cost = held + signed, (held + signed) * item.price if abs(signed) > abs(held) else cost - share
    return wallet


@given(TRADES, st.lists(st.decimals("-1000", "1000", places=4), max_size=4))
def test_every_entry_sums_to_zero_in_every_asset(trades: list[Any], amounts: list[Decimal]) -> None:
    fills = [fill(n, side, size, price, fee=fee) for n, (side, size, price, fee) in enumerate(trades)]
    entries = entries_of(fills, [funding(amount) for amount in amounts], [flow(amount) for amount in amounts])
    assert [entry for entry in entries if entry.imbalance] == []
    for of_asset in trial_balance(entries).values():
        # The sum over all entries is limited by the digits that are carried, not by what is booked.
        assert abs(sum(of_asset.values(), D(0))) < D("1e-12")


@given(TRADES)
def test_cash_is_what_a_venue_books(trades: list[Any]) -> None:
    fills = [fill(n, side, size, price, fee=fee) for n, (side, size, price, fee) in enumerate(trades)]
    # Both divide; a tie at the eighth decimal may fall either way once an average has no exact decimal.
    assert abs(wallet_of(entries_of(fills, []), "USDT") - venue_wallet(fills)) <= len(fills) * D("1e-8")


def test_an_entry_that_does_not_balance_would_show() -> None:
    (entry,) = entries_of([], [funding("-0.5")])
    broken = replace(entry, postings=entry.postings[:1])
    assert (dict(entry.imbalance), dict(broken.imbalance)) == ({}, {"USDT": D("-0.5")})


FILLS = [fill(1, BUY, 1, 100), fill(2, SELL, 1, 110)]
TOLD = [
    line(EntryKind.FEE, "1", "-0.1"),
    line(EntryKind.REALISED, "2", 10),
    line(EntryKind.FEE, "2", "-0.1"),
]


def test_a_statement_that_agrees_shows_nothing() -> None:
    assert disagreements(entries_of(FILLS, []), TOLD, "USDT") == []


def test_the_first_item_that_differs_comes_first_and_says_both_sides() -> None:
    told = [TOLD[0], replace(TOLD[1], amount=D("9.99")), line(EntryKind.FUNDING, "f", "-1", instrument="")]
    found = disagreements(entries_of(FILLS, []), told, "USDT")
    assert str(found[0]) == "funding f is absent in the ledger and -1 at the venue"
    assert {str(item) for item in found[1:]} == {
        f"realised 2 of {world.SYMBOL} is 10.00000000 in the ledger and 9.99 at the venue",
        f"fee 2 of {world.SYMBOL} is -0.1 in the ledger and absent at the venue",
    }


def test_kinds_the_venue_does_not_tell_of_are_not_missed() -> None:
    assert disagreements(entries_of(FILLS, []), [TOLD[1], line(EntryKind.FEE, "x", 0)], "USDT") == []
