"""A venue's user-data stream through ccxt.pro: orders and executions of one account as they happen, and every gap named."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from threading import Event, Lock
from typing import Any

from common.adapters.ccxt_venue import parsing
from common.adapters.ccxt_venue.capabilities import Capability
from common.adapters.ccxt_venue.client import Connection, Quiet, connect, refuse_empty_listing
from common.adapters.ccxt_venue.redaction import redact
from common.domain.errors import TradewindsError
from common.ports.account_stream import AccountNews, Gap, GapCause, Hearer
from common.ports.clock import Clock
from common.ports.venue import Credentials, VenueFill, VenueOrder

_log = logging.getLogger(__name__)

_BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_LOOK_S = 0.2
_QUEUE_MAX = 10_000
_KEY_LIFE_S = 1200.0  # A third of the hour for which a listen key lives, in venue time.
_ORIGINS_MAX = 2_000
_MARKETS_FRESH_S = 3600.0

# The venue's words for "from now on you hear nothing more from me".
_ENDED = frozenset({"listenKeyExpired", "eventStreamTerminated"})
# A conditional order in these states lives on as an ordinary one, whose own news tells its fate.
_LIVES_ON = frozenset({"TRIGGERING", "TRIGGERED", "FINISHED"})

Item = VenueOrder | VenueFill | Gap


class Lost(Exception):
    """The connection tells nothing more, or must not be believed any longer."""

    def __init__(self, gap: Gap) -> None:
        super().__init__(gap.detail)
        self.gap = gap


class Ear(Quiet):
    """A websocket client of one account that hands on what it hears at the moment at which it hears it."""

    tw_items: asyncio.Queue[Item]
    tw_origins: OrderedDict[str, str]
    tw_row: Capability
    tw_overrun: bool = False
    tw_unlisted: str = ""

    def tw_hear(self, item: Item) -> None:
        """Line `item` up; too much of it at once makes the connection one that cannot be trusted."""
        try:
            self.tw_items.put_nowait(item)
        except asyncio.QueueFull:
            self.tw_overrun = True

    def on_connected(self, client: Any, message: Any = None) -> None:
        """What happened before this moment was told to nobody."""
        super().on_connected(client, message)  # type: ignore[misc]
        self.tw_hear(Gap(GapCause.CONNECTED))

    def handle_message(self, client: Any, message: Any) -> None:
        """A message that ccxt cannot read would end its reading loop without a word: the socket lived on, deaf."""
        body = message.get("data", message) if isinstance(message, Mapping) else {}
        said = body.get("e") if isinstance(body, Mapping) else None
        if said in _ENDED:
            self.tw_hear(Gap(GapCause.EXPIRED, str(said)))
            return
        try:
            if not isinstance(message, Mapping | list):
                raise TypeError("not JSON")
            super().handle_message(client, message)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - whatever it was, the venue is asked instead.
            self.tw_hear(Gap(GapCause.MALFORMED, f"{said or 'a message'}: {type(error).__name__}"))

    def tw_knows(self, symbol: object) -> bool:
        """Whether `symbol` names a market of ours; ccxt calls one it does not know by the venue's own name for it."""
        if symbol in self.markets:  # type: ignore[attr-defined]
            return True
        self.tw_unlisted = str(symbol)
        return False

    def tw_order(self, order: Mapping[str, Any]) -> None:
        """An order as ccxt read it."""
        info = order.get("info") or {}
        if not self.tw_knows(order.get("symbol")):
            return
        ours = self.tw_origins.get(str(order.get("id"))) or None
        if str(info.get("X")) in _LIVES_ON and info.get("aid"):
            return
        self.tw_hear(parsing.order_of(order, ours, self.tw_clock.now()))

    def tw_trade(self, trade: Mapping[str, Any]) -> None:
        """An execution as ccxt read it; whose it is stands beside it on Binance."""
        info = trade.get("info") or {}
        if not self.tw_knows(trade.get("symbol")):
            return
        ours = self.tw_origins.get(str(trade.get("order"))) or str(info.get("c") or "") or None
        self.tw_hear(parsing.fill_of(trade, ours, self.tw_row))


class BinanceEar(Ear):
    """Binance's messages as they come: ccxt's caches would keep the last state only, and add up fees as floats."""

    def handle_order_update(self, client: Any, message: Any) -> None:
        """A conditional order says which order it has become; that order's own messages bear another id."""
        body = message.get("o")
        if isinstance(body, Mapping) and str(body.get("ai") or "").strip("0"):
            self.tw_origins[str(body["ai"])] = str(body["caid"])
            while len(self.tw_origins) > _ORIGINS_MAX:
                self.tw_origins.popitem(last=False)
        super().handle_order_update(client, message)  # type: ignore[misc]

    def handle_order(self, client: Any, message: Any) -> None:
        self.tw_order(self.parse_ws_order(message))  # type: ignore[attr-defined]

    def handle_my_trade(self, client: Any, message: Any) -> None:
        if message.get("x") == "TRADE":
            self.tw_trade(self.parse_ws_trade(message))  # type: ignore[attr-defined]


class Markets:
    """A venue's markets, loaded once for all the streams of a process."""

    def __init__(self) -> None:
        self._source: Any = None
        self._loaded_at = float("-inf")
        self._lock = Lock()

    async def give(self, client: Any, clock: Clock) -> None:
        """Let `client` know the markets, from the venue when nobody has asked for an hour."""
        await asyncio.to_thread(self._lock.acquire)
        try:
            if self._source is None or clock.monotonic() - self._loaded_at > _MARKETS_FRESH_S:
                await client.load_markets()
                refuse_empty_listing(client)
                self._source, self._loaded_at = client, clock.monotonic()
            else:
                client.set_markets_from_exchange(self._source)
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Have the next one ask the venue."""
        self._loaded_at = float("-inf")


class CcxtAccountStream:
    """The news of one account; implements ports.account_stream.AccountStream.

    A socket that does not answer pings for ten seconds is cut by ccxt; one that answers them and tells nothing is for
    `distrust`. The listen key is kept alive in venue time, and its expiry is a gap like any other.
    """

    def __init__(
        self, link: Connection, clock: Clock, credentials: Credentials, markets: Markets | None = None
    ) -> None:
        self._link, self._clock, self._credentials = link, clock, credentials
        self._markets = markets or Markets()
        self._origins: OrderedDict[str, str] = OrderedDict()
        self._doubt: str | None = None

    def distrust(self, detail: str) -> None:
        """Give the present connection up; safe to call from any thread."""
        self._doubt = detail

    def run(self, hear: Hearer, stop: Event) -> None:
        """Hand news to `hear`, called in a thread of its own, one at a time, until `stop` is set."""
        asyncio.run(self._run(hear, stop))

    async def _run(self, hear: Hearer, stop: Event) -> None:
        import ccxt.pro

        kind = getattr(ccxt.pro, self._link.capability.ccxt_id)
        ear = BinanceEar if self._link.capability.ccxt_id.startswith("binance") else Ear
        failures = 0
        while not stop.is_set():
            client = connect(kind, ear, self._link, self._clock, self._credentials)
            client.tw_items, client.tw_origins = asyncio.Queue(_QUEUE_MAX), self._origins
            client.tw_row = self._link.capability
            self._doubt = None
            began = self._clock.monotonic()
            try:
                await self._markets.give(client, self._clock)
                await self._listen(client, hear, stop)
            except Exception as error:  # noqa: BLE001 - whatever cut the line, it is taken up again.
                failures = 0 if self._clock.monotonic() - began > _BACKOFF_S[-1] else failures + 1
                gap = error.gap if isinstance(error, Lost) else Gap(GapCause.CUT, _cause(error, self._credentials))
                await asyncio.to_thread(hear, AccountNews(gaps=(gap,)))
                await asyncio.to_thread(stop.wait, _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            finally:
                with suppress(Exception):
                    await client.close()

    async def _listen(self, client: Any, hear: Hearer, stop: Event) -> None:
        tasks = [
            asyncio.create_task(_watch(client.watch_orders, client.tw_order)),
            asyncio.create_task(_watch(client.watch_my_trades, client.tw_trade)),
            asyncio.create_task(self._keep_alive(client)),
        ]
        try:
            while not stop.is_set():
                news = await _next(client, tasks)
                if news is not None:
                    await asyncio.to_thread(hear, news)
                    ended = next((gap for gap in news.gaps if gap.cause is GapCause.EXPIRED), None)
                    if ended is not None:
                        raise Lost(Gap(GapCause.CUT, "the venue ended the stream"))
                if self._doubt is not None:
                    raise Lost(Gap(GapCause.SILENT, self._doubt))
                if client.tw_unlisted:
                    self._markets.forget()
                    raise Lost(Gap(GapCause.MALFORMED, f"{client.tw_unlisted} is none of the markets we know"))
                if client.tw_overrun:
                    raise Lost(Gap(GapCause.OVERRUN, f"more than {_QUEUE_MAX} messages waited"))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_alive(self, client: Any) -> None:
        """ccxt prolongs a key by a timer of its own, which some failures stop; one that fails here ends the connection."""
        while True:
            await asyncio.sleep(max(_KEY_LIFE_S / self._clock.rate, 1.0))
            if hasattr(client, "keep_alive_listen_key"):
                await client.keep_alive_listen_key({})


async def _watch(watch: Any, take: Any) -> None:
    while True:
        for item in await watch():
            take(item)


async def _next(client: Any, tasks: list[asyncio.Task[None]]) -> AccountNews | None:
    """What has come, all of it together; None when nothing came for a moment. Raises what ended a listener."""
    items: list[Item] = []
    getting = asyncio.ensure_future(client.tw_items.get())
    await asyncio.wait({getting, *tasks}, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    if getting.done():
        items.append(getting.result())
    else:
        getting.cancel()
    while not client.tw_items.empty():
        items.append(client.tw_items.get_nowait())
    if not items:
        for task in tasks:
            if task.done():
                task.result()
        return None
    return AccountNews(
        orders=tuple(item for item in items if isinstance(item, VenueOrder)),
        fills=tuple(item for item in items if isinstance(item, VenueFill)),
        gaps=tuple(item for item in items if isinstance(item, Gap)),
    )


def _cause(error: Exception, credentials: Credentials) -> str:
    text = f"{type(error).__name__}: {error}" if isinstance(error, TradewindsError) else type(error).__name__
    return redact(text, (credentials.key, credentials.secret))
