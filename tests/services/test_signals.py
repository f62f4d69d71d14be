"""From the clock's tick to one outcome per subscriber: scans, signals, the model, and who is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from common.domain.advice import AdviceVerdict, AdvisorFallback
from common.domain.decision import DecisionOutcome
from common.domain.errors import NotFound, Permanent, Transient
from common.domain.job import JobState, Stage
from common.domain.market import InstrumentStatus, Timeframe
from common.domain.risk.book import HaltMode, HaltScope
from common.domain.risk.verdict import Rule
from common.domain.signal import Side
from common.domain.tenant import Subscription
from common.services import request
from common.services.fleet import instrument_of
from common.services.halts import halt
from common.services.ingest_candles import ClosedCandle, ingest_candles, ingest_closed, refill
from common.services.recorded_counsel import recorded_counsel
from common.services.relay_jobs import relay_jobs
from common.services.schedule_scans import schedule_scans
from common.services.stage import Result
from common.services.tenants import pause_tenant, refresh_instruments, subscribe
from tests.services.doors import ScriptedAdvisor
from tests.services.venue import ADA, NOON, SOL, VENUE
from tests.services.world import FRAME, House, World, found_world

CROSS_UP = [100 - 0.04 * number for number in range(40)] + [101.0]
"""A slow decline and a jump: EMA 9 crosses above EMA 21 on the last candle."""
SELL_OFF = [100.0] * 20 + [100 + 0.3 * (-1) ** number for number in range(18)] + [99.0, 96.0]
"""The RSI falls into oversold on the last candle."""


def rewrite_history(world: World, symbol: str, closes: list[float]) -> None:
    """Candles up to noon as `closes` have them, in the venue and in our store; the price is the last close."""
    world.venue.closes[symbol] = closes
    world.venue.prices[symbol] = Decimal(repr(closes[-1]))
    since = NOON - FRAME.duration * world.fleet.policy.history_candles
    ingest_candles(world.fleet, VENUE, symbol, FRAME, world.venue.candles(symbol, FRAME, since, 60))


def scan(world: World) -> str:
    """Schedule and run the one scan of noon; its outcome."""
    schedule_scans(world.fleet, VENUE)
    ref = world.take(Stage.SCAN)
    world.run(ref)
    return world.job(ref).outcome


# --- Scheduling -----------------------------------------------------------------------------------------------------


def test_a_tick_adds_one_job_per_timeframe_shard_and_candle(world: World, house: House) -> None:
    world.fleet.policy = replace(world.fleet.policy, shard_size=1)
    assert schedule_scans(world.fleet, VENUE) == 2
    keys = sorted(world.job(ref).key for ref in world.bus.of(Stage.SCAN))
    assert keys == [f"scan:{VENUE}:5m:{shard}:{NOON.isoformat()}" for shard in (0, 1)]


def test_ticks_may_repeat_until_the_next_candle_closes(world: World, house: House) -> None:
    assert schedule_scans(world.fleet, VENUE) == 1
    world.clock.advance(240)
    assert schedule_scans(world.fleet, VENUE) == 0
    world.clock.advance(60)
    assert schedule_scans(world.fleet, VENUE) == 1


def test_nobody_subscribed_means_nothing_to_scan(world: World) -> None:
    assert schedule_scans(world.fleet, VENUE) == 0


def test_subscribers_of_the_same_market_share_its_scan(world: World) -> None:
    world.settle_in("harbour")
    world.settle_in("meridian", strategies=("rsi_mean_reversion", "confluence"))
    assert schedule_scans(world.fleet, VENUE) == 1


def test_a_scan_that_comes_after_the_signal_would_have_expired_is_not_made(world: World, house: House) -> None:
    schedule_scans(world.fleet, VENUE)
    world.clock.advance(300)
    assert world.run(world.take(Stage.SCAN)) is Result.EXPIRED


# --- Scanning -------------------------------------------------------------------------------------------------------


def test_a_cross_of_the_averages_raises_a_long_signal_for_every_subscriber(world: World, house: House) -> None:
    other = world.settle_in("meridian")
    rewrite_history(world, SOL, CROSS_UP)
    assert scan(world) == "1 signals from 2 instruments, 0 without their last candle"
    payloads = [world.job(ref).payload for ref in world.bus.of(Stage.EVALUATE)]
    assert {item["account_id"] for item in payloads} == {str(house.account.id), str(other.account.id)}
    assert len({item["signal_id"] for item in payloads}) == 1


def test_a_sell_off_raises_a_signal_of_the_reversion_strategy(world: World) -> None:
    house = world.settle_in(strategies=("rsi_mean_reversion",))
    rewrite_history(world, SOL, SELL_OFF)
    scan(world)
    world.work()
    with world.store.operator() as view:
        [raised] = view.signals()
    assert (raised.strategy, raised.side, raised.price) == ("rsi_mean_reversion", Side.LONG, Decimal(96))
    assert world.decision(house, raised) is not None


def test_the_same_candle_scanned_twice_raises_its_signal_once(world: World, house: House) -> None:
    rewrite_history(world, SOL, CROSS_UP)
    scan(world)
    by_hand = request.scan(world.fleet, VENUE, SOL, "5m")
    assert world.run(by_hand) is Result.DONE
    with world.store.operator() as view:
        assert len(view.signals()) == 1
    assert len(world.bus.of(Stage.EVALUATE)) == 1


def test_flat_candles_raise_nothing(world: World, house: House) -> None:
    assert scan(world) == "0 signals from 2 instruments, 0 without their last candle"


def test_a_market_without_its_last_candle_is_not_judged(world: World, house: House) -> None:
    world.clock.advance(300)
    world.venue.missing.add(NOON)
    assert scan(world) == "0 signals from 2 instruments, 2 without their last candle"


def test_a_candle_that_comes_late_is_scanned_when_it_comes(world: World, house: House) -> None:
    """The venue was slow, or the clock of the worker that scanned leads: nobody else looks at that candle again."""
    world.clock.advance(299)
    world.venue.missing.add(NOON)
    outcomes = [scan(world)]
    for missing in ({NOON}, set[datetime]()):
        world.venue.missing = missing
        world.clock.advance(world.fleet.policy.look_again_s)
        assert relay_jobs(world.fleet) == 1
        ref = world.take(Stage.SCAN)
        world.run(ref)
        outcomes.append(world.job(ref).outcome)
    counts = [outcome.removeprefix("0 signals from 2 instruments, ").split()[0] for outcome in outcomes]
    assert counts == ["2", "2", "0"]
    world.clock.advance(world.fleet.policy.look_again_s)
    assert relay_jobs(world.fleet) == 0


def test_a_scan_that_takes_long_looks_for_a_late_candle_all_the_same(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is when it began to look that tells whether the candle was to be expected."""
    world.clock.advance(299)
    world.venue.missing.add(NOON)
    ask = world.venue.candles

    def slowly(*asked: Any) -> Any:
        world.clock.advance(world.fleet.policy.late_candle_s)
        return ask(*asked)

    monkeypatch.setattr(world.venue, "candles", slowly)
    scan(world)
    world.clock.advance(world.fleet.policy.look_again_s)
    assert relay_jobs(world.fleet) == 1


def test_a_candle_that_does_not_come_is_not_looked_for_for_ever(world: World, house: House) -> None:
    world.clock.advance(300)
    world.venue.missing.add(NOON)
    world.clock.advance(world.fleet.policy.late_candle_s)
    scan(world)
    world.clock.advance(60)
    assert relay_jobs(world.fleet) == 0


def test_a_malformed_candle_is_left_out_and_its_market_not_judged(world: World, house: House) -> None:
    world.clock.advance(300)
    world.venue.malformed.add(NOON)
    assert scan(world) == "0 signals from 2 instruments, 2 without their last candle"


def test_a_market_that_is_not_traded_now_is_passed_over(world: World, house: House) -> None:
    rewrite_history(world, SOL, CROSS_UP)
    world.venue.listed[SOL] = replace(world.venue.listed[SOL], status=InstrumentStatus.HALTED)
    refresh_instruments(world.fleet, VENUE)
    assert scan(world).startswith("0 signals")


def test_a_symbol_the_venue_does_not_know_does_not_keep_the_others_from_their_scan(world: World, house: House) -> None:
    rewrite_history(world, SOL, CROSS_UP)
    world.clock.advance(300)
    world.venue.closes[SOL] = [*CROSS_UP]
    world.venue.unknown.add(ADA)
    assert scan(world) == "0 signals from 2 instruments, 1 without their last candle"


def test_a_strategy_that_is_gone_does_not_silence_the_others(world: World, house: House) -> None:
    rewrite_history(world, SOL, CROSS_UP)
    with world.store.unit_of_work(house.tenant.id) as uow:
        wish: Subscription = uow.subscriptions.list()[0]
        uow.subscriptions.add(replace(wish, id=house.account.id, strategy="forgotten"))
        uow.commit()
    assert scan(world).startswith("1 signals")


def test_a_strategy_wanted_at_another_timeframe_is_not_evaluated_on_this_one(world: World, house: House) -> None:
    subscribe(world.fleet, *house.ids, strategy="rsi_mean_reversion", timeframe="1h", instruments=[SOL])
    rewrite_history(world, SOL, SELL_OFF)
    assert schedule_scans(world.fleet, VENUE) == 2
    world.work()
    with world.store.operator() as view:
        raised = {(signal.strategy, signal.timeframe) for signal in view.signals()}
    assert ("rsi_mean_reversion", "5m") not in raised


# --- Candles --------------------------------------------------------------------------------------------------------


def test_refill_asks_only_for_what_is_missing(world: World) -> None:
    world.venue.asked.clear()
    world.clock.advance(600)
    kept = refill(world.fleet, VENUE, [SOL], FRAME, NOON + 2 * FRAME.duration)
    assert (kept, world.venue.asked) == (2, [(SOL, NOON)])


def test_refill_asks_for_nothing_when_nothing_is_missing(world: World) -> None:
    world.venue.asked.clear()
    assert refill(world.fleet, VENUE, [SOL, ADA], FRAME, NOON) == 0
    assert world.venue.asked == []


def test_history_before_the_first_stored_candle_is_asked_for_once(world: World) -> None:
    world.fleet.looked_back.clear()
    world.venue.asked.clear()
    refill(world.fleet, VENUE, [SOL], FRAME, NOON, history=1000)
    refill(world.fleet, VENUE, [SOL], FRAME, NOON, history=1000)
    assert world.venue.asked == [(SOL, NOON - 1000 * FRAME.duration)]


def test_a_revised_candle_replaces_the_first_version(world: World) -> None:
    since = NOON - FRAME.duration
    world.venue.closes[SOL] = [103.0]
    assert ingest_candles(world.fleet, VENUE, SOL, FRAME, world.venue.candles(SOL, FRAME, since, 1)) == 1
    assert ingest_candles(world.fleet, VENUE, SOL, FRAME, world.venue.candles(SOL, FRAME, since, 1)) == 0


def test_nothing_sound_means_no_transaction(world: World) -> None:
    assert ingest_closed(world.fleet, VENUE, []) == 0


def test_an_instrument_that_is_not_listed_is_answered_with_those_that_are(world: World) -> None:
    with world.store.unit_of_work(None) as uow, pytest.raises(NotFound, match=r"DOGE.*ADA/USDT:USDT, SOL/USDT:USDT"):
        instrument_of(uow, VENUE, "DOGE/USDT:USDT")


# --- The model ------------------------------------------------------------------------------------------------------


def test_the_model_is_asked_once_for_all_who_want_its_profile_and_risk_for_each(world: World) -> None:
    houses = [world.settle_in(name, advisor="default") for name in ("harbour", "meridian")]
    plain = world.settle_in("skiff")
    signal = world.announce()
    world.work()
    assert (world.advisor.asked, len(world.bus.of(Stage.CONFIRM))) == ([signal.id], 1)
    decisions = [world.decision(house) for house in (*houses, plain)]
    assert [item.outcome for item in decisions if item] == [DecisionOutcome.APPROVED] * 3
    assert [item.advice_id is not None for item in decisions if item] == [True, True, False]


def test_what_the_model_said_can_be_heard_again(world: World) -> None:
    house = world.settle_in("harbour", advisor="default")
    signal = world.announce()
    world.work()
    decided = world.decision(house)
    counsel = recorded_counsel(world.fleet, "default")
    assert decided is not None
    assert {key: advice.id for key, advice in counsel.answers.items()} == {signal.id: decided.advice_id}
    with pytest.raises(NotFound, match="'nobody'; there is: default"):
        recorded_counsel(world.fleet, "nobody")


def test_each_profile_is_asked_for_itself(world: World) -> None:
    second = ScriptedAdvisor("second")
    second.verdict = AdviceVerdict.REJECT
    world.fleet.advisors = {"default": world.advisor, "second": second}
    cautious, bold = world.settle_in("harbour", advisor="second"), world.settle_in("meridian", advisor="default")
    world.announce()
    world.work()
    refused, approved = world.decision(cautious), world.decision(bold)
    assert refused is not None
    assert refused.veto is not None
    assert refused.veto.rule is Rule.ADVISOR_REJECTED
    assert approved is not None
    assert approved.outcome is DecisionOutcome.APPROVED


@pytest.mark.parametrize("obstacle", ["halted", "paused", "cooling", "not reconciled", "full"])
def test_the_model_is_not_asked_when_nobody_could_act_on_its_answer(world: World, obstacle: str) -> None:
    house = world.settle_in(advisor="default", limits={"position_count_max": 1} if obstacle == "full" else None)
    hinder(world, house, obstacle)
    world.bus.inbox.clear()
    asked = len(world.advisor.asked)
    signal = world.announce(world.signal(ADA))
    world.work()
    assert len(world.advisor.asked) == asked
    decision = world.decision(house, signal)
    assert decision is not None
    assert decision.outcome is DecisionOutcome.VETOED


def hinder(world: World, house: House, obstacle: str) -> None:
    """Put something in the way of every entry of the house."""
    if obstacle == "halted":
        halt(world.fleet, scope=HaltScope.PLATFORM, subject="", mode=HaltMode.HALT_NEW, reason="test", by="tester")
    elif obstacle == "paused":
        pause_tenant(world.fleet, house.tenant.name)
    elif obstacle == "full":
        world.enter(house)
    else:
        with world.store.unit_of_work(house.tenant.id) as uow:
            if obstacle == "cooling":
                uow.risk.start_cooldown(house.account.id, NOON + FRAME.duration * 2, "a test")
            else:
                uow.accounts.mark_reconciled(house.account.id, False)
            uow.commit()


def test_one_subscriber_who_can_act_is_enough_to_ask_the_model(world: World) -> None:
    able, paused = world.settle_in("harbour", advisor="default"), world.settle_in("meridian", advisor="default")
    pause_tenant(world.fleet, paused.tenant.name)
    world.announce()
    world.work()
    assert len(world.advisor.asked) == 1
    decisions = [world.decision(able), world.decision(paused)]
    assert [item.outcome for item in decisions if item] == [DecisionOutcome.APPROVED, DecisionOutcome.VETOED]


def test_a_model_without_usable_answer_makes_the_entry_wait_or_go_on_as_the_tenant_chose(world: World) -> None:
    waits = world.settle_in("harbour", advisor="default")
    goes_on = world.settle_in("meridian", advisor="default", fallback=AdvisorFallback.TECHNICAL)
    world.advisor.verdict = AdviceVerdict.UNAVAILABLE
    world.announce()
    world.work()
    first, second = world.decision(waits), world.decision(goes_on)
    assert first is not None
    assert first.veto is not None
    assert first.veto.rule is Rule.ADVISOR_UNAVAILABLE
    assert second is not None
    assert second.outcome is DecisionOutcome.APPROVED


def test_a_question_that_expired_still_gives_every_subscriber_an_outcome(world: World) -> None:
    houses = [world.settle_in(name, advisor="default") for name in ("harbour", "meridian")]
    world.announce()
    world.clock.advance(300)
    ref = world.take(Stage.CONFIRM)
    assert world.run(ref) is Result.EXPIRED
    world.work()
    outcomes = [decision.outcome for house in houses if (decision := world.decision(house))]
    assert (outcomes, world.advisor.asked) == ([DecisionOutcome.EXPIRED] * 2, [])


def test_a_question_that_cannot_be_asked_at_all_still_gives_every_subscriber_an_outcome(world: World) -> None:
    house = world.settle_in(advisor="default")
    world.announce()
    world.fleet.advisors = {}
    ref = world.take(Stage.CONFIRM)
    assert (world.run(ref), world.job(ref).state) == (Result.FAILED, JobState.FAILED)
    world.work()
    decision = world.decision(house)
    assert decision is not None
    assert decision.veto is not None
    assert decision.veto.rule is Rule.ADVISOR_UNAVAILABLE


def test_a_question_about_a_signal_that_never_was_ends(world: World, house: House) -> None:
    world.settle_in("meridian", advisor="default")
    signal = world.announce()
    with world.store.unit_of_work(None) as uow:
        payload = {"signal_id": str(house.account.id), "advisor": "default"}
        now = world.clock.now()
        ref = uow.jobs.add(
            Stage.CONFIRM, "confirm:nothing", tenant_id=None, payload=payload, now=now, correlation_id=signal.id
        )
        uow.commit()
    assert world.run(ref) is Result.FAILED


@pytest.mark.parametrize("error", [Transient("the model is busy")])
def test_a_transient_failure_of_the_model_is_tried_again_and_asks_once_more(world: World, error: Exception) -> None:
    house = world.settle_in(advisor="default")
    world.announce()
    world.advisor.fails = error
    ref = world.take(Stage.CONFIRM)
    assert world.run(ref) is Result.POSTPONED
    world.advisor.fails = None
    world.pass_time()
    assert world.decision(house) is not None


def test_all_jobs_of_a_story_are_correlated_by_its_signal(world: World) -> None:
    house = world.settle_in(advisor="default")
    signal = world.announce()
    world.work()
    world.move_price("97")
    world.visit(house)
    world.work()
    stories = {job.correlation_id for stage in Stage for job in world.jobs(stage)}
    assert stories == {signal.id}


def test_a_venue_nobody_knows_is_answered_with_those_there_are(world: World) -> None:
    with pytest.raises(NotFound, match="practice"):
        world.fleet.market("elsewhere")
    with pytest.raises(Permanent, match="default"):
        world.fleet.advisor("oracle")


def test_the_world_can_be_found_again_on_the_same_store(world: World) -> None:
    again = found_world(world.store)
    assert refill(again.fleet, VENUE, [SOL, ADA], FRAME, NOON) == 0


# --- Holes ----------------------------------------------------------------------------------------------------------


def closed_after_noon(world: World, first: int, count: int) -> list[ClosedCandle]:
    """Candles of SOL as a stream would bring them: `count` of them, the first opening `first` candles after noon."""
    opened = NOON + FRAME.duration * first
    plain = world.venue.candles(SOL, FRAME, NOON - FRAME.duration * 5, 1)[0]
    return [
        ClosedCandle(
            SOL,
            FRAME,
            replace(plain, opened_at=opened + FRAME.duration * n, closed_at=opened + FRAME.duration * (n + 1)),
        )
        for n in range(count)
    ]


def newest(world: World) -> datetime:
    with world.fleet.store.unit_of_work(None) as uow:
        return uow.candles.last_closed_at(VENUE, FRAME)[SOL]


def test_a_streamed_candle_that_continues_the_history_is_kept(world: World, house: House) -> None:
    before = newest(world)
    gap = round((before - NOON) / FRAME.duration)
    assert ingest_closed(world.fleet, VENUE, closed_after_noon(world, gap, 2)) == 2
    assert newest(world) == before + FRAME.duration * 2


def test_a_streamed_candle_that_would_leave_a_hole_is_left_to_the_scan(world: World, house: House) -> None:
    before = newest(world)
    gap = round((before - NOON) / FRAME.duration)
    assert ingest_closed(world.fleet, VENUE, closed_after_noon(world, gap + 1, 2)) == 0
    assert newest(world) == before


def test_a_streamed_candle_of_a_market_without_history_is_left_to_the_scan(world: World, house: House) -> None:
    longer = Timeframe.parse("1h")
    candles = [replace(item, timeframe=longer) for item in closed_after_noon(world, 0, 1)]
    assert ingest_closed(world.fleet, VENUE, candles) == 0
