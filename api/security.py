"""Who asks: the tenant follows from the bearer's token, never from the request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.problems import ApiError
from common.domain.errors import Permanent
from common.services.authenticate import Caller, authenticate
from common.services.fleet import Fleet
from common.settings import Settings

bearer = HTTPBearer(
    auto_error=False,
    description="A tenant's token (`tradewinds tenant token NAME`), or the operator's (TRADEWINDS_API_TOKEN).",
)
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def fleet_of(request: Request) -> Fleet:
    """The fleet of this process."""
    fleet: Fleet = request.app.state.fleet
    return fleet


def caller_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> Caller:
    """The bearer of the request's token; 401 without one that is known here."""
    if credentials is None:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "token_missing", "send Authorization: Bearer TOKEN", _CHALLENGE)
    settings: Settings = request.app.state.settings
    operator = settings.api_token.get_secret_value() if settings.api_token else None
    try:
        return authenticate(fleet_of(request), credentials.credentials, operator)
    except Permanent as error:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "token_unknown", str(error), _CHALLENGE) from error


AskedFleet = Annotated[Fleet, Depends(fleet_of)]
KnownCaller = Annotated[Caller, Depends(caller_of)]
