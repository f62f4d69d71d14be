"""The door of the REST side: limits, keys, signatures and time are checked, faults strike, and the route answers."""

import asyncio
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from simulator import desk
from simulator.clock import in_time
from simulator.errors import VenueError, refuse
from simulator.faults import HTTP_ANSWERS, Fault
from simulator.limits import Limits
from simulator.matching import Engine
from simulator.rest import accounts, market_data, trading
from simulator.rest.route import Access, Call, Route
from simulator.venue import Venue

ROUTES = market_data.ROUTES | trading.ROUTES | accounts.ROUTES
SIGNATURE = re.compile(r"(^|&)signature=([^&]*)")
KEY_PATTERN = re.compile(r"^[A-Za-z0-9_-]{4,128}$")
DEFAULT_WINDOW_MS, LONGEST_WINDOW_MS = 5000, 60_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came over the wire."""

    method: str
    path: str
    query: str
    body: str
    key: str
    address: str
    params: dict[str, str]

    def describe(self) -> dict[str, str]:
        """What faults may match on."""
        named = self.params.get("newClientOrderId") or self.params.get("origClientOrderId")
        named = named or self.params.get("clientAlgoId") or ""
        return {
            "method": self.method, "path": self.path, "api_key": self.key, "symbol": self.params.get("symbol", ""),
            "client_id": named,
        }  # fmt: skip


class RestServer:
    """Answers everything under /fapi and /sapi."""

    def __init__(self, venue: Venue, engine: Engine, limits: Limits) -> None:
        self.venue = venue
        self.engine = engine
        self.limits = limits
        self.requests = 0
        self._late: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request from the wire to its answer."""
        asked = await _read(request)
        self.requests += 1
        headers: dict[str, str] = {}
        try:
            route = ROUTES.get((asked.method, asked.path))
            if route is None:
                raise VenueError(-5000, f"Path {asked.path}, Method {asked.method} is invalid", 404)
            used = self.limits.admit(asked.address, route.weight(asked.params))
            headers["X-MBX-USED-WEIGHT-1M"] = str(used)
            return await self._answer(request, asked, route, headers)
        except VenueError as error:
            told = {"code": error.code, "msg": error.msg}
            is_order = asked.method == "POST" and error.status == 400
            if is_order and not self.venue.personality_of(asked.key).tells_codes:
                told = {"status": "err", "response": error.msg}
            return _json(told, error.status, headers | error.headers)

    async def _answer(
        self, request: web.Request, asked: Asked, route: Route, headers: dict[str, str]
    ) -> web.StreamResponse:
        consult, about = self.venue.faults.consult, asked.describe()
        fault = consult("rest.before_accept", self.venue.clock.now_ms(), **about)
        if fault is not None:
            if fault.kind == "late":
                self._send_late(asked, route, float(fault.params.get("seconds", 5)))
            struck = await _strike(request, fault)
            if struck is not None:
                return struck
        result = self._accept(asked, route, headers)
        fault = consult("rest.after_accept", self.venue.clock.now_ms(), **about)
        if fault is not None:
            struck = await _strike(request, fault)
            if struck is not None:
                return struck
        fault = consult("rest.reply", self.venue.clock.now_ms(), **about)
        return _json(result, 200, headers) if fault is None else self._falsified(fault, result, asked)

    def _accept(self, asked: Asked, route: Route, headers: dict[str, str]) -> Any:
        """Check who asks and let the route do its work; synchronous, so nothing comes between check and deed."""
        now_ms = self.venue.clock.now_ms()
        if route.access is not Access.PUBLIC:
            self._check_key(asked)
        if route.access is Access.SIGNED:
            self._check_signature(asked)
            self._check_time(asked)
        if route.is_order:
            headers.update(self.limits.count_order(asked.key))
        if route.access is not Access.PUBLIC:
            self.engine.advance(now_ms)
            desk.book_late_fills(self.venue, now_ms)
        return route.handle(Call(self.venue, asked.params, now_ms, asked.key, self.limits))

    def _check_key(self, asked: Asked) -> None:
        if not KEY_PATTERN.match(asked.key):
            raise refuse(-2014)
        self.venue.account(asked.key)

    def _check_signature(self, asked: Asked) -> None:
        total = SIGNATURE.sub("", asked.query) + SIGNATURE.sub("", asked.body)
        given = asked.params.get("signature", "")
        if not given:
            raise refuse(-1102, name="signature")
        secret = self.venue.account(asked.key).api_secret
        expected = hmac.new(secret.encode(), total.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, given.lower()):
            raise refuse(-1022)

    def _check_time(self, asked: Asked) -> None:
        timestamp, window = asked.params.get("timestamp", ""), asked.params.get("recvWindow", str(DEFAULT_WINDOW_MS))
        if not timestamp.isdigit():
            raise refuse(-1102, name="timestamp")
        if not window.isdigit() or int(window) > LONGEST_WINDOW_MS:
            raise VenueError(-1131, "recvWindow must be less than 60000.")
        clock = self.venue.clock
        if not in_time(clock.server_time_ms(), int(timestamp), int(window), clock.rate):
            raise refuse(-1021)

    def _send_late(self, asked: Asked, route: Route, seconds: float) -> None:
        """Let the request arrive after its connection is gone; the window is checked when it arrives."""

        async def arrive() -> None:
            await asyncio.sleep(seconds)
            try:
                self._accept(asked, route, {})
            except VenueError as error:
                self.venue.faults.log.append(
                    {"at": self.venue.clock.now_ms(), "late": asked.path, "refused": str(error)}
                )

        task = asyncio.create_task(arrive())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _falsified(self, fault: Fault, result: Any, asked: Asked) -> web.StreamResponse:
        if fault.kind == "garble":
            return web.Response(body=_dump(result)[: len(_dump(result)) // 2], content_type="application/json")
        if fault.kind == "empty":
            return _json({}, 200, {})
        mine = [n for n in self.venue.orders_of[asked.key] if isinstance(result, dict) and n != result.get("orderId")]
        other = self.venue.orders[mine[-1]].describe() if mine else {"orderId": 1, "clientOrderId": "somebody-else"}
        return _json((result if isinstance(result, dict) else {}) | other, 200, {})


async def _strike(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """Carry a transport fault out; None when the request goes on."""
    seconds = float(fault.params.get("seconds", 5))
    if fault.kind == "delay":
        await asyncio.sleep(seconds)
        return None
    if fault.kind == "http":
        status, body, headers = HTTP_ANSWERS[str(fault.params.get("answer", "unknown"))]
        if "retry_after" in fault.params:
            headers = headers | {"Retry-After": str(fault.params["retry_after"])}
        kind = "application/json" if body.startswith("{") else "text/html"
        return web.Response(status=status, text=body, content_type=kind, headers=headers)
    if fault.kind == "hang":
        await asyncio.sleep(seconds)
    # A reset connection: the client sees neither an answer nor an orderly end.
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _read(request: web.Request) -> Asked:
    body = (await request.read()).decode("utf-8", "replace")
    query = request.rel_url.raw_query_string
    params = dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(body, keep_blank_values=True))
    return Asked(
        request.method, request.path, query, body, request.headers.get("X-MBX-APIKEY", ""), request.remote or "", params
    )


def _dump(result: Any) -> bytes:
    return orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS)


def _json(result: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=_dump(result), status=status, headers=headers, content_type="application/json")
