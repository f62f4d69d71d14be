"""Pages: every row once, whatever arrives meanwhile, and nothing of anybody else's."""

from __future__ import annotations

from uuid import UUID

import pytest

from common.domain.errors import InvalidInput, NotFound
from common.domain.risk.book import HaltMode, HaltScope
from common.domain.signal import Signal, signal_id
from common.services.halts import halt
from common.services.read_pages import decision_trail, read_page, tenant_status, visible_tenants
from common.services.tenants import pause_tenant
from tests.services.venue import SOL, VENUE
from tests.services.world import FRAME, STRATEGY, House, World


@pytest.fixture
def theirs(world: World) -> House:
    return world.settle_in("meridian")


def numbered(world: World, number: int) -> Signal:
    """One of several signals at the same instant."""
    version = f"{number}"
    identity = signal_id(VENUE, SOL, str(FRAME), STRATEGY, version, world.signal().closed_at)
    return world.signal(id=identity, strategy_version=version)


def all_pages(world: World, noun: str, house: House | None, limit: int) -> list[list[str]]:
    """Ids page by page, as a client would ask."""
    pages, cursor = [], None
    while True:
        owner = house.tenant.id if house else None
        page = read_page(world.fleet, noun, tenant_id=owner, as_operator=house is None, limit=limit, cursor=cursor)
        pages.append([row.get("id") or row["trade_id"] for row in page.items])
        cursor = page.next_cursor
        if cursor is None:
            return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_rows_of_one_instant_are_each_on_exactly_one_page(world: World, house: House, limit: int) -> None:
    for number in range(7):
        world.announce(numbered(world, number))
    world.work()
    pages = all_pages(world, "decisions", house, limit)
    ids = [identity for page in pages for identity in page]
    assert len(ids) == len(set(ids)) == 7
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)


def test_a_row_that_arrives_meanwhile_neither_repeats_nor_hides_another(world: World, house: House) -> None:
    for number in range(3):
        world.announce(numbered(world, number))
        world.work()
        world.clock.advance(1)
    first = read_page(world.fleet, "decisions", tenant_id=house.tenant.id, as_operator=False, limit=2)
    world.announce(numbered(world, 9))
    world.work()
    second = read_page(
        world.fleet, "decisions", tenant_id=house.tenant.id, as_operator=False, limit=2, cursor=first.next_cursor
    )
    assert len({row["id"] for row in [*first.items, *second.items]}) == 3
    assert second.next_cursor is None


@pytest.mark.parametrize("noun", ["decisions", "orders", "positions", "trades"])
def test_a_tenant_sees_its_own_rows_and_the_operator_sees_all(
    world: World, house: House, theirs: House, noun: str
) -> None:
    world.announce()
    world.work()
    ours = all_pages(world, noun, house, 100)[0]
    others = all_pages(world, noun, theirs, 100)[0]
    assert ours
    assert others
    assert set(ours).isdisjoint(others) or noun == "trades"
    assert len(all_pages(world, noun, None, 100)[0]) == len(ours) + len(others)


def test_rows_say_what_they_are_about(world: World, house: House) -> None:
    position = world.enter(house)
    rows = {
        noun: read_page(world.fleet, noun, tenant_id=house.tenant.id, as_operator=False).items[0]
        for noun in ("decisions", "orders", "positions", "trades")
    }
    assert rows["decisions"]["tenant"] == "harbour"
    assert (rows["decisions"]["instrument"], rows["decisions"]["outcome"]) == (SOL, "approved")
    assert rows["orders"]["position_id"] == str(position.id)
    assert (rows["positions"]["id"], rows["positions"]["is_open"]) == (str(position.id), True)
    assert rows["trades"]["position_id"] == str(position.id)


def test_a_refusal_names_level_rule_and_two_numbers(world: World, house: House) -> None:
    pause_tenant(world.fleet, "harbour")
    world.announce()
    world.work()
    row = read_page(world.fleet, "decisions", tenant_id=house.tenant.id, as_operator=False).items[0]
    assert row["outcome"] == "vetoed"
    assert {"level", "rule", "measured", "limit", "unit"} <= set(row["veto"])
    assert row["veto"]["level"] == "kill_switch"


def test_only_open_positions_where_asked(world: World, house: House) -> None:
    world.enter(house)
    held = read_page(world.fleet, "positions", tenant_id=house.tenant.id, as_operator=False, open_only=True)
    also = read_page(world.fleet, "positions", tenant_id=None, as_operator=True, open_only=True)
    assert len(held.items) == len(also.items) == 1


@pytest.mark.parametrize("cursor", ["?", "e30", "WzEsMl0", "bm9uc2Vuc2U"])
def test_a_cursor_that_is_none_is_refused(world: World, house: House, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="next_cursor"):
        read_page(world.fleet, "orders", tenant_id=house.tenant.id, as_operator=False, cursor=cursor)


@pytest.mark.parametrize("limit", [0, 501])
def test_a_page_has_a_decent_size(world: World, house: House, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        read_page(world.fleet, "orders", tenant_id=house.tenant.id, as_operator=False, limit=limit)


def test_nobody_in_particular_reads_nothing(world: World) -> None:
    with pytest.raises(InvalidInput, match="tenant"):
        read_page(world.fleet, "orders", tenant_id=None, as_operator=False)


def test_a_decision_tells_its_whole_story(world: World, house: House) -> None:
    world.enter(house)
    decision = world.decision(house)
    assert decision is not None
    for reader in (house.tenant.id, None):
        story = decision_trail(world.fleet, reader, decision.id)
        assert story["decision"]["inputs"]["signal"]["id"] == story["signal"]["id"]
        assert {order["role"] for order in story["orders"]} == {"entry", "stop"}
        assert len(story["fills"]) >= 1
        assert story["position"]["is_open"]


def test_a_refused_decision_has_a_story_without_orders(world: World, house: House) -> None:
    pause_tenant(world.fleet, "harbour")
    world.announce()
    world.work()
    decision = world.decision(house)
    assert decision is not None
    story = decision_trail(world.fleet, house.tenant.id, decision.id)
    assert (story["orders"], story["fills"], story["position"], story["advice"]) == ([], [], None, None)


def test_another_tenants_decision_is_as_absent_as_one_that_never_was(world: World, house: House, theirs: House) -> None:
    world.announce()
    world.work()
    decision = world.decision(theirs)
    assert decision is not None
    for absent in (decision.id, UUID(int=7)):
        with pytest.raises(NotFound) as refusal:
            decision_trail(world.fleet, house.tenant.id, absent)
        assert str(refusal.value) == f"no decision {str(absent)!r}"
    with pytest.raises(NotFound):
        decision_trail(world.fleet, None, UUID(int=7))


def test_a_tenant_sees_itself_and_the_operator_everybody(world: World, house: House, theirs: House) -> None:
    assert [tenant.name for tenant in visible_tenants(world.fleet, house.tenant.id)] == ["harbour"]
    assert [tenant.name for tenant in visible_tenants(world.fleet, None)] == ["harbour", "meridian"]
    assert visible_tenants(world.fleet, UUID(int=7)) == []


def test_a_tenant_is_told_of_halts_that_concern_it_only(world: World, house: House, theirs: House) -> None:
    calm = tenant_status(world.fleet, house.tenant.id)
    halt(world.fleet, scope=HaltScope.TENANT, subject="meridian", mode=HaltMode.HALT_NEW, reason="x", by="op")
    still = tenant_status(world.fleet, house.tenant.id)
    halt(world.fleet, scope=HaltScope.PLATFORM, subject="", mode=HaltMode.HALT_NEW, reason="x", by="op")
    halted = tenant_status(world.fleet, house.tenant.id)
    assert [status["trading"] for status in (calm, still, halted)] == ["active", "active", "halted"]
    assert still["halts"] == []
    assert [item["scope"] for item in halted["halts"]] == ["platform"]


def test_a_tenant_that_is_not_there_has_no_status(world: World) -> None:
    with pytest.raises(NotFound):
        tenant_status(world.fleet, UUID(int=7))


def test_a_position_without_its_first_fill_is_on_a_page_too(world: World, house: House) -> None:
    position = world.enter(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        waiting = [
            type(position)(
                id=UUID(int=number),
                tenant_id=position.tenant_id,
                account_id=position.account_id,
                venue=VENUE,
                instrument=SOL,
                side=position.side,
                strategy=STRATEGY,
                signal_id=None,
                leverage=1,
                exits=position.exits,
            )
            for number in range(1, 4)
        ]
        for item in waiting:
            uow.positions.add(item)
        uow.commit()
    pages = all_pages(world, "positions", house, 2)
    ids = [identity for page in pages for identity in page]
    assert sorted(ids) == sorted([str(position.id), *(str(item.id) for item in waiting)])
