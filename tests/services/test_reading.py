"""What people see: status, the trail of a decision, pages, invariants, and a fleet that is brought to rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import psycopg
import pytest

from common.domain.errors import InvalidInput, NotFound
from common.domain.job import JobState, Stage
from common.domain.order import OrderSide, OrderStatus
from common.domain.risk.book import HaltMode, HaltScope
from common.domain.signal import NAMESPACE
from common.services import read_pages, request, status
from common.services.drain import backlog, compare_books, work_off
from common.services.halts import halt
from common.services.invariants import check_invariants
from common.services.snapshot_equity import snapshot_equity
from common.services.stage import Result
from tests.services.doors import minutes
from tests.services.venue import ADA, SOL, VENUE, Fate
from tests.services.world import House, World

# --- Status and why -------------------------------------------------------------------------------------------------


def test_the_status_counts_what_flowed_through_the_stages(world: World, house: House) -> None:
    world.enter(house)
    told = status.fleet_status(world.fleet)
    assert (told["signals"], told["verdicts"], told["fills"], told["tenants"][0]["name"]) == (
        1,
        {"approved": 1},
        1,
        "harbour",
    )
    assert (told["speed"], told["jobs"]["done"]) == (1.0, 3)


def test_the_status_names_what_waits_and_what_is_halted(world: World, house: House) -> None:
    halt(world.fleet, scope=HaltScope.PLATFORM, subject="", mode=HaltMode.HALT_NEW, reason="a drill", by="tester")
    world.announce()
    told = status.fleet_status(world.fleet)
    assert [(item["stage"], item["pending"]) for item in told["stages"]] == [("risk.evaluate", 1)]
    assert told["halts"][0]["reason"] == "a drill"


def test_rows_are_told_for_all_or_for_one_tenant(world: World, house: House) -> None:
    other = world.settle_in("meridian")
    world.announce()
    world.work()
    readers: list[Any] = [status.decisions, status.orders, status.positions, status.trades]
    for read in readers:
        everybody, ours = read(world.fleet), read(world.fleet, "harbour")
        assert len(everybody) == 2 * len(ours)
        assert all(str(house.tenant.id) in str(row) and str(other.tenant.id) not in str(row) for row in ours)
    assert len(status.positions(world.fleet, other.tenant.name, open_only=True)) == 1


def test_why_tells_the_whole_story_from_whatever_part_of_it_is_named(world: World, house: House) -> None:
    world.enter(house)
    entry, decision = world.entry(house), world.decision(house)
    assert decision is not None
    for subject in (decision.signal_id, decision.id, entry.id, entry.intent.client_order_id, entry.intent.position_id):
        told = status.why(world.fleet, str(subject))
        assert (len(told["signals"]), len(told["decisions"]), len(told["orders"]), len(told["fills"])) == (1, 1, 2, 1)
        assert {job["stage"] for job in told["jobs"]} == {"risk.evaluate", "execution.place"}


def test_why_of_nothing_says_what_could_be_asked_about(world: World) -> None:
    with pytest.raises(NotFound, match="no signal, decision, order, position or job 'x'"):
        status.why(world.fleet, "x")


# --- Requests by hand -----------------------------------------------------------------------------------------------


def test_a_scan_by_hand_is_the_same_job_however_often_it_is_asked_for(world: World, house: House) -> None:
    first, second = (request.scan(world.fleet, VENUE, SOL, "5m") for _ in range(2))
    assert first == second
    assert world.run(first) is Result.DONE


@pytest.mark.parametrize(
    ("venue", "symbol", "frame", "answer"),
    [
        ("elsewhere", SOL, "5m", "practice"),
        (VENUE, "SOL", "5m", "SOL/USDT:USDT"),
        (VENUE, SOL, "soon", "5m or 4h"),
    ],
)
def test_a_scan_of_what_does_not_exist_is_answered_with_what_does(
    world: World, venue: str, symbol: str, frame: str, answer: str
) -> None:
    with pytest.raises((NotFound, InvalidInput), match=answer):
        request.scan(world.fleet, venue, symbol, frame)


def test_a_confirmation_by_hand_is_the_pipelines_own(world: World) -> None:
    house = world.settle_in(advisor="default")
    signal = world.announce()
    ref = request.confirmation(world.fleet, str(signal.id), "default")
    assert ref == world.take(Stage.CONFIRM)
    assert world.run(ref) is Result.DONE
    assert world.run(ref) is Result.NOTHING_TO_CLAIM
    world.work()
    assert world.decision(house) is not None


def test_an_evaluation_by_hand_is_the_pipelines_own_and_takes_the_answer_that_was_given(world: World) -> None:
    house = world.settle_in(advisor="default")
    signal = world.announce()
    world.run(world.take(Stage.CONFIRM))
    pipelines = world.take(Stage.EVALUATE)
    ref = request.evaluation(world.fleet, "harbour", str(signal.id))
    assert ref == pipelines
    assert world.job(ref).payload["advice_id"] is not None
    assert world.run(ref) is Result.DONE
    assert world.decision(house) is not None


def test_an_evaluation_by_hand_of_a_signal_nobody_was_asked_about_has_no_answer(world: World, house: House) -> None:
    with world.store.unit_of_work(None) as uow:
        uow.signals.add(world.signal())
        uow.commit()
    ref = request.evaluation(world.fleet, "harbour", str(world.signal().id), "main")
    assert world.job(ref).payload["advice_id"] is None


def test_an_evaluation_by_hand_uses_advice_only_once_it_exists(world: World) -> None:
    world.settle_in(advisor="default")
    world.announce()
    ref = request.evaluation(world.fleet, "harbour", str(world.signal().id))
    assert world.job(ref).payload["advice_id"] is None


@pytest.mark.parametrize("signal", ["not an id", str(UUID(int=1))])
def test_a_signal_nobody_raised_is_refused_by_name(world: World, house: House, signal: str) -> None:
    with pytest.raises((NotFound, InvalidInput), match="signal"):
        request.evaluation(world.fleet, "harbour", signal)


@pytest.mark.parametrize("order", ["twenothing", str(UUID(int=1))])
def test_an_order_nobody_placed_is_refused_by_name(world: World, house: House, order: str) -> None:
    with pytest.raises(NotFound, match="order of tenant harbour"):
        request.order_job(world.fleet, Stage.PLACE, "harbour", order)


def test_an_order_of_another_tenant_is_nobodys(world: World, house: House) -> None:
    order = world.approve(house)
    world.settle_in("meridian")
    with pytest.raises(NotFound):
        request.order_job(world.fleet, Stage.CANCEL, "meridian", str(order.id))


# --- Equity ---------------------------------------------------------------------------------------------------------


def test_a_point_of_the_curve_holds_equity_profit_of_the_day_and_what_is_open(
    world: World, house: House, root: psycopg.Connection[Any]
) -> None:
    world.enter(house)
    world.move_price("97")
    world.visit(house)
    assert snapshot_equity(world.fleet, *house.ids)
    position = world.position(house)
    assert position is not None
    with world.store.unit_of_work(house.tenant.id) as uow:
        point = uow.equity.latest(house.account.id)
    assert point is not None
    assert (point.equity, point.day_profit, point.unrealised) == (point.wallet, position.net_profit, Decimal(0))
    assert position.net_profit < 0


def test_an_account_nobody_has_visited_has_no_point(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        fresh = replace(house.account, id=UUID(int=8), name="fresh")
        uow.accounts.add(fresh)
        uow.commit()
    assert not snapshot_equity(world.fleet, house.tenant.id, UUID(int=8))


# --- Invariants and rest --------------------------------------------------------------------------------------------


def test_a_quiet_fleet_holds_its_promises(world: World, house: House) -> None:
    world.enter(house)
    found = check_invariants(world.fleet)
    assert (found["ledger_equals_venue"], found["every_signal_has_outcome"], found["audit_chains_hold"]) == (True,) * 3
    assert found["differences"] == []


def test_an_order_the_ledger_lost_is_found(world: World, house: House, root: psycopg.Connection[Any]) -> None:
    world.approve(house)
    order = world.entry(house)
    world.venue.arrive(
        house.account.id, replace(order.intent, client_order_id="twelost"), world.clock.now(), Decimal(0)
    )
    assert "order twelost is open at the venue and not in the ledger" in differences(world)


def test_an_order_that_only_one_side_believes_open_is_found(
    world: World, house: House, root: psycopg.Connection[Any]
) -> None:
    world.enter(house)
    stop = world.orders(house)[0]
    root.execute("UPDATE orders SET status = 'canceled' WHERE id = %s", [stop.id])
    assert f"order {stop.intent.client_order_id} is open at the venue and canceled in the ledger" in differences(world)
    root.execute("UPDATE orders SET status = 'accepted' WHERE id = %s", [stop.id])
    world.at_venue(house).orders.clear()
    told = f"order {stop.intent.client_order_id} is accepted in the ledger and not open at the venue"
    assert told in differences(world)


def test_a_fill_that_was_lost_and_a_position_that_differs_are_found(
    world: World, house: House, root: psycopg.Connection[Any]
) -> None:
    world.enter(house)
    world.venue.book_fill(house.account.id, SOL, OrderSide.BUY, Decimal(3), "stranger")
    found = differences(world)
    assert "is absent in the ledger and" in found
    assert "position in SOL/USDT:USDT is 426.7 in the ledger and 429.7 at the venue" in found


def test_a_signal_without_outcome_and_a_forged_audit_trail_are_found(
    world: World, house: House, root: psycopg.Connection[Any]
) -> None:
    signal = world.announce(world.signal(closed_at=world.clock.now(), expires_at=world.clock.now() + minutes(5)))
    root.execute("SET session_replication_role = replica")
    root.execute("UPDATE audit SET payload = '{}' WHERE tenant_id = %s AND seq = 1", [house.tenant.id])
    root.execute("SET session_replication_role = origin")
    found = check_invariants(world.fleet)
    assert (found["every_signal_has_outcome"], found["audit_chains_hold"]) == (False, False)
    assert f"signal {signal.id} has no outcome for account {house.account.id}" in found["differences"]


def differences(world: World) -> str:
    return "\n".join(check_invariants(world.fleet)["differences"])


def test_a_fleet_with_work_left_says_how_much(world: World, house: House) -> None:
    world.approve(house)
    left = backlog(world.fleet)
    assert (left.jobs, left.orders, left.is_empty) == (1, 1, False)


def test_a_fleet_is_brought_to_rest_without_a_broker(world: World, house: House) -> None:
    world.door_of(house).fates = [Fate.AFTER]
    world.announce()
    world.bus.inbox.clear()
    for _ in range(12):
        world.clock.advance(4)
        work_off(world.fleet)
    assert work_off(world.fleet).is_empty
    assert compare_books(world.fleet)["differences"] == []
    assert len(world.positions(house)) == 1


def test_a_difference_that_stays_is_told_after_a_few_looks(world: World, house: House) -> None:
    world.at_venue(house).held[ADA] = Decimal(1)
    found = compare_books(world.fleet, attempts=2)
    assert found["differences"] == ["main: position in ADA/USDT:USDT is absent in the ledger and 1 at the venue"]


# --- Pages ----------------------------------------------------------------------------------------------------------


def many_decisions(world: World, count: int) -> None:
    for number in range(count):
        at = world.clock.now() - timedelta(seconds=number // 2)
        signal = world.signal(id=uuid5(NAMESPACE, f"page {number}"), closed_at=at)
        world.announce(signal)
    world.venue.prices[SOL] = Decimal("100.9")
    world.work()


@pytest.mark.parametrize("as_operator", [True, False])
def test_pages_show_every_row_once_even_where_many_share_an_instant(
    world: World, house: House, as_operator: bool
) -> None:
    many_decisions(world, 7)
    cursor, seen = None, []
    for _ in range(4):
        tenant = None if as_operator else house.tenant.id
        page = read_pages.read_page(
            world.fleet, "decisions", tenant_id=tenant, as_operator=as_operator, limit=2, cursor=cursor
        )
        seen += [row["id"] for row in page.items]
        cursor = page.next_cursor
    assert (len(seen), len(set(seen)), cursor) == (7, 7, None)


@pytest.mark.parametrize("noun", read_pages.NOUNS)
def test_a_tenant_reads_its_own_rows_of_every_kind_and_the_operator_all(world: World, house: House, noun: str) -> None:
    other = world.settle_in("meridian")
    world.announce()
    world.work()
    own = read_pages.read_page(world.fleet, noun, tenant_id=other.tenant.id, as_operator=False)
    every = read_pages.read_page(world.fleet, noun, tenant_id=None, as_operator=True)
    one = read_pages.read_page(world.fleet, noun, tenant_id=house.tenant.id, as_operator=True)
    assert {row["tenant"] for row in own.items} == {"meridian"}
    assert {row["tenant"] for row in every.items} == {"harbour", "meridian"}
    assert {row["tenant"] for row in one.items} == {"harbour"}


def test_pages_refuse_what_they_cannot_cut(world: World, house: House) -> None:
    for limit, cursor in ((0, None), (501, None), (5, "nonsense")):
        with pytest.raises(InvalidInput):
            read_pages.read_page(
                world.fleet, "orders", tenant_id=house.tenant.id, as_operator=False, limit=limit, cursor=cursor
            )
    with pytest.raises(InvalidInput, match="a tenant, or the operator"):
        read_pages.read_page(world.fleet, "orders", tenant_id=None, as_operator=False)


def test_the_trail_of_a_decision_is_the_same_for_its_tenant_and_for_the_operator(world: World) -> None:
    house = world.settle_in(advisor="default")
    world.enter(house)
    decision = world.decision(house)
    assert decision is not None
    own = read_pages.decision_trail(world.fleet, house.tenant.id, decision.id)
    assert own == read_pages.decision_trail(world.fleet, None, decision.id)
    assert (len(own["orders"]), len(own["fills"]), own["position"]["is_open"]) == (2, 1, True)
    assert own["advice"]["verdict"] == "confirm"


def test_the_trail_of_a_veto_ends_with_the_veto(world: World, house: House) -> None:
    many_decisions(world, 1)
    [row] = status.decisions(world.fleet)
    trail = read_pages.decision_trail(world.fleet, house.tenant.id, UUID(row["id"]))
    assert (trail["advice"], trail["orders"], trail["position"]) == (None, [], None)
    assert trail["decision"]["veto"]["rule"] == "price_drifted"


@pytest.mark.parametrize("as_operator", [True, False])
def test_a_decision_that_is_not_there_or_not_ones_own_is_not_found(
    world: World, house: House, as_operator: bool
) -> None:
    world.approve(house)
    decision = world.decision(house)
    assert decision is not None
    other = world.settle_in("meridian")
    with pytest.raises(NotFound):
        read_pages.decision_trail(world.fleet, other.tenant.id, decision.id)
    with pytest.raises(NotFound):
        read_pages.decision_trail(world.fleet, None if as_operator else house.tenant.id, UUID(int=1))
    with pytest.raises(NotFound):
        read_pages.decision_trail(world.fleet, None, decision.signal_id)


def test_a_tenant_sees_itself_and_the_operator_everybody(world: World, house: House) -> None:
    world.settle_in("meridian")
    assert [tenant.name for tenant in read_pages.visible_tenants(world.fleet, house.tenant.id)] == ["harbour"]
    assert len(read_pages.visible_tenants(world.fleet, None)) == 2
    assert read_pages.visible_tenants(world.fleet, UUID(int=1)) == []


def test_a_tenant_is_told_of_the_halts_that_concern_it(world: World, house: House) -> None:
    world.settle_in("meridian")
    assert read_pages.tenant_status(world.fleet, house.tenant.id)["trading"] == "active"
    halt(world.fleet, scope=HaltScope.TENANT, subject="meridian", mode=HaltMode.HALT_NEW, reason="x", by="t")
    assert read_pages.tenant_status(world.fleet, house.tenant.id)["halts"] == []
    halt(world.fleet, scope=HaltScope.TENANT, subject="harbour", mode=HaltMode.HALT_NEW, reason="x", by="t")
    assert read_pages.tenant_status(world.fleet, house.tenant.id)["trading"] == "halted"
    with pytest.raises(NotFound):
        read_pages.tenant_status(world.fleet, UUID(int=1))


def test_manual_jobs_that_fail_are_kept(world: World, house: House) -> None:
    order = world.approve(house)
    world.door_of(house).fates = [Fate.REFUSED]
    world.run(world.take(Stage.PLACE))
    ref = request.order_job(world.fleet, Stage.PLACE, "harbour", str(order.id))
    assert (world.job(ref).state, world.entry(house).status) == (JobState.DONE, OrderStatus.REJECTED)
