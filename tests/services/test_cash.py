"""The wallet at the venue is opening + postings to the last digit; what is not is told of and never booked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from common.domain.errors import NotFound, Transient
from common.domain.postings import CashFlow, EntryKind, FlowKind
from common.services.account_book import book_of, name_of
from common.services.invariants import compare_account
from common.services.reconcile_cash import reconcile_cash
from common.store import KeptStatement
from tests.services.venue import SOL, Fate
from tests.services.world import House, World

D = Decimal


def visit(world: World, house: House, seconds: float = 60) -> str:
    """A visit of the cash reconciliation, a minute later; what follows comes after it."""
    world.clock.advance(seconds)
    outcome = reconcile_cash(world.fleet, *house.ids)
    world.clock.advance(1)
    return outcome


def pay_in(world: World, house: House, amount: str) -> None:
    world.venue.move(house.account.id, amount)


def kept(world: World, house: House) -> KeptStatement:
    with world.store.unit_of_work(house.tenant.id) as uow:
        statement = uow.statements.get(house.account.id)
    assert statement is not None
    return statement


def flows(world: World, house: House) -> list[CashFlow]:
    with world.store.unit_of_work(house.tenant.id) as uow:
        return uow.cash_flows.of_account(house.account.id)


def round_trip(world: World, house: House) -> None:
    """A position that is opened and stopped out."""
    world.enter(house)
    world.move_price("97.77")
    world.visit(house)
    assert not world.positions(house)


def test_the_first_visit_opens_the_book_with_what_is_there(world: World, house: House) -> None:
    assert visit(world, house) == "opened with 100000 USDT"
    (opening,) = flows(world, house)
    assert (opening.kind, opening.amount) == (FlowKind.OPENING, D(100_000))
    assert visit(world, house) == "equal"
    assert world.audited(house, house.account.id).count("cash_opening") == 1


def test_a_book_that_is_opened_late_begins_so_that_it_agrees(world: World, house: House) -> None:
    round_trip(world, house)
    visit(world, house)
    assert flows(world, house)[0].amount == 100_000
    assert visit(world, house) == "equal"


def test_a_wallet_that_moves_while_it_is_opened_is_opened_at_the_next_visit(world: World, house: House) -> None:
    door = world.door_of(house)
    door.when["balance"] = partial(pay_in, world, house, "5")
    assert visit(world, house) == "moved while it was opened; judged at the next visit"
    assert flows(world, house) == []
    door.when.clear()
    assert visit(world, house) == "opened with 100010 USDT"


def test_trades_fees_and_fundings_explain_the_wallet_to_the_last_digit(world: World, house: House) -> None:
    visit(world, house)
    round_trip(world, house)
    assert visit(world, house) == "equal"
    statement = kept(world, house)
    assert statement.wallet == statement.expected == world.at_venue(house).wallet != 100_000
    assert "statement" not in world.door_of(house).calls


def test_a_deposit_and_a_withdrawal_are_found_and_booked_once(world: World, house: House) -> None:
    visit(world, house)
    world.venue.move(house.account.id, "250.5")
    world.clock.advance(1)
    world.venue.move(house.account.id, "-40")
    assert visit(world, house) == "equal; 2 booked from the statement"
    assert visit(world, house) == "equal"
    assert [(flow.kind, flow.amount) for flow in flows(world, house)[1:]] == [
        (FlowKind.TRANSFER, D("250.5")),
        (FlowKind.TRANSFER, D(-40)),
    ]
    assert world.audited(house, house.account.id).count("cash_flow") == 2
    assert world.notifier.alerts == []


def test_what_flowed_before_the_first_look_is_part_of_the_opening(world: World, house: House) -> None:
    world.venue.move(house.account.id, "250")
    visit(world, house, 1)
    world.venue.move(house.account.id, "7")
    visit(world, house)
    assert [flow.amount for flow in flows(world, house)] == [D(100_250), D(7)]


def test_a_wallet_that_holds_what_our_book_has_not_learnt_is_not_opened_with(world: World, house: House) -> None:
    world.door_of(house).fates = [Fate.AFTER]
    world.announce()
    world.work()
    assert visit(world, house, 1) == "moved while it was opened; judged at the next visit"
    world.pass_time(2, rounds=3)
    visit(world, house, 1)
    assert [flow.amount for flow in flows(world, house)] == [D(100_000)]
    assert visit(world, house) == "equal"


def test_a_stop_that_has_fired_unseen_is_waited_for(world: World, house: House) -> None:
    world.enter(house)
    world.move_price("97.77")
    assert visit(world, house, 1) == "moved while it was opened; judged at the next visit"
    world.visit(house)
    visit(world, house, 1)
    assert [flow.amount for flow in flows(world, house)] == [D(100_000)]


def test_money_from_elsewhere_is_booked_as_such(world: World, house: House) -> None:
    visit(world, house)
    moved = world.venue.move(house.account.id, "3", EntryKind.OTHER)
    visit(world, house)
    assert [(flow.kind, flow.note) for flow in flows(world, house)[1:]] == [(FlowKind.OTHER, moved.note)]


def test_funding_that_fell_due_unseen_is_booked_as_funding(world: World, house: House) -> None:
    visit(world, house)
    position = world.enter(house)
    world.clock.advance(5)
    world.venue.move(house.account.id, "-1.25", EntryKind.FUNDING, SOL)
    world.clock.advance(5)
    world.move_price("97.77")
    # The monitor asks for fundings only while something is held: this one it never sees.
    world.visit(house)
    assert visit(world, house) == "equal"
    held = world.position(house)
    assert held is not None
    assert (held.id, held.funding) == (position.id, D("-1.25"))


def test_a_withdrawal_lowers_the_peak_by_its_share_and_a_deposit_leaves_it(world: World, house: House) -> None:
    visit(world, house)
    for amount in ("-25000", "15000"):
        world.venue.move(house.account.id, amount)
        visit(world, house)
    world.visit(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        # 75,000 after the withdrawal; the deposit raised it by being there.
        assert uow.risk.lock_book(house.account.id, world.clock.now()).record.peak_equity == 90_000


def test_what_nothing_explains_is_kept_and_told_of_once_it_was_seen_twice(world: World, house: House) -> None:
    visit(world, house)
    world.door_of(house).tells = False
    world.venue.move(house.account.id, "-12.34")
    assert visit(world, house).startswith("differs by -12.34 USDT: no item")
    assert world.notifier.alerts == []
    visit(world, house)
    visit(world, house)
    ((tenant, kind, title, body),) = world.notifier.alerts
    assert (tenant, kind) == ("harbour", "cash")
    assert "the wallet is not what the ledger says" in title
    assert "-12.34 is unexplained" in body
    assert len(flows(world, house)) == 1
    assert kept(world, house).difference == D("-12.34")
    assert world.audited(house, house.account.id).count("cash_differs") == 1


def test_a_difference_that_is_explained_later_is_booked_and_said_to_agree_again(world: World, house: House) -> None:
    visit(world, house)
    door = world.door_of(house)
    door.tells = False
    world.venue.move(house.account.id, "-12.34")
    visit(world, house)
    visit(world, house)
    door.tells = True
    assert visit(world, house) == "equal; 1 booked from the statement"
    statement = kept(world, house)
    assert (statement.differs_since, statement.alerted_at, statement.first_difference) == (None, None, "")
    assert world.audited(house, house.account.id)[-1] == "cash_agrees"


def test_a_difference_that_changes_is_a_new_one(world: World, house: House) -> None:
    visit(world, house)
    world.door_of(house).tells = False
    for _ in range(3):
        world.venue.move(house.account.id, "-1")
        visit(world, house)
    assert world.notifier.alerts == []


def test_an_alert_that_did_not_get_through_is_sent_again(world: World, house: House, monkeypatch: Any) -> None:
    def fail(*_: str) -> None:
        raise Transient("the channel is down")

    visit(world, house)
    world.door_of(house).tells = False
    world.venue.move(house.account.id, "-1")
    visit(world, house)
    with monkeypatch.context() as patch:
        patch.setattr(type(world.notifier), "notify", lambda *_: fail())
        visit(world, house)
    assert kept(world, house).alerted_at is None
    visit(world, house)
    assert len(world.notifier.alerts) == 1


def test_the_first_item_that_differs_is_named(world: World, house: House) -> None:
    visit(world, house)
    round_trip(world, house)
    ledger = world.at_venue(house)
    number = next(n for n, item in enumerate(ledger.moved) if item.kind is EntryKind.FEE)
    wrong = ledger.moved[number]
    ledger.moved[number] = replace(wrong, amount=wrong.amount - 1)
    ledger.wallet -= 1
    told = visit(world, house)
    fee = f"fee {wrong.reference} of {SOL} is {wrong.amount:f} in the ledger and {wrong.amount - 1:f} at the venue"
    assert told == f"differs by -1 USDT: {fee}".replace("by -1 USDT", f"by {kept(world, house).difference} USDT")
    assert kept(world, house).first_difference == fee
    account = world.account(house)
    assert any(fee in item for item in compare_account(world.fleet, account))


def test_a_wallet_that_moves_while_it_is_read_is_judged_at_the_next_visit(world: World, house: House) -> None:
    visit(world, house)
    door = world.door_of(house)
    world.venue.move(house.account.id, "3")
    door.when["statement"] = partial(pay_in, world, house, "4")
    assert visit(world, house) == "moved while it was read; judged at the next visit"
    door.when.clear()
    assert visit(world, house) == "equal"
    assert [flow.amount for flow in flows(world, house)[1:]] == [D(3), D(4)]


def test_an_account_that_somebody_else_has_is_left_to_him(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        assert uow.accounts.claim(house.account.id)
        assert reconcile_cash(world.fleet, *house.ids) == "claimed by another worker"


def test_there_is_no_book_of_nobody(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow, pytest.raises(NotFound):
        name_of(uow, UUID(int=9))


def test_a_wallet_that_differs_fails_the_books(world: World, house: House) -> None:
    account = world.account(house)
    assert compare_account(world.fleet, account) == []
    visit(world, house)
    assert compare_account(world.fleet, account) == []
    world.door_of(house).tells = False
    world.venue.move(house.account.id, "9.5")
    assert compare_account(world.fleet, account) == ["wallet is 100000 USDT in the ledger and 100009.5 at the venue"]


def test_every_entry_of_a_traded_account_balances(world: World, house: House) -> None:
    visit(world, house)
    round_trip(world, house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        entries = book_of(uow, house.account)
    assert {entry.kind for entry in entries} == {EntryKind.OPENING, EntryKind.REALISED, EntryKind.FEE}
    assert [entry for entry in entries if entry.imbalance] == []
