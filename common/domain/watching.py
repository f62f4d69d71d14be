"""What a stream has heard of one instrument, kept no longer than a snapshot needs it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Generic, TypeVar

from common.domain.indicators.microstructure import Trade
from common.domain.market import OrderBook
from common.domain.snapshot import TAPE_SPAN, MarketSnapshot, of_book, of_tape

T = TypeVar("T")

TRADES_MAX = 10_000
"""Trades kept of one instrument; a faster tape is not whole any more and counts as not known."""

STEP_S = 60
"""Closes of all candles are whole multiples of it."""

_CLOSES_KEPT = 3
FRESH = timedelta(seconds=15)
"""How old the last word on book and mark may be at a close. Quiet markets stand still for a while; a dead socket is
noticed by its silence."""

INTEREST_FRESH = timedelta(minutes=15)
"""How old open interest may be at a close; venues publish it every few minutes."""


@dataclass(slots=True)
class AsOf(Generic[T]):
    """The latest value, and the last one before each of the last few whole minutes, so that a close can be told late."""

    _latest: tuple[datetime, T] | None = None
    _before: deque[tuple[datetime, T]] = field(default_factory=lambda: deque(maxlen=_CLOSES_KEPT))

    def add(self, at: datetime, value: T) -> None:
        """`value` holds from `at` on; what is older than the latest changes nothing."""
        if self._latest is not None:
            if at < self._latest[0]:
                return
            if _minute(at) != _minute(self._latest[0]):
                self._before.append(self._latest)
        self._latest = (at, value)

    def get(self, at: datetime, fresh: timedelta) -> tuple[datetime, T] | None:
        """(since when, value) as it was at `at`; None when it is not known, or was older than `fresh` then."""
        known = (self._latest, *reversed(self._before))
        found = next((item for item in known if item is not None and item[0] <= at), None)
        return found if found is not None and at - found[0] <= fresh else None

    def clear(self) -> None:
        """Forget everything."""
        self._latest = None
        self._before.clear()


def _minute(at: datetime) -> int:
    # A microsecond earlier: what happens at the very close belongs to it.
    return int((at - timedelta(microseconds=1)).timestamp()) // STEP_S


class Watched:
    """Book, tape, mark, funding and open interest of one instrument; bounded, and honest about what it missed."""

    def __init__(
        self, venue: str, symbol: str, fresh: timedelta = FRESH, interest_fresh: timedelta = INTEREST_FRESH
    ) -> None:
        self._venue, self._symbol, self._fresh, self._interest_fresh = venue, symbol, fresh, interest_fresh
        self._books: AsOf[OrderBook] = AsOf()
        self._figures: AsOf[tuple[Decimal | None, Decimal | None]] = AsOf()
        self._interest: AsOf[Decimal] = AsOf()
        self._trades: deque[Trade] = deque(maxlen=TRADES_MAX)
        self._tape_since: datetime | None = None

    def saw_book(self, book: OrderBook) -> None:
        """The book as of its own time."""
        self._books.add(book.occurred_at, book)

    def hears_tape(self, since: datetime) -> None:
        """From `since` on no trade is missed, as far as anybody can tell."""
        self._tape_since = self._tape_since or since

    def saw_trades(self, trades: Iterable[Trade]) -> None:
        """Trades in the order in which they happened."""
        for trade in trades:
            if len(self._trades) == TRADES_MAX:  # The oldest goes, and with it the claim to know it all.
                self._tape_since = max(self._tape_since or trade.occurred_at, self._trades[0].occurred_at)
            self._trades.append(trade)
        while self._trades and trade_age(self._trades) > TAPE_SPAN * (_CLOSES_KEPT + 1):
            self._trades.popleft()

    def saw_figures(self, mark: Decimal | None, funding_rate: Decimal | None, at: datetime) -> None:
        """Mark price and the rate of the coming funding."""
        self._figures.add(at, (mark, funding_rate))

    def saw_open_interest(self, amount: Decimal, at: datetime) -> None:
        """Open interest in base units."""
        self._interest.add(at, amount)

    def lost_sight(self) -> None:
        """The connection was lost: what was heard before says nothing about what was missed."""
        self._books.clear()
        self._figures.clear()
        self._trades.clear()
        self._tape_since = None

    def at(self, closed_at: datetime) -> MarketSnapshot | None:
        """The snapshot of `closed_at`; None when no fresh book was known then."""
        seen = self._books.get(closed_at, self._fresh)
        if seen is None:
            return None
        observed_at, book = seen
        mark = self._figures.get(closed_at, self._fresh)
        interest = self._interest.get(closed_at, self._interest_fresh)
        has_tape = self._tape_since is not None and self._tape_since <= closed_at - TAPE_SPAN
        return MarketSnapshot(
            venue=self._venue,
            symbol=self._symbol,
            closed_at=closed_at,
            observed_at=max(observed_at, mark[0]) if mark else observed_at,
            mark=mark[1][0] if mark else None,
            funding_rate=mark[1][1] if mark else None,
            open_interest=interest[1] if interest else None,
            **of_book(book),
            **(of_tape(self._trades, closed_at) if has_tape else {}),
        )


def trade_age(trades: deque[Trade]) -> timedelta:
    """How long before the newest of `trades` the oldest happened."""
    return trades[-1].occurred_at - trades[0].occurred_at
