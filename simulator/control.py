"""The practice world's own routes: clock, status, accounts, statements and faults; no real venue has them."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from aiohttp import web

from simulator import desk
from simulator.account import Account
from simulator.delisting import STATUSES, deleverage, set_status
from simulator.errors import BadArguments, VenueError
from simulator.events import account_event
from simulator.ledger import book_income
from simulator.liquidation import liquidate
from simulator.matching import Engine
from simulator.money import ZERO, booked, money, text
from simulator.orders import Fill, Order
from simulator.personality import personality
from simulator.rest.server import KEY_PATTERN, RestServer
from simulator.state import Change
from simulator.stream import Hub
from simulator.venue import Venue

DEFAULT_BALANCE = "10000"
MOST = Decimal(10) ** 15


class Control:
    """Answers everything under /simulator."""

    def __init__(self, venue: Venue, engine: Engine, rest: RestServer, hub: Hub) -> None:
        self.venue, self.engine, self.rest, self.hub = venue, engine, rest, hub

    def attach(self, app: web.Application) -> None:
        """Put the routes in place."""
        app.router.add_get("/simulator/clock", self.clock)
        app.router.add_get("/simulator/status", self.status)
        app.router.add_post("/simulator/accounts", self.open_account)
        app.router.add_get("/simulator/accounts/{key}/statement", self.statement)
        app.router.add_get("/simulator/instruments", self.list_instruments)
        app.router.add_post("/simulator/instruments", self.set_instrument)
        app.router.add_post("/simulator/instruments/{symbol}/tick", self.set_tick)
        app.router.add_post("/simulator/accounts/{key}/transfers", self.transfer)
        app.router.add_post("/simulator/accounts/{key}/deleverage", self.deleverage)
        app.router.add_post("/simulator/accounts/{key}/liquidate", self.liquidate)
        app.router.add_get("/simulator/faults", self.list_faults)
        app.router.add_post("/simulator/faults", self.add_fault)
        app.router.add_get("/simulator/faults/{id:\\d+}", self.one_fault)
        app.router.add_delete("/simulator/faults", self.clear_faults)
        app.router.add_delete("/simulator/faults/{id:\\d+}", self.clear_faults)

    def _account(self, request: web.Request) -> Account:
        """The account that the path names; refuses one that is not there."""
        account = self.venue.accounts.get(request.match_info["key"])
        if account is None:
            raise VenueError(-2015, "no such account", 404)
        return account

    def _clock(self) -> dict[str, Any]:
        now_ms = self.venue.clock.now_ms()
        return self.venue.clock.describe() | {"exhausted": self.venue.market.is_exhausted(now_ms)}

    async def clock(self, request: web.Request) -> web.Response:
        """Rate and origins, from which a client's clock can follow without asking again."""
        return _answer(self._clock())

    async def status(self, request: web.Request) -> web.Response:
        """What the practice world is and how it fares."""
        venue = self.venue
        return _answer({
            "market": venue.market.description, "fingerprint": venue.market.fingerprint,
            "personality": venue.personality.name, "symbols": list(venue.rules), "timeframes": venue.market.timeframes,
            "clock": self._clock(), "accounts": len(venue.accounts), "orders": len(venue.orders),
            "conditional_orders": len(venue.algos), "open_orders": sum(map(len, venue.open_orders.values())),
            "fills": sum(map(len, venue.fills.values())), "requests": self.rest.requests,
            "connections": self.hub.connections, "streams": self.hub.streams, "events_sent": self.hub.sent,
            "engine_lag_ms": max(0, venue.clock.now_ms() - venue.engine_ms), "faults": len(venue.faults.active),
        })  # fmt: skip

    async def open_account(self, request: web.Request) -> web.Response:
        """Open an account with a deposit; asking again changes nothing."""
        try:
            wish = await _object(request)
            key, secret = str(wish.get("api_key", "")), str(wish.get("api_secret", ""))
            balance = _decimal(wish.get("balance", DEFAULT_BALANCE), "balance")
            if not KEY_PATTERN.match(key):
                raise VenueError(-1130, f"api_key {key!r} is not accepted; accepted are 4 to 128 of A-Z a-z 0-9 _ -")
            if not secret:
                raise VenueError(-1130, "api_secret is empty; accepted is any text")
            nature = str(wish.get("personality", ""))
            if nature:
                personality(nature)
        except BadArguments as error:
            return _refusal(VenueError(-1130, str(error)))
        except VenueError as error:
            return _refusal(error)
        now_ms = self.venue.clock.now_ms()
        known = self.venue.accounts.get(key)
        if known is not None and known.api_secret != secret:
            return _refusal(VenueError(-1130, f"api_key {key!r} exists with another api_secret", 409))
        if known is None:
            known = self.venue.accounts[key] = Account(key, secret, ZERO, now_ms, now_ms, personality=nature)
            change = Change(accounts={key: known})
            book_income(self.venue, known, "TRANSFER", balance, "", now_ms, change)
            self.venue.commit(change, now_ms)
        return _answer({"api_key": key, "wallet": money(known.wallet), "created": known.created_ms == now_ms})

    async def statement(self, request: web.Request) -> web.Response:
        """Everything that ever happened in an account, faults or not: the truth that ledgers are compared with."""
        now_ms = self.venue.clock.now_ms()
        self.engine.advance(now_ms)
        desk.book_late_fills(self.venue, now_ms)
        try:
            account = self._account(request)
        except VenueError as error:
            return _refusal(error)
        return _answer(statement_of(self.venue, account, now_ms))

    async def list_instruments(self, request: web.Request) -> web.Response:
        """Every symbol with the state of its listing, and what the states mean."""
        now_ms = self.venue.clock.now_ms()
        states = {symbol: self.venue.status_of(symbol, now_ms) for symbol in self.venue.rules}
        return _answer({"instruments": states, "statuses": STATUSES})

    async def set_instrument(self, request: web.Request) -> web.Response:
        """Halt, close down, settle or delist a symbol, or let it trade again: `{"symbol","status"}`."""
        now_ms = self.venue.clock.now_ms()
        try:
            wish = await _object(request)
            self.engine.advance(now_ms)
            set_status(self.venue, str(wish.get("symbol", "")), str(wish.get("status", "")), now_ms)
        except VenueError as error:
            return _refusal(error)
        return _answer({"symbol": wish["symbol"], "status": self.venue.status_of(wish["symbol"], now_ms)})

    async def set_tick(self, request: web.Request) -> web.Response:
        """Make the price step of a symbol's orders coarser, or what it was: `{"tick"}`; until the venue is healed or ends."""
        symbol = request.match_info["symbol"]
        try:
            tick = _decimal((await _object(request)).get("tick"), "tick")
            self.venue.set_tick(symbol, tick)
        except VenueError as error:
            return _refusal(error)
        return _answer({"symbol": symbol, "tick": text(tick)})

    async def transfer(self, request: web.Request) -> web.Response:
        """Pay into an account (`amount` above zero) or out of it, no more than is available."""
        now_ms = self.venue.clock.now_ms()
        try:
            account = self._account(request)
            self.engine.advance(now_ms)
            free = self.venue.margins_of(account, now_ms).available
            amount = _decimal((await _object(request)).get("amount"), "amount", least=-min(free, account.wallet))
        except VenueError as error:
            return _refusal(error)
        change = Change(accounts={account.api_key: account})
        book_income(self.venue, account, "TRANSFER", amount, "", now_ms, change)
        reason = "DEPOSIT" if amount > 0 else "WITHDRAW"
        change.events.append((account.api_key, account_event(account, reason, amount, {}, now_ms, now_ms)))
        self.venue.commit(change, now_ms)
        return _answer({"api_key": account.api_key, "wallet": money(account.wallet)})

    async def deleverage(self, request: web.Request) -> web.Response:
        """Close what an account holds in a market by force, as auto-deleveraging does: `{"symbol"}`."""
        now_ms = self.venue.clock.now_ms()
        try:
            account = self._account(request)
            symbol = str((await _object(request)).get("symbol", ""))
            self.venue.rules_for(symbol)
            self.engine.advance(now_ms)
            deleverage(self.venue, account, symbol, now_ms)
        except VenueError as error:
            return _refusal(error)
        return _answer({"api_key": account.api_key, "symbol": symbol})

    async def liquidate(self, request: web.Request) -> web.Response:
        """Close all that an account holds by force and take the clearance, as if its margin had run out."""
        now_ms = self.venue.clock.now_ms()
        try:
            account = self._account(request)
        except VenueError as error:
            return _refusal(error)
        self.engine.advance(now_ms)
        change, closed = Change(), sorted(position.symbol for position in account.held())
        if closed:
            liquidate(self.venue, account, now_ms, change)
            self.venue.commit(change, now_ms)
        return _answer({"api_key": account.api_key, "closed": closed})

    async def list_faults(self, request: web.Request) -> web.Response:
        """Faults in force and what has struck so far."""
        faults = self.venue.faults
        return _answer({"active": [f.describe() for f in faults.active.values()], "log": faults.log[-1000:]})

    async def one_fault(self, request: web.Request) -> web.Response:
        """How often one fault has struck, whether or not it is still in force."""
        number, faults = int(request.match_info["id"]), self.venue.faults
        return _answer({"id": number, "hits": faults.struck.get(number, 0), "active": number in faults.active})

    async def add_fault(self, request: web.Request) -> web.Response:
        """Put a fault in force; those of the clock and of listen keys happen at once."""
        try:
            wish = await _object(request)
            fault = self.venue.faults.add(wish)
        except (VenueError, ValueError, TypeError) as error:
            return _refusal(
                error if isinstance(error, VenueError) else VenueError(-1130, f"the fault is malformed: {error}")
            )
        if fault.site in ("clock", "listen_key"):
            self._happen_now(fault.site, fault.kind, fault.params)
            self.venue.faults.clear(fault.id)
        return _answer(fault.describe())

    def _happen_now(self, site: str, kind: str, params: dict[str, Any]) -> None:
        if site == "listen_key":
            for account in list(self.venue.accounts.values()):
                if params.get("api_key", account.api_key) == account.api_key:
                    self.hub.expire_listen_key(account)
        elif kind == "skew":
            self.venue.clock.skew_ms = int(float(params.get("seconds", 0)) * 1000)
        else:
            self.venue.clock.shift(float(params.get("seconds", 0)))

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Heal one fault, or the world."""
        number = request.match_info.get("id")
        if number is None:
            self.venue.clock.skew_ms = 0
            self.hub.wake_zombies()
            self.venue.restore_ticks()
        return _answer({"cleared": self.venue.faults.clear(None if number is None else int(number))})


def statement_of(venue: Venue, account: Account, now_ms: int) -> dict[str, Any]:
    """All orders, conditional orders, fills and incomes of an account, its positions and balances; money as text."""
    key = account.api_key
    book = venue.margins_of(account, now_ms)
    return {
        "api_key": key, "at": now_ms,
        "orders": [_order(venue, venue.orders[n]) for n in venue.orders_of[key]],
        "algo_orders": [venue.algos[n].describe() for n in venue.algos_of[key]],
        "fills": [_fill(f) for f in venue.fills[key]],
        "income": [i.describe() for i in venue.income[key]],
        "positions": [
            {"symbol": p.symbol, "qty": text(p.qty), "entry": text(p.entry), "realized": money(p.realized),
             "unrealized": money(p.unrealized(venue.last_price(p.symbol, now_ms)))} for p in account.held()
        ],
        "balances": [{"asset": "USDT", "wallet": money(account.wallet), "equity": money(book.equity),
                      "available": money(book.available)}],
    }  # fmt: skip


def _order(venue: Venue, order: Order) -> dict[str, Any]:
    algo = venue.algos.get(order.algo_id)
    return order.describe() | {"algoId": order.algo_id or None, "clientAlgoId": algo.client_id if algo else None}


def _fill(fill: Fill) -> dict[str, Any]:
    return {
        "tradeId": fill.trade_id, "orderId": fill.order_id, "clientOrderId": fill.client_id, "symbol": fill.symbol,
        "side": fill.side, "price": text(fill.price), "qty": text(fill.qty), "quoteQty": text(fill.quote),
        "fee": text(fill.fee), "feeAsset": "USDT", "realizedPnl": text(fill.realized), "maker": fill.is_maker,
        "time": fill.at_ms,
    }  # fmt: skip


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        raise VenueError(-1130, "the body is not JSON; accepted is one JSON object") from None
    if not isinstance(body, dict):
        raise VenueError(-1130, "the body is not an object; accepted is one JSON object")
    return body


def _decimal(value: object, name: str, least: Decimal = ZERO) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not least <= amount <= MOST or amount != booked(amount):
        raise VenueError(
            -1130,
            f"{name} {value!r} is not accepted; accepted is an amount of USDT as text, like '10000', {text(least)} or more",
        )
    return amount


def _answer(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _refusal(error: VenueError) -> web.Response:
    return _answer({"code": error.code, "msg": error.msg}, error.status)
