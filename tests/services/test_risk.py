"""One verdict per signal and account, with all that is needed to judge again, and the reservation that holds the limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from common.domain.codec import decode
from common.domain.decision import DecisionOutcome
from common.domain.errors import InvalidInput, NotFound
from common.domain.job import JobRef, Stage
from common.domain.market import MarketState, Timeframe
from common.domain.order import OrderRole, OrderStatus
from common.domain.risk.book import Environment
from common.domain.risk.verdict import Level, Rule
from common.services import evaluate_risk
from common.services.ingest_candles import ingest_candles
from common.services.market_view import market_now, with_candles
from common.services.replay_decision import replay_decision
from common.services.stage import Result
from common.services.tenants import allow_live
from tests.services.venue import ADA, NOON, SOL, VENUE, StepClock
from tests.services.world import FRAME, House, World


def test_an_approval_keeps_decision_order_reservation_and_job_together(world: World, house: House) -> None:
    order = world.approve(house)
    decision = world.decision(house)
    assert decision is not None
    assert (decision.outcome, decision.order_id, decision.veto) == (DecisionOutcome.APPROVED, order.id, None)
    assert (order.status, world.reserved(house)) == (OrderStatus.INTENDED, [order.id])
    assert world.job(world.take(Stage.PLACE)).payload == {"order_id": str(order.id)}
    assert world.audited(house, decision.id) == ["decision"]


def test_an_evaluation_that_dies_before_its_commit_keeps_none_of_it(
    world: World, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.announce()
    ref = world.take(Stage.EVALUATE)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_risk, "request_placement", die)
    with pytest.raises(KeyboardInterrupt):
        world.run(ref)
    assert (world.decision(house), world.orders(house), world.reserved(house)) == (None, [], [])
    monkeypatch.undo()
    assert world.run(ref) is Result.DONE
    assert len(world.orders(house)) == 1


def test_a_veto_keeps_its_rule_and_both_numbers_and_orders_nothing(world: World, house: House) -> None:
    world.announce()
    world.venue.prices[SOL] = Decimal("100.80")
    world.work()
    decision = world.decision(house)
    assert decision is not None
    assert decision.veto is not None
    assert (decision.veto.level, decision.veto.rule) == (Level.SANITY, Rule.PRICE_DRIFTED)
    assert decision.veto.measured > decision.veto.limit == Decimal(50)
    assert (world.orders(house), world.reserved(house)) == ([], [])


def test_a_signal_that_is_too_old_is_recorded_as_expired(world: World, house: House) -> None:
    world.announce()
    world.clock.advance(300)
    world.work()
    decision = world.decision(house)
    assert decision is not None
    assert (decision.outcome, world.orders(house)) == (DecisionOutcome.EXPIRED, [])


def test_two_accounts_of_a_fleet_are_judged_each_by_its_own_book(world: World) -> None:
    rich, poor = world.settle_in("harbour"), world.settle_in("meridian")
    world.at_venue(poor).cash = Decimal(0)
    world.visit(poor)
    world.announce()
    world.work()
    outcomes = [decision.outcome for house in (rich, poor) if (decision := world.decision(house))]
    assert outcomes == [DecisionOutcome.APPROVED, DecisionOutcome.VETOED]


def test_what_is_reserved_counts_before_anything_was_filled(world: World) -> None:
    house = world.settle_in(limits={"position_count_max": 1})
    world.approve(house)
    second = world.announce(world.signal(ADA))
    world.run(world.take(Stage.EVALUATE))
    decision = world.decision(house, second)
    assert decision is not None
    assert decision.veto is not None
    assert decision.veto.rule is Rule.POSITION_COUNT_EXCEEDS_LIMIT


@pytest.mark.parametrize("who", ["platform", "tenant"])
def test_real_money_needs_the_say_of_platform_and_tenant(world: World, who: str) -> None:
    house = world.settle_in(environment=Environment.LIVE)
    if who == "platform":
        world.fleet.policy = replace(world.fleet.policy, live_trading=False)
    else:
        allow_live(world.fleet, house.tenant.name, False)
    world.announce()
    world.work()
    decision = world.decision(house)
    assert decision is not None
    assert decision.veto is not None
    assert decision.veto.rule is Rule.ENVIRONMENT_NOT_ALLOWED


def test_with_everybodys_say_a_live_account_trades_with_its_own_keys(world: World) -> None:
    house = world.settle_in(environment=Environment.LIVE)
    world.enter(house)
    keys = world.credentials[house.account.id]
    assert keys is not None
    assert (keys.key, keys.secret) == ("key-of-a-test-account", "secret-of-a-test-account")


def test_stored_settings_beyond_a_lowered_ceiling_bind_at_the_ceiling_and_stop_nobody(world: World) -> None:
    house = world.settle_in()
    with world.store.unit_of_work(house.tenant.id) as uow:
        looser = replace(house.account, id=UUID(int=5), name="loose", limits={"drawdown_max": "0.9"})
        uow.accounts.add(looser)
        uow.accounts.mark_reconciled(looser.id, True)
        ref = uow.jobs.add(
            Stage.EVALUATE,
            "by hand",
            tenant_id=house.tenant.id,
            payload={"signal_id": str(world.announce().id), "account_id": str(looser.id), "advice_id": None},
            now=world.clock.now(),
            correlation_id=UUID(int=5),
        )
        uow.commit()
    assert world.run(ref) is Result.DONE


# --- Replay ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["100", "100.80"])
def test_a_stored_decision_judged_again_gives_the_same_verdict_bit_for_bit(world: World, price: str) -> None:
    house = world.settle_in(advisor="default")
    world.announce()
    world.venue.prices[SOL] = Decimal(price)
    world.work()
    decision = world.decision(house)
    assert decision is not None
    replay = replay_decision(world.fleet, house.tenant.id, decision.id)
    assert replay.stored == replay.recomputed
    assert (replay.is_equal, replay.stored["outcome"]) == (True, decision.outcome.value)


def test_a_decision_whose_inputs_were_changed_does_not_replay_equal(world: World, house: House) -> None:
    world.announce()
    world.work()
    decision = world.decision(house)
    assert decision is not None
    forged = replace(
        decision,
        id=UUID(int=3),
        signal_id=UUID(int=3),
        inputs=dict(decision.inputs) | {"now": "2024-03-02T00:00:00+00:00"},
    )
    with world.store.unit_of_work(house.tenant.id) as uow:
        uow.signals.add(world.signal(id=UUID(int=3)))
        uow.decisions.add(replace(forged, order_id=None))
        uow.commit()
    replay = replay_decision(world.fleet, house.tenant.id, UUID(int=3))
    assert not replay.is_equal
    assert replay.recomputed["veto"]["rule"] != ""


def test_what_was_never_judged_cannot_be_replayed(world: World, house: House) -> None:
    world.announce()
    world.clock.advance(300)
    world.work()
    decision = world.decision(house)
    assert decision is not None
    with pytest.raises(InvalidInput, match="expired"):
        replay_decision(world.fleet, house.tenant.id, decision.id)


def test_a_decision_of_another_tenant_cannot_be_replayed(world: World, house: House) -> None:
    world.approve(house)
    decision = world.decision(house)
    assert decision is not None
    other = world.settle_in("meridian")
    with pytest.raises(NotFound):
        replay_decision(world.fleet, other.tenant.id, decision.id)


def test_the_inputs_hold_the_market_as_it_was(world: World, house: House) -> None:
    world.approve(house)
    decision = world.decision(house)
    assert decision is not None
    market = decode(MarketState, decision.inputs["market"])
    assert (market.last, market.candle_closed_at, market.has_gap) == (Decimal(100), NOON, False)


# --- The market at the moment ---------------------------------------------------------------------------------------


def test_the_venue_is_asked_once_for_all_accounts_that_judge_at_the_same_instant(world: World) -> None:
    for name in ("harbour", "meridian", "skiff"):
        world.settle_in(name)
    world.announce()
    asked = world.venue.market_calls
    for _ in range(3):
        world.run(world.bus.inbox.pop(0))
    assert world.venue.market_calls == asked + 1


def test_a_quote_is_not_used_once_it_is_older_than_the_policy_allows(world: World) -> None:
    instrument = world.venue.listed[SOL]
    market_now(world.fleet, instrument)
    world.clock.advance(world.fleet.policy.market_fresh_s)
    world.venue.prices[SOL] = Decimal(103)
    assert market_now(world.fleet, instrument).last == Decimal(103)


def market_with_candles(world: World, until_minutes: float = 0) -> MarketState:
    state = market_now(world.fleet, world.venue.listed[SOL])
    with world.store.unit_of_work(None) as uow:
        return with_candles(world.fleet, uow, state, FRAME, NOON + timedelta(minutes=until_minutes))


def test_candles_add_range_volume_and_age(world: World) -> None:
    market = market_with_candles(world)
    assert (market.atr, market.volume_ratio, market.candle_closed_at) == (Decimal("1.0"), Decimal("1.0"), NOON)


def test_the_median_range_is_known_once_a_hundred_ranges_are(world: World) -> None:
    world.fleet.policy = replace(world.fleet.policy, history_candles=400)
    medians = []
    for count in (60, 110, 120):
        candles = world.venue.candles(SOL, FRAME, NOON - FRAME.duration * count, count)
        ingest_candles(world.fleet, VENUE, SOL, FRAME, candles)
        medians.append(market_with_candles(world).atr_median)
    assert medians == [None, None, Decimal("1.0")]


def test_a_missing_candle_is_a_gap_and_so_is_no_candle_at_all(world: World) -> None:
    world.clock.advance(900)
    late = world.venue.candles(SOL, FRAME, NOON + FRAME.duration, 1)
    ingest_candles(world.fleet, VENUE, SOL, FRAME, late)
    assert market_with_candles(world, 10).has_gap
    state = market_now(world.fleet, world.venue.listed[SOL])
    with world.store.unit_of_work(None) as uow:
        assert with_candles(world.fleet, uow, state, Timeframe.parse("1h"), NOON).has_gap


def test_against_a_fast_venue_the_time_of_travel_is_allowed_for(world: World, house: House) -> None:
    world.fleet.clock = StepClock(world.clock.now(), rate=60.0)
    world.announce()
    world.run(world.take(Stage.EVALUATE))
    decision = world.decision(house)
    assert decision is not None
    assert decision.inputs["transit"] == "120"


def test_an_order_that_was_approved_is_the_only_entry_on_its_signal(world: World, house: House) -> None:
    world.enter(house)
    ref = world.bus.of(Stage.EVALUATE)[0]
    assert world.run(ref) is Result.NOTHING_TO_CLAIM
    assert len(world.orders(house, OrderRole.ENTRY)) == 1


def ask_again(world: World, house: House, key: str, **payload: str | None) -> JobRef:
    """Another evaluation of the world's signal, beside the pipeline's own."""
    wanted = {"signal_id": str(world.signal().id), "account_id": str(house.account.id), "advice_id": None}
    with world.store.unit_of_work(house.tenant.id) as uow:
        ref = uow.jobs.add(
            Stage.EVALUATE,
            key,
            tenant_id=house.tenant.id,
            payload=wanted | payload,
            now=world.clock.now(),
            correlation_id=UUID(int=5),
        )
        uow.commit()
    return ref


def test_an_outcome_is_never_overwritten(world: World, house: House) -> None:
    world.announce()
    world.clock.advance(300)
    world.work()
    first = world.decision(house)
    world.clock.advance(60)
    assert world.run(ask_again(world, house, "again")) is Result.DONE
    assert world.decision(house) == first
    assert first is not None
    assert world.audited(house, first.id) == ["decision"]


def test_an_evaluation_for_an_account_that_is_not_the_tenants_fails_without_outcome(world: World, house: House) -> None:
    other = world.settle_in("meridian")
    world.announce()
    ref = ask_again(world, house, "strange", account_id=str(other.account.id))
    assert world.run(ref) is Result.FAILED
    assert "no account" in world.job(ref).outcome
