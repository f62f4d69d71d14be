"""The application: routes, problems, request ids, and the one fleet they ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from fastapi import FastAPI

from api import accounting, halts, health, ledger, problems
from api.requests import RequestContext
from common.bootstrap import build_fleet
from common.machine import system_clock
from common.services.fleet import Fleet
from common.settings import Settings

VERSION = "1"


def create(settings: Settings, fleet: Fleet | None = None, life: Callable[[], datetime] | None = None) -> FastAPI:
    """The API over `fleet`, or over the fleet that `settings` name, which is built now and closed at the end.

    `life` tells life's time, by which signatures grow stale; the system's clock without it.
    """
    asked = fleet or build_fleet(settings, "api")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if fleet is None:
            asked.store.close()

    app = FastAPI(
        title="Tradewinds",
        version=VERSION,
        summary="A multi-tenant fleet of trading workers: health, decisions and ledger.",
        description=(
            "The tenant follows from the bearer's token. Money is text, instants are UTC. Failures are "
            "`application/problem+json` (RFC 9457). Lists are pages: `{items, next_cursor}`."
        ),
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.fleet = asked
    app.state.life = life or system_clock().now
    app.add_middleware(RequestContext, new_id=lambda: str(asked.ids.new()))
    problems.install(app)
    app.include_router(health.router)
    app.include_router(ledger.router)
    app.include_router(accounting.router)
    app.include_router(halts.router)
    return app
