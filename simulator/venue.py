"""The venue's memory: accounts, orders and fills, indexed for the questions asked of them, and one way to change them."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from simulator.account import Account, Margins, margins
from simulator.book import Book, Depth
from simulator.clock import VenueClock
from simulator.errors import refuse
from simulator.faults import Faults
from simulator.filters import SymbolRules, rules_of
from simulator.market.market import Market
from simulator.money import from_steps
from simulator.orders import AlgoOrder, Fill, Income, Order
from simulator.personality import BINANCE_FUTURES, Personality, personality
from simulator.state import Change, Store

EventSink = Callable[[str, dict[str, Any]], None]


def _no_listener(api_key: str, event: dict[str, Any]) -> None:
    """Nobody listens before the streams are attached."""


@dataclass(slots=True)
class Venue:
    """Everything the venue knows. All methods run in one thread; every change goes through `commit`."""

    market: Market
    clock: VenueClock
    store: Store
    faults: Faults = field(default_factory=Faults)
    personality: Personality = BINANCE_FUTURES
    tell: EventSink = _no_listener
    rules: dict[str, SymbolRules] = field(default_factory=dict)
    books: dict[str, Book] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    algos: dict[int, AlgoOrder] = field(default_factory=dict)
    fills: dict[str, list[Fill]] = field(default_factory=lambda: defaultdict(list))
    income: dict[str, list[Income]] = field(default_factory=lambda: defaultdict(list))
    open_orders: dict[str, dict[int, Order]] = field(default_factory=lambda: defaultdict(dict))
    open_algos: dict[str, dict[int, AlgoOrder]] = field(default_factory=lambda: defaultdict(dict))
    orders_of: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    algos_of: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    orders_by_client_id: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    algos_by_client_id: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    holders: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    countdowns: dict[tuple[str, str], int] = field(default_factory=dict)
    shown_levels: dict[str, list[tuple[set[int], set[int]]]] = field(default_factory=lambda: defaultdict(list))
    interest_version: int = 0
    engine_ms: int = 0
    late_fills: list[tuple[int, float]] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rules = {symbol: rules_of(feed) for symbol, feed in self.market.feeds.items()}
        self.books = {s: Book(feed, self.rules[s]) for s, feed in self.market.feeds.items()}
        self._load()

    def _load(self) -> None:
        for doc in self.store.rows("accounts"):
            account = Account.load(doc)
            self.accounts[account.api_key] = account
            self.note_holdings(account)
        for doc in self.store.rows("orders"):
            self.index_order(Order.load(doc))
        for doc in self.store.rows("algos"):
            self.index_algo(AlgoOrder.load(doc))
        for doc in self.store.rows("fills"):
            fill = Fill.load(doc)
            self.fills[fill.account].append(fill)
        for doc in self.store.rows("income"):
            entry = Income.load(doc)
            self.income[entry.account].append(entry)
        self._next = {
            "order": max(self.orders, default=8_000_000_000) + 1,
            "algo": max(self.algos, default=2_000_000) + 1,
            "trade": max((f.trade_id for some in self.fills.values() for f in some), default=100_000) + 1,
            "tran": max((i.tran_id for some in self.income.values() for i in some), default=9_000_000) + 1,
        }
        self.engine_ms = int(self.store.fact("venue_ms") or self.clock.now_ms())
        self.statuses = json.loads(self.store.fact("statuses") or "{}")

    def keep_status(self, symbol: str, status: str) -> None:
        """Remember the state of a listing that somebody has changed."""
        self.statuses[symbol] = status
        self.store.keep_fact("statuses", json.dumps(self.statuses))

    def status_of(self, symbol: str, now_ms: int) -> str:
        """The state of a listing in the venue's word."""
        if not self.market.is_listed(symbol, now_ms):
            return "PENDING_TRADING"
        return self.statuses.get(symbol, "TRADING")

    def is_shown(self, symbol: str, now_ms: int) -> bool:
        """Whether public figures of the symbol are told."""
        return self.market.is_listed(symbol, now_ms) and self.statuses.get(symbol) != "CLOSE"

    def accepts(self, symbol: str, now_ms: int, reduces: bool) -> bool:
        """Whether an order in the symbol is accepted now."""
        status = self.status_of(symbol, now_ms)
        return status == "TRADING" or (reduces and status == "PRE_SETTLE")

    def take_id(self, kind: str) -> int:
        """The next id of a kind: order, algo, trade or tran."""
        number = self._next[kind]
        self._next[kind] = number + 1
        return number

    def index_order(self, order: Order) -> None:
        """Make a new or loaded order findable."""
        self.orders[order.order_id] = order
        self.orders_of[order.account].append(order.order_id)
        self.orders_by_client_id[order.account, order.client_id].append(order.order_id)
        if order.is_open:
            self.open_orders[order.symbol][order.order_id] = order
            self.interest_version += 1

    def index_algo(self, algo: AlgoOrder) -> None:
        """Make a new or loaded conditional order findable."""
        self.algos[algo.algo_id] = algo
        self.algos_of[algo.account].append(algo.algo_id)
        self.algos_by_client_id[algo.account, algo.client_id].append(algo.algo_id)
        if algo.is_open:
            self.open_algos[algo.symbol][algo.algo_id] = algo
            self.interest_version += 1

    def touch_order(self, change: Change, order: Order) -> None:
        """Note that an order changed, and drop it from the open ones when it is done."""
        change.orders[order.order_id] = order
        if not order.is_open and order.order_id in self.open_orders[order.symbol]:
            del self.open_orders[order.symbol][order.order_id]
            self.interest_version += 1

    def touch_algo(self, change: Change, algo: AlgoOrder) -> None:
        """Note that a conditional order changed, and drop it from the waiting ones when it is done."""
        change.algos[algo.algo_id] = algo
        if not algo.is_open and algo.algo_id in self.open_algos[algo.symbol]:
            del self.open_algos[algo.symbol][algo.algo_id]
            self.interest_version += 1

    def note_holdings(self, account: Account) -> None:
        """Keep the list of who holds what, which matching and funding walk."""
        for position in account.positions.values():
            if position.qty:
                self.holders[position.symbol].add(account.api_key)
            else:
                self.holders[position.symbol].discard(account.api_key)

    def commit(self, change: Change, at_ms: int) -> None:
        """Keep a change, then tell whom it concerns; in that order, so that nobody hears what could be lost."""
        if not change:
            return
        self.store.keep(change, at_ms)
        now_ms = self.clock.now_ms()
        for api_key, event in change.events:
            event["E"] = max(now_ms, int(event["T"]))
            self.tell(api_key, event)

    def note_snapshot(self, symbol: str, book: Depth) -> None:
        """Remember the levels a snapshot showed, so that the next difference on the stream corrects each of them."""
        for bids, asks in self.shown_levels.get(symbol, ()):
            bids.update(price for price, _ in book.bids)
            asks.update(price for price, _ in book.asks)

    def account(self, api_key: str) -> Account:
        """The account of a key, or the venue's refusal."""
        account = self.accounts.get(api_key)
        if account is None:
            raise refuse(-2015)
        return account

    def personality_of(self, api_key: str) -> Personality:
        """How the venue behaves towards an account: as it was opened, else as the venue does."""
        account = self.accounts.get(api_key)
        return personality(account.personality) if account and account.personality else self.personality

    def set_tick(self, symbol: str, tick: Decimal) -> None:
        """Change the price step that orders in a symbol must keep, until `restore_ticks` or the venue's end."""
        self.rules[symbol] = self.rules_for(symbol).with_tick(tick)

    def restore_ticks(self) -> None:
        """Let every symbol take prices on the grid it trades on."""
        for symbol, rules in self.rules.items():
            self.rules[symbol] = replace(rules, tick_scale=rules.price_scale)

    def rules_for(self, symbol: str | None) -> SymbolRules:
        """A symbol's rules, or the venue's refusal of an unknown one."""
        rules = self.rules.get(symbol or "")
        if rules is None:
            raise refuse(-1121)
        return rules

    def last_price(self, symbol: str, at_ms: int) -> Decimal:
        """The last traded price, which is also the mark; zero before listing."""
        feed = self.market.feeds[symbol]
        tick = feed.tick_at(at_ms)
        return from_steps(feed.tick_price(tick), feed.price_scale) if tick >= 0 else Decimal(0)

    def open_orders_of(self, api_key: str) -> dict[str, list[Order]]:
        """An account's open orders by symbol."""
        out: dict[str, list[Order]] = {}
        for symbol, some in self.open_orders.items():
            mine = [o for o in some.values() if o.account == api_key]
            if mine:
                out[symbol] = mine
        return out

    def margins_of(self, account: Account, at_ms: int) -> Margins:
        """The account's margin at an instant."""
        return margins(account, self.open_orders_of(account.api_key), lambda s: self.last_price(s, at_ms), self.rules)
