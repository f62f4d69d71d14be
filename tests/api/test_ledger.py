"""The ledger over HTTP: each tenant its own, the operator all, a page at a time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from common.services.parameters import propose_parameters
from tests.api.conftest import Caller
from tests.services.world import STRATEGY, House, World

LISTS = ("tenants", "decisions", "orders", "positions", "trades", "parameters")


@pytest.fixture
def traded(world: World, house: House, neighbours: House) -> None:
    """Both tenants hold a position on the same signal, and have parameters proposed."""
    for name in ("harbour", "meridian"):
        propose_parameters(world.fleet, name, STRATEGY, {"fast": 8, "stop_atr": 2}, by="ada", reason="faster")
    world.enter(house)


def items(caller: Caller, noun: str, **query: Any) -> list[dict[str, Any]]:
    answer = caller.get(f"/api/v1/{noun}", **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


@pytest.mark.parametrize("noun", LISTS)
def test_nothing_is_told_without_a_token(stranger: Caller, noun: str) -> None:
    answer = stranger.get(f"/api/v1/{noun}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "token_missing"


@pytest.mark.parametrize("noun", LISTS)
def test_nothing_is_told_to_a_wrong_token(stranger: Caller, noun: str) -> None:
    answer = Caller(stranger.client, "wrong").get(f"/api/v1/{noun}")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_unknown")


@pytest.mark.usefixtures("traded")
@pytest.mark.parametrize("noun", LISTS)
def test_a_tenant_sees_itself_and_the_operator_sees_all(tenant: Caller, operator: Caller, noun: str) -> None:
    own, every = items(tenant, noun), items(operator, noun)
    names = "name" if noun == "tenants" else "tenant"
    assert {row[names] for row in own} == {"harbour"}
    assert {row[names] for row in every} == {"harbour", "meridian"}


@pytest.mark.usefixtures("traded")
def test_the_operator_may_ask_for_one_tenant(operator: Caller) -> None:
    assert {row["tenant"] for row in items(operator, "orders", tenant="meridian")} == {"meridian"}
    assert operator.get("/api/v1/orders", tenant="nobody").status_code == 404


def test_a_tenant_is_known_by_its_token_and_never_by_the_request(tenant: Caller, neighbours: House) -> None:
    answer = tenant.get("/api/v1/orders", tenant="meridian")
    assert (answer.status_code, answer.json()["code"]) == (403, "operator_only")
    assert tenant.get("/api/v1/orders", tenant_id=str(neighbours.tenant.id)).json()["items"] == []


@pytest.mark.usefixtures("traded")
def test_parameter_sets_are_told_with_proposer_and_values(tenant: Caller, operator: Caller) -> None:
    [told] = items(tenant, "parameters", strategy=STRATEGY)
    assert (told["number"], told["parameters"], told["state"]) == (1, {"fast": 8, "stop_atr": 2.0}, "proposed")
    assert (told["proposed_by"], told["reason"], told["decided_by"]) == ("ada", "faster", None)
    assert items(tenant, "parameters", strategy="confluence") == []
    assert [row["tenant"] for row in items(operator, "parameters", tenant="meridian")] == ["meridian"]
    refused = tenant.get("/api/v1/parameters", tenant="meridian")
    assert (refused.status_code, refused.json()["code"]) == (403, "operator_only")


def numbers(value: Any) -> list[float]:
    """Every float anywhere in `value`."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, float) else []


@pytest.mark.usefixtures("traded")
@pytest.mark.parametrize("noun", ["orders", "positions", "trades"])
def test_money_is_text_and_time_is_utc_with_milliseconds(tenant: Caller, noun: str) -> None:
    rows = items(tenant, noun)
    assert rows
    assert numbers(rows) == []
    instants = {"orders": "created_at", "positions": "opened_at", "trades": "occurred_at"}
    assert rows[0][instants[noun]] == "2024-03-01T12:00:02.000Z"
    assert isinstance(rows[0]["quantity"], str)


@pytest.mark.usefixtures("traded")
def test_pages_follow_their_cursor_to_the_end(tenant: Caller) -> None:
    first = tenant.get("/api/v1/orders", limit=1).json()
    second = tenant.get("/api/v1/orders", limit=1, cursor=first["next_cursor"]).json()
    assert first["items"][0]["id"] != second["items"][0]["id"]
    assert second["next_cursor"] is None


@pytest.mark.usefixtures("traded")
def test_only_open_positions_where_asked(tenant: Caller) -> None:
    assert [row["is_open"] for row in items(tenant, "positions", open=True)] == [True]


@pytest.mark.usefixtures("traded")
def test_a_decision_tells_its_whole_story(tenant: Caller, operator: Caller, world: World, house: House) -> None:
    decision = world.decision(house)
    assert decision is not None
    for caller in (tenant, operator):
        story = caller.get(f"/api/v1/decisions/{decision.id}").json()
        assert story["decision"]["outcome"] == "approved"
        assert story["decision"]["inputs"]["limits"]
        assert {order["role"] for order in story["orders"]} == {"entry", "stop"}
        assert story["position"]["is_open"]


@pytest.mark.usefixtures("traded")
def test_another_tenants_decision_is_not_there(tenant: Caller, world: World, neighbours: House) -> None:
    theirs = world.decision(neighbours)
    assert theirs is not None
    answers = [tenant.get(f"/api/v1/decisions/{item}") for item in (theirs.id, UUID(int=5))]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert [answer.json()["code"] for answer in answers] == ["not_found", "not_found"]


def test_every_route_but_health_wants_a_token_or_a_signature(stranger: Caller) -> None:
    paths = stranger.get("/openapi.json").json()["paths"]
    routes = {(path, method): told for path, methods in paths.items() for method, told in methods.items()}
    open_to_all = {route for route, told in routes.items() if "security" not in told}
    changing = {route for route in routes if route[1] != "get"}
    assert open_to_all == {("/livez", "get"), ("/readyz", "get"), ("/metrics", "get")}
    assert changing == {("/api/v1/halts", "post"), ("/api/v1/halts/resume", "post")}
