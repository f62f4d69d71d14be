"""Three answers that are never mixed: is the process alive, can it serve, and is the fleet trading; and its numbers."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from api.problems import documented
from api.schemas import Alive, Readiness
from api.security import AskedFleet, KnownCaller
from common.bootstrap import ping_broker
from common.domain.errors import TradewindsError
from common.services.read_pages import tenant_status
from common.services.status import fleet_status
from common.telemetry import metrics

log = logging.getLogger(__name__)

router = APIRouter()


@router.get("/livez", tags=["health"], summary="Is the process alive?")
def livez() -> Alive:
    """Alive, whatever the database, the broker or a halt say: restarting helps none of them."""
    return Alive()


@router.get(
    "/readyz",
    tags=["health"],
    summary="Can requests be served?",
    responses={503: {"description": "Not now", "model": Readiness}},
)
def readyz(request: Request, response: Response, fleet: AskedFleet) -> Readiness:
    """Ready when database and broker answer; a halt does not make the service unready."""
    checks = {
        "database": _outcome(fleet.store.ping),
        "redis": _outcome(lambda: ping_broker(request.app.state.settings)),
    }
    is_ready = all(outcome == "ok" for outcome in checks.values())
    if not is_ready:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return Readiness(status="ready" if is_ready else "not_ready", checks=checks)


@router.get(
    "/status",
    tags=["health"],
    summary="Is the fleet trading, and what is it doing?",
    responses=documented(HTTPStatus.UNAUTHORIZED),
)
def status(caller: KnownCaller, fleet: AskedFleet) -> dict[str, Any]:
    """The operator is told everything that flowed and waits; a tenant its own state and the halts that concern it."""
    if caller.tenant_id is None:
        found = fleet_status(fleet)
        return found | {"trading": "halted" if _stops_all(found["halts"]) else "active"}
    return tenant_status(fleet, caller.tenant_id)


@router.get("/metrics", tags=["health"], summary="The fleet's numbers for Prometheus", response_class=Response)
def numbers(fleet: AskedFleet) -> Response:
    """Counts without tenants' names; of all processes where they share a metrics folder."""
    counted = metrics()
    try:
        counted.ledger(fleet_status(fleet))
    except TradewindsError as error:
        # What the processes counted is worth telling even while the ledger cannot be read.
        log.warning("metrics without the ledger: %s", error)
    body, content_type = counted.exposition()
    return Response(body, media_type=content_type)


def _stops_all(halts: list[dict[str, Any]]) -> bool:
    return any(halt["scope"] == "platform" for halt in halts)


def _outcome(check: Any) -> str:
    try:
        check()
    except TradewindsError as error:
        log.warning("not ready: %s", error)
        return "unreachable"
    return "ok"
