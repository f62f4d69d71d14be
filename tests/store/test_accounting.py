"""Cash flows, statements and reviews: kept once, read back as they were, each tenant's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from common.domain.postings import FlowKind
from tests.clocks import NOON
from tests.store.world import World, cash_flow, closed, entry, intent, reviewed, statement

HOUR = timedelta(hours=1)


def test_a_flow_is_booked_once_and_kinds_have_ids_of_their_own(world: World) -> None:
    ours = world.ours
    bonus = cash_flow(ours, kind=FlowKind.OTHER, amount=Decimal("-1.123456789"), occurred_at=NOON + HOUR)
    opening = cash_flow(ours, "opening", kind=FlowKind.OPENING, occurred_at=NOON)
    with world.store.unit_of_work(ours.id) as uow:
        assert uow.cash_flows.opening(ours.account.id) is None
        assert [uow.cash_flows.add(flow) for flow in (cash_flow(ours), bonus, opening)] == [True] * 3
        assert not uow.cash_flows.add(replace(cash_flow(ours), amount=Decimal(9)))
        assert uow.cash_flows.of_account(ours.account.id) == [opening, cash_flow(ours), bonus]
        assert uow.cash_flows.opening(ours.account.id) == opening
        assert uow.cash_flows.of_account(world.theirs.account.id) == []


def test_the_last_statement_replaces_the_one_before(world: World) -> None:
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.statements.get(account) is None
        uow.statements.keep(statement(world.ours))
        later = statement(world.ours, wallet=Decimal("10000.5"), checked_at=NOON + HOUR, differs_since=NOON)
        uow.statements.keep(later)
        assert uow.statements.get(account) == later
        assert later.difference == Decimal("0.5")


def test_a_position_is_reviewed_once_and_due_until_then(world: World) -> None:
    ours = world.ours
    with world.store.unit_of_work(ours.id) as uow:
        for number in range(3):
            uow.orders.add(entry(ours, number))
            uow.positions.add(closed(ours, number, -5, NOON + (3 - number) * HOUR))
        assert [item.id for item in uow.reviews.due(ours.account.id, 2)] == [
            intent(ours, 2).position_id,
            intent(ours, 1).position_id,
        ]
        assert uow.reviews.add(reviewed(ours, 2))
        assert not uow.reviews.add(reviewed(ours, 2))
        assert [item.id for item in uow.reviews.due(ours.account.id, 1)] == [intent(ours, 1).position_id]
        assert uow.reviews.get(intent(ours, 2).position_id) == reviewed(ours, 2)
        assert uow.reviews.get(intent(ours, 1).position_id) is None


def test_reviews_are_listed_with_their_positions_the_newest_first(world: World) -> None:
    ours = world.ours
    with world.store.unit_of_work(ours.id) as uow:
        assert uow.reviews.list() == []
        for number in range(3):
            uow.positions.add(closed(ours, number, -5, NOON + number * HOUR))
            uow.reviews.add(reviewed(ours, number))
        found = uow.reviews.list(limit=2)
        assert [(item.position_id, position.id) for item, position in found] == [
            (intent(ours, number).position_id, intent(ours, number).position_id) for number in (2, 1)
        ]
        assert [item.position_id for item, _ in uow.reviews.list(before=NOON + timedelta(minutes=1))] == [
            intent(ours).position_id
        ]
        assert uow.reviews.of_tenant() == [reviewed(ours).review] * 3


def test_the_last_closed_are_found_over_all_and_of_each_instrument(world: World) -> None:
    ours = world.ours
    with world.store.unit_of_work(ours.id) as uow:
        for number in range(6):
            made = closed(ours, number, number, NOON + number * HOUR)
            uow.positions.add(replace(made, instrument=("A/USDT:USDT", "B/USDT:USDT")[number % 2]))
        profits = [int(item.net_profit) for item in uow.recent.overall(4)]
        assert profits == [5, 4, 3, 2]
        assert [int(item.net_profit) for item in uow.recent.of_instrument("A/USDT:USDT", 2)] == [4, 2]
        assert [int(item.net_profit) for item in uow.recent.by_instrument(2)] == [5, 4, 3, 2]
        assert [int(item.net_profit) for item in uow.recent.by_instrument(1)] == [5, 4]


def test_a_peak_is_scaled_and_fundings_and_points_are_read_by_account(world: World) -> None:
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.risk.raise_peak(account, Decimal(200))
        uow.risk.scale_peak(account, Decimal("0.75"))
        assert uow.risk.lock_book(account, NOON).record.peak_equity == 150
        for hour in range(3):
            uow.equity.snapshot(account, Decimal(hour), Decimal(0), Decimal(0), Decimal(0), NOON + hour * HOUR)
        assert [point.equity for point in uow.equity.since(account, NOON + HOUR)] == [1, 2]
        assert uow.fundings.of_account(account) == []
