"""The private side of one account at a venue through ccxt: placed once, asked about for ever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import Any, TypeVar

from common.adapters.ccxt_venue import parsing
from common.adapters.ccxt_venue.client import Clients, Connection
from common.adapters.ccxt_venue.errors import is_not_found, placing, reading
from common.adapters.ccxt_venue.guard import Guard
from common.adapters.ccxt_venue.pacing import Crowded, Pace, Pacer
from common.domain.errors import NotFound, NotNow, OutcomeUnknown, Refused, TradewindsError, Transient
from common.domain.money import ZERO
from common.domain.order import OrderIntent, OrderRole, OrderType
from common.domain.postings import EntryKind, Movement
from common.ports.clock import Clock
from common.ports.rate_limits import CallClass, calling
from common.ports.venue import Credentials, VenueBalance, VenueFill, VenueFunding, VenueOrder, VenuePosition

T = TypeVar("T")

_PAGE = 1000
_WEEK = timedelta(days=7)
_CLOCK_LEAD = timedelta(minutes=1)
_CLOCK_OFFSET_MAX = timedelta(seconds=1)
_PURPOSE = {
    OrderRole.STOP: CallClass.PROTECTIVE,
    OrderRole.EXIT: CallClass.EXIT,
    OrderRole.ENTRY: CallClass.ENTRY,
}


class CcxtVenue:
    """One account at one venue, safe to share among threads; implements ports.venue.Venue.

    Nothing is retried here: a placement is sent once, and whatever is not an acknowledgement with our id in it, or a
    refusal on the venue's allow-list of codes, is an unknown outcome.
    """

    def __init__(
        self,
        link: Connection,
        clock: Clock,
        credentials: Credentials,
        pacer: Pace | None = None,
        settle: str | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._link, self._row, self._clock = link, link.capability, clock
        self._clients = Clients(link, clock, credentials, pacer or Pacer())
        self._secrets = (credentials.key, credentials.secret, *credentials.extra.values())
        self._settle = settle or min(link.capability.settles, key=lambda asset: (asset != "USDT", asset))
        self._ids = ClientIds()
        self._guard = guard or Guard(None, link.name)

    @property
    def validity(self) -> timedelta:
        """How long after its timestamp the venue may still accept a placement, in venue time.

        A venue that runs fast stretches its window by its rate, for the network does not run faster with it.
        """
        return self._stretched(self._row.validity)

    @property
    def visibility(self) -> timedelta:
        """How long after that the venue may still not show an order it holds, in venue time."""
        return self._stretched(self._row.visibility)

    def _stretched(self, length: timedelta) -> timedelta:
        return self._clock.transport(length.total_seconds())

    def place(self, intent: OrderIntent, submitted_at: datetime) -> VenueOrder:
        """Send `intent` once, stamped `submitted_at` so that it is void `validity` later; Refused or OutcomeUnknown."""
        wire_id = self._row.wire_id(intent.client_order_id)
        if not self._row.accepts(wire_id):
            raise Refused("NOT_SENT", f"{self._row.venue} does not take {wire_id!r} as a client order id")

        def send(client: Any) -> VenueOrder:
            amount, price, params = self._request(client, intent, wire_id)
            kind = "limit" if intent.type is OrderType.LIMIT else "market"
            client.tw_stamp = submitted_at
            try:
                answer = client.create_order(intent.instrument, kind, intent.side.value, amount, price, params)
            finally:
                client.tw_stamp = None
            return self._acknowledged(answer, intent, wire_id)

        with self._clients.lease(self._link.place_timeout_s) as client, calling(_PURPOSE[intent.role]):
            try:
                # The listing is read before anything is sent: what goes wrong there leaves no order in doubt.
                reading(self._row, client, self._secrets, lambda: self._clients.with_markets(client, fresh=False))
            except TradewindsError as error:
                raise NotNow("NOT_SENT", str(error)) from None
            try:
                order = placing(self._row, client, self._secrets, lambda: send(client))
            except Crowded as crowded:
                raise NotNow("NOT_SENT", str(crowded)) from None
        self._ids.learn(order.venue_order_id, intent.client_order_id)
        return order

    def _request(self, client: Any, intent: OrderIntent, wire_id: str) -> tuple[str, str | None, dict[str, Any]]:
        symbol = intent.instrument
        if symbol not in client.markets:
            raise Refused("NOT_SENT", f"{self._row.venue} has no instrument {symbol!r}")
        amount = self._on_grid(client.amount_to_precision(symbol, _plain(intent.quantity)), intent.quantity, "quantity")
        params: dict[str, Any] = {self._row.id_param: wire_id}
        if intent.reduce_only and self._row.market_type == "swap":
            params["reduceOnly"] = True
        price: str | None = None
        if intent.type is OrderType.LIMIT or self._row.market_order_needs_price:
            price = self._on_grid(client.price_to_precision(symbol, _plain(intent.price)), intent.price, "price")
        if intent.type is OrderType.STOP_MARKET:
            trigger = intent.trigger_price
            if trigger is None:
                raise Refused("NOT_SENT", "a stop order has no trigger price")
            params = self._conditional(params, wire_id)
            text = client.price_to_precision(symbol, _plain(trigger))
            params["stopLossPrice"] = self._on_grid(text, trigger, "trigger price")
        return amount, price, params

    def _conditional(self, params: dict[str, Any], wire_id: str) -> dict[str, Any]:
        if self._row.conditional_id_param is not None:
            params = {name: value for name, value in params.items() if name != self._row.id_param}
            params[self._row.conditional_id_param] = wire_id
        return params | dict(self._row.conditional_params)

    @staticmethod
    def _on_grid(text: str, wanted: Decimal, field: str) -> str:
        """ccxt cuts what does not fit the grid; an order that is not the one risk approved is not sent."""
        if Decimal(text) != wanted:
            raise Refused("NOT_SENT", f"{field} {wanted} is not on the venue's grid; the nearest is {text}")
        return text

    def _acknowledged(self, answer: Any, intent: OrderIntent, wire_id: str) -> VenueOrder:
        said = answer.get("clientOrderId") if isinstance(answer, dict) else None
        if said != wire_id:
            raise OutcomeUnknown(f"the venue acknowledged another order than {intent.client_order_id}")
        answer = _completed(answer, intent)
        try:
            return parsing.order_of(answer, intent.client_order_id, self._clock.now())
        except Transient as error:
            raise OutcomeUnknown(f"the acknowledgement of {intent.client_order_id} cannot be read: {error}") from None

    def cancel(self, intent: OrderIntent) -> None:
        """Ask for the order's cancellation; unknown or finished orders are no error. Raises Transient or Permanent."""

        def ask(client: Any) -> None:
            self._clients.with_markets(client)
            identity = self._identity(client, intent)
            if identity is None:
                return
            try:
                client.cancel_order(identity[0], intent.instrument, identity[1])
            except Exception as error:
                if not is_not_found(self._row, client, error):
                    raise

        with self._clients.lease(self._link.read_timeout_s) as client, calling(CallClass.EXIT):
            reading(self._row, client, self._secrets, lambda: ask(client))

    def _identity(self, client: Any, intent: OrderIntent) -> tuple[str | None, dict[str, Any]] | None:
        """(venue's id, parameters) that name the order to the venue: our id where it takes it, its own where not."""
        wire_id = self._row.wire_id(intent.client_order_id)
        is_stop = intent.type is OrderType.STOP_MARKET
        flag = dict(self._row.conditional_flag) if is_stop else {}
        if is_stop and self._row.conditional_id_param is not None:
            return None, flag | {self._row.conditional_id_param: wire_id}
        if self._row.find_param is not None:
            return None, flag | {self._row.find_param: wire_id}
        listed = self._listed(client, intent, wire_id)
        return None if listed is None else (listed["id"], flag)

    def find(self, intent: OrderIntent) -> VenueOrder | None:
        """The order of `intent` by its client order id, or None when the venue does not show it now.

        A stop that was triggered answers as the order it has become. Another order in answer raises Transient.
        """
        wire_id = self._row.wire_id(intent.client_order_id)

        def ask(client: Any) -> VenueOrder | None:
            self._clients.with_markets(client)
            answer = self._answer(client, intent, wire_id)
            if answer is None:
                return None
            if answer.get("clientOrderId") != wire_id:
                raise Transient(f"asked for {intent.client_order_id}, the venue answered another order")
            became = self._become(client, answer)
            order = parsing.order_of(_completed(became, intent), intent.client_order_id, self._clock.now())
            return replace(order, is_conditional=intent.type is OrderType.STOP_MARKET)

        order = self._ask(ask)
        if order is not None:
            self._ids.learn(order.venue_order_id, intent.client_order_id)
        return order

    def _answer(self, client: Any, intent: OrderIntent, wire_id: str) -> Any:
        if self._row.find_by_listing:
            return self._listed(client, intent, wire_id)
        identity = self._identity(client, intent)
        if identity is None:
            return None
        try:
            return client.fetch_order(identity[0], intent.instrument, identity[1])
        except Exception as error:
            if is_not_found(self._row, client, error):
                return None
            raise

    def _listed(self, client: Any, intent: OrderIntent, wire_id: str) -> Any:
        """The order among the open and the lately closed ones, for venues that cannot be asked by client id."""
        symbol = intent.instrument
        flag = dict(self._row.conditional_flag) if intent.type is OrderType.STOP_MARKET else {}
        narrowed = flag | ({self._row.find_param: wire_id} if self._row.find_param else {})
        for method in ("fetch_open_orders", "fetch_closed_orders", "fetch_canceled_orders"):
            name = "".join(part.title() if number else part for number, part in enumerate(method.split("_")))
            if not client.has.get(name):
                continue
            for order in getattr(client, method)(symbol, None, None, dict(narrowed)):
                if order.get("clientOrderId") == wire_id:
                    return order
        return None

    def _become(self, client: Any, answer: Any) -> Any:
        """A triggered conditional order lives on as an ordinary one, with an id of its own and the fills."""
        info = answer.get("info") or {}
        actual = str(info.get("actualOrderId") or "")
        if "algoId" not in info or not actual.strip("0"):
            if info.get("algoStatus") in ("TRIGGERED", "TRIGGERING"):
                return answer | {"status": "open"}
            return answer
        order = client.fetch_order(actual, answer["symbol"])
        if str(order.get("id")) != actual:
            raise Transient(f"asked for order {actual}, the venue answered another")
        return order

    def open_orders(self) -> Sequence[VenueOrder]:
        """All working orders of the account, conditional ones included, whoever placed them."""

        def ask(client: Any) -> list[VenueOrder]:
            self._clients.with_markets(client)
            listed = client.fetch_open_orders()
            if self._row.conditional_flag:
                listed = [*listed, *client.fetch_open_orders(None, None, None, dict(self._row.conditional_flag))]
            now = self._clock.now()
            orders = {str(order["id"]): parsing.order_of(order, None, now) for order in listed}
            return list(orders.values())

        return self._ask(ask)

    def fills(self, symbol: str, since: datetime) -> Sequence[VenueFill]:
        """All fills of `symbol` since `since`, oldest first, complete: every page is read, or none is given."""

        def ask(client: Any) -> list[VenueFill]:
            if symbol not in self._clients.with_markets(client).markets:
                raise NotFound("instrument", symbol)
            trades = {str(trade["id"]): trade for trade in self._pages(client, symbol, since)}
            owners = self._owners(client, symbol, {str(trade["order"]) for trade in trades.values()})
            fills = [parsing.fill_of(trade, owners.get(str(trade["order"])), self._row) for trade in trades.values()]
            return sorted((fill for fill in fills if fill.occurred_at >= since), key=_order_of_fills)

        return self._ask(ask)

    def _pages(self, client: Any, symbol: str, since: datetime) -> list[Any]:
        if not self._row.ccxt_id.startswith("binance"):
            return self._pages_by_time(client, symbol, since)
        # Binance answers at most a week by time, but everything from an id on: the first trade opens the door.
        # A little beyond now: the venue's clock may be ahead of ours.
        start, until, end = since, since, self._clock.now() + self._stretched(_CLOCK_LEAD)
        page: list[Any] = []
        while not page:
            until = min(start + _WEEK, end)
            bounds = {"endTime": parsing.milliseconds(until) + 1}
            page = client.fetch_my_trades(symbol, parsing.milliseconds(start), _PAGE, bounds)
            if until >= end:
                break
            start = until
        found = list(page)
        is_complete = until >= end and len(page) < _PAGE
        while page and not is_complete:
            last = max(int(trade["id"]) for trade in page)
            page = client.fetch_my_trades(symbol, None, _PAGE, {"fromId": last + 1})
            found += page
            is_complete = len(page) < _PAGE
        return found

    def _pages_by_time(self, client: Any, symbol: str, since: datetime) -> list[Any]:
        found: dict[str, Any] = {}
        start = parsing.milliseconds(since)
        while True:
            page = client.fetch_my_trades(symbol, start, 100)
            fresh = [trade for trade in page if str(trade["id"]) not in found]
            found |= {str(trade["id"]): trade for trade in fresh}
            if not fresh:
                return list(found.values())
            start = max(int(trade["timestamp"]) for trade in fresh)

    def _owners(self, client: Any, symbol: str, order_ids: set[str]) -> dict[str, str]:
        """Our id of each of the venue's orders: from memory, else by asking; trades do not carry it on Binance."""
        owners: dict[str, str] = {}
        for order_id in sorted(order_ids):
            ours = self._ids.of(order_id)
            if ours is None and order_id:
                order = client.fetch_order(order_id, symbol)
                ours = self._owner(client, symbol, order)
                self._ids.learn(order_id, ours)
            if ours:
                owners[order_id] = ours
        return owners

    def _owner(self, client: Any, symbol: str, order: Any) -> str:
        """The client id of `order`; that of the conditional order it came from, where there is one."""
        info = order.get("info") or {}
        origin = str(info.get("origType") or "")
        if self._row.conditional_id_param == "clientAlgoId" and origin not in ("", "MARKET", "LIMIT"):
            for parent in client.fetch_orders(symbol, None, _PAGE, {"trigger": True}):
                if str((parent.get("info") or {}).get("actualOrderId")) == str(order["id"]):
                    return str(parent["clientOrderId"])
        return str(order.get("clientOrderId") or "")

    def positions(self) -> Sequence[VenuePosition]:
        """All holdings that are not flat; a spot account has none."""

        def ask(client: Any) -> list[VenuePosition]:
            if self._row.market_type != "swap":
                return []
            read = [parsing.position_of(item) for item in self._clients.with_markets(client).fetch_positions()]
            return [position for position in read if position is not None]

        return self._ask(ask)

    def balance(self) -> VenueBalance:
        """The account's balance in its settle asset."""

        def ask(client: Any) -> VenueBalance:
            answer = self._clients.with_markets(client).fetch_balance()
            for asset in (answer.get("info") or {}).get("assets") or ():
                if isinstance(asset, dict) and asset.get("asset") == self._settle and "marginBalance" in asset:
                    wallet, equity, free = (
                        parsing.exact(asset.get(name), name)
                        for name in ("walletBalance", "marginBalance", "availableBalance")
                    )
                    return VenueBalance(self._settle, wallet, equity, free)
            row = answer.get(self._settle) or {}
            total = parsing.exact_or(row.get("total"), ZERO)
            return VenueBalance(self._settle, total, total, parsing.exact_or(row.get("free"), total))

        return self._ask(ask)

    def fundings(self, since: datetime) -> Sequence[VenueFunding]:
        """All funding payments since `since`, oldest first; none where the venue pays none."""

        def ask(client: Any) -> list[VenueFunding]:
            if self._row.market_type != "swap":
                return []
            self._clients.with_markets(client)
            found: dict[str, VenueFunding] = {}
            start = parsing.milliseconds(since)
            while True:
                page = [parsing.funding_of(income) for income in client.fetch_funding_history(None, start, _PAGE)]
                fresh = [item for item in page if item.income_id not in found]
                found |= {item.income_id: item for item in fresh}
                if len(page) < _PAGE or not fresh:
                    break
                start = parsing.milliseconds(max(item.occurred_at for item in fresh))
            return sorted(
                (item for item in found.values() if item.occurred_at >= since),
                key=lambda item: (item.occurred_at, item.income_id),
            )

        return self._ask(ask)

    def statement(self, since: datetime) -> Sequence[Movement]:
        """Every movement of the wallet since `since`, oldest first: of Binance all kinds, of others transfers alone."""

        def ask(client: Any) -> list[Movement]:
            if self._row.market_type != "swap" or not client.has.get("fetchLedger"):
                return []
            self._clients.with_markets(client)
            found: dict[tuple[EntryKind, str, str], Movement] = {}
            start = parsing.milliseconds(since)
            while True:
                page = client.fetch_ledger(None, start, _PAGE)
                lines = [line for line in (parsing.movement_of(entry, client) for entry in page) if line is not None]
                fresh = [line for line in lines if line.item not in found]
                found |= {line.item: line for line in fresh}
                if len(page) < _PAGE or not fresh:
                    break
                start = max(int(entry["timestamp"]) for entry in page)
            told = (line for line in found.values() if line.occurred_at >= since)
            return sorted(told, key=lambda line: (line.occurred_at, line.item))

        return self._ask(ask)

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the leverage of `symbol`; idempotent. Raises Refused when the venue does not grant it."""

        def send(client: Any) -> None:
            if symbol not in self._clients.with_markets(client).markets:
                raise NotFound("instrument", symbol)
            client.set_leverage(leverage, symbol)

        if self._row.market_type != "swap":
            return
        with self._clients.lease(self._link.read_timeout_s) as client, calling(CallClass.ENTRY):
            try:
                placing(self._row, client, self._secrets, lambda: send(client))
            except (OutcomeUnknown, NotNow) as unknown:
                failure = Transient(str(unknown))  # Setting it again is harmless.
            else:
                return
        raise failure

    def clock_offset(self) -> timedelta:
        """The venue's clock less ours; raises Transient when it is further off than the venue tolerates."""

        def ask(client: Any) -> timedelta:
            asked = self._clock.now()
            told = parsing.instant(client.fetch_time(), "the venue's time")
            answered = self._clock.now()
            return told - asked - (answered - asked) / 2

        offset = self._ask(ask)
        tolerated = self._stretched(_CLOCK_OFFSET_MAX)
        if abs(offset) > tolerated:
            raise Transient(f"our clock is {offset.total_seconds():.3f} s off the venue's; it tolerates {tolerated}")
        return offset

    def _ask(self, question: Callable[[Any], T]) -> T:
        permit = self._guard.check()
        with self._clients.lease(self._link.read_timeout_s) as client:
            try:
                return reading(self._row, client, self._secrets, lambda: question(client))
            finally:
                self._guard.report(permit, client.tw_last)


class ClientIds:
    """Which of our ids stands behind an id of the venue's; the last ten thousand are remembered."""

    _SIZE_MAX = 10_000

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def learn(self, venue_order_id: str, client_order_id: str) -> None:
        """Remember the pair."""
        with self._lock:
            self._known[venue_order_id] = client_order_id
            while len(self._known) > self._SIZE_MAX:
                self._known.popitem(last=False)

    def of(self, venue_order_id: str) -> str | None:
        """Our id, or None when the pair is not known."""
        with self._lock:
            return self._known.get(venue_order_id)


def _completed(answer: Any, intent: OrderIntent) -> Any:
    """Where a venue acknowledges with ids only, the rest is what was asked and the status the least it can be."""
    known = {"symbol": intent.instrument, "side": intent.side.value, "amount": intent.quantity}
    missing = {name: value for name, value in known.items() if answer.get(name) is None}
    if answer.get("status") is None:
        missing["status"] = "open"
    return answer | missing


def _plain(value: Decimal) -> str:
    return format(value, "f")


def _order_of_fills(fill: VenueFill) -> tuple[datetime, int, str]:
    return fill.occurred_at, len(fill.trade_id), fill.trade_id
