"""What people look up beside the venue, in the protocols it is published in: coins as CoinGecko and CoinMarketCap tell them, the fear-and-greed index."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from simulator.market.feed import Feed
from simulator.market.market import Market
from simulator.rest.market_data import DAY_MS, day_figures
from simulator.venue import Venue

PAGE_MAX = 250
LISTINGS_MAX = 5_000
CAP_IN_DAILY_TURNOVERS = 20  # A coin's worth in days of its own turnover: the order of magnitude of real ones.
MOOD_DAYS = 7
MOOD_SCALE = 10.0  # A change of ten percent in a week makes greed of what was neutral.
MOODS = ((24, "Extreme Fear"), (46, "Fear"), (54, "Neutral"), (75, "Greed"), (100, "Extreme Greed"))


class Sources:
    """Answers /api/v3 as CoinGecko does, /v1/cryptocurrency as CoinMarketCap does and /fng as alternative.me does.

    All say what this world's market says.
    """

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def attach(self, app: web.Application) -> None:
        """Put the routes in place."""
        app.router.add_get("/api/v3/ping", self.ping)
        app.router.add_get("/api/v3/coins/markets", self.coins)
        app.router.add_get("/v1/cryptocurrency/listings/latest", self.listings)
        app.router.add_get("/fng/", self.fear_greed)

    async def ping(self, request: web.Request) -> web.Response:
        """CoinGecko's sign of life."""
        return _json({"gecko_says": "(V3) To the Moon!"})

    async def coins(self, request: web.Request) -> web.Response:
        """GET coins/markets: price, market cap and volume, the largest first."""
        now_ms = self.venue.clock.now_ms()
        if request.query.get("vs_currency") != "usd":
            return _json({"error": "invalid vs_currency"}, 422)
        if self.venue.faults.consult("sources.reply", now_ms, path=request.path) is not None:
            return _json({"status": {"error_code": 429, "error_message": "You've exceeded the Rate Limit."}}, 429)
        size = _whole(request.query.get("per_page", ""), 100, PAGE_MAX)
        page = _whole(request.query.get("page", ""), 1, 10_000)
        return _json(self._ranked(now_ms)[(page - 1) * size : page * size])

    async def listings(self, request: web.Request) -> web.Response:
        """GET listings/latest: as `coins`, in CoinMarketCap's words; whoever brings no key is refused."""
        now_ms = self.venue.clock.now_ms()
        if not request.headers.get("X-CMC_PRO_API_KEY"):
            return _json({"status": {"error_code": 1002, "error_message": "API key missing."}}, 401)
        if self.venue.faults.consult("sources.reply", now_ms, path=request.path) is not None:
            return _json({"status": {"error_code": 1008, "error_message": "You've exceeded your rate limit."}}, 429)
        size = _whole(request.query.get("limit", ""), 100, LISTINGS_MAX)
        first = _whole(request.query.get("start", ""), 1, 10_000) - 1
        rows = self._ranked(now_ms)[first : first + size]
        status = {"timestamp": _iso(now_ms), "error_code": 0, "error_message": None, "credit_count": 1}
        return _json({"status": status, "data": [_listed(row) for row in rows]})

    def _ranked(self, now_ms: int) -> list[dict[str, Any]]:
        rows = [self._coin(symbol, now_ms) for symbol in self.venue.rules if self.venue.is_shown(symbol, now_ms)]
        rows.sort(key=lambda row: (-row["market_cap"], row["id"]))
        for rank, row in enumerate(rows, 1):
            row["market_cap_rank"] = rank
        return rows

    def _coin(self, symbol: str, now_ms: int) -> dict[str, Any]:
        day = day_figures(self.venue, symbol, now_ms)
        base, turnover = self.venue.rules[symbol].base, Decimal(day["quote"])
        fault = self.venue.faults.consult("sources.price", now_ms, symbol=symbol)
        price = Decimal(day["last"]) * Decimal(str(fault.params.get("factor", 2) if fault else 1))
        return {
            "id": base.lower(), "symbol": base.lower(), "name": base, "current_price": float(price),
            "market_cap": round(float(turnover) * CAP_IN_DAILY_TURNOVERS), "market_cap_rank": 0,
            "total_volume": float(turnover), "high_24h": float(day["high"]), "low_24h": float(day["low"]),
            "price_change_percentage_24h": float(day["percent"]), "last_updated": _iso(now_ms),
        }  # fmt: skip

    async def fear_greed(self, request: web.Request) -> web.Response:
        """GET /fng/: one value a day, the newest first; `limit=0` gives all there are."""
        now_ms = self.venue.clock.now_ms()
        wish = request.query.get("limit", "1")
        if not wish.isdigit():
            return _json({"name": "Fear and Greed Index", "data": [], "metadata": {"error": "limit is no number"}})
        days = moods(self.venue.market, now_ms)
        shown = days if wish == "0" else days[: int(wish)]
        rows: list[dict[str, str]] = [
            {"value": str(value), "value_classification": _mood(value), "timestamp": str(day_ms // 1000)}
            for day_ms, value in shown
        ]
        if rows:
            rows[0]["time_until_update"] = str((DAY_MS - now_ms % DAY_MS) // 1000)
        return _json({"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}})


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of CoinGecko's as CoinMarketCap writes it."""
    quote = {
        "price": row["current_price"], "volume_24h": row["total_volume"], "market_cap": row["market_cap"],
        "percent_change_24h": row["price_change_percentage_24h"], "last_updated": row["last_updated"],
    }  # fmt: skip
    return {
        "id": row["market_cap_rank"], "name": row["name"], "symbol": row["name"], "slug": row["id"],
        "cmc_rank": row["market_cap_rank"], "last_updated": row["last_updated"], "quote": {"USD": quote},
    }  # fmt: skip


def moods(market: Market, now_ms: int) -> list[tuple[int, int]]:
    """(midnight, index 0..100) of every day of this market, the newest first; how far prices have come in a week."""
    first = min(feed.first_ms for feed in market.feeds.values())
    days = range(now_ms // DAY_MS, -(-first // DAY_MS) - 1, -1)
    found = []
    for day in days:
        changes = [c for feed in market.feeds.values() if (c := _week(feed, day * DAY_MS)) is not None]
        if changes:
            mean = sum(changes) / len(changes)
            found.append((day * DAY_MS, round(50 + 50 * math.tanh(mean * MOOD_SCALE))))
    return found


def _week(feed: Feed, at_ms: int) -> float | None:
    """How the price has changed in the week before an instant, or since its listing."""
    row = feed.row_at(at_ms) - 1
    if row < 1:
        return None
    before = max(0, feed.row_at(at_ms - MOOD_DAYS * DAY_MS))
    return float(feed.columns.close[row] / feed.columns.close[before] - 1)


def _mood(value: int) -> str:
    return next(name for most, name in MOODS if value <= most)


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _whole(text: str, default: int, most: int) -> int:
    return max(1, min(most, int(text))) if text.isdigit() else default


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
