"""The kill switch over HTTP: arming takes a signature, disarming more, and nothing is obeyed twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create
from api.halts import BODY_BYTES_MAX
from common.domain.risk.book import HaltMode
from common.services.authenticate import issue_token
from common.services.fleet import Fleet
from common.services.halts import halts_in_force
from common.services.kill_switch import sign
from common.settings import Settings
from common.store import RoleName, Store
from tests.api.conftest import OPERATOR_TOKEN
from tests.servers import Database
from tests.services.world import House, World

KEY, SECOND = "first-key-of-the-kill-switch", "second-key-of-another-person"
LIFE = datetime(2026, 11, 21, 5, tzinfo=UTC)
HALT, RESUME = "/api/v1/halts", "/api/v1/halts/resume"
ARMING = {"scope": "platform", "mode": "halt_new", "reason": "drill", "by": "ada"}
DISARMING = {"scope": "platform", "reason": "all clear", "by": "ada", "confirm": "resume platform"}
OF_TENANT = {"scope": "tenant", "subject": "harbour"}
BEARER = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}

Headers = dict[str, str]


def settings(redis_url: str, **changes: Any) -> Settings:
    return Settings(redis_url=redis_url, api_token=OPERATOR_TOKEN, halt_key=KEY, halt_second_key=SECOND, **changes)


@pytest.fixture
def door(api_fleet: Fleet, redis_url: str) -> Iterator[TestClient]:
    """The API, at an instant of life that stands still."""
    app = create(settings(redis_url), api_fleet, life=lambda: LIFE)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def signed(path: str, body: bytes, nonce: str = "n" * 32, at: datetime = LIFE, key: str = KEY) -> Headers:
    timestamp = str(int(at.timestamp()))
    return {
        "X-Tradewinds-Timestamp": timestamp,
        "X-Tradewinds-Nonce": nonce,
        "X-Tradewinds-Signature": sign(key, "POST", path, timestamp, nonce, body),
        "Content-Type": "application/json",
    }


def ask(door: TestClient, path: str, body: Any, headers: Headers | None = None, **signing: Any) -> Any:
    sent = json.dumps(body).encode()
    return door.post(path, content=sent, headers=signed(path, sent, **signing) | (headers or {}))


def seconded(path: str, body: Any, nonce: str, key: str = SECOND) -> Headers:
    return BEARER | {
        "X-Tradewinds-Second-Signature": signed(path, json.dumps(body).encode(), nonce, key=key)[
            "X-Tradewinds-Signature"
        ]
    }


def test_a_signature_is_enough_to_halt(door: TestClient, world: World, house: House) -> None:
    told = ask(door, HALT, ARMING)
    assert (told.status_code, told.json()["mode"]) == (201, "halt_new")
    (held,) = halts_in_force(world.fleet)
    assert (held.mode, held.reason) == (HaltMode.HALT_NEW, "drill")


def test_the_same_request_again_is_refused(door: TestClient, world: World, house: House) -> None:
    first, again = ask(door, HALT, ARMING), ask(door, HALT, ARMING)
    assert (first.status_code, again.status_code) == (201, 401)
    assert [item.epoch for item in halts_in_force(world.fleet)] == [first.json()["epoch"]]


@pytest.mark.parametrize("away_s", [-31, 31, -86_400])
def test_a_stale_or_early_request_is_refused(door: TestClient, world: World, away_s: int) -> None:
    assert ask(door, HALT, ARMING, at=LIFE + timedelta(seconds=away_s)).status_code == 401
    assert halts_in_force(world.fleet) == []


def test_an_unsigned_request_is_refused_whatever_token_it_bears(door: TestClient, world: World) -> None:
    assert door.post(HALT, json=ARMING, headers=BEARER).status_code == 401
    assert halts_in_force(world.fleet) == []


def test_another_key_is_refused(door: TestClient, world: World) -> None:
    assert ask(door, HALT, ARMING, key="third-key-of-nobody").status_code == 401


def test_a_signature_for_another_path_is_refused(door: TestClient, world: World) -> None:
    body = json.dumps(ARMING).encode()
    assert door.post(HALT, content=body, headers=signed(RESUME, body)).status_code == 401
    assert door.post(f"{HALT}?x=1", content=body, headers=signed(HALT, body)).status_code == 401


def test_the_refusal_of_a_forgery_does_not_tell_the_key(door: TestClient) -> None:
    told = ask(door, HALT, ARMING, key="third-key-of-nobody")
    assert KEY not in told.text + str(told.headers)
    assert told.headers["content-type"] == "application/problem+json"


def test_without_a_key_in_the_settings_nobody_halts_over_http(api_fleet: Fleet, redis_url: str) -> None:
    with TestClient(create(Settings(redis_url=redis_url), api_fleet, life=lambda: LIFE)) as door:
        assert ask(door, HALT, ARMING).status_code == 503


def test_a_body_without_end_is_cut_off(door: TestClient) -> None:
    assert ask(door, HALT, ARMING | {"reason": "x" * BODY_BYTES_MAX}).status_code == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ARMING | {"mode": "explode"}, 422),
        (ARMING | {"reason": ""}, 422),
        (ARMING | {"scoope": "tenant"}, 422),
        ({"scope": "tenant", "subject": "nobody", "reason": "x", "by": "x"}, 404),
        ({"scope": "venue", "subject": "", "reason": "x", "by": "x"}, 422),
    ],
)
def test_a_request_that_makes_no_sense_halts_nothing(
    door: TestClient, world: World, house: House, body: Any, status: int
) -> None:
    assert ask(door, HALT, body).status_code == status
    assert halts_in_force(world.fleet) == []


def test_lifting_a_tenants_halt_takes_the_operators_token_and_the_words(
    door: TestClient, world: World, house: House
) -> None:
    ask(door, HALT, ARMING | OF_TENANT)
    wanted = DISARMING | OF_TENANT | {"confirm": "resume tenant harbour"}
    of_tenant = {"Authorization": f"Bearer {issue_token(world.fleet, 'harbour', 'test')}"}
    refused = [
        ask(door, RESUME, wanted, nonce="a" * 32).status_code,
        ask(door, RESUME, wanted, of_tenant, nonce="b" * 32).status_code,
        ask(door, RESUME, wanted | {"confirm": "resume platform"}, BEARER, nonce="c" * 32).status_code,
        ask(door, RESUME, wanted | {"reason": ""}, BEARER, nonce="d" * 32).status_code,
        door.post(RESUME, json=wanted, headers=BEARER).status_code,
    ]
    still = len(halts_in_force(world.fleet))
    lifted = ask(door, RESUME, wanted, BEARER, nonce="e" * 32)
    assert (refused, still) == ([401, 403, 403, 422, 401], 1)
    assert (lifted.status_code, lifted.json()) == (200, {"lifted": True})
    assert halts_in_force(world.fleet) == []


def test_lifting_the_platforms_halt_takes_two_keys(door: TestClient, world: World, house: House) -> None:
    ask(door, HALT, ARMING)
    alone = ask(door, RESUME, DISARMING, BEARER, nonce="a" * 32)
    same_key = ask(door, RESUME, DISARMING, seconded(RESUME, DISARMING, "b" * 32, KEY), nonce="b" * 32)
    still = len(halts_in_force(world.fleet))
    both = ask(door, RESUME, DISARMING, seconded(RESUME, DISARMING, "c" * 32), nonce="c" * 32)
    assert [alone.status_code, same_key.status_code, still, both.status_code] == [403, 403, 1, 200]
    assert halts_in_force(world.fleet) == []


def test_one_key_in_both_places_is_one_person(api_fleet: Fleet, redis_url: str, world: World, house: House) -> None:
    both_the_same = settings(redis_url).model_copy(update={"halt_second_key": settings(redis_url).halt_key})
    with TestClient(create(both_the_same, api_fleet, life=lambda: LIFE)) as door:
        ask(door, HALT, ARMING)
        told = ask(door, RESUME, DISARMING, seconded(RESUME, DISARMING, "a" * 32, KEY), nonce="a" * 32)
        assert told.status_code == 403


def test_a_flattening_is_not_weakened_by_arming_again(door: TestClient, world: World, house: House) -> None:
    ask(door, HALT, ARMING | OF_TENANT | {"mode": "flatten"}, nonce="a" * 32)
    assert ask(door, HALT, ARMING | OF_TENANT, nonce="b" * 32).status_code == 422
    assert [item.mode for item in halts_in_force(world.fleet)] == [HaltMode.FLATTEN]


def test_halts_and_used_nonces_survive_a_restart_of_everything(
    door: TestClient, api_fleet: Fleet, books: Database, redis_url: str, world: World, house: House
) -> None:
    ask(door, HALT, ARMING | {"mode": "flatten"})
    fresh = Store(books.url_app, role=RoleName.API, pool_size=2)
    with TestClient(create(settings(redis_url), replace(api_fleet, store=fresh), life=lambda: LIFE)) as reborn:
        again = ask(reborn, HALT, ARMING | {"mode": "flatten"})
        held = reborn.get(HALT, headers=BEARER).json()
    fresh.close()
    assert again.status_code == 401
    assert [item["mode"] for item in held["halts"]] == ["flatten"]
    assert held["flatness"][0]["is_flat"] is False


def test_what_is_halted_is_the_operators_to_read(door: TestClient, world: World, house: House) -> None:
    of_tenant = {"Authorization": f"Bearer {issue_token(world.fleet, 'harbour', 'test')}"}
    assert door.get(HALT, headers=of_tenant).status_code == 403
    assert door.get(HALT).status_code == 401


def test_of_five_hundred_forged_and_replayed_requests_over_http_none_is_accepted(
    door: TestClient, world: World, house: House
) -> None:
    dice = Random(11)
    body = json.dumps(ARMING).encode()
    genuine = signed(HALT, body)
    assert door.post(HALT, content=body, headers=genuine).status_code == 201
    before = halts_in_force(world.fleet)
    spoilt = [{name: f"{dice.getrandbits(256):064x}"} for name in list(genuine)[:3] for _ in range(100)] + [{}] * 200
    told = {door.post(HALT, content=body, headers=genuine | change).status_code for change in spoilt}
    assert told == {401}
    assert halts_in_force(world.fleet) == before
