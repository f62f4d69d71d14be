"""Tenants, decisions, orders, positions and trades; read only, a page at a time."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query

from api import schemas
from api.problems import ApiError, documented
from api.security import AskedFleet, KnownCaller
from common.domain.codec import encode
from common.services.authenticate import Caller
from common.services.fleet import Fleet
from common.services.parameters import list_parameters, parameters_of
from common.services.read_pages import LIMIT_MAX, decision_trail, read_page, visible_tenants
from common.services.tenants import find_tenant

router = APIRouter(
    prefix="/api/v1",
    tags=["ledger"],
    responses=documented(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows per page")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before")]
OfTenant = Annotated[str | None, Query(max_length=64, description="Only this tenant; the operator's filter")]


@router.get("/tenants", summary="Tenants the caller may see")
def tenants(caller: KnownCaller, fleet: AskedFleet) -> schemas.Page[schemas.Tenant]:
    """All of them for the operator, itself for a tenant."""
    rows = visible_tenants(fleet, caller.tenant_id)
    return schemas.Page(items=[schemas.Tenant(**encode(row)) for row in rows], next_cursor=None)


@router.get("/decisions", summary="Decisions, the newest first")
def decisions(
    caller: KnownCaller, fleet: AskedFleet, limit: Limit = 50, cursor: Cursor = None, tenant: OfTenant = None
) -> schemas.Page[schemas.Decision]:
    """One row per signal and account: what was decided, and by which rule."""
    return schemas.Page[schemas.Decision](**_page(fleet, caller, "decisions", tenant, limit, cursor))


@router.get(
    "/decisions/{decision}", summary="Why: the whole story of one decision", responses=documented(HTTPStatus.NOT_FOUND)
)
def trail(
    caller: KnownCaller, fleet: AskedFleet, decision: Annotated[UUID, Path(description="Id of the decision")]
) -> schemas.Trail:
    """Signal, advice, verdict with its inputs, orders, fills and position; 404 for what is not the caller's."""
    return schemas.Trail(**decision_trail(fleet, caller.tenant_id, decision))


@router.get("/orders", summary="Orders, the newest first")
def orders(
    caller: KnownCaller, fleet: AskedFleet, limit: Limit = 50, cursor: Cursor = None, tenant: OfTenant = None
) -> schemas.Page[schemas.Order]:
    """Entries, stops and exits with their state."""
    return schemas.Page[schemas.Order](**_page(fleet, caller, "orders", tenant, limit, cursor))


@router.get("/positions", summary="Positions, those opened last first")
def positions(
    caller: KnownCaller,
    fleet: AskedFleet,
    limit: Limit = 50,
    cursor: Cursor = None,
    tenant: OfTenant = None,
    open_only: Annotated[bool, Query(alias="open", description="Only those still held")] = False,
) -> schemas.Page[schemas.Position]:
    """Holdings with their profit after fees and funding."""
    found = _page(fleet, caller, "positions", tenant, limit, cursor, open_only=open_only)
    return schemas.Page[schemas.Position](**found)


@router.get("/trades", summary="Fills, the newest first")
def trades(
    caller: KnownCaller, fleet: AskedFleet, limit: Limit = 50, cursor: Cursor = None, tenant: OfTenant = None
) -> schemas.Page[schemas.Trade]:
    """Executions as the venue reported them."""
    return schemas.Page[schemas.Trade](**_page(fleet, caller, "trades", tenant, limit, cursor))


@router.get("/parameters", summary="Parameter sets by strategy, the newest first")
def parameters(
    caller: KnownCaller,
    fleet: AskedFleet,
    tenant: OfTenant = None,
    strategy: Annotated[str | None, Query(max_length=64, description="Only of this strategy")] = None,
) -> schemas.Page[schemas.ParameterSet]:
    """What was proposed, approved, rejected and replaced, by whom and why; one page holds them all."""
    if tenant is not None and not caller.is_operator:
        raise ApiError(HTTPStatus.FORBIDDEN, "operator_only", "a tenant is known by its token; leave `tenant` out")
    own = caller.tenant_id
    rows = list_parameters(fleet, tenant, strategy) if own is None else parameters_of(fleet, own, strategy)
    return schemas.Page(items=[schemas.ParameterSet(**row) for row in rows], next_cursor=None)


def _page(
    fleet: Fleet, caller: Caller, noun: str, tenant: str | None, limit: int, cursor: str | None, **filters: Any
) -> dict[str, Any]:
    if tenant is not None and not caller.is_operator:
        raise ApiError(HTTPStatus.FORBIDDEN, "operator_only", "a tenant is known by its token; leave `tenant` out")
    owner = find_tenant(fleet, tenant).id if tenant is not None else caller.tenant_id
    page = read_page(
        fleet,
        noun,
        tenant_id=owner,
        as_operator=caller.is_operator,
        limit=limit,
        cursor=cursor,
        **filters,
    )
    return {"items": page.items, "next_cursor": page.next_cursor}
