"""Tokens: shown once, kept as hashes, and the only source of who asks."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from common.domain.errors import InvalidInput, NotFound, Permanent
from common.services.authenticate import authenticate, hash_of, issue_token
from tests.services.world import House, World


def test_a_token_leads_to_its_tenant(world: World, house: House) -> None:
    caller = authenticate(world.fleet, issue_token(world.fleet, "harbour", "dashboard"), "the-operators-token")
    assert (caller.tenant_id, caller.name, caller.is_operator) == (house.tenant.id, "dashboard", False)


def test_the_operators_token_leads_to_nobody_in_particular(world: World) -> None:
    assert authenticate(world.fleet, "the-operators-token", "the-operators-token").is_operator


@pytest.mark.parametrize("operator_token", [None, "", "another-token"])
def test_a_token_that_is_nobodys_is_refused(world: World, operator_token: str | None) -> None:
    with pytest.raises(Permanent, match="not known"):
        authenticate(world.fleet, "", operator_token)


def test_a_revoked_token_is_refused(world: World, house: House) -> None:
    token = issue_token(world.fleet, "harbour", "dashboard")
    with world.store.unit_of_work(house.tenant.id) as uow:
        assert uow.tokens.revoke("dashboard", world.clock.now())
        uow.commit()
    with pytest.raises(Permanent, match="revoked"):
        authenticate(world.fleet, token, None)


def test_only_the_hash_of_a_token_is_kept(world: World, house: House, root: psycopg.Connection[Any]) -> None:
    token = issue_token(world.fleet, "harbour", "dashboard")
    kept = root.execute("SELECT token_hash FROM tokens").fetchall()
    assert kept == [(hash_of(token),)]
    assert root.execute("SELECT count(*) FROM audit WHERE kind = 'token'").fetchall() == [(1,)]


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_token_needs_a_decent_name(world: World, house: House, name: str) -> None:
    with pytest.raises(InvalidInput):
        issue_token(world.fleet, "harbour", name)


def test_a_token_name_is_used_once(world: World, house: House) -> None:
    issue_token(world.fleet, "harbour", "dashboard")
    with pytest.raises(Permanent):
        issue_token(world.fleet, "harbour", "dashboard")


def test_a_tenant_that_is_not_there_gets_no_token(world: World, house: House) -> None:
    with pytest.raises(NotFound, match="harbour"):
        issue_token(world.fleet, "nobody", "dashboard")
