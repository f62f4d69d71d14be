"""A venue inside the test's own process, whose time moves only when the test says so."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from simulator.account import Account
from simulator.clock import VenueClock
from simulator.ledger import book_income
from simulator.market.market import open_market
from simulator.matching import Engine
from simulator.money import ZERO
from simulator.state import Change, Store
from simulator.venue import Venue


class Stage:
    """A venue, its engine, and the instant at which the play stands."""

    def __init__(self, folder: Path | None, warmup: int = 10, seed: int = 7) -> None:
        market = open_market(folder, [], seed, warmup, None)
        self.venue = Venue(market, VenueClock(market.start_ms / 1000), Store(None))
        self.engine = Engine(self.venue)
        self.now_ms = market.start_ms
        self.venue.engine_ms = self.now_ms
        self.told: list[tuple[str, str]] = []
        self.venue.tell = lambda key, event: self.told.append((key, str(event["e"])))

    def account(self, key: str, balance: str) -> Account:
        """A fresh account with a deposit."""
        account = self.venue.accounts[key] = Account(key, "secret", ZERO, self.now_ms, self.now_ms)
        change = Change(accounts={key: account})
        book_income(self.venue, account, "TRANSFER", Decimal(balance), "", self.now_ms, change)
        self.venue.commit(change, self.now_ms)
        return account

    def pass_time(self, seconds: float) -> None:
        """Let the market move."""
        self.now_ms += int(seconds * 1000)
        self.engine.advance(self.now_ms)

    def wallet_by_income(self, key: str) -> Decimal:
        """What the wallet must be."""
        return sum((entry.amount for entry in self.venue.income[key]), ZERO)

    def position_by_fills(self, key: str, symbol: str) -> Decimal:
        """What the position must be."""
        mine = [f for f in self.venue.fills[key] if f.symbol == symbol]
        return sum((f.qty if f.side == "BUY" else -f.qty for f in mine), ZERO)
