"""The engine: walks the market's ticks in order, fires conditional orders, fills resting ones, funds and liquidates."""

from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import itemgetter

from simulator.entry import held_back, resume_market
from simulator.funding import FUNDING_MS, pay_funding
from simulator.ledger import book_fill
from simulator.liquidation import liquidate_if_due
from simulator.money import from_steps, to_steps
from simulator.orders import AlgoOrder, Order
from simulator.state import Change
from simulator.trigger import fire
from simulator.venue import Venue

NEVER_BELOW, NEVER_ABOVE = -1, 1 << 62
# Of what trades exactly at a resting order's price, half goes to those who were there before it.
SHARE_AT_TOUCH = 2


@dataclass(slots=True)
class Interest:
    """The prices, in steps, between which nothing of a symbol's orders can happen."""

    low: int
    high: int
    is_restless: bool  # a frozen market order waits for time, not for a price

    def sleeps_at(self, price: int) -> bool:
        """Whether a tick at this price concerns no order."""
        return self.low < price < self.high and not self.is_restless


class Engine:
    """Moves the venue from one instant to the next; idle symbols cost nothing."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._interest: dict[str, Interest] = {}
        self._version = -1

    def advance(self, now_ms: int) -> None:
        """Work through everything that the market did since the last call, and commit it."""
        venue = self.venue
        start_ms = venue.engine_ms
        if now_ms <= start_ms:
            return
        change = Change()
        reached = start_ms
        try:
            for at_ms, entries in groupby(self._agenda(start_ms, now_ms), key=itemgetter(0)):
                reached = at_ms
                self._instant(at_ms, [(symbol, tick) for _, symbol, tick in entries], change)
            reached = now_ms
        finally:
            # Even when a step fails, what was done before it is kept and not done again.
            venue.engine_ms = reached
            venue.commit(change, reached)

    def _agenda(self, start_ms: int, now_ms: int) -> list[tuple[int, str, int]]:
        """Ticks of the symbols that matter, and funding instants, in time order; funding first at the same instant."""
        venue = self.venue
        until_ms = min(now_ms, venue.market.end_ms or now_ms)
        fundings = range(start_ms // FUNDING_MS + 1, until_ms // FUNDING_MS + 1)
        agenda: list[tuple[int, str, int]] = [(number * FUNDING_MS, "", 0) for number in fundings]
        for symbol, feed in venue.market.feeds.items():
            if venue.open_orders.get(symbol) or venue.open_algos.get(symbol) or venue.holders.get(symbol):
                first, last = feed.tick_at(start_ms), feed.tick_at(now_ms)
                agenda.extend((feed.tick_time(t), symbol, t) for t in range(first + 1, last + 1))
        agenda.sort()
        return agenda

    def _instant(self, at_ms: int, entries: list[tuple[str, int]], change: Change) -> None:
        """All that happens at one instant: funding, then every symbol's tick, then a look at whom it ruined."""
        venue = self.venue
        exposed: set[str] = set()
        for symbol, tick in entries:
            if not symbol:
                pay_funding(venue, at_ms, change)
                continue
            if venue.statuses.get(symbol) == "BREAK":
                continue
            price = venue.market.feeds[symbol].tick_price(tick)
            if not self._interest_in(symbol).sleeps_at(price):
                self._match(symbol, tick, price, at_ms, change)
            exposed |= venue.holders[symbol]
        for api_key in sorted(exposed):
            liquidate_if_due(venue, venue.accounts[api_key], at_ms, change)

    def _match(self, symbol: str, tick: int, price: int, at_ms: int, change: Change) -> None:
        venue = self.venue
        feed, rules = venue.market.feeds[symbol], venue.rules[symbol]
        last = from_steps(price, feed.price_scale)
        for algo in sorted(venue.open_algos[symbol].values(), key=lambda a: a.algo_id):
            if algo.is_open and algo.fires_at(last):
                fire(venue, algo, at_ms, change)
        traded = from_steps(feed.tick_volume(tick), feed.volume_scale)
        offered = to_steps(traded.quantize(rules.step, "ROUND_DOWN"), rules.qty_scale)
        for order in sorted(venue.open_orders[symbol].values(), key=_priority):
            if not order.is_open or order.frozen_until_ms > at_ms:
                continue
            if order.type == "MARKET":
                resume_market(venue, order, at_ms, change)
            elif order.price >= last if order.is_buy else order.price <= last:
                room = offered if order.price != last else offered // SHARE_AT_TOUCH
                offered -= self._fill_resting(order, room, at_ms, change)

    def _fill_resting(self, order: Order, room: int, at_ms: int, change: Change) -> int:
        """Fill a resting order from what traded at or through its price; what it took, in steps."""
        venue = self.venue
        rules = venue.rules[order.symbol]
        wanted = order.remaining
        if order.reduce_only:
            wanted = min(wanted, venue.accounts[order.account].position(order.symbol).reducible_by(order.is_buy))
        size = min(room, to_steps(wanted, rules.qty_scale))
        size = held_back(venue, order, size, at_ms, change)
        if size <= 0:
            return 0
        book_fill(venue, order, order.price, from_steps(size, rules.qty_scale), True, at_ms, change)
        return size

    def _interest_in(self, symbol: str) -> Interest:
        if self._version != self.venue.interest_version:
            self._interest.clear()
            self._version = self.venue.interest_version
        found = self._interest.get(symbol)
        if found is None:
            found = self._interest[symbol] = self._measure(symbol)
        return found

    def _measure(self, symbol: str) -> Interest:
        scale = self.venue.rules[symbol].price_scale
        orders: list[Order] = list(self.venue.open_orders[symbol].values())
        algos: list[AlgoOrder] = list(self.venue.open_algos[symbol].values())
        resting = [o for o in orders if o.type != "MARKET"]
        low = [to_steps(o.price, scale) for o in resting if o.is_buy]
        low += [to_steps(a.trigger, scale) for a in algos if not a.fires_upward]
        high = [to_steps(o.price, scale) for o in resting if not o.is_buy]
        high += [to_steps(a.trigger, scale) for a in algos if a.fires_upward]
        return Interest(max(low, default=NEVER_BELOW), min(high, default=NEVER_ABOVE), len(resting) < len(orders))


def _priority(order: Order) -> tuple[int, Decimal, int]:
    """Market orders, then buys from the highest price, then sells from the lowest; older first."""
    if order.type == "MARKET":
        return (0, Decimal(0), order.order_id)
    return (1, -order.price, order.order_id) if order.is_buy else (2, order.price, order.order_id)
