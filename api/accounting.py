"""What a tenant earned and how its books stand: performance, blunders, feedback, statements, trade records."""

from __future__ import annotations

from decimal import Decimal
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api import schemas
from api.ledger import OfTenant
from api.problems import ApiError, documented
from api.security import AskedFleet, KnownCaller
from common.domain.performance import RISK_FREE
from common.services.authenticate import Caller
from common.services.fleet import Fleet
from common.services.read_accounting import LIMIT_MAX, read_blunders, read_statements
from common.services.read_feedback import read_feedback
from common.services.read_performance import DAYS_MAX, read_performance
from common.services.tenants import find_tenant

router = APIRouter(
    prefix="/api/v1",
    tags=["accounting"],
    responses=documented(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)

Days = Annotated[int | None, Query(ge=1, le=DAYS_MAX, description="Only the last so many days")]
RiskFree = Annotated[Decimal, Query(gt=-1, lt=1, description="Yearly risk-free rate of Sharpe and Sortino")]
Rows = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Reviews told one by one")]


@router.get("/performance", summary="What the tenant earned, and how")
def performance(
    caller: KnownCaller, fleet: AskedFleet, tenant: OfTenant = None, days: Days = None, risk_free: RiskFree = RISK_FREE
) -> schemas.Performance:
    """Rates, ratios and drawdowns net of deposits and withdrawals; by instrument, strategy and exit; the last 30 days."""
    found = read_performance(fleet, _owner(fleet, caller, tenant), days=days, risk_free=risk_free)
    return schemas.Performance(**found)


@router.get("/blunders", summary="What was wrong with closed trades")
def blunders(caller: KnownCaller, fleet: AskedFleet, tenant: OfTenant = None, limit: Rows = 50) -> schemas.Blunders:
    """Counts of grades and labels over all reviews, and the last ones with their evidence."""
    return schemas.Blunders(**read_blunders(fleet, _owner(fleet, caller, tenant), limit))


@router.get("/feedback", summary="What the last twenty closed trades say")
def feedback(caller: KnownCaller, fleet: AskedFleet, tenant: OfTenant = None) -> schemas.Feedback:
    """Statistics with their counts, over all and of each instrument."""
    return schemas.Feedback(**read_feedback(fleet, _owner(fleet, caller, tenant)))


@router.get("/statements", summary="Every account's book against the wallet at its venue")
def statements(caller: KnownCaller, fleet: AskedFleet, tenant: OfTenant = None) -> schemas.Statements:
    """Balances in double entry, cash flows, and the last comparison with the first item that differs."""
    return schemas.Statements(**read_statements(fleet, _owner(fleet, caller, tenant)))


def _owner(fleet: Fleet, caller: Caller, tenant: str | None) -> UUID:
    """Whose books are asked for: the token's tenant; the operator names one."""
    if caller.is_operator:
        if tenant is None:
            raise ApiError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "tenant_missing", "the operator names a tenant: ?tenant=NAME"
            )
        return find_tenant(fleet, tenant).id
    if tenant is not None or caller.tenant_id is None:
        raise ApiError(HTTPStatus.FORBIDDEN, "operator_only", "a tenant is known by its token; leave `tenant` out")
    return caller.tenant_id
