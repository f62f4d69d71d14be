"""Public routes: time, rules, candles, book, prices, funding, trades."""

from typing import Any

from simulator.errors import refuse
from simulator.funding import FUNDING_MS, INTEREST, next_funding_ms, rate_at
from simulator.market.feed import TIMEFRAMES_MS, Feed, Kline
from simulator.money import steps_text, text
from simulator.rest.route import Access, Call, Route, Routes, by_limit, by_symbol, fixed
from simulator.venue import Venue

DAY_MS = 86_400_000
KLINE_CACHE_ROWS = 6000


def whole(call: Call, name: str, default: int | None) -> int | None:
    """An optional whole-number parameter."""
    given = call.params.get(name, "")
    if given == "":
        return default
    if not given.lstrip("-").isdigit():
        raise refuse(-1102, name=name)
    return int(given)


def limited(call: Call, default: int, most: int) -> int:
    """The `limit` parameter inside its bounds."""
    return max(1, min(most, whole(call, "limit", default) or default))


def feed_for(call: Call) -> Feed:
    """The feed of the symbol asked for."""
    return call.venue.market.feeds[call.venue.rules_for(call.params.get("symbol")).symbol]


def listed(call: Call) -> list[str]:
    """The symbol asked for, or all that trade."""
    wanted = call.params.get("symbol")
    names = [call.venue.rules_for(wanted).symbol] if wanted else list(call.venue.rules)
    return [name for name in names if call.venue.is_shown(name, call.now_ms)]


def one_or_all(call: Call, entries: list[dict[str, Any]]) -> Any:
    """Binance answers an object for one symbol and a list for all."""
    if not call.params.get("symbol"):
        return entries
    if not entries:
        raise refuse(-1121)
    return entries[0]


def server_time(call: Call) -> Any:
    """GET time."""
    return {"serverTime": call.venue.clock.server_time_ms()}


def exchange_info(call: Call) -> Any:
    """GET exchangeInfo."""
    venue = call.venue
    symbols = [
        rules.describe(venue.status_of(name, call.now_ms))
        for name, rules in venue.rules.items()
        if venue.status_of(name, call.now_ms) != "CLOSE"
    ]
    asset = {"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}
    return {
        "timezone": "UTC", "serverTime": venue.clock.server_time_ms(), "futuresType": "U_MARGINED",
        "rateLimits": call.limits.describe(), "exchangeFilters": [], "assets": [asset], "symbols": symbols,
    }  # fmt: skip


def kline_row(feed: Feed, kline: Kline, timeframe_ms: int) -> list[Any]:
    """A candle as klines answers it."""
    p, v = feed.price_scale, feed.volume_scale
    return [
        kline.opened_ms, steps_text(kline.open, p), steps_text(kline.high, p), steps_text(kline.low, p),
        steps_text(kline.close, p), steps_text(kline.volume, v), kline.opened_ms + timeframe_ms - 1,
        steps_text(kline.quote, p + v), kline.trades, steps_text(kline.taker, v), steps_text(kline.quote // 2, p + v), "0",
    ]  # fmt: skip


def timeframe_of(venue: Venue, name: str) -> int:
    """The length of a timeframe that this market can make."""
    if name not in venue.market.timeframes:
        raise refuse(-1120)
    return TIMEFRAMES_MS[name]


def klines(call: Call) -> Any:
    """GET klines; closed candles never change, so their rows are kept."""
    feed = feed_for(call)
    timeframe_ms = timeframe_of(call.venue, call.params.get("interval", ""))
    start, end = whole(call, "startTime", None), whole(call, "endTime", None)
    window = feed.window(timeframe_ms, call.now_ms, start, end, limited(call, 500, 1500))
    kept = feed.shown_rows.setdefault(timeframe_ms, {})
    if len(kept) > KLINE_CACHE_ROWS:
        kept.clear()
    out = []
    for n, opened in zip(window.numbers, feed.opened_at(window), strict=True):
        row = kept.get(opened)
        if row is None:
            row = kline_row(feed, feed.candle(window, n), timeframe_ms)
            if opened + timeframe_ms <= call.now_ms:
                kept[opened] = row
        out.append(row)
    return out


def depth(call: Call) -> Any:
    """GET depth."""
    symbol = feed_for(call).symbol
    limit = limited(call, 500, 1000)
    book = call.venue.books[symbol].at(call.now_ms)
    rules = call.venue.rules[symbol]
    call.venue.note_snapshot(symbol, book)
    p, q = rules.price_scale, rules.qty_scale
    return {
        "lastUpdateId": book.update_id, "E": call.now_ms, "T": book.at_ms,
        "bids": [[steps_text(a, p), steps_text(b, q)] for a, b in book.bids[:limit]],
        "asks": [[steps_text(a, p), steps_text(b, q)] for a, b in book.asks[:limit]],
    }  # fmt: skip


def day_figures(venue: Venue, symbol: str, now_ms: int) -> dict[str, Any]:
    """The last 24 hours of a symbol in words that REST and stream entries are made of."""
    feed = venue.market.feeds[symbol]
    p, v = feed.price_scale, feed.volume_scale
    day = feed.span(now_ms - DAY_MS, now_ms)
    if day is None:
        raise refuse(-1121)
    volume, quote, last, first = day.volume, day.quote, day.close, day.open
    return {
        "change": steps_text(last - first, p), "percent": f"{(last - first) / first * 100:.3f}",
        "average": steps_text(quote // volume if volume else last, p), "last": steps_text(last, p),
        "open": steps_text(first, p), "high": steps_text(day.high, p),
        "low": steps_text(day.low, p), "volume": steps_text(volume, v),
        "quote": steps_text(quote, p + v), "trades": day.trades,
        "last_qty": steps_text(feed.tick_volume(max(0, feed.tick_at(now_ms))), v),
    }  # fmt: skip


def day_ticker(call: Call) -> Any:
    """GET ticker/24hr."""
    out = []
    for symbol in listed(call):
        d = day_figures(call.venue, symbol, call.now_ms)
        out.append({
            "symbol": symbol, "priceChange": d["change"], "priceChangePercent": d["percent"],
            "weightedAvgPrice": d["average"], "lastPrice": d["last"], "lastQty": d["last_qty"], "openPrice": d["open"],
            "highPrice": d["high"], "lowPrice": d["low"], "volume": d["volume"], "quoteVolume": d["quote"],
            "openTime": call.now_ms - DAY_MS, "closeTime": call.now_ms, "firstId": 0, "lastId": d["trades"],
            "count": d["trades"],
        })  # fmt: skip
    return one_or_all(call, out)


def book_ticker(call: Call) -> Any:
    """GET ticker/bookTicker."""
    out = []
    for symbol in listed(call):
        book, rules = call.venue.books[symbol].at(call.now_ms), call.venue.rules[symbol]
        (bid, bid_size), (ask, ask_size) = best(book.bids), best(book.asks)
        out.append({
            "symbol": symbol, "bidPrice": steps_text(bid, rules.price_scale), "bidQty": steps_text(bid_size, rules.qty_scale),
            "askPrice": steps_text(ask, rules.price_scale), "askQty": steps_text(ask_size, rules.qty_scale),
            "time": book.at_ms, "lastUpdateId": book.update_id,
        })  # fmt: skip
    return one_or_all(call, out)


def best(side: list[tuple[int, int]]) -> tuple[int, int]:
    """The first level of a side, or zeros when it has been eaten up."""
    return side[0] if side else (0, 0)


def price_ticker(call: Call) -> Any:
    """GET ticker/price."""
    venue, now_ms = call.venue, call.now_ms
    return one_or_all(
        call, [{"symbol": s, "price": text(venue.last_price(s, now_ms)), "time": now_ms} for s in listed(call)]
    )


def premium_index(call: Call) -> Any:
    """GET premiumIndex: mark price and the rate that the next funding instant will pay."""
    out = []
    for symbol in listed(call):
        mark, due = text(call.venue.last_price(symbol, call.now_ms)), next_funding_ms(call.now_ms)
        out.append({
            "symbol": symbol, "markPrice": mark, "indexPrice": mark, "estimatedSettlePrice": mark,
            "lastFundingRate": text(rate_at(call.venue, symbol, due)), "interestRate": text(INTEREST),
            "nextFundingTime": due, "time": call.now_ms,
        })  # fmt: skip
    return one_or_all(call, out)


def funding_rates(call: Call) -> Any:
    """GET fundingRate: what past funding instants paid, oldest first."""
    limit = limited(call, 100, 1000)
    out: list[dict[str, Any]] = []
    for symbol in listed(call):
        last = min(whole(call, "endTime", call.now_ms) or call.now_ms, call.now_ms) // FUNDING_MS
        start = whole(call, "startTime", None)
        oldest = call.venue.market.feeds[symbol].first_ms if start is None else start
        first = max(last - limit + 1, -(-oldest // FUNDING_MS)) if start is None else -(-oldest // FUNDING_MS)
        for number in range(first, min(last, first + limit - 1) + 1):
            at = number * FUNDING_MS
            rate = text(rate_at(call.venue, symbol, at))
            mark = text(call.venue.last_price(symbol, at))
            out.append({"symbol": symbol, "fundingTime": at, "fundingRate": rate, "markPrice": mark})
    return sorted(out, key=lambda entry: entry["fundingTime"])[-limit:]


def recent_ticks(call: Call) -> list[dict[str, Any]]:
    """The latest trades of the tape, oldest first."""
    feed = feed_for(call)
    last = feed.tick_at(call.now_ms)
    first = max(0, last - limited(call, 500, 1000) + 1)
    start, from_id = whole(call, "startTime", None), whole(call, "fromId", None)
    if start is not None:
        first = max(0, feed.tick_at(start))
    if from_id is not None:
        first = max(0, from_id)
    last = min(last, first + limited(call, 500, 1000) - 1)
    return [tick_words(feed, tick) for tick in range(first, last + 1) if feed.tick_volume(tick)]


def tick_words(feed: Feed, tick: int) -> dict[str, Any]:
    """A trade of the tape: id, price, size, time, and whether the buyer was the maker."""
    return {
        "id": tick, "price": steps_text(feed.tick_price(tick), feed.price_scale),
        "qty": steps_text(feed.tick_volume(tick), feed.volume_scale), "time": feed.tick_time(tick),
        "quote": steps_text(feed.tick_price(tick) * feed.tick_volume(tick), feed.price_scale + feed.volume_scale),
        "buyer_is_maker": not feed.went_up(tick),
    }  # fmt: skip


def trades(call: Call) -> Any:
    """GET trades."""
    return [
        {"id": t["id"], "price": t["price"], "qty": t["qty"], "quoteQty": t["quote"], "time": t["time"],
         "isBuyerMaker": t["buyer_is_maker"]} for t in recent_ticks(call)
    ]  # fmt: skip


def agg_trades(call: Call) -> Any:
    """GET aggTrades."""
    return [
        {"a": t["id"], "p": t["price"], "q": t["qty"], "f": t["id"], "l": t["id"], "T": t["time"],
         "m": t["buyer_is_maker"]} for t in recent_ticks(call)
    ]  # fmt: skip


def open_interest(call: Call) -> Any:
    """GET openInterest: a day's worth of the symbol's usual liquidity, with what our accounts hold."""
    feed = feed_for(call)
    venue = call.venue
    held = sum(abs(venue.accounts[key].position(feed.symbol).qty) for key in venue.holders[feed.symbol])
    base = round(feed.liquidity(max(0, feed.tick_at(call.now_ms))) * 300 * 24, 3)
    return {"openInterest": f"{base + float(held):.3f}", "symbol": feed.symbol, "time": call.now_ms}


def _get(handle: Any, weight: Any) -> Route:
    return Route(handle, Access.PUBLIC, weight)


ROUTES: Routes = {
    ("GET", "/fapi/v1/ping"): _get(lambda call: {}, fixed(1)),
    ("GET", "/fapi/v1/time"): _get(server_time, fixed(1)),
    ("GET", "/fapi/v1/exchangeInfo"): _get(exchange_info, fixed(1)),
    ("GET", "/fapi/v1/klines"): _get(klines, by_limit(500, (99, 1), (499, 2), (1000, 5), (1500, 10))),
    ("GET", "/fapi/v1/depth"): _get(depth, by_limit(500, (50, 2), (100, 5), (500, 10), (1000, 20))),
    ("GET", "/fapi/v1/ticker/24hr"): _get(day_ticker, by_symbol(1, 40)),
    ("GET", "/fapi/v1/ticker/bookTicker"): _get(book_ticker, by_symbol(2, 5)),
    ("GET", "/fapi/v1/ticker/price"): _get(price_ticker, by_symbol(1, 2)),
    ("GET", "/fapi/v2/ticker/price"): _get(price_ticker, by_symbol(1, 2)),
    ("GET", "/fapi/v1/premiumIndex"): _get(premium_index, by_symbol(1, 10)),
    ("GET", "/fapi/v1/fundingRate"): _get(funding_rates, fixed(1)),
    ("GET", "/fapi/v1/fundingInfo"): _get(lambda call: [], fixed(1)),
    ("GET", "/fapi/v1/trades"): _get(trades, fixed(5)),
    ("GET", "/fapi/v1/historicalTrades"): Route(trades, Access.KEY, fixed(20)),
    ("GET", "/fapi/v1/aggTrades"): _get(agg_trades, fixed(20)),
    ("GET", "/fapi/v1/openInterest"): _get(open_interest, fixed(1)),
}
