"""The paper venue's own ways: what it does between two looks, and when book or market cannot be reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from common.adapters.paper import PaperVenue
from common.adapters.paper_market import PaperMarket
from common.domain.errors import NotFound, OutcomeUnknown, Permanent, Refused, Transient
from common.domain.market import Candle, Instrument, InstrumentStatus, MarketState, MarkPrice, OrderBook, Timeframe
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderStatus
from common.domain.position import CloseReason
from common.domain.risk.book import Environment
from common.domain.tenant import Account
from tests.adapters.paper_books import MemoryBooks
from tests.clocks import NOON, ManualClock
from tests.domain.test_matching import BOOK, BTC, SYMBOL, intent, limit, stop

D = Decimal
ACCOUNT = Account(UUID(int=1), UUID(int=2), "main", "sim", Environment.PAPER, "standard")


@dataclass(slots=True)
class Market:
    """A market that the test moves; it makes candles of `timeframe` only."""

    mark: Decimal | None = D(100)
    candle_rows: list[Candle] = field(default_factory=list)
    failure: Exception | None = None
    timeframe: str = "1m"
    asked: list[tuple[str, datetime]] = field(default_factory=list)
    name: str = "sim"
    listed: list[Instrument] = field(default_factory=lambda: [BTC])
    tells_marks: bool = True
    questions: list[str] = field(default_factory=list)

    def instruments(self) -> Sequence[Instrument]:
        return self.listed

    def candles(self, symbol: str, timeframe: Timeframe, since: datetime, limit: int) -> Sequence[Candle]:
        self.asked.append((str(timeframe), since))
        if str(timeframe) != self.timeframe:
            raise Permanent("-1120 Invalid interval.")
        return [candle for candle in self.candle_rows if candle.opened_at >= since][:limit]

    def book(self, symbol: str, depth: int) -> OrderBook:
        self.questions.append(f"book {symbol}")
        return BOOK

    def marks(self, symbols: Sequence[str]) -> dict[str, MarkPrice]:
        self.questions.append("marks " + " ".join(symbols))
        if self.failure is not None:
            raise self.failure
        return dict.fromkeys(symbols, MarkPrice(self.mark)) if self.tells_marks else {}

    def market(self, instrument: Instrument) -> MarketState:
        self.questions.append(f"market {instrument.symbol}")
        if self.failure is not None:
            raise self.failure
        book = BOOK if self.mark is not None else None
        return MarketState(instrument, book, self.mark, self.mark, NOON)


@dataclass(slots=True)
class House:
    """A paper account in a market that the test moves."""

    market: Market = field(default_factory=Market)
    books: MemoryBooks = field(default_factory=MemoryBooks)
    clock: ManualClock = field(default_factory=ManualClock)

    @property
    def venue(self) -> PaperVenue:
        """The venue as a fresh process sees it: all its state is in the book."""
        return PaperVenue(ACCOUNT, PaperMarket(self.market, self.clock), self.books, self.clock)

    def place(self, asked: OrderIntent) -> Any:
        return self.venue.place(asked, self.clock.now())

    def passes(self, low: str, high: str, minutes: int = 2) -> None:
        """`minutes` go by; one whole candle in them went from `low` to `high`."""
        opened = self.clock.now() + timedelta(minutes=1)
        opened = opened.replace(second=0, microsecond=0)
        self.clock.advance(timedelta(minutes=minutes))
        length = Timeframe.parse(self.market.timeframe).duration
        self.market.candle_rows.append(Candle(opened, opened + length, D(100), D(high), D(low), D(100), D(1)))


@pytest.fixture
def house() -> House:
    return House()


def test_a_stop_that_was_touched_while_nobody_looked_has_closed_the_position(house: House) -> None:
    house.place(intent())
    house.place(stop("99"))
    house.passes("98", "101")
    found = house.venue.find(stop("99"))
    assert found is not None
    assert (found.status, found.is_conditional) == (OrderStatus.FILLED, True)
    assert list(house.venue.positions()) == []
    assert [fill.client_order_id for fill in house.venue.fills(SYMBOL, NOON)] == ["twe1", "tws1"]


def test_looking_again_and_again_books_nothing_twice(house: House) -> None:
    house.place(intent())
    house.place(limit("99", client_order_id="twe2"))
    house.passes("98", "101")
    looks = [house.venue.fills(SYMBOL, NOON) for _ in range(3)]
    assert looks[0] == looks[1] == looks[2]
    assert len(looks[0]) == 2


def test_questions_in_a_row_look_at_the_markets_once_and_later_ones_again(house: House) -> None:
    house.place(intent())
    house.place(stop("99"))
    house.passes("99.5", "101")
    venue = house.venue
    found = [venue.find(stop("99")), *venue.open_orders()]
    assert [item.status for item in found if item is not None] == [OrderStatus.ACCEPTED] * 2
    assert (len(list(venue.positions())), len(house.market.asked)) == (1, 1)
    house.passes("98", "101")
    gone = venue.find(stop("99"))
    assert gone is not None
    assert (gone.status, len(house.market.asked)) == (OrderStatus.FILLED, 2)


ETH = replace(BTC, symbol="ETH/USDT:USDT")
OTHER = Account(UUID(int=9), ACCOUNT.tenant_id, "other", "sim", Environment.PAPER, "standard")


def test_all_that_is_held_is_marked_in_one_question_for_every_account(house: House) -> None:
    house.market.listed = [BTC, ETH]
    house.place(intent())
    house.place(intent(client_order_id="twe2", instrument=ETH.symbol))
    house.clock.advance(timedelta(seconds=1))
    house.market.questions.clear()
    market = PaperMarket(house.market, house.clock)
    for account in (ACCOUNT, OTHER):
        venue = PaperVenue(account, market, house.books, house.clock)
        venue.balance()
        venue.positions()
    assert house.market.questions == [f"marks {BTC.symbol} {ETH.symbol}"]


def test_a_market_that_does_not_tell_marks_that_way_is_asked_by_itself(house: House) -> None:
    house.place(intent())
    house.clock.advance(timedelta(seconds=1))
    house.market.tells_marks = False
    house.market.mark = D(110)
    house.market.questions.clear()
    (position,) = house.venue.positions()
    assert position.mark == D(110)
    assert house.market.questions == [f"marks {SYMBOL}", f"market {SYMBOL}"]


def test_the_book_is_asked_for_where_a_stop_fills_and_worsens_its_price(house: House) -> None:
    house.place(intent())
    house.place(stop("99"))
    house.clock.advance(timedelta(seconds=1))
    house.market.questions.clear()
    house.venue.open_orders()
    assert f"book {SYMBOL}" not in house.market.questions
    house.market.mark = D(98)
    house.clock.advance(timedelta(seconds=1))
    assert list(house.venue.open_orders()) == []
    assert house.market.questions.count(f"book {SYMBOL}") == 1
    closing = house.venue.fills(SYMBOL, NOON)[-1]
    assert closing.price < D(98)


def test_a_market_without_minutes_is_looked_at_in_longer_candles(house: House) -> None:
    house.market.timeframe = "5m"
    house.place(intent())
    house.place(stop("99"))
    house.market.candle_rows.append(Candle(NOON, NOON + timedelta(minutes=5), D(100), D(101), D(98), D(100), D(1)))
    house.clock.advance(timedelta(minutes=6))
    venue = house.venue
    assert list(venue.open_orders()) == []
    assert [name for name, _ in house.market.asked] == ["1m", "5m"]


def test_candles_that_no_timeframe_has_are_an_error_and_nothing_is_guessed(house: House) -> None:
    house.market.timeframe = "never"
    house.place(limit("99"))
    house.clock.advance(timedelta(hours=3))
    with pytest.raises(Permanent, match="-1120"):
        house.venue.open_orders()


@pytest.mark.parametrize("failure", [Transient("gone"), Permanent("wrong")])
def test_an_order_is_not_taken_without_a_market(house: House, failure: Exception) -> None:
    house.market.failure = failure
    with pytest.raises(Refused, match="NOT_SENT"):
        house.place(intent())


def test_a_market_without_any_price_takes_no_order(house: House) -> None:
    house.market.mark = None
    with pytest.raises(Refused, match="no price"):
        house.place(intent())


def test_an_order_whose_stamp_is_older_than_the_window_is_void(house: House) -> None:
    stamped = house.clock.now()
    house.clock.advance(timedelta(seconds=6))
    with pytest.raises(Refused, match="older"):
        house.venue.place(intent(), stamped)


@pytest.mark.parametrize(
    ("failure", "is_kept"), [(Transient("rolled back"), False), (OutcomeUnknown("answer lost"), True)]
)
def test_a_commit_that_failed_leaves_an_unknown_outcome_that_asking_settles(
    house: House, failure: Transient | OutcomeUnknown, is_kept: bool
) -> None:
    house.venue.balance()
    house.books.next_commit = None
    venue = house.venue
    venue.open_orders()
    commits = {"seen": 0}
    original = house.books.__call__

    def failing(tenant: UUID) -> Any:
        commits["seen"] += 1
        house.books.next_commit = failure if commits["seen"] == 2 else None
        return original(tenant)

    venue._books = failing  # type: ignore[assignment]
    with pytest.raises(OutcomeUnknown):
        venue.place(intent(), house.clock.now())
    assert (house.venue.find(intent()) is not None) is is_kept


def test_an_id_that_was_ever_used_is_never_taken_again(house: House) -> None:
    house.place(intent())
    with pytest.raises(OutcomeUnknown, match="exists"):
        house.place(intent())
    assert len(house.venue.fills(SYMBOL, NOON)) == 1


def test_a_read_whose_booking_was_not_answered_can_be_asked_again(house: House) -> None:
    house.books.next_commit = OutcomeUnknown("answer lost")
    with pytest.raises(Transient):
        house.venue.balance()
    assert house.venue.balance().wallet == D(10_000)


def test_an_unknown_instrument_is_named(house: House) -> None:
    with pytest.raises(NotFound, match="NOPE"):
        house.venue.set_leverage("NOPE", 3)
    with pytest.raises(Refused, match="NOPE"):
        house.place(intent(instrument="NOPE"))


def test_equity_follows_the_mark_and_margin_is_taken_from_what_is_available(house: House) -> None:
    house.place(intent())
    house.clock.advance(timedelta(seconds=1))
    house.market.mark = D(110)
    balance = house.venue.balance()
    (position,) = house.venue.positions()
    assert balance.equity - balance.wallet == (D(110) - position.entry_price) * 2
    assert balance.available == balance.equity - D(110) * 2 / 5


def test_leverage_of_a_holding_can_be_changed(house: House) -> None:
    house.place(intent())
    before = house.venue.balance().available
    house.venue.set_leverage(SYMBOL, 10)
    assert house.venue.balance().available > before


def test_two_accounts_of_a_tenant_do_not_see_each_other(house: House) -> None:
    other = PaperVenue(OTHER, PaperMarket(house.market, house.clock), house.books, house.clock)
    house.place(intent())
    assert list(other.positions()) == []
    assert list(other.fills(SYMBOL, NOON)) == []


def test_an_exit_on_paper_is_reduce_only(house: House) -> None:
    with pytest.raises(Refused, match="REDUCE_ONLY"):
        house.place(intent(role=OrderRole.EXIT, side=OrderSide.SELL))


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_listing_that_ends_closes_what_is_held_and_cancels_what_rests(is_shown: bool) -> None:
    house = House()
    house.place(intent())
    house.place(stop("50"))
    house.market.listed = [replace(BTC, status=InstrumentStatus.DELISTED)] if is_shown else [replace(BTC, symbol="X")]
    venue = house.venue
    assert not venue.positions()
    assert not venue.open_orders()
    _, closing = venue.fills(SYMBOL, NOON - timedelta(days=1))
    entry = D("100.1")
    assert (closing.side, closing.quantity, closing.price, closing.fee) == (OrderSide.SELL, D(2), entry, D(0))
    assert closing.forced_by is CloseReason.DELISTED
    assert closing.client_order_id is not None
    assert closing.client_order_id.startswith("settlement-")
    again = house.venue.fills(SYMBOL, NOON - timedelta(days=1))
    assert len(again) == 2


def test_a_listing_ends_at_the_price_that_was_seen_last() -> None:
    house = House()
    house.place(intent(side=OrderSide.SELL))
    venue = house.venue
    house.market.mark = D(90)
    venue.positions()
    house.market.listed = [replace(BTC, symbol="X")]
    house.clock.advance(timedelta(minutes=10))
    closing = venue.fills(SYMBOL, NOON - timedelta(days=1))[-1]
    assert (closing.side, closing.price) == (OrderSide.BUY, D(90))


def test_an_empty_listing_ends_nothing() -> None:
    house = House()
    house.place(intent())
    house.market.listed = []
    with pytest.raises(Transient, match="lists nothing"):
        house.venue.positions()
