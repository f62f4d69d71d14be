"""One ccxt client, made safe: no retries, our clock, no referrers, and a record of the last exchange of messages.

ccxt is loaded when the first client is made: it takes half a second, which processes that ask no venue do not have to spend.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import localcontext
from queue import LifoQueue
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from common.adapters.ccxt_venue.capabilities import Capability
from common.adapters.ccxt_venue.pacing import Pace
from common.domain.errors import InvalidInput, Permanent, Transient
from common.ports.clock import Clock
from common.ports.venue import Credentials

# At debug level ccxt writes signed addresses and keys.
logging.getLogger("ccxt").setLevel(logging.WARNING)

_RETRY_OPTION = "maxRetriesOnFailure"
_SLOW_DOWN = frozenset({418, 429})
_HOLD_S = 5.0  # Where the venue does not say how long.
_MARKETS_FRESH_S = 3600.0
_GONE = "tw_gone"
_USED = "x-mbx-used-weight-1m"
_ORDER_PATHS = frozenset({"order", "algoOrder", "batchOrders", "create", "orders", "AddOrder", "exchange"})


@dataclass(frozen=True, slots=True)
class Connection:
    """Where and how to reach a venue; `base_url` None = the venue itself, else everything goes there (a simulator)."""

    capability: Capability
    name: str
    base_url: str | None = None
    read_timeout_s: float = 10.0
    place_timeout_s: float = 10.0
    is_paced: bool = True
    connections: int = 4
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Exchange:
    """The last request and what was answered; `status` None = no answer came back."""

    method: str
    path: str
    status: int | None = None
    body: str = ""

    def answer(self) -> Any:
        """The answer as JSON, or None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Quiet:
    """What every client of this room does differently from ccxt's own; mixed in before the venue's class."""

    tw_clock: Clock
    tw_local: str
    tw_real: str

    def milliseconds(self) -> int:
        """Venue time: what is signed must follow a fast venue's clock."""
        return int(self.tw_clock.now().timestamp() * 1000)

    def seconds(self) -> int:
        return self.milliseconds() // 1000

    def microseconds(self) -> int:
        return self.milliseconds() * 1000

    def get_exceptions_by_url(self, url: str, exact_or_broad: str) -> Any:
        """ccxt finds its table of codes by address, so a local address is shown as the real one."""
        if self.tw_local and url is not None and url.startswith(self.tw_local):
            url = self.tw_real + url[len(self.tw_local) :]
        return super().get_exceptions_by_url(url, exact_or_broad)  # type: ignore[misc]

    def handle_builder_fee_approval(self) -> bool:
        """ccxt would sign an approval of a fee to itself on first use (Hyperliquid, also with `builderFee` off)."""
        return True

    def approve_builder_fee(self, builder: str, max_fee_rate: str) -> Any:
        import ccxt

        raise ccxt.NotSupported("no fee is ever approved to a third party")

    def set_ref(self) -> bool:
        return True


class Guarded(Quiet):
    """A client for requests: paced with all others, and it remembers its last exchange of messages."""

    tw_pacer: Pace | None = None
    tw_last: Exchange | None = None
    tw_is_order: bool = False
    tw_stamp: datetime | None = None

    def milliseconds(self) -> int:
        """Venue time; a placement bears the time at which it was committed, so that its window is known beforehand."""
        stamp = self.tw_stamp
        return super().milliseconds() if stamp is None else int(stamp.timestamp() * 1000)

    def fetch2(self, path: str, api: Any = "public", method: str = "GET", *rest: Any, **named: Any) -> Any:
        """What is asked for is remembered, because the rate limit counts orders apart."""
        self.tw_is_order = method == "POST" and path.rpartition("/")[2] in _ORDER_PATHS
        return super().fetch2(path, api, method, *rest, **named)  # type: ignore[misc]

    def throttle(self, cost: float | None = None) -> None:
        if self.tw_pacer is not None:
            weight = 1 if cost is None else cost
            seconds = self.rateLimit * weight / 1000  # type: ignore[attr-defined]
            self.tw_pacer.admit(weight, seconds, is_order=self.tw_is_order)

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        held_s = self.tw_pacer.held_s if self.tw_pacer is not None else 0.0
        if held_s > 0:  # Whoever goes on asking while it is limited gets banned for longer.
            import ccxt

            raise ccxt.DDoSProtection(f"the venue wants no requests for another {held_s:.1f} s")
        self.tw_last = Exchange(method, urlsplit(url).path)
        return super().fetch(url, method, headers, body)  # type: ignore[misc]

    def on_rest_response(
        self, code: int, reason: str, url: str, method: str, answered: Any, text: str, *sent: Any
    ) -> str:
        if self.tw_last is not None:
            self.tw_last.status, self.tw_last.body = code, text
        if self.tw_pacer is not None:
            self._tell_pace(self.tw_pacer, code, {str(name).lower(): told for name, told in (answered or {}).items()})
        return super().on_rest_response(code, reason, url, method, answered, text, *sent)  # type: ignore[misc]

    @staticmethod
    def _tell_pace(pace: Pace, code: int, headers: Mapping[str, Any]) -> None:
        used, wish = str(headers.get(_USED, "")), str(headers.get("retry-after", ""))
        if used.isdigit():
            pace.learn(float(used))
        if code in _SLOW_DOWN:
            pace.hold(float(wish) if wish.isdigit() else _HOLD_S)


def rebase(urls: Any, base_url: str) -> Any:
    """`urls` with scheme and host of every address in it replaced by those of `base_url`; websockets stay so."""
    if isinstance(urls, Mapping):
        return {name: rebase(value, base_url) for name, value in urls.items()}
    if isinstance(urls, list):
        return [rebase(value, base_url) for value in urls]
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    there, here = urlsplit(base_url), urlsplit(urls.replace("{hostname}", "hostname"))
    secure = there.scheme in ("https", "wss")
    scheme = ("wss" if secure else "ws") if here.scheme.startswith("ws") else ("https" if secure else "http")
    return here._replace(scheme=scheme, netloc=there.netloc).geturl()


def base_of(url: str) -> str:
    """Scheme and host of `url`; raises InvalidInput when it has none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidInput("base_url", url, "an http or https address, such as http://127.0.0.1:8081")
    return f"{parts.scheme}://{parts.netloc}"


def login(row: Capability, credentials: Credentials | None) -> dict[str, Any]:
    """Credentials under the names ccxt wants; Hyperliquid and Aster sign with a private key."""
    if credentials is None:
        return {}
    if row.private_key_login:
        return {"privateKey": credentials.secret, "walletAddress": credentials.key} | dict(credentials.extra)
    return {"apiKey": credentials.key, "secret": credentials.secret} | dict(credentials.extra)


def connect(
    kind: Any, mixin: type[Quiet], link: Connection, clock: Clock, credentials: Credentials | None = None
) -> Any:
    """A client of ccxt's class `kind` with `mixin` before it; raises Permanent when ccxt would send a request twice."""
    row = link.capability
    options = {**row.options, **link.options, _RETRY_OPTION: 0}
    if row.recv_window_ms is not None:
        options["recvWindow"] = row.recv_window_ms
    config = {"enableRateLimit": link.is_paced, "timeout": int(link.read_timeout_s * 1000), "options": options}
    client = type(f"{mixin.__name__}{kind.__name__}", (mixin, kind), {})(config | login(row, credentials))
    client.tw_clock, client.tw_local, client.tw_real = clock, "", row.real_base
    client.number = str  # Numbers stay the texts they came as; ccxt reads its own Decimals back as nothing.
    if link.base_url is not None:
        client.tw_local = base_of(link.base_url)
        client.urls["api"] = rebase(client.urls["api"], client.tw_local)
    if client.options[_RETRY_OPTION] != 0:
        raise Permanent("ccxt would send a request again by itself; maxRetriesOnFailure must be 0")
    return client


def refuse_empty_listing(client: Any) -> None:
    """Raise Transient when `client` was told of no market.

    No venue lists nothing, so such an answer says nothing: believed, it would keep stops and exits from leaving for an
    hour, and every market would go by the venue's own name.
    """
    if not client.markets:
        raise Transient("the venue answered an empty listing")


def _load_markets(client: Any, before: Mapping[str, Any] | None) -> None:
    """Let `client` read the venue's listing; raises Transient for an empty one, and `client` knows what was known before."""
    client.load_markets(True)
    try:
        refuse_empty_listing(client)
    except Transient:
        if before:
            client.set_markets([*before.values()], client.currencies)
        raise
    _keep_delisted(client, before)


def _keep_delisted(client: Any, before: Mapping[str, Any] | None) -> None:
    """Let `client` go on knowing markets that the venue lists no more: fills in them are still to be read."""
    gone = [market | {_GONE: True} for symbol, market in (before or {}).items() if symbol not in client.markets]
    if gone:
        client.set_markets([*client.markets.values(), *gone], client.currencies)


def is_gone(market: Mapping[str, Any]) -> bool:
    """Whether the venue lists this market no more."""
    return bool(market.get(_GONE))


class Clients:
    """The clients of one account, each used by one thread at a time; markets are loaded once for all of them."""

    def __init__(self, link: Connection, clock: Clock, credentials: Credentials | None, pacer: Pace | None) -> None:
        self.link, self.clock = link, clock
        self._credentials, self._pacer = credentials, pacer
        self._idle: LifoQueue[Any] = LifoQueue()
        self._made = 0
        self._source: Any = None
        self._loaded_at = float("-inf")
        self._lock = Lock()

    @contextmanager
    def lease(self, timeout_s: float) -> Iterator[Any]:
        """A client of one's own, its markets loaded, with `timeout_s` for each answer; waits when all are in use."""
        client = self._take()
        client.timeout = int(timeout_s * 1000)
        client.tw_last = None
        try:
            # ccxt sets the rounding of the thread's decimal context for good, and with it the last digit of our money.
            with localcontext():
                yield client
        finally:
            self._idle.put(client)

    def _take(self) -> Any:
        with self._lock:
            make = self._idle.empty() and self._made < self.link.connections
            self._made += make
        if not make:
            return self._idle.get()
        try:
            import ccxt

            kind = getattr(ccxt, self.link.capability.ccxt_id)
            client = connect(kind, Guarded, self.link, self.clock, self._credentials)
            client.tw_pacer = self._pacer
            return client
        except BaseException:
            with self._lock:
                self._made -= 1
            raise

    def with_markets(self, client: Any, *, reload: bool = False, fresh: bool = True) -> Any:
        """`client` knowing the venue's markets, fetched by one of the clients; `fresh` = within the last hour.

        Raises Transient when the venue lists nothing, and whatever ccxt raises when it does not answer.
        """
        is_old = fresh and self.clock.monotonic() - self._loaded_at > _MARKETS_FRESH_S
        if reload or is_old or self._source is None:
            before = client.markets if self._source is None else self._source.markets
            _load_markets(client, before)
            self._source, self._loaded_at = client, self.clock.monotonic()
        elif client.markets is not self._source.markets:
            client.set_markets_from_exchange(self._source)
        client.tw_last = None
        return client
