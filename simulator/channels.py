"""Market channels: each knows what it said last and answers, when polled, what is new since."""

import re
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from simulator.book import Level
from simulator.funding import next_funding_ms, rate_at
from simulator.market.feed import TIMEFRAMES_MS, Feed, Kline
from simulator.money import steps_text, text
from simulator.rest.market_data import best, day_figures, tick_words
from simulator.venue import Venue

Events = list[Any]
SLOW = 1.0  # seconds between tickers and marks when life and venue run alike
FAST = 0.25  # and at the most often, however fast the venue runs
MOST_TRADES = 500  # of a poll; a tape further behind is cut, as the venue's own aggregation would

PATTERNS = (
    (re.compile(r"^(?P<symbol>\w+)@kline_(?P<interval>\w+)$"), "kline"),
    (re.compile(r"^(?P<symbol>\w+)@(?P<kind>trade|aggTrade)$"), "tape"),
    (re.compile(r"^(?P<symbol>\w+)@depth(@\w+)?$"), "depth"),
    (re.compile(r"^(?P<symbol>\w+)@depth(?P<levels>5|10|20)(@\w+)?$"), "top"),
    (re.compile(r"^(?P<symbol>\w+)@bookTicker$"), "bookTicker"),
    (re.compile(r"^(?P<symbol>\w+)@(?P<kind>miniTicker|ticker|markPrice)(@1s)?$"), "figures"),
    (re.compile(r"^!(?P<kind>miniTicker|ticker|markPrice)@arr(@1s)?$"), "all"),
    (re.compile(r"^!bookTicker$"), "allBooks"),
)


class Channel(Protocol):
    """Something to listen to."""

    def poll(self, now_ms: int) -> Events:
        """The events since the last poll."""

    def close(self) -> None:
        """Nobody listens any more."""


def open_channel(venue: Venue, name: str) -> Channel | None:
    """The channel of a stream name, or None when there is no such stream or symbol."""
    for pattern, kind in PATTERNS:
        match = pattern.match(name)
        if match is None:
            continue
        found = match.groupdict()
        symbol = found.get("symbol", "").upper()
        if symbol and symbol not in venue.rules:
            return None
        return _make(venue, kind, symbol, found)
    return None


def _make(venue: Venue, kind: str, symbol: str, found: dict[str, str | None]) -> Channel | None:
    if kind == "kline":
        interval = found["interval"] or ""
        return KlineChannel(venue, symbol, interval) if interval in venue.market.timeframes else None
    if kind == "tape":
        return TapeChannel(venue, symbol, str(found["kind"]))
    if kind == "depth":
        return DepthChannel(venue, symbol)
    if kind == "top":
        return TopChannel(venue, symbol, int(found["levels"] or 5))
    if kind == "bookTicker":
        return BestChannel(venue, symbol)
    if kind == "figures":
        return FigureChannel(venue, [symbol], str(found["kind"]), is_list=False)
    if kind == "all":
        return FigureChannel(venue, list(venue.rules), str(found["kind"]), is_list=True)
    return AllBestChannel([BestChannel(venue, s) for s in venue.rules])


class Silent:
    """A channel that leaves nothing behind."""

    __slots__ = ()

    def close(self) -> None:
        """Nothing to do."""


@dataclass(slots=True)
class KlineChannel(Silent):
    """Candles: every one that closed since the last poll, once with x true, then the open one when it moved."""

    venue: Venue
    symbol: str
    interval: str
    seen_ms: int = 0
    last: Kline | None = None

    def poll(self, now_ms: int) -> Events:
        """Candles since the last poll."""
        feed, length = self.venue.market.feeds[self.symbol], TIMEFRAMES_MS[self.interval]
        since = (self.seen_ms or now_ms) // length * length
        out: Events = []
        for kline in feed.candles(length, now_ms, since, None, 1500):
            is_closed = kline.opened_ms + length <= now_ms
            if is_closed and kline.opened_ms + length > (self.seen_ms or now_ms):
                out.append(self._event(feed, kline, length, now_ms, True))
            elif not is_closed and kline != self.last:
                out.append(self._event(feed, kline, length, now_ms, False))
                self.last = kline
        self.seen_ms = now_ms
        return out

    def _event(self, feed: Feed, k: Kline, length: int, now_ms: int, is_closed: bool) -> dict[str, Any]:
        p, v = feed.price_scale, feed.volume_scale
        body = {
            "t": k.opened_ms, "T": k.opened_ms + length - 1, "s": self.symbol, "i": self.interval,
            "f": k.opened_ms // 1000, "L": k.opened_ms // 1000 + k.trades - 1, "o": steps_text(k.open, p),
            "c": steps_text(k.close, p), "h": steps_text(k.high, p), "l": steps_text(k.low, p),
            "v": steps_text(k.volume, v), "n": k.trades, "x": is_closed, "q": steps_text(k.quote, p + v),
            "V": steps_text(k.taker, v), "Q": steps_text(k.quote // 2, p + v), "B": "0",
        }  # fmt: skip
        return {"e": "kline", "E": now_ms, "s": self.symbol, "k": body}


@dataclass(slots=True)
class TapeChannel(Silent):
    """Trades, one by one."""

    venue: Venue
    symbol: str
    kind: str
    tick: int = -1

    def poll(self, now_ms: int) -> Events:
        """Trades since the last poll."""
        feed = self.venue.market.feeds[self.symbol]
        last = feed.tick_at(now_ms)
        first = last if self.tick < 0 else self.tick + 1
        self.tick = last
        ticks = range(max(first, last - MOST_TRADES + 1, 0), last + 1)
        return [self._event(tick_words(feed, t), now_ms) for t in ticks if feed.tick_volume(t)]

    def _event(self, t: dict[str, Any], now_ms: int) -> dict[str, Any]:
        head = {"e": self.kind, "E": now_ms, "s": self.symbol, "p": t["price"], "q": t["qty"], "T": t["time"],
                "m": t["buyer_is_maker"]}  # fmt: skip
        if self.kind == "trade":
            return head | {"t": t["id"], "X": "MARKET"}
        return head | {"a": t["id"], "f": t["id"], "l": t["id"]}


@dataclass(slots=True)
class DepthChannel:
    """Differences of the book, chained by `pu` and consistent with every snapshot that REST gave meanwhile."""

    venue: Venue
    symbol: str
    update_id: int = 0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    shown: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))

    def __post_init__(self) -> None:
        """Begin with the book of this instant, so that a snapshot asked for from now on has its differences."""
        self.venue.shown_levels[self.symbol].append(self.shown)
        book = self.venue.books[self.symbol].at(self.venue.clock.now_ms())
        self.update_id, self.bids, self.asks = book.update_id, dict(book.bids), dict(book.asks)

    def poll(self, now_ms: int) -> Events:
        """The difference since the last poll, if there is one."""
        book, shown = self.venue.books[self.symbol].at(now_ms), self.shown
        before, self.update_id = self.update_id, book.update_id
        bids, self.bids = self.bids, dict(book.bids)
        asks, self.asks = self.asks, dict(book.asks)
        if before in (0, book.update_id):
            return []
        rules = self.venue.rules[self.symbol]
        p, q = rules.price_scale, rules.qty_scale
        event = {
            "e": "depthUpdate", "E": now_ms, "T": book.at_ms, "s": self.symbol, "U": before + 1, "u": book.update_id,
            "pu": before, "b": _difference(bids, self.bids, shown[0], p, q),
            "a": _difference(asks, self.asks, shown[1], p, q),
        }  # fmt: skip
        shown[0].clear()
        shown[1].clear()
        return [event]

    def close(self) -> None:
        """Stop remembering what snapshots showed."""
        kept = self.venue.shown_levels[self.symbol]
        kept[:] = [entry for entry in kept if entry is not self.shown]


def _difference(old: dict[int, int], new: dict[int, int], shown: set[int], p: int, q: int) -> list[list[str]]:
    prices = {price for price in old.keys() | new.keys() if old.get(price) != new.get(price)} | shown
    return [[steps_text(price, p), steps_text(new.get(price, 0), q)] for price in sorted(prices)]


def _levels(side: list[Level], count: int, p: int, q: int) -> list[list[str]]:
    return [[steps_text(price, p), steps_text(size, q)] for price, size in side[:count]]


@dataclass(slots=True)
class TopChannel(Silent):
    """The first levels of the book, whole each time."""

    venue: Venue
    symbol: str
    levels: int
    update_id: int = 0

    def poll(self, now_ms: int) -> Events:
        """The book's top when it changed."""
        book, rules = self.venue.books[self.symbol].at(now_ms), self.venue.rules[self.symbol]
        before, self.update_id = self.update_id, book.update_id
        if before == book.update_id:
            return []
        p, q = rules.price_scale, rules.qty_scale
        return [{
            "e": "depthUpdate", "E": now_ms, "T": book.at_ms, "s": self.symbol, "U": book.update_id,
            "u": book.update_id, "pu": before, "b": _levels(book.bids, self.levels, p, q),
            "a": _levels(book.asks, self.levels, p, q),
        }]  # fmt: skip


@dataclass(slots=True)
class BestChannel(Silent):
    """Best bid and ask."""

    venue: Venue
    symbol: str
    update_id: int = 0

    def poll(self, now_ms: int) -> Events:
        """Best prices when they changed."""
        book, rules = self.venue.books[self.symbol].at(now_ms), self.venue.rules[self.symbol]
        if book.update_id == self.update_id:
            return []
        self.update_id = book.update_id
        (bid, bid_size), (ask, ask_size) = best(book.bids), best(book.asks)
        p, q = rules.price_scale, rules.qty_scale
        return [{
            "e": "bookTicker", "u": book.update_id, "s": self.symbol, "b": steps_text(bid, p), "B": steps_text(bid_size, q),
            "a": steps_text(ask, p), "A": steps_text(ask_size, q), "T": book.at_ms, "E": now_ms,
        }]  # fmt: skip


@dataclass(slots=True)
class AllBestChannel(Silent):
    """Best bid and ask of every symbol."""

    channels: list[BestChannel]

    def poll(self, now_ms: int) -> Events:
        """Best prices that changed."""
        return [event for channel in self.channels for event in channel.poll(now_ms)]


@dataclass(slots=True)
class FigureChannel(Silent):
    """Tickers and marks at their own pace, of one symbol or in a list of all."""

    venue: Venue
    symbols: list[str]
    kind: str
    is_list: bool
    next_at: float = 0.0

    def poll(self, now_ms: int) -> Events:
        """The figures when their time has come."""
        now = time.monotonic()
        if now < self.next_at:
            return []
        self.next_at = now + max(FAST, SLOW / max(1.0, self.venue.clock.rate))
        make = self._mark if self.kind == "markPrice" else self._ticker
        events = [make(s, now_ms) for s in self.symbols if self.venue.market.is_listed(s, now_ms)]
        return [events] if self.is_list else events

    def _mark(self, symbol: str, now_ms: int) -> dict[str, Any]:
        mark, due = text(self.venue.last_price(symbol, now_ms)), next_funding_ms(now_ms)
        rate = text(rate_at(self.venue, symbol, due))
        return {"e": "markPriceUpdate", "E": now_ms, "s": symbol, "p": mark, "ap": mark, "i": mark, "P": mark,
                "r": rate, "T": due}  # fmt: skip

    def _ticker(self, symbol: str, now_ms: int) -> dict[str, Any]:
        d = day_figures(self.venue, symbol, now_ms)
        short = {"E": now_ms, "s": symbol, "c": d["last"], "o": d["open"], "h": d["high"], "l": d["low"],
                 "v": d["volume"], "q": d["quote"]}  # fmt: skip
        if self.kind == "miniTicker":
            return {"e": "24hrMiniTicker"} | short
        return {"e": "24hrTicker"} | short | {
            "p": d["change"], "P": d["percent"], "w": d["average"], "Q": d["last_qty"], "O": now_ms - 86_400_000,
            "C": now_ms, "F": 0, "L": d["trades"], "n": d["trades"],
        }  # fmt: skip
