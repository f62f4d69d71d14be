"""Candidates of a venue: judged with its own figures, ranked by its candles, and never by a price in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from common.domain.candidates import Cause, Figures
from common.domain.errors import InvalidInput, Transient
from common.domain.features import FEAR_GREED
from common.domain.market import Instrument, InstrumentStatus
from common.domain.recording import Recording
from common.domain.sources import Coin, Mood
from common.domain.tenant import Subscription
from common.services import refresh_candidates as room
from common.services.follow_pool import follow_pool
from common.services.list_candidates import list_candidates, list_findings, pool_of
from common.services.refresh_candidates import refresh_candidates
from common.services.refresh_sources import refresh_sources
from common.services.scan_market import _moods
from common.services.stored_candles import StoredCandles
from common.services.tenants import subscribe
from common.services.unsubscribe import unsubscribe
from tests.services.doors import instrument
from tests.services.venue import ADA, NOON, SOL, VENUE
from tests.services.world import FRAME, House, World

BTC = "BTC/USDT:USDT"


@dataclass
class Board:
    """The venue's figures, as the test writes them."""

    told: dict[str, Figures] = field(default_factory=dict)
    held: dict[str, Decimal | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def figures(self) -> Sequence[Figures]:
        return list(self.told.values())

    def open_interest(self, item: Instrument, price: Decimal) -> Decimal | None:
        self.asked.append(item.symbol)
        return self.held.get(item.symbol, Decimal(20_000_000))


@dataclass
class Almanac:
    """Coins and moods, as the test writes them; `fails` is raised instead."""

    prices: dict[str, str] = field(default_factory=dict)
    days: list[Mood] = field(default_factory=list)
    fails: Exception | None = None
    asked: list[int] = field(default_factory=list)
    name: str = "coingecko"
    cap: Decimal = Decimal(10) ** 9

    def coins(self, count: int) -> Sequence[Coin]:
        if self.fails:
            raise self.fails
        return [
            Coin(self.name, symbol.lower(), symbol, Decimal(price), self.cap, Decimal(1), NOON)
            for symbol, price in self.prices.items()
        ]

    def moods(self, days: int) -> Sequence[Mood]:
        self.asked.append(days)
        return self.days


@pytest.fixture
def board(world: World) -> Board:
    """Two sound markets."""
    board = Board({symbol: told(symbol) for symbol in (SOL, ADA)})
    world.fleet.figures = {VENUE: board}
    return board


@pytest.fixture
def almanac(world: World) -> Almanac:
    """An aggregator that agrees with the venue."""
    almanac = Almanac({"SOL": "100", "ADA": "100"})
    world.fleet.coins, world.fleet.mood = [almanac], almanac
    return almanac


def told(symbol: str, turnover: int = 50_000_000) -> Figures:
    return Figures(symbol, Decimal(100), Decimal("99.99"), Decimal("100.01"), Decimal(turnover))


def pooled(world: World, name: str = "candidates") -> list[str]:
    with world.store.unit_of_work(None) as uow:
        return pool_of(uow, VENUE, name)


def causes(world: World) -> dict[str, Cause | None]:
    return {item.symbol: item.excluded.cause if item.excluded else None for item in list_candidates(world.fleet, VENUE)}


def test_what_passes_is_ranked_and_kept_with_its_figures(world: World, board: Board) -> None:
    board.held[SOL] = Decimal(90_000_000)
    found = refresh_candidates(world.fleet, VENUE)
    assert (found.judged, found.passed, sorted(found.pool)) == (2, 2, [ADA, SOL])
    first, second = list_candidates(world.fleet, VENUE)
    assert (first.rank, second.rank, first.refreshed_at) == (1, 2, world.clock.now())
    assert {item.symbol: item.open_interest for item in (first, second)} == {SOL: 90_000_000, ADA: 20_000_000}
    assert first.score is not None
    assert 0 <= first.score <= 80
    assert pooled(world) == list(found.pool)


def test_a_market_with_little_held_open_is_out_with_its_numbers(world: World, board: Board) -> None:
    board.held[ADA] = Decimal(14_999_999)
    assert refresh_candidates(world.fleet, VENUE).pool == (SOL,)
    (out,) = [item for item in list_candidates(world.fleet, VENUE) if item.rank is None]
    assert out.excluded is not None
    assert out.excluded.cause is Cause.INTEREST_TOO_SMALL
    assert (int(out.excluded.measured), int(out.excluded.limit)) == (14_999_999, 15_000_000)


def test_only_the_largest_are_examined_which_bounds_what_the_venue_is_asked(world: World, board: Board) -> None:
    world.fleet.policy = replace(world.fleet.policy, candidates=replace(world.fleet.policy.candidates, examined_max=1))
    board.told[ADA] = told(ADA, 90_000_000)
    world.venue.asked.clear()
    refresh_candidates(world.fleet, VENUE)
    assert board.asked == [ADA]
    assert {symbol for symbol, _ in world.venue.asked} == {ADA}
    assert causes(world) == {ADA: None, SOL: Cause.NOT_EXAMINED}


def test_a_second_refresh_asks_for_new_candles_only(world: World, board: Board) -> None:
    refresh_candidates(world.fleet, VENUE)
    world.venue.asked.clear()
    world.clock.advance(3600)
    refresh_candidates(world.fleet, VENUE)
    assert sorted(world.venue.asked) == [(ADA, NOON), (SOL, NOON)]


def test_what_the_venue_tells_nothing_of_is_no_candidate(world: World, board: Board) -> None:
    del board.told[ADA]
    refresh_candidates(world.fleet, VENUE)
    assert causes(world) == {SOL: None, ADA: Cause.NO_FIGURES}


def test_without_any_figures_the_pool_is_the_majors_that_trade(world: World) -> None:
    world.venue.listed[BTC] = instrument(BTC)
    world.venue.prices[BTC] = Decimal(100)
    from common.services.refresh_instruments import refresh_instruments

    refresh_instruments(world.fleet, VENUE)
    assert refresh_candidates(world.fleet, VENUE).pool == ()
    assert pooled(world) == [BTC, SOL, ADA]


def test_candles_that_cannot_be_had_leave_the_ranking_to_those_there_are(
    world: World, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Transient("no answer")

    refresh_candidates(world.fleet, VENUE)
    monkeypatch.setattr(room, "download_candles", fail)
    assert len(refresh_candidates(world.fleet, VENUE).pool) == 2


def test_a_market_without_candles_is_too_young(world: World, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "download_candles", lambda *_: [])
    refresh_candidates(world.fleet, VENUE)
    assert set(causes(world).values()) == {Cause.TOO_YOUNG}


def test_a_wild_price_is_told_once_kept_and_never_a_candidate(world: World, board: Board, almanac: Almanac) -> None:
    almanac.prices["SOL"] = "150"
    refresh_sources(world.fleet)
    found = refresh_candidates(world.fleet, VENUE)
    assert (found.pool, causes(world)[SOL]) == ((ADA,), Cause.PRICE_IN_DOUBT)
    world.clock.advance(60)
    refresh_candidates(world.fleet, VENUE)
    told_twice = [(item.symbol, int(item.price), int(item.reference)) for item in list_findings(world.fleet, VENUE)]
    assert told_twice == [(SOL, 100, 150)] * 2
    assert [alert[1] for alert in world.notifier.alerts] == ["price_in_doubt"]


def test_an_operator_that_cannot_be_told_does_not_lose_the_finding(
    world: World, board: Board, almanac: Almanac, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Transient("no channel")

    monkeypatch.setattr(world.notifier, "notify", fail)
    almanac.prices["SOL"] = "150"
    refresh_sources(world.fleet)
    refresh_candidates(world.fleet, VENUE)
    assert len(list_findings(world.fleet, VENUE)) == 1


def test_coins_of_yesterday_cast_no_doubt(world: World, board: Board, almanac: Almanac) -> None:
    almanac.prices["SOL"] = "150"
    refresh_sources(world.fleet)
    world.clock.advance(4 * 3600)
    assert refresh_candidates(world.fleet, VENUE).in_doubt == ()


@pytest.mark.parametrize(("name", "count"), [("candidates", 2), ("candidates:1", 1), ("candidates:9", 2)])
def test_a_pool_is_named_with_or_without_its_size(world: World, board: Board, name: str, count: int) -> None:
    refresh_candidates(world.fleet, VENUE)
    assert len(pooled(world, name)) == count


@pytest.mark.parametrize("name", ["candidates:0", "candidates:x", "candidates:", "candidatesx", "pool"])
def test_what_names_no_pool_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidInput, match="candidates:20"):
        pooled(world, name)


def follow(world: World, house: House, **changes: Any) -> Subscription:
    wish = {"strategy": "confluence", "timeframe": "1h", "instruments": ["candidates:1"]} | changes
    return subscribe(world.fleet, *house.ids, **wish)


def traded(world: World, house: House) -> dict[str, tuple[str, ...]]:
    with world.store.unit_of_work(house.tenant.id) as uow:
        return {f"{item.strategy} {item.timeframe}": item.instruments for item in uow.subscriptions.list()}


def test_a_subscription_follows_its_pool_and_says_so_in_the_audit_trail(
    world: World, house: House, board: Board
) -> None:
    board.held[SOL] = Decimal(90_000_000)
    best, _ = refresh_candidates(world.fleet, VENUE).pool
    made = follow(world, house)
    assert (made.pool, made.instruments) == ("candidates:1", (best,))
    assert follow_pool(world.fleet, *house.ids) == 0
    other = {SOL: ADA, ADA: SOL}[best]
    board.held[best] = Decimal(1)
    refresh_candidates(world.fleet, VENUE)
    assert follow_pool(world.fleet, *house.ids) == 1
    assert follow_pool(world.fleet, *house.ids) == 0
    with world.store.unit_of_work(house.tenant.id) as uow:
        followed = next(item for item in uow.subscriptions.list() if item.id == made.id)
        audited = uow.audit.of(str(made.id))
    assert followed == replace(made, instruments=(other,))
    assert [entry.payload["instruments"] for entry in audited] == [[best], [other]]


def test_what_was_chosen_by_name_or_has_ended_follows_no_pool(world: World, house: House, board: Board) -> None:
    refresh_candidates(world.fleet, VENUE)
    follow(world, house, instruments=[SOL])
    follow(world, house, timeframe="15m")
    unsubscribe(world.fleet, *house.ids, strategy="confluence", timeframe="15m")
    follow(world, house, timeframe="5m", instruments=["candidates"])
    follow(world, house, timeframe="5m", instruments=[ADA])
    before = traded(world, house)
    board.held = dict.fromkeys((SOL, ADA), Decimal(1))
    refresh_candidates(world.fleet, VENUE)
    assert follow_pool(world.fleet, *house.ids) == 0
    assert traded(world, house) == before


def test_a_pool_that_holds_nothing_is_neither_subscribed_to_nor_followed(
    world: World, house: House, board: Board
) -> None:
    refresh_candidates(world.fleet, VENUE)
    follow(world, house)
    before = traded(world, house)
    with world.store.unit_of_work(None) as uow:
        uow.candidates.replace(VENUE, [])
        uow.instruments.save([replace(item, status=InstrumentStatus.HALTED) for item in uow.instruments.list(VENUE)])
        uow.commit()
    assert follow_pool(world.fleet, *house.ids) == 0
    assert traded(world, house) == before
    with pytest.raises(InvalidInput, match="a pool of practice that holds something"):
        follow(world, house, timeframe="15m")


def test_sources_that_are_not_set_are_not_asked(world: World) -> None:
    assert refresh_sources(world.fleet) == {"mood": "not set"}


def test_a_source_that_fails_does_not_keep_the_other_from_being_asked(world: World, almanac: Almanac) -> None:
    almanac.fails, almanac.days = Transient("no answer"), [Mood(NOON, 40, "Fear")]
    assert refresh_sources(world.fleet) == {"coingecko": "no answer", "mood": "1 days"}


def test_every_source_of_coins_is_asked_and_the_largest_of_a_symbol_counts(
    world: World, board: Board, almanac: Almanac
) -> None:
    other = Almanac({"SOL": "150"}, name="coinmarketcap", cap=Decimal(10) ** 10)
    almanac.prices = {"SOL": "100"}
    world.fleet.coins = [almanac, other]
    assert refresh_sources(world.fleet) == {"coingecko": "1 coins", "coinmarketcap": "1 coins", "mood": "0 days"}
    assert refresh_candidates(world.fleet, VENUE).pool == (ADA,)
    assert [item.source for item in list_findings(world.fleet, VENUE)] == ["coinmarketcap"]


def test_the_index_is_asked_for_from_its_last_known_day_on(world: World, almanac: Almanac) -> None:
    tomorrow = NOON + timedelta(days=1)
    almanac.days = [Mood(tomorrow, 99, "a mistake"), Mood(NOON, 40, "Fear")]
    refresh_sources(world.fleet)
    refresh_sources(world.fleet)
    assert almanac.asked == [400, 2]
    with world.store.unit_of_work(None) as uow:
        assert [mood.value for mood in uow.moods.between(NOON, tomorrow)] == [40]


def keep_mood(world: World, published_at: datetime, value: int) -> None:
    """Let an index value be known."""
    with world.store.unit_of_work(None) as uow:
        uow.moods.save([Mood(published_at, value, "")])
        uow.commit()


def test_a_scan_reads_the_index_only_for_strategies_that_ask(world: World) -> None:
    from common.domain import strategies

    keep_mood(world, NOON - timedelta(days=1), 80)
    with world.store.unit_of_work(None) as uow:
        columns = uow.candles.arrays(VENUE, [SOL], FRAME, NOON, 60)
        asking, plain = ({SOL: {(name, "1"): strategies.get(name)}} for name in ("advanced_composite", "ema_crossover"))
        assert [mood.value for mood in _moods(uow, columns, asking)] == [80]
        assert _moods(uow, columns, plain) == ()


def test_a_signal_is_stored_with_the_index_it_was_raised_under(world: World) -> None:
    from common.domain.job import Stage
    from common.services.schedule_scans import schedule_scans
    from tests.services.test_signals import rewrite_history

    rises = [100.0] * 380 + [100 + 0.4 * n + (n % 3) * 0.2 for n in range(20)]
    world.fleet.policy = replace(world.fleet.policy, history_candles=400)
    keep_mood(world, NOON - timedelta(days=1), 61)
    world.settle_in(strategies=("advanced_composite",), instruments=(SOL,))
    rewrite_history(world, SOL, rises)
    schedule_scans(world.fleet, VENUE)
    world.run(world.take(Stage.SCAN))
    with world.store.unit_of_work(None) as uow:
        raised = uow.signals.list(strategy="advanced_composite")
    assert {signal.features[FEAR_GREED] for signal in raised} <= {61.0}


def test_stored_candles_carry_the_index_into_a_backtest(world: World, house: House) -> None:
    keep_mood(world, NOON - timedelta(days=1), 25)
    columns = StoredCandles(world.fleet, VENUE).columns(Recording(VENUE, SOL, FRAME, f"{VENUE} {SOL} {FRAME}"))
    assert np.nanmax(columns.known[FEAR_GREED]) == 25
