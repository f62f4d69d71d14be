"""Scans see what the stream saw at the close, a backtest of the same rows sees it too, and tenants cost no requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from common.domain import strategies
from common.domain.backtest.checks import evaluated
from common.domain.job import Stage
from common.domain.market import Candle, Timeframe
from common.domain.snapshot import MarketSnapshot
from common.services.forget import forget
from common.services.ingest_candles import ClosedCandle, ingest_closed, longer_frames, refill
from common.services.keep_snapshots import keep_snapshots, list_snapshots
from common.services.list_candles import list_revisions
from common.services.run_backtest import Wishes, load_markets
from common.services.scan_market import history_of
from common.services.schedule_scans import schedule_scans
from common.services.stored_candles import StoredCandles
from common.services.tenants import subscribe
from tests.services.test_signals import SELL_OFF, newest, rewrite_history, scan
from tests.services.venue import ADA, NOON, SOL, VENUE
from tests.services.world import FRAME, House, World

QUARTER = Timeframe.parse("15m")


def seen(closed_at: datetime = NOON, symbol: str = SOL, **told: str) -> MarketSnapshot:
    """What the stream saw at a close."""
    values = {name: Decimal(value) for name, value in told.items()}
    return MarketSnapshot(VENUE, symbol, closed_at, closed_at - timedelta(seconds=1), **values)


@pytest.fixture
def scalper(world: World) -> House:
    """A tenant subscribed to the scalper, on a market that has been sold off."""
    house = world.settle_in(strategies=("scalper",), instruments=(SOL,))
    rewrite_history(world, SOL, SELL_OFF)
    return house


def raised(world: World) -> list[dict[str, float]]:
    """What the signals of the scalper were raised on."""
    with world.store.operator() as view:
        return [dict(item.features) for item in view.signals()]


# --- Scans ----------------------------------------------------------------------------------------------------------


def test_a_snapshot_of_the_close_is_what_the_scan_sees(world: World, scalper: House) -> None:
    keep_snapshots(world.fleet, [seen(imbalance="0.9", volume_imbalance="0.8")])
    scan(world)
    (signal,) = raised(world)
    assert (signal["imbalance"], signal["volume_imbalance"]) == (0.9, 0.8)


def test_a_snapshot_of_another_close_is_not(world: World, scalper: House) -> None:
    keep_snapshots(world.fleet, [seen(NOON - FRAME.duration, imbalance="0.9"), seen(symbol=ADA, imbalance="0.9")])
    scan(world)
    assert all("imbalance" not in signal for signal in raised(world))


def test_what_comes_after_the_scan_changes_no_answer(world: World, scalper: House) -> None:
    scan(world)
    assert keep_snapshots(world.fleet, [seen(imbalance="0.9")]) == 0
    (kept,) = list_snapshots(world.fleet)
    assert (kept.symbol, kept.snapshots, kept.missing, kept.first) == (SOL, 0, 1, NOON)


def test_strategies_on_candles_alone_settle_nothing_and_read_nothing(world: World, house: House) -> None:
    rewrite_history(world, SOL, SELL_OFF)
    scan(world)
    assert list_snapshots(world.fleet) == []
    assert keep_snapshots(world.fleet, [seen(mid="100")]) == 1


def test_a_market_without_its_last_candle_is_not_settled(world: World, scalper: House) -> None:
    world.clock.advance(300)
    world.venue.missing.add(NOON)
    scan(world)
    assert list_snapshots(world.fleet) == []


def test_the_backtest_of_the_stored_rows_sees_what_the_scan_saw(world: World, scalper: House) -> None:
    closes = [NOON - FRAME.duration * bar for bar in range(40)]
    keep_snapshots(
        world.fleet, [seen(at, imbalance=f"0.{bar:02d}", volume_imbalance="0.5") for bar, at in enumerate(closes)]
    )
    strategy = strategies.get("scalper")
    (market,) = load_markets(StoredCandles(world.fleet, VENUE), Wishes("scalper", symbols=(SOL,)), strategy)
    history = history_of(world.fleet, [strategy])
    with world.store.unit_of_work(None) as uow:
        live = uow.candles.arrays(VENUE, [SOL], FRAME, NOON, history)
        live[SOL] = live[SOL].knowing(uow.snapshots.series(VENUE, live, ["imbalance", "volume_imbalance"])[SOL])
    ours, theirs = (
        evaluated(strategy, columns) for columns in (live[SOL], market.columns.slice(-history, len(market)))
    )
    assert ours.features["imbalance"][-40:].tolist() == [float(f"0.{bar:02d}") for bar in range(39, -1, -1)]
    for name, values in (ours.features | ours.entries).items():
        np.testing.assert_array_equal(values[-40:], (theirs.features | theirs.entries)[name][-40:], err_msg=name)


def test_a_backtest_on_candles_alone_reads_no_snapshot(world: World, house: House) -> None:
    keep_snapshots(world.fleet, [seen(mid="1")])
    source = StoredCandles(world.fleet, VENUE)
    (market,) = load_markets(source, Wishes("confluence", symbols=(SOL,)), strategies.get("confluence"))
    assert market.columns.known == {}
    (recording,) = [item for item in source.recordings() if item.symbol == SOL]
    assert source.observed(recording, market.columns, ["mid"])["mid"][-1] == 1.0


def test_snapshots_older_than_the_memory_of_markets_are_forgotten(world: World) -> None:
    old = NOON - world.fleet.policy.market_memory - timedelta(days=40)
    keep_snapshots(world.fleet, [seen(old, mid="1"), seen(mid="1")])
    assert forget(world.fleet)["market_snapshots"] >= 1
    (kept,) = list_snapshots(world.fleet)
    assert (kept.snapshots, kept.first) == (1, NOON)


def test_work_that_nobody_will_ask_for_again_is_forgotten_and_what_waits_is_not(world: World, house: House) -> None:
    world.announce()
    world.work()
    world.clock.advance(world.fleet.policy.work_memory.total_seconds() - 3600)
    assert forget(world.fleet)["jobs"] == 0
    waiting = world.announce(world.signal(ADA))
    world.clock.advance(7200)
    assert forget(world.fleet)["jobs"] > 0
    assert world.decision(house) is not None
    world.work()
    assert world.decision(house, waiting) is not None


# --- One base for several timeframes --------------------------------------------------------------------------------


def five(world: World, number: int, price: str = "100") -> ClosedCandle:
    """The `number`-th five-minute candle after noon."""
    at, one = NOON + FRAME.duration * number, Decimal(price)
    return ClosedCandle(SOL, FRAME, Candle(at, at + FRAME.duration, one, one + 1, one - 1, one, Decimal(number + 1)))


def series(world: World, frame: Timeframe, count: int) -> Sequence[Candle]:
    with world.store.unit_of_work(None) as uow:
        return uow.candles.series(VENUE, SOL, frame, NOON + timedelta(days=1), count)


LONGER = longer_frames({SOL: [FRAME, QUARTER]})


@pytest.fixture
def quarters(world: World) -> World:
    """A world that has a history of quarters of an hour too."""
    refill(world.fleet, VENUE, [SOL], QUARTER, NOON)
    world.venue.asked.clear()
    return world


def test_markets_are_asked_for_in_the_timeframe_that_the_others_are_made_of() -> None:
    hour = Timeframe.parse("1h")
    assert longer_frames({SOL: [hour, FRAME], ADA: [hour]}) == {(SOL, FRAME): [hour], (ADA, hour): []}


def test_the_last_part_of_a_longer_candle_completes_it_in_the_same_transaction(quarters: World) -> None:
    assert ingest_closed(quarters.fleet, VENUE, [five(quarters, 0, "90"), five(quarters, 1)], LONGER) == 2
    assert series(quarters, QUARTER, 1)[0].closed_at == NOON
    assert ingest_closed(quarters.fleet, VENUE, [five(quarters, 2, "95")], LONGER) == 2
    (made,) = series(quarters, QUARTER, 1)
    assert (made.opened_at, made.open, made.high, made.low) == (NOON, Decimal(90), Decimal(101), Decimal(89))
    assert (made.close, made.volume) == (Decimal(95), Decimal(6))


def test_a_part_that_comes_late_leaves_the_longer_candle_to_the_scan(quarters: World) -> None:
    ingest_closed(quarters.fleet, VENUE, [five(quarters, 0)], LONGER)
    assert ingest_closed(quarters.fleet, VENUE, [five(quarters, 2)], LONGER) == 0
    assert ingest_closed(quarters.fleet, VENUE, [five(quarters, 1)], LONGER) == 1
    assert ingest_closed(quarters.fleet, VENUE, [five(quarters, 2)], LONGER) == 2


def test_a_longer_history_that_does_not_exist_yet_is_left_to_the_scan(world: World) -> None:
    assert ingest_closed(world.fleet, VENUE, [five(world, number) for number in range(3)], LONGER) == 3
    assert series(world, QUARTER, 9) == []


def test_a_revised_part_revises_what_was_made_of_it_and_both_leave_a_trace(quarters: World) -> None:
    ingest_closed(quarters.fleet, VENUE, [five(quarters, number) for number in range(3)], LONGER)
    before = series(quarters, QUARTER, 1)
    assert ingest_closed(quarters.fleet, VENUE, [five(quarters, 1, "150")], LONGER) == 2
    assert series(quarters, QUARTER, 1)[0].high == Decimal(151)
    revised = {str(item.timeframe): item.before for item in list_revisions(quarters.fleet)}
    assert revised == {"5m": five(quarters, 1).candle, "15m": before[0]}


def test_a_scan_of_a_longer_timeframe_asks_for_the_base_only(quarters: World) -> None:
    house = quarters.settle_in(instruments=(SOL,))
    subscribe(quarters.fleet, *house.ids, strategy="ema_crossover", timeframe="15m", instruments=[SOL])
    schedule_scans(quarters.fleet, VENUE)
    quarters.work()  # Warms up both.
    quarters.clock.advance(900)
    quarters.venue.asked.clear()
    schedule_scans(quarters.fleet, VENUE)
    quarters.work()
    assert quarters.venue.asked == [(SOL, NOON)]
    assert newest(quarters) == series(quarters, QUARTER, 1)[0].closed_at == NOON + QUARTER.duration


def test_what_cannot_be_made_of_the_base_is_asked_for_itself(quarters: World) -> None:
    quarters.venue.missing.add(NOON + FRAME.duration)
    until = NOON + QUARTER.duration
    quarters.clock.advance(900)
    refill(quarters.fleet, VENUE, [SOL], QUARTER, until, made_of={SOL: FRAME})
    assert quarters.venue.asked == [(SOL, NOON), (SOL, NOON)]
    assert series(quarters, QUARTER, 1)[0].closed_at == until


# --- Tenants cost no requests ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """What some closes cost at the venue's public side, and how many risk jobs came of them."""

    candle_requests: int
    market_requests: int
    scans: int
    evaluations: int


def cost_of(world: World, tenants: int) -> Cost:
    """Ten closes with so many tenants subscribed to the same markets, strategies and timeframes."""
    for number in range(tenants):
        house = world.settle_in(f"tenant{number:02d}", strategies=("scalper", "ema_crossover"))
        subscribe(world.fleet, *house.ids, strategy="confluence", timeframe="15m", instruments=[SOL, ADA])
    refill(world.fleet, VENUE, [SOL, ADA], QUARTER, NOON)
    world.venue.asked.clear()
    calls = world.venue.market_calls
    for _ in range(10):
        world.clock.advance(300)
        schedule_scans(world.fleet, VENUE)
        for ref in [ref for ref in world.bus.inbox if ref.stage is Stage.SCAN]:
            world.bus.inbox.remove(ref)
            world.run(ref)
    scans = len(world.jobs(Stage.SCAN))
    return Cost(len(world.venue.asked), world.venue.market_calls - calls, scans, len(world.jobs(Stage.EVALUATE)))


@pytest.mark.parametrize("tenants", [1, 20])
def test_requests_at_the_venue_do_not_grow_with_tenants(world: World, tenants: int) -> None:
    found = cost_of(world, tenants)
    # Two markets, ten closes of the base of which the longer timeframe is made, and the warm-up of both, once.
    assert (found.candle_requests, found.market_requests) == (20 + 4, 0)
    assert found.scans == 10 + 4
