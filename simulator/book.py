"""The order book around a tick: finite, made from symbol, tick and seed alone, and eaten by those who take from it."""

import random
from dataclasses import dataclass, field

from simulator.filters import SymbolRules
from simulator.market.feed import Feed

LEVELS = 40
SPREAD = 0.5e-4  # of the price
CONSUMPTION_ROOM = 1000  # update ids between two ticks, one for each time that somebody takes from the book

Level = tuple[int, int]  # price in steps, size in steps


@dataclass(slots=True)
class Depth:
    """A book at an instant: its update id, bids best first, asks best first, in steps."""

    update_id: int
    at_ms: int
    bids: list[Level]
    asks: list[Level]


@dataclass(slots=True)
class Book:
    """The book of one symbol; `at` answers for an instant, `take` remembers what was taken until the next tick."""

    feed: Feed
    rules: SymbolRules
    _tick: int = -1
    _bids: list[Level] = field(default_factory=list)
    _asks: list[Level] = field(default_factory=list)
    _takes: int = 0

    def at(self, now_ms: int) -> Depth:
        """The book at an instant; empty before the symbol is listed."""
        tick = self.feed.tick_at(now_ms)
        if tick < 0:
            return Depth(0, now_ms, [], [])
        if tick != self._tick:
            self._tick, self._takes = tick, 0
            self._bids, self._asks = self._make(tick)
        update_id = (tick + 1) * CONSUMPTION_ROOM + min(self._takes, CONSUMPTION_ROOM - 1)
        return Depth(update_id, self.feed.tick_time(tick), self._bids, self._asks)

    def take(self, now_ms: int, is_buy: bool, limit: int | None, size: int) -> list[Level]:
        """Take up to `size` from the far side at `limit` or better; what was had, best first."""
        self.at(now_ms)
        side = self._asks if is_buy else self._bids
        had: list[Level] = []
        left = size
        for price, resting in side:
            if left <= 0 or (limit is not None and (price > limit if is_buy else price < limit)):
                break
            part = min(left, resting)
            had.append((price, part))
            left -= part
        if had:
            self._eat(is_buy, had)
        return had

    def available(self, now_ms: int, is_buy: bool, limit: int | None) -> int:
        """How much the far side offers at `limit` or better, in size steps."""
        depth = self.at(now_ms)
        side = depth.asks if is_buy else depth.bids
        return sum(size for price, size in side if limit is None or (price <= limit if is_buy else price >= limit))

    def _eat(self, is_buy: bool, had: list[Level]) -> None:
        eaten = dict(had)
        side = self._asks if is_buy else self._bids
        left = [(price, size - eaten.get(price, 0)) for price, size in side if size > eaten.get(price, 0)]
        if is_buy:
            self._asks = left
        else:
            self._bids = left
        self._takes += 1

    def _make(self, tick: int) -> tuple[list[Level], list[Level]]:
        price = self.feed.tick_price(tick)
        spread = max(1, round(price * SPREAD))
        gap = max(1, spread // 2)
        bid, ask = (price - spread, price) if self.feed.went_up(tick) else (price, price + spread)
        dice = random.Random(tick * 2_654_435_761 ^ self.feed.seed << 3 ^ len(self.feed.symbol))
        unit = self.feed.liquidity(tick) * 10**self.rules.qty_scale
        bids, asks = [], []
        for n in range(LEVELS):
            depth = unit * (1 + 0.15 * n)
            if bid - n * gap > 0:
                bids.append((bid - n * gap, max(1, int(depth * (0.5 + dice.random())))))
            asks.append((ask + n * gap, max(1, int(depth * (0.5 + dice.random())))))
        return bids, asks
