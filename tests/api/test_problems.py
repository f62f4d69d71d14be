"""Failures: problem documents with the id under which the log knows the request, and nothing that is nobody's business."""

from __future__ import annotations

import pytest

from api.problems import MEDIA_TYPE
from common.domain.errors import OutcomeUnknown, Permanent, Transient
from common.services.fleet import Fleet
from tests.api.conftest import OPERATOR_TOKEN, Caller


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/api/v1/nowhere", {}, 404, "not_found"),
        ("/api/v1/orders", {"limit": 0}, 422, "invalid_request"),
        ("/api/v1/orders", {"limit": "many"}, 422, "invalid_request"),
        ("/api/v1/orders", {"limit": 501}, 422, "invalid_request"),
        ("/api/v1/orders", {"cursor": "?"}, 422, "invalid_input"),
        ("/api/v1/decisions/not-an-id", {}, 422, "invalid_request"),
        ("/api/v1/decisions/00000000-0000-0000-0000-000000000007", {}, 404, "not_found"),
        ("/api/v1/trades", {"tenant": "nobody"}, 404, "not_found"),
    ],
)
def test_a_failure_is_a_problem_document(
    operator: Caller, path: str, query: dict[str, object], status: int, code: str
) -> None:
    answer = operator.get(path, **query)
    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert (problem["code"], problem["instance"]) == (code, path)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]


def test_a_refused_field_is_named(operator: Caller) -> None:
    assert operator.get("/api/v1/orders", limit=0).json()["errors"][0]["field"] == "limit"


def test_what_was_refused_is_not_repeated(operator: Caller) -> None:
    assert "a-secret-in-the-wrong-place" not in operator.get("/api/v1/orders", limit="a-secret-in-the-wrong-place").text


def test_a_method_that_is_not_offered_is_a_problem_too(operator: Caller) -> None:
    answer = operator.client.post("/api/v1/orders", headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"})
    assert (answer.status_code, answer.headers["content-type"]) == (405, MEDIA_TYPE)


class BrokenStore:
    """A store in which everything fails the same way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> object:
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Transient("password=hunter2"), 503, "try_again"),
        (Permanent("password=hunter2"), 500, "internal_error"),
        (OutcomeUnknown("password=hunter2"), 500, "internal_error"),
        (RuntimeError("password=hunter2"), 500, "internal_error"),
    ],
)
def test_what_broke_here_is_for_the_log_only(
    operator: Caller, api_fleet: Fleet, error: Exception, status: int, code: str
) -> None:
    api_fleet.store = BrokenStore(error)  # type: ignore[assignment]
    answer = operator.get("/api/v1/orders")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "hunter2" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"] != ""


def test_a_decent_request_id_is_echoed(stranger: Caller) -> None:
    answer = stranger.client.get("/livez", headers={"X-Request-Id": "my-trace.42"})
    assert answer.headers["x-request-id"] == "my-trace.42"


@pytest.mark.parametrize("given", ["x" * 65, "two words", "<script>"])
def test_an_indecent_request_id_is_replaced(stranger: Caller, given: str) -> None:
    answer = stranger.client.get("/livez", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] not in {given, ""}


def test_no_answer_may_be_kept_by_a_cache(stranger: Caller) -> None:
    assert stranger.get("/livez").headers["cache-control"] == "no-store"
