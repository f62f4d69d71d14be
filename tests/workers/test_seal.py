"""Messages that name jobs are heard only under a seal of ours: over stage, jobs, tenants and expiry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from common.domain.job import JobState, Stage
from common.services.schedule_scans import schedule_scans
from tests.services.venue import VENUE
from tests.services.world import House, World

KEY = b"a key of at least eight bytes"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMED: list[Any] = [[str(UUID(int=1)), str(UUID(int=2))], [str(UUID(int=3)), None]]


def sealed(**changes: Any) -> dict[str, Any]:
    from workers.seal import seal

    return seal(KEY, Stage.PLACE, NAMED, NOW) | changes


def objection(carried: object, *, stage: Stage = Stage.PLACE, named: Any = NAMED, now: datetime = NOW) -> str:
    from workers.seal import objection as judge

    return judge(KEY, stage, named, carried, now)


def test_a_message_under_our_seal_is_heard(app: Any) -> None:
    assert objection(sealed()) == ""


@pytest.mark.parametrize(
    ("changes", "named", "stage"),
    [
        ({}, [[str(UUID(int=9)), str(UUID(int=2))], NAMED[1]], Stage.PLACE),
        ({}, [[NAMED[0][0], str(UUID(int=9))], NAMED[1]], Stage.PLACE),
        ({}, NAMED[:1], Stage.PLACE),
        ({}, NAMED, Stage.CANCEL),
        ({"expires": int(NOW.timestamp()) + 1}, NAMED, Stage.PLACE),
        ({"mac": "00" * 32}, NAMED, Stage.PLACE),
    ],
    ids=["another job", "another tenant", "a job left out", "another stage", "another expiry", "another mac"],
)
def test_a_seal_holds_for_nothing_else(app: Any, changes: dict[str, Any], named: Any, stage: Stage) -> None:
    assert objection(sealed(**changes), named=named, stage=stage) == "its seal is not ours"


@pytest.mark.parametrize("carried", [None, "", 7, [], {}, {"v": 1}, {"v": 1, "expires": "soon", "mac": "x"}, {"v": 2}])
def test_no_seal_is_no_seal(app: Any, carried: object) -> None:
    assert objection(carried) in {"it carries no seal", "its seal is malformed"}


def test_a_seal_expires(app: Any) -> None:
    from workers.seal import LIFETIME

    assert objection(sealed(), now=NOW + LIFETIME - timedelta(seconds=1)) == ""
    assert objection(sealed(), now=NOW + LIFETIME + timedelta(seconds=1)) == "its seal has expired"


def test_without_a_key_nothing_is_asked_for(app: Any) -> None:
    from workers.seal import objection as judge

    assert judge(None, Stage.PLACE, NAMED, None, NOW) == ""


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet whose settings have a message key."""
    monkeypatch.setattr("workers.seal.message_key", lambda: KEY)


def test_a_task_hears_its_own_bus_and_no_forger(fleet: World, house: House, app: Any, keyed: None) -> None:
    from workers.seal import seal_now

    schedule_scans(fleet.fleet, VENUE)
    ref = fleet.take(Stage.SCAN)
    named = [[str(ref.id), None]]
    app.tasks[Stage.SCAN.value].apply(kwargs={"jobs": named}, throw=True)
    app.tasks[Stage.SCAN.value].apply(
        kwargs={"jobs": named, "seal": {"v": 1, "expires": 2**33, "mac": "ff"}}, throw=True
    )
    unheard = fleet.job(ref).state
    app.tasks[Stage.SCAN.value].apply(kwargs={"jobs": named, **seal_now(Stage.SCAN, named)}, throw=True)
    assert (unheard, fleet.job(ref).state) == (JobState.PENDING, JobState.DONE)
