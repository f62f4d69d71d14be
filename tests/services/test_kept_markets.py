"""What a process keeps of markets: it is told what one that begins with nothing is told, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from common.domain import strategies
from common.domain.features import Columns
from common.domain.market import EPOCH, Candle
from common.domain.signal import Side
from common.domain.strategies import LastBar, Strategy, leaves_at, signal_at
from common.domain.strategies.last_bar import BLOCK
from common.services.kept_markets import KeptMarkets, Looked
from common.store import Store, Told
from tests.domain.features_candles import FIVE_MINUTES, instrument, walk
from tests.services.venue import ADA, SOL, VENUE

MOST = 100
KEPT = ("ema_crossover", "rsi_mean_reversion", "confluence")
BTC = "BTC/USDT:USDT"
SYMBOLS = (SOL, ADA, BTC)
LONG = 1_000


def candles_of(columns: Columns) -> list[Candle]:
    def exact(value: float) -> Decimal:
        return Decimal(repr(float(value)))

    found = []
    for bar in range(len(columns)):
        opened = EPOCH + timedelta(milliseconds=int(columns.opened_at[bar]))
        prices = (exact(getattr(columns, name)[bar]) for name in ("open", "high", "low", "close", "volume"))
        found.append(Candle(opened, opened + FIVE_MINUTES.duration, *prices))
    return found


WALKS = {symbol: candles_of(walk(seed, LONG + 40, 0.01)) for seed, symbol in enumerate(SYMBOLS)}


class Board:
    """Stored candles, and who looks at them."""

    def __init__(self, store: Store, names: Sequence[str] = KEPT) -> None:
        self.store, self.kept, self.rows = store, KeptMarkets(), 0
        self.wanted: dict[str, dict[tuple[str, str], Strategy]] = {symbol: {} for symbol in SYMBOLS}
        for symbol in SYMBOLS:
            self.want(symbol, *names)

    def want(self, symbol: str, *names: str) -> None:
        """Let somebody want strategies `names` of `symbol` and no others."""
        self.wanted[symbol] = {(name, "1"): strategies.get(name) for name in names}

    def write(self, *candles: Candle, symbol: str) -> None:
        """Store `candles`."""
        with self.store.unit_of_work(None) as uow:
            uow.candles.save(VENUE, symbol, FIVE_MINUTES, candles)
            uow.commit()

    def close(self, bar: int, symbols: Sequence[str] = SYMBOLS) -> None:
        """Let bar number `bar` close."""
        for symbol in symbols:
            self.write(WALKS[symbol][bar], symbol=symbol)

    def look(self, bar: int, kept: KeptMarkets | None = None, most: int = MOST) -> Looked:
        """A look at the candle of number `bar`; counts the candles it read."""
        closed = WALKS[SOL][bar].closed_at

        def read(asked: Sequence[tuple[str, int, int]]) -> Told:
            with self.store.unit_of_work(None) as uow:
                told = uow.candles.told(VENUE, asked, FIVE_MINUTES, closed)
            self.rows += len(told.columns)
            return told

        last_ms = (WALKS[SOL][bar].opened_at - EPOCH) // timedelta(milliseconds=1)
        kept = self.kept if kept is None else kept
        return kept.look(VENUE, FIVE_MINUTES, self.wanted, last_ms, read, most)

    def read_by(self, bar: int) -> int:
        """How many candles a look at `bar` reads."""
        before = self.rows
        self.look(bar)
        return self.rows - before

    def opinions(self, bar: int, kept: KeptMarkets | None = None) -> dict[str, object]:
        """Everything that is said at `bar` by who would enter or leave then, to the last digit."""
        looked, closed = self.look(bar, kept), WALKS[SOL][bar].closed_at
        said = dict(looked.said)
        for (symbol, key), count in looked.asked.items():
            said[symbol, key] = strategies.at_last_bar(self.wanted[symbol][key], looked.columns[symbol].last(count))
        told = {
            f"{symbol} {key}": told_by(self.wanted[symbol][key], last, closed)
            for (symbol, key), last in said.items()
            if last.entries.side[last.index] or any(leaves_at(last.entries, last.index, side) for side in Side)
        }
        return told | {"lacking": looked.lacking}

    def check(self, bar: int) -> None:
        """Whoever begins with nothing is told the same."""
        assert self.opinions(bar) == self.opinions(bar, KeptMarkets())


def told_by(strategy: Strategy, last: LastBar, closed_at: datetime) -> object:
    signal = signal_at(
        strategy, instrument(), VENUE, FIVE_MINUTES, last.features, last.columns, last.index,
        candle_closed_at=closed_at, expires_in=timedelta(minutes=5), entries=last.entries,
    )  # fmt: skip
    numbers = {name: last.features[name][last.index].hex() for name in strategy.features}
    entries = {name: getattr(last.entries, name)[last.index].item() for name in ("side", "confidence", "stop")}
    return signal, numbers, entries, [leaves_at(last.entries, last.index, side) for side in Side]


@pytest.fixture
def board(store: Store) -> Board:
    board = Board(store)
    for symbol in SYMBOLS:
        board.write(*WALKS[symbol][:LONG], symbol=symbol)
    return board


def test_the_next_look_reads_new_candles_only_and_says_what_one_without_a_memory_says(board: Board) -> None:
    board.check(LONG - 1)
    for bar in range(LONG, LONG + 10):
        board.close(bar)
        assert board.read_by(bar) == len(SYMBOLS)
        board.check(bar)


def test_a_worker_that_was_elsewhere_for_some_candles_reads_those(board: Board) -> None:
    board.look(LONG - 1)
    for bar in range(LONG, LONG + 5):
        board.close(bar)
    assert board.read_by(LONG + 4) == 5 * len(SYMBOLS)
    board.check(LONG + 4)


def test_every_signal_of_a_block_and_of_the_next_is_the_same_with_and_without_a_memory(store: Store) -> None:
    board = Board(store)
    first = LONG - BLOCK
    for symbol in SYMBOLS:
        board.write(*WALKS[symbol][:first], symbol=symbol)
    raised = 0
    for bar in range(first, LONG + 40):
        board.close(bar)
        mine = board.opinions(bar)
        raised += sum(isinstance(told, tuple) and told[0] is not None for told in mine.values())
        if bar % 7 == 0 or bar == LONG + 39:
            assert mine == board.opinions(bar, KeptMarkets())
    assert raised


def test_a_revised_candle_makes_its_market_begin_anew_and_no_other(board: Board) -> None:
    board.look(LONG - 1)
    old = WALKS[SOL][LONG - 50]
    board.write(replace(old, close=old.low, volume=old.volume + 1), symbol=SOL)
    board.close(LONG)
    assert board.read_by(LONG) > strategies.get("confluence").history
    board.check(LONG)
    board.close(LONG + 1)
    assert board.read_by(LONG + 1) == len(SYMBOLS)


def test_a_candle_that_comes_late_makes_its_market_begin_anew(board: Board) -> None:
    board.look(LONG - 1)
    board.close(LONG, [SOL, ADA])
    assert board.opinions(LONG)["lacking"] == {BTC}
    board.close(LONG + 1)
    board.look(LONG + 1)
    board.close(LONG, [BTC])
    board.close(LONG + 2)
    board.check(LONG + 2)


def test_candles_that_are_deleted_make_their_market_begin_anew(board: Board) -> None:
    board.look(LONG - 1)
    with board.store.unit_of_work(None) as uow:
        assert uow.candles.delete_before(FIVE_MINUTES, WALKS[SOL][LONG - 400].opened_at) > 0
        uow.commit()
    board.close(LONG)
    board.check(LONG)


def test_a_history_that_is_filled_backwards_is_looked_at(store: Store) -> None:
    board = Board(store)
    for symbol in SYMBOLS:
        board.write(*WALKS[symbol][LONG - 200 : LONG], symbol=symbol)
    board.check(LONG - 1)
    for symbol in SYMBOLS:
        board.write(*WALKS[symbol][: LONG - 200], symbol=symbol)
    board.check(LONG - 1)
    board.close(LONG)
    board.check(LONG)


def test_a_scan_of_the_past_is_answered_and_leaves_what_is_kept(board: Board) -> None:
    board.look(LONG - 1)
    board.close(LONG)
    board.look(LONG)
    board.check(LONG - 1)
    assert board.read_by(LONG) == 0
    board.check(LONG)


def test_the_same_candle_looked_at_twice_is_said_twice(board: Board) -> None:
    assert board.opinions(LONG - 1) == board.opinions(LONG - 1)
    assert board.read_by(LONG - 1) == 0


def test_a_market_is_kept_once_it_has_candles_enough(store: Store) -> None:
    board = Board(store)
    for symbol in SYMBOLS:
        board.write(*WALKS[symbol][:55], symbol=symbol)
    for bar in range(55, 75):
        board.close(bar)
        board.check(bar)
    assert board.read_by(74) == 0
    assert board.opinions(74)["lacking"] == set()


def test_strategies_may_come_and_go(board: Board) -> None:
    board.look(LONG - 1)
    board.want(SOL, "ema_crossover")
    board.want(ADA, "composite", "ema_crossover", "confluence")
    board.want(BTC)
    board.close(LONG)
    board.check(LONG)
    board.want(SOL, *KEPT)
    board.close(LONG + 1)
    board.check(LONG + 1)
    assert board.opinions(LONG + 1)["lacking"] == set()


def test_another_strategy_does_not_change_what_one_says(board: Board) -> None:
    single, said = Board(board.store, ["rsi_mean_reversion"]), 0
    for bar in range(LONG - 30, LONG):
        alone = single.opinions(bar, KeptMarkets())
        assert alone.items() <= board.opinions(bar, KeptMarkets()).items()
        said += len(alone) - 1
    assert said


def test_no_more_is_kept_than_the_limit_says_and_the_answers_stay(board: Board) -> None:
    expected = board.opinions(LONG - 1, KeptMarkets())
    board.look(LONG - 1, most=1)
    assert len(board.kept) == 1
    assert board.opinions(LONG - 1) == expected
    board.look(LONG - 1, most=0)
    assert len(board.kept) == 0


def test_what_fails_on_its_way_is_kept_by_nobody(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.look(LONG - 1)
    board.close(LONG)
    strategy = board.wanted[SOL]["confluence", "1"]

    def fail(*_: object) -> None:
        raise RuntimeError("a defect of a strategy")

    with monkeypatch.context() as patch:
        patch.setattr(type(strategy), "evaluate", fail)
        with pytest.raises(RuntimeError, match="a defect"):
            board.look(LONG)
    assert len(board.kept) == 0
    board.check(LONG)


def test_threads_share_what_is_kept(board: Board) -> None:
    board.look(LONG - 1)
    for bar in range(LONG, LONG + 8):
        board.close(bar)
    expected = {bar: board.opinions(bar, KeptMarkets()) for bar in range(LONG, LONG + 8)}
    with ThreadPoolExecutor(2) as pool:
        assert dict(zip(expected, pool.map(board.opinions, expected), strict=True)) == expected


def test_told_candles_are_those_from_a_time_on_and_some_before(board: Board) -> None:
    since = (WALKS[SOL][500].opened_at - EPOCH) // timedelta(milliseconds=1)
    with board.store.unit_of_work(None) as uow:
        asked = [(SOL, since, 3), ("NONE", since, 3), (ADA, since, 0)]
        told = uow.candles.told(VENUE, asked, FIVE_MINUTES, WALKS[SOL][502].closed_at)
        whole = uow.candles.arrays(VENUE, [SOL, ADA], FIVE_MINUTES, WALKS[SOL][502].closed_at, 6)
    assert [len(told.of(place)) for place in range(3)] == [6, 0, 3]
    for name in ("opened_at", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(told.of(0), name), getattr(whole[SOL], name))
        np.testing.assert_array_equal(getattr(told.of(2), name), getattr(whole[ADA], name)[-3:])
