"""The whole practice world put together: venue, streams, model and control behind one address, and its heartbeat."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiohttp import web

from simulator import desk
from simulator.clock import VenueClock
from simulator.control import Control
from simulator.limits import Limits
from simulator.market.market import open_market
from simulator.matching import Engine
from simulator.model import ModelEndpoint
from simulator.personality import BINANCE_FUTURES, personality
from simulator.rest.server import RestServer
from simulator.sources import Sources
from simulator.state import Store
from simulator.stream import Hub
from simulator.venue import Venue

log = logging.getLogger("simulator")
ENGINE_SECONDS = 0.025  # between two looks of the engine at the market
STREAM_SECONDS = 0.1
KEEP_SECONDS = 0.1  # between two times that the clock's instant is kept


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    host: str = "127.0.0.1"
    port: int = 0
    state: Path | None = None
    market: Path | None = None
    speed: float = 1.0
    seed: int = 7
    symbols: tuple[str, ...] = ()
    start: datetime | None = None
    warmup_candles: int = 1000
    model_latency: float = 0.02
    weight_limit: int = 2400
    personality: str = BINANCE_FUTURES.name


class World:
    """One practice world; `build` makes the web application, whose life starts and ends the heartbeat."""

    def __init__(self, options: Options) -> None:
        market = open_market(options.market, list(options.symbols), options.seed, options.warmup_candles, options.start)
        self.store = Store(options.state)
        self.store.claim(market.fingerprint)
        kept = self.store.fact("venue_ms")
        clock = VenueClock((int(kept) if kept else market.start_ms) / 1000, options.speed)
        self.venue = Venue(market, clock, self.store, personality=personality(options.personality))
        self.engine = Engine(self.venue)
        self.rest = RestServer(self.venue, self.engine, Limits(weight_per_minute=options.weight_limit))
        self.hub = Hub(self.venue)
        self.sources = Sources(self.venue)
        self.model = ModelEndpoint(self.venue, options.model_latency)

    def build(self) -> web.Application:
        """The routes of the world."""
        app = web.Application(client_max_size=2_000_000)
        Control(self.venue, self.engine, self.rest, self.hub).attach(app)
        self.model.attach(app)
        self.sources.attach(app)
        for path in ("/fapi/{tail:.*}", "/sapi/{tail:.*}"):
            app.router.add_route("*", path, self.rest.handle)
        for kind in ("", "/market", "/public", "/private"):
            for form in ("ws", "stream"):
                app.router.add_get(f"{kind}/{form}", self.hub.handle)
                app.router.add_get(f"{kind}/{form}/{{tail:.*}}", self.hub.handle)
        app.cleanup_ctx.append(self._live)
        return app

    async def _live(self, app: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._tell())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.hub.close()
        self.engine.advance(self.venue.clock.now_ms())
        self.store.keep_instant(self.venue.engine_ms)
        self.store.close()

    async def _work(self) -> None:
        """Move the venue on, for ever; an error in one beat is written down and the next beat goes on."""
        loop = asyncio.get_running_loop()
        keep_at = 0.0
        while True:
            try:
                self.beat()
                if loop.time() >= keep_at:
                    self.store.keep_instant(self.venue.engine_ms)
                    keep_at = loop.time() + KEEP_SECONDS
            except Exception:
                log.exception("the engine's beat failed; the next one goes on from there")
            await asyncio.sleep(ENGINE_SECONDS)

    def beat(self) -> None:
        """One step of the venue: matching, late fills, listen keys, dead man's switches."""
        now_ms = self.venue.clock.now_ms()
        self.engine.advance(now_ms)
        if self.venue.late_fills:
            desk.book_late_fills(self.venue, now_ms)
        self.hub.expire_due_keys(now_ms)
        for (api_key, symbol), due_ms in list(self.venue.countdowns.items()):
            if due_ms <= now_ms:
                del self.venue.countdowns[api_key, symbol]
                desk.cancel_all(self.venue, api_key, symbol, now_ms)

    async def _tell(self) -> None:
        """Send the market channels what is new, for ever."""
        while True:
            try:
                self.hub.poll(self.venue.clock.now_ms())
            except Exception:
                log.exception("a channel's poll failed; the next one goes on from there")
            await asyncio.sleep(STREAM_SECONDS)
