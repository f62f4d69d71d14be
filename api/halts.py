"""The kill switch over HTTP: arming takes one signature, disarming also the operator's token and typed words, sometimes two people."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.problems import ApiError, documented
from api.schemas import Answer, Instant
from api.security import AskedFleet, KnownCaller, caller_of
from common.domain.codec import encode
from common.domain.risk.book import HaltMode, HaltScope
from common.services.authenticate import Caller
from common.services.flatness import flatness
from common.services.fleet import Fleet
from common.services.halts import NeedsSecond, Nonce, Replayed, halt, halts_in_force, resume
from common.services.kill_switch import Forged, SignedRequest, confirmation, is_signed_by, verify
from common.settings import Settings

BODY_BYTES_MAX = 8192
TIMESTAMP, NONCE, SIGNATURE = "X-Tradewinds-Timestamp", "X-Tradewinds-Nonce", "X-Tradewinds-Signature"
SECOND_SIGNATURE = "X-Tradewinds-Second-Signature"
signature = APIKeyHeader(
    name=SIGNATURE,
    auto_error=False,
    scheme_name="HaltSignature",
    description=(
        f"HMAC-SHA256 in hex under TRADEWINDS_HALT_KEY over `method|path|timestamp|nonce|sha256(body)`, with {TIMESTAMP} "
        f"(seconds since 1970) and {NONCE} (16 to 128 of A-Z a-z 0-9 _ -, never used before). Good for 30 seconds, once."
    ),
)
_CHALLENGE = {"WWW-Authenticate": "Tradewinds-HMAC-SHA256"}

router = APIRouter(prefix="/api/v1", tags=["halts"])


class Order(BaseModel):
    """What is asked for; unknown fields are refused, for a misspelt one would be a halt on something else."""

    model_config = ConfigDict(extra="forbid")

    scope: HaltScope
    subject: str = Field(default="", max_length=128, description="Nothing for the platform, else which one")
    reason: str = Field(min_length=1, max_length=500)
    by: str = Field(min_length=1, max_length=64, description="Who asks; kept in the audit log")


class Arming(Order):
    """A halt to be put in force."""

    mode: HaltMode = HaltMode.HALT_NEW


class Disarming(Order):
    """A halt to be lifted; `confirm` is typed: `resume`, the scope and the subject."""

    confirm: str = Field(max_length=256, examples=["resume platform", "resume tenant skiff"])


class Halt(Answer):
    """A halt in force."""

    scope: HaltScope
    subject: str
    mode: HaltMode
    epoch: int
    reason: str
    since: Instant


class Halts(Answer):
    """What is halted, and how far what was ordered flat is flat at the venue."""

    halts: list[Halt]
    flatness: list[dict[str, Any]]


class Lifted(Answer):
    """Whether there was such a halt."""

    lifted: bool


class Signed(BaseModel):
    """A request whose signature holds; its nonce is still to be used up."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    request: SignedRequest
    nonce: Nonce
    is_seconded: bool


async def signed(request: Request, given: Annotated[str | None, Security(signature)]) -> Signed:
    """The request, signed by a holder of the halt key seconds ago; 401 without saying more than its sender knows."""
    settings: Settings = request.app.state.settings
    if settings.halt_key is None:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "halt_key_missing", "set TRADEWINDS_HALT_KEY to halt over HTTP")
    asked = SignedRequest(
        method=request.method,
        path=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        timestamp=request.headers.get(TIMESTAMP, ""),
        nonce=request.headers.get(NONCE, ""),
        body=await _body(request),
        signature=given or "",
    )
    try:
        nonce = verify(asked, settings.halt_key.get_secret_value(), request.app.state.life())
    except Forged as error:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "not_authentic", str(error), _CHALLENGE) from error
    return Signed(request=asked, nonce=nonce, is_seconded=_is_seconded(request, asked, settings))


async def _body(request: Request) -> bytes:
    """The body, no more of it than a halt needs: who is not known yet may not fill our memory."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > BODY_BYTES_MAX:
            detail = f"a halt fits into {BODY_BYTES_MAX} bytes"
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail)
    return bytes(found)


def _is_seconded(request: Request, asked: SignedRequest, settings: Settings) -> bool:
    """Whether somebody else signed the same request with the second key; one key in both places is one person."""
    if settings.halt_second_key is None or settings.halt_key is None:
        return False
    second = settings.halt_second_key.get_secret_value()
    if hmac.compare_digest(second.encode(), settings.halt_key.get_secret_value().encode()):
        return False
    return is_signed_by(asked, request.headers.get(SECOND_SIGNATURE, ""), second)


def operator_of(caller: Annotated[Caller, Security(caller_of)]) -> Caller:
    """The operator; 403 for a tenant."""
    if not caller.is_operator:
        raise ApiError(HTTPStatus.FORBIDDEN, "operator_only", "this is the operator's business")
    return caller


AskedSigned = Annotated[Signed, Depends(signed)]
Operator = Annotated[Caller, Depends(operator_of)]
REFUSALS = documented(HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)


@router.get("/halts", summary="What is halted, and how flat", responses=documented(HTTPStatus.UNAUTHORIZED))
def in_force(caller: KnownCaller, fleet: AskedFleet) -> Halts:
    """Halts in force and the flattening they ordered, for the operator."""
    operator_of(caller)
    found = [Halt(**encode(item)) for item in halts_in_force(fleet)]
    return Halts(halts=found, flatness=flatness(fleet))


@router.post(
    "/halts",
    status_code=HTTPStatus.CREATED,
    summary="Halt: signed, and nothing else",
    responses=REFUSALS,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": Arming.model_json_schema()}}}},
)
async def arm(asked: AskedSigned, fleet: AskedFleet) -> Halt:
    """Put a halt in force. Once this answers, no entry with an older epoch leaves."""
    order = _parsed(Arming, asked.request.body)
    return await run_in_threadpool(_arm, fleet, order, asked.nonce)


@router.post(
    "/halts/resume",
    summary="Lift a halt: signed, with the operator's token and typed words; platform and FLATTEN take two keys",
    responses=REFUSALS | documented(HTTPStatus.FORBIDDEN),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": Disarming.model_json_schema()}}}},
)
async def disarm(asked: AskedSigned, _: Operator, fleet: AskedFleet) -> Lifted:
    """Lift a halt."""
    order = _parsed(Disarming, asked.request.body)
    expected = confirmation(order.scope, order.subject)
    if order.confirm != expected:
        detail = f"to lift this halt, `confirm` has to read: {expected}"
        raise ApiError(HTTPStatus.FORBIDDEN, "not_confirmed", detail)
    return await run_in_threadpool(_disarm, fleet, order, asked)


def _arm(fleet: Fleet, order: Arming, nonce: Nonce) -> Halt:
    try:
        placed = halt(
            fleet,
            scope=order.scope,
            subject=order.subject,
            mode=order.mode,
            reason=order.reason,
            by=f"{order.by} over HTTP",
            nonce=nonce,
            may_weaken=False,
        )
    except Replayed as error:
        raise _replayed(error) from error
    return Halt(**encode(placed))


def _disarm(fleet: Fleet, order: Disarming, asked: Signed) -> Lifted:
    try:
        lifted = resume(
            fleet,
            scope=order.scope,
            subject=order.subject,
            by=f"{order.by} over HTTP",
            reason=order.reason,
            nonce=asked.nonce,
            is_seconded=asked.is_seconded,
        )
    except Replayed as error:
        raise _replayed(error) from error
    except NeedsSecond as error:
        raise ApiError(HTTPStatus.FORBIDDEN, "second_key_needed", str(error)) from error
    return Lifted(lifted=lifted)


def _replayed(error: Replayed) -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, "not_authentic", str(error), _CHALLENGE)


def _parsed(kind: Any, body: bytes) -> Any:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        # Where and why, but not what: as everywhere in this API.
        fields = ", ".join(".".join(map(str, item["loc"])) + ": " + item["msg"] for item in error.errors())
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", fields) from error
