"""The kill switch from afar: only fresh requests signed with the key count, each of them once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from common.domain.errors import InvalidInput
from common.domain.order import OrderStatus
from common.domain.risk.book import HaltMode, HaltScope
from common.services.halts import NeedsSecond, Nonce, Replayed, halt, halts_in_force, resume
from common.services.kill_switch import WINDOW_S, Forged, SignedRequest, sign, verify
from tests.services.world import World

KEY = "the key of the kill switch in these tests"
LIFE = datetime(2026, 11, 21, 5, tzinfo=UTC)
BODY = b'{"scope":"platform"}'
FORGERIES, REPLAYS = 99_000, 1_000


def request(**changes: object) -> SignedRequest:
    made = SignedRequest("POST", "/api/v1/halts", str(int(LIFE.timestamp())), "n" * 32, BODY, "")
    made = replace(made, signature=sign(KEY, made.method, made.path, made.timestamp, made.nonce, made.body))
    return replace(made, **changes)


def is_accepted(asked: SignedRequest, key: str = KEY, now: datetime = LIFE) -> bool:
    try:
        verify(asked, key, now)
    except Forged:
        return False
    return True


def halted(world: World, mode: HaltMode = HaltMode.HALT_NEW, **options: object) -> None:
    halt(world.fleet, scope=HaltScope.PLATFORM, subject="", mode=mode, reason="drill", by="tester", **options)


def test_a_fresh_signed_request_is_accepted_with_its_nonce() -> None:
    assert verify(request(), KEY, LIFE) == Nonce("n" * 32, LIFE)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"path": "/api/v1/halts/resume"},
        {"path": "/api/v1/halts?x=1"},
        {"timestamp": str(int(LIFE.timestamp()) + 1)},
        {"nonce": "m" * 32},
        {"body": BODY + b" "},
        {"signature": "0" * 64},
        {"signature": ""},
        {"signature": request().signature.upper()},
        {"signature": request().signature + "\n"},
        {"timestamp": "٣" * 10},
        {"nonce": "short"},
    ],
)
def test_whatever_is_changed_the_signature_no_longer_holds(change: dict[str, object]) -> None:
    assert is_accepted(request())
    assert not is_accepted(request(**change))


@pytest.mark.parametrize(("away_s", "accepted"), [(0, True), (WINDOW_S, True), (WINDOW_S + 1, False)])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_signature_is_good_for_thirty_seconds_either_way(away_s: int, direction: int, accepted: bool) -> None:
    assert is_accepted(request(), now=LIFE + timedelta(seconds=away_s * direction)) is accepted


def test_another_key_opens_nothing() -> None:
    assert not is_accepted(request(), key="another key of the same length and kind ")


def test_of_a_hundred_thousand_forged_and_replayed_requests_none_is_accepted(world: World) -> None:
    dice, genuine = Random(7), request()
    halted(world, nonce=verify(genuine, KEY, LIFE))
    before = halts_in_force(world.fleet)
    forged = sum(is_accepted(forgery(dice, genuine)) for _ in range(FORGERIES))
    replayed = sum(is_obeyed(world, genuine) for _ in range(REPLAYS))
    assert (forged, replayed) == (0, 0)
    assert halts_in_force(world.fleet) == before


def forgery(dice: Random, genuine: SignedRequest) -> SignedRequest:
    """The genuine request with its signature kept and one part of it changed, or with a signature made up."""
    signature = f"{dice.getrandbits(256):064x}"
    later = str(int(genuine.timestamp) + dice.randint(1, 10_000))
    nonce = f"{dice.getrandbits(128):032x}"
    flipped = bytearray(genuine.body)
    flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
    return dice.choice(
        [
            replace(genuine, signature=signature),
            replace(genuine, nonce=nonce, signature=signature),
            replace(genuine, timestamp=later),
            replace(genuine, nonce=nonce),
            replace(genuine, body=bytes(flipped)),
            replace(genuine, path="/api/v1/halts/resume"),
            replace(genuine, signature=sign(nonce, "POST", genuine.path, genuine.timestamp, genuine.nonce, BODY)),
        ]
    )


def is_obeyed(world: World, genuine: SignedRequest) -> bool:
    """Whether the genuine request works once more."""
    try:
        halted(world, mode=HaltMode.FLATTEN, nonce=verify(genuine, KEY, LIFE))
    except Replayed:
        return False
    return True


def test_a_request_that_failed_used_up_nothing(world: World) -> None:
    nonce = verify(request(), KEY, LIFE)
    with pytest.raises(Exception, match="no venue"):
        halt(
            world.fleet,
            scope=HaltScope.VENUE,
            subject="nowhere",
            mode=HaltMode.HALT_NEW,
            reason="x",
            by="x",
            nonce=nonce,
        )
    halted(world, nonce=nonce)
    assert len(halts_in_force(world.fleet)) == 1


def test_lifting_the_platforms_halt_takes_two_and_lifts_nothing_with_one(world: World) -> None:
    halted(world)
    with pytest.raises(NeedsSecond):
        resume(world.fleet, scope=HaltScope.PLATFORM, subject="", by="one", is_seconded=False)
    assert len(halts_in_force(world.fleet)) == 1
    assert resume(world.fleet, scope=HaltScope.PLATFORM, subject="", by="two", is_seconded=True)


def test_lifting_a_flattening_takes_two_and_a_mere_halt_of_a_tenant_one(world: World) -> None:
    world.settle_in("harbour")
    place = {"scope": HaltScope.TENANT, "subject": "harbour"}
    halt(world.fleet, **place, mode=HaltMode.FLATTEN, reason="drill", by="tester")
    with pytest.raises(NeedsSecond):
        resume(world.fleet, **place, by="one", is_seconded=False)
    halt(world.fleet, **place, mode=HaltMode.HALT_NEW, reason="drill", by="tester")
    assert resume(world.fleet, **place, by="one", is_seconded=False)


def test_arming_from_afar_never_weakens_what_is_in_force(world: World) -> None:
    halted(world, mode=HaltMode.FLATTEN)
    with pytest.raises(InvalidInput, match="at least flatten"):
        halted(world, mode=HaltMode.HALT_NEW, may_weaken=False)
    halted(world, mode=HaltMode.FLATTEN, may_weaken=False)
    assert [item.mode for item in halts_in_force(world.fleet)] == [HaltMode.FLATTEN]


def test_an_entry_approved_before_a_halt_does_not_leave_after_it_was_lifted(world: World) -> None:
    house = world.settle_in("harbour")
    order = world.approve(house)
    halted(world)
    resume(world.fleet, scope=HaltScope.PLATFORM, subject="", by="tester")
    world.work()
    assert world.order(house, order.id).status is OrderStatus.ABANDONED
