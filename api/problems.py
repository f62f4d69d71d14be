"""Every failure as application/problem+json (RFC 9457), with the id under which the log knows the request."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from common.domain.errors import InvalidInput, NotFound, OutcomeUnknown, Permanent, Refused, Transient

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = "1"


class FieldProblem(BaseModel):
    """One part of the request that was refused."""

    field: str
    detail: str


class Problem(BaseModel):
    """What went wrong; `code` is for programs, `detail` for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FieldProblem] = Field(default_factory=list)
    request_id: str


class ApiError(Exception):
    """A refusal that is decided at the door."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Problem answers of a route, for OpenAPI."""
    return {
        int(status): {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Answer every exception with a problem; nothing unexpected is told to the caller."""

    @app.exception_handler(ApiError)
    def at_the_door(request: Request, error: ApiError) -> JSONResponse:
        return answer(request, error.status, error.code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        # Where and why, but not what: the input may hold a secret that was put in the wrong place.
        fields = [
            FieldProblem(field=".".join(map(str, item["loc"][1:])) or str(item["loc"][0]), detail=item["msg"])
            for item in error.errors()
        ]
        detail = "; ".join(f"{item.field}: {item.detail}" for item in fields)
        return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail, fields)

    @app.exception_handler(HTTPException)
    def of_the_framework(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        return answer(request, status, status.phrase.lower().replace(" ", "_"), str(error.detail))

    @app.exception_handler(InvalidInput)
    def not_accepted(request: Request, error: InvalidInput) -> JSONResponse:
        fields = [FieldProblem(field=error.field, detail=f"expected {error.accepted}")]
        return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", str(error), fields)

    @app.exception_handler(NotFound)
    def not_there(request: Request, error: NotFound) -> JSONResponse:
        # Which others exist is not told: they may be another tenant's.
        return answer(request, HTTPStatus.NOT_FOUND, "not_found", f"no {error.kind} {str(error.name)!r}")

    @app.exception_handler(Transient)
    def later(request: Request, error: Transient) -> JSONResponse:
        log.warning("answered 503: %s", error)
        headers = {"Retry-After": _RETRY_AFTER_S}
        detail = "the fleet cannot answer at the moment; ask again"
        return answer(request, HTTPStatus.SERVICE_UNAVAILABLE, "try_again", detail, headers=headers)

    for kind in (Permanent, Refused, OutcomeUnknown, Exception):
        app.add_exception_handler(kind, _unexpected)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", exc_info=error)
    detail = "the request failed here; the log tells why under this request id"
    return answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def answer(
    request: Request,
    status: HTTPStatus,
    code: str,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The problem document of a failed request."""
    request_id = str(request.scope.get("request_id", ""))
    problem = Problem(
        title=status.phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        code=code,
        errors=list(errors),
        request_id=request_id,
    )
    # The last resort of the framework answers outside our middleware, so the id is set here as well.
    headers = (headers or {}) | ({"X-Request-Id": request_id} if request_id else {})
    return JSONResponse(problem.model_dump(), status_code=status, media_type=MEDIA_TYPE, headers=headers)
