"""The audit trail: one unbroken chain per tenant, and every break of it is found."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from common.domain.errors import Permanent
from common.store import AuditHead
from tests.clocks import NOON
from tests.store.world import World

Connection = psycopg.Connection[tuple[Any, ...]]


def tell(world: World, tenant: UUID | None, *subjects: str) -> None:
    """Append one entry for each of `subjects`, in one unit of work."""
    with world.store.unit_of_work(tenant) as uow:
        for subject in subjects:
            uow.audit.append("order", subject, {"price": Decimal("1.50"), "why": {"b": 1, "a": [True, None]}}, NOON)
        uow.commit()


def length(world: World, tenant: UUID | None) -> int:
    """How long the verified chain is."""
    with world.store.unit_of_work(tenant) as uow:
        return uow.audit.verify()


def tamper(root: Connection, statement: str) -> None:
    """Change the trail the only way there is: as a superuser who puts the trigger to sleep."""
    root.execute("SET session_replication_role = replica")
    root.execute(sql.SQL(statement))
    root.execute("SET session_replication_role = origin")


def test_each_tenant_and_the_platform_have_a_chain_of_their_own(world: World) -> None:
    tell(world, world.ours.id, "a", "b")
    tell(world, world.ours.id, "c")
    tell(world, world.theirs.id, "a")
    tell(world, None, "deploy")
    assert [length(world, tenant) for tenant in (world.ours.id, world.theirs.id, None)] == [3, 1, 1]


def test_an_empty_chain_holds(world: World) -> None:
    assert length(world, world.ours.id) == 0


def test_an_entry_comes_back_as_it_was_told(world: World) -> None:
    tell(world, world.ours.id, "a", "b", "a")
    with world.store.unit_of_work(world.ours.id) as uow:
        entries = uow.audit.of("a")
    assert [entry.seq for entry in entries] == [1, 3]
    assert entries[0].payload == {"price": "1.50", "why": {"b": 1, "a": [True, None]}}
    assert (entries[0].kind, entries[0].occurred_at) == ("order", NOON)


def test_the_same_story_has_the_same_head(world: World) -> None:
    tell(world, world.ours.id, "a", "b")
    tell(world, world.theirs.id, "a")
    tell(world, world.theirs.id, "b")
    with world.store.operator() as view:
        heads = view.audit_heads()
    assert heads[world.ours.id] == heads[world.theirs.id]
    assert heads[world.ours.id].seq == 2
    assert None not in heads or heads[None] == AuditHead(0, "")


@pytest.mark.parametrize(
    ("crime", "found"),
    [
        ('UPDATE audit SET payload = \'{"price":"9"}\' WHERE seq = 2', "entry 2 was changed"),
        ("UPDATE audit SET subject = 'x' WHERE seq = 2", "entry 2 was changed"),
        ("UPDATE audit SET occurred_at = occurred_at + interval '1 second' WHERE seq = 1", "entry 1 was changed"),
        ("UPDATE audit SET hash = 'x' WHERE seq = 3", "entry 3 was changed"),
        ("DELETE FROM audit WHERE seq = 2", "entry 2 is missing"),
        ("DELETE FROM audit WHERE seq = 3", "the chain ends at 2, its head says 3"),
        ("DELETE FROM audit", "the chain ends at 0, its head says 3"),
        ("UPDATE audit SET tenant_id = gen_random_uuid() WHERE seq = 1", "entry 1 is missing"),
    ],
)
def test_every_change_of_the_past_is_found(world: World, root: Connection, crime: str, found: str) -> None:
    tell(world, world.ours.id, "a", "b", "c")
    tamper(root, crime)
    with pytest.raises(Permanent, match=found):
        length(world, world.ours.id)


def test_a_forger_who_knows_the_formula_must_rewrite_every_later_entry(world: World, root: Connection) -> None:
    tell(world, world.ours.id, "a", "b", "c")
    with world.store.unit_of_work(world.ours.id) as uow:
        first = uow.audit.of("a")[0]
    fact = f'{{"at":"{NOON.isoformat()}","kind":"order","payload":{{}},"subject":"b"}}'
    forged = hashlib.sha256(f"{first.hash}|2|{fact}".encode()).hexdigest()
    tamper(root, f"UPDATE audit SET payload = '{{}}', hash = '{forged}' WHERE seq = 2")
    tamper(root, f"UPDATE audit SET prev_hash = '{forged}' WHERE seq = 3")
    with pytest.raises(Permanent, match="entry 3 was changed"):
        length(world, world.ours.id)


@pytest.mark.parametrize("table", ["audit", "platform_audit"])
@pytest.mark.parametrize("crime", ["UPDATE {} SET kind = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_not_even_a_superuser_changes_the_trail_by_accident(root: Connection, table: str, crime: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="the audit trail cannot be changed"):
        root.execute(sql.SQL(crime).format(sql.Identifier(table)))


def test_a_unit_left_without_commit_tells_nothing(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.audit.append("order", "a", {}, NOON)
    assert length(world, world.ours.id) == 0


def test_many_who_tell_at_once_make_one_chain(world: World) -> None:
    tellers = [Thread(target=tell, args=(world, world.ours.id, *"abc")) for _ in range(5)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    assert length(world, world.ours.id) == 15
