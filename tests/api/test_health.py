"""Health: alive, ready and trading are three answers."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from api.app import create
from common.domain.risk.book import HaltMode, HaltScope
from common.services.fleet import Fleet
from common.services.halts import halt
from common.settings import Settings
from common.store import Store
from tests.api.conftest import OPERATOR_TOKEN, Caller
from tests.services.world import House, World

NOWHERE = "redis://127.0.0.1:1/0"


def halted(world: World) -> None:
    halt(world.fleet, scope=HaltScope.PLATFORM, subject="", mode=HaltMode.HALT_NEW, reason="drill", by="operator")


def test_a_halt_leaves_the_service_alive_and_ready_but_not_trading(
    world: World, house: House, operator: Caller, tenant: Caller
) -> None:
    before = [caller.get("/status").json()["trading"] for caller in (operator, tenant)]
    halted(world)
    after = [caller.get("/status").json()["trading"] for caller in (operator, tenant)]
    assert before == ["active", "active"]
    assert after == ["halted", "halted"]
    assert operator.get("/livez").status_code == 200
    assert operator.get("/readyz").json() == {"status": "ready", "checks": {"database": "ok", "redis": "ok"}}


def test_a_broker_that_is_away_makes_the_service_unready_but_not_dead(api_fleet: Fleet) -> None:
    with TestClient(create(Settings(redis_url=NOWHERE), api_fleet)) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["redis"]) == (503, "unreachable")
        assert client.get("/livez").status_code == 200


def test_a_database_that_is_away_makes_the_service_unready_but_not_dead(api_fleet: Fleet, redis_url: str) -> None:
    api_fleet.store = Store("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)
    with TestClient(create(Settings(redis_url=redis_url), api_fleet)) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "unreachable")
        assert client.get("/livez").status_code == 200
        assert client.get("/metrics").status_code == 200


def test_no_broker_in_the_settings_is_not_ready(api_fleet: Fleet) -> None:
    with TestClient(create(Settings(), api_fleet)) as client:
        assert client.get("/readyz").status_code == 503


def test_the_status_is_for_those_who_are_known(stranger: Caller) -> None:
    assert stranger.get("/status").status_code == 401


def test_a_tenant_is_told_nothing_of_others(tenant: Caller, neighbours: House) -> None:
    told = tenant.get("/status")
    assert told.json()["tenant"] == "harbour"
    assert "meridian" not in told.text
    assert str(neighbours.tenant.id) not in told.text


def test_the_numbers_name_no_tenant(world: World, house: House, stranger: Caller) -> None:
    world.enter(house)
    numbers = stranger.get("/metrics")
    assert numbers.headers["content-type"].startswith("text/plain")
    assert 'tradewinds_orders{status="filled"} 1.0' in numbers.text
    assert "harbour" not in numbers.text
    assert str(house.tenant.id) not in numbers.text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/openapi.json"])
def test_what_is_open_to_all_holds_no_secret(stranger: Caller, path: str) -> None:
    assert OPERATOR_TOKEN not in stranger.get(path).text
