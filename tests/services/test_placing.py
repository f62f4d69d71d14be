"""Orders: committed before the wire, sent once, asked about while in doubt, and never concluded without evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from common.domain.errors import NotNow, Permanent, Refused, Transient
from common.domain.job import JobRef, JobState, Stage
from common.domain.order import OrderRole, OrderStatus
from common.domain.position import CloseReason
from common.domain.risk.book import Environment, HaltMode, HaltScope
from common.services import request
from common.services.close_position import request_cancel
from common.services.halts import halt, resume
from common.services.learn import keep
from common.services.place_order import give_up_placement
from common.services.stage import Result
from common.services.tenants import allow_live, pause_tenant
from tests.services.venue import HORIZON, SOL, VALIDITY, VENUE, Fate
from tests.services.world import House, World

S = OrderStatus


def place(world: World) -> JobRef:
    """Run the one placement that waits."""
    ref = world.take(Stage.PLACE)
    world.run(ref)
    return ref


def settle(world: World, house: House, role: OrderRole = OrderRole.ENTRY) -> Result:
    """Run the settlement of the newest order of a role now."""
    world.clock.advance(2)
    order = world.orders(house, role)[-1]
    return world.run(request.order_job(world.fleet, Stage.SETTLE, house.tenant.name, str(order.id)))


# --- Before the wire ------------------------------------------------------------------------------------------------


def test_the_intent_is_committed_as_submitting_before_the_venue_hears_of_it(world: World, house: House) -> None:
    world.approve(house)
    seen: list[tuple[OrderStatus, bool]] = []

    def look() -> None:
        order = world.entry(house)
        seen.append((order.status, order.valid_until == world.clock.now() + VALIDITY))

    world.door_of(house).when["place"] = look
    place(world)
    assert seen == [(S.SUBMITTING, True)]


def test_a_worker_killed_at_the_wire_leaves_an_order_that_is_asked_about_and_never_sent_again(
    world: World, house: House
) -> None:
    world.approve(house)
    door = world.door_of(house)
    door.fails["place"] = KeyboardInterrupt()
    ref = world.take(Stage.PLACE)
    with pytest.raises(KeyboardInterrupt):
        world.run(ref)
    assert (world.entry(house).status, len(world.reserved(house))) == (S.SUBMITTING, 1)
    del door.fails["place"]
    world.clock.advance(1)
    assert world.run(ref) is Result.DONE
    assert (world.job(ref).outcome, door.calls.count("place")) == ("found submitting: asking the venue", 1)
    assert len(world.jobs(Stage.SETTLE)) == 1


def test_the_same_placement_rung_for_twice_sends_once(world: World, house: House) -> None:
    world.approve(house)
    ref = place(world)
    assert world.run(ref) is Result.NOTHING_TO_CLAIM
    assert world.door_of(house).calls.count("place") == 1


def test_an_order_that_somebody_else_brought_on_its_way_is_not_sent(world: World, house: House) -> None:
    order = world.approve(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        keep(uow, order, order.move(S.ABANDONED, reason="a test"), world.clock.now())
        uow.commit()
    assert world.job(place(world)).outcome == "nothing to send: abandoned"
    assert "place" not in world.door_of(house).calls


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (HaltScope.PLATFORM, ""),
        (HaltScope.VENUE, VENUE),
        (HaltScope.TENANT, "harbour"),
        (HaltScope.STRATEGY, "ema_crossover"),
        (HaltScope.INSTRUMENT, SOL),
    ],
)
def test_an_entry_halted_between_approval_and_placement_is_abandoned_and_its_reservation_released(
    world: World, house: House, scope: HaltScope, subject: str
) -> None:
    world.approve(house)
    halt(world.fleet, scope=scope, subject=subject, mode=HaltMode.HALT_NEW, reason="enough", by="tester")
    place(world)
    order = world.entry(house)
    assert (order.status, world.reserved(house)) == (S.ABANDONED, [])
    assert "halted" in order.reason
    assert "place" not in world.door_of(house).calls


def test_a_halt_of_something_else_keeps_nobody_back(world: World, house: House) -> None:
    world.approve(house)
    world.settle_in("meridian")
    halt(world.fleet, scope=HaltScope.TENANT, subject="meridian", mode=HaltMode.FLATTEN, reason="other", by="tester")
    place(world)
    assert world.entry(house).status is S.FILLED


def test_a_halt_that_was_lifted_keeps_nobody_back(world: World, house: House) -> None:
    halt(world.fleet, scope=HaltScope.PLATFORM, subject="", mode=HaltMode.HALT_NEW, reason="a drill", by="tester")
    assert resume(world.fleet, scope=HaltScope.PLATFORM, subject="", by="tester")
    world.enter(house)


def test_an_entry_whose_signal_expired_on_the_way_is_abandoned(world: World, house: House) -> None:
    world.approve(house)
    world.clock.advance(300)
    place(world)
    assert (world.entry(house).status, world.reserved(house)) == (S.ABANDONED, [])
    assert world.entry(house).reason.startswith("expired")


def test_an_entry_of_a_tenant_that_was_paused_on_the_way_is_abandoned(world: World, house: House) -> None:
    world.approve(house)
    pause_tenant(world.fleet, "harbour")
    place(world)
    assert (world.entry(house).status, world.entry(house).reason) == (S.ABANDONED, "the tenant is reducing")


@pytest.mark.parametrize("who", ["platform", "tenant"])
def test_an_entry_with_real_money_needs_everybodys_say_at_the_wire_too(world: World, who: str) -> None:
    house = world.settle_in(environment=Environment.LIVE)
    world.approve(house)
    withdraw(world, house, who)
    place(world)
    assert world.entry(house).status is S.ABANDONED
    assert world.entry(house).reason.startswith("live trading is not enabled")


def withdraw(world: World, house: House, who: str) -> None:
    """Take back one of the says that real money needs."""
    if who == "platform":
        world.fleet.policy = replace(world.fleet.policy, live_trading=False)
    else:
        allow_live(world.fleet, house.tenant.name, False)


def test_a_position_with_real_money_stays_protected_and_can_be_left_after_the_say_was_withdrawn(world: World) -> None:
    house = world.settle_in(environment=Environment.LIVE)
    world.approve(house)
    place(world)
    withdraw(world, house, "platform")
    world.work()
    assert world.statuses(house, OrderRole.STOP) == [S.ACCEPTED]


def test_a_leverage_that_cannot_be_set_now_postpones_the_entry(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fails["set_leverage"] = Transient("the venue is busy")
    ref = place(world)
    assert (world.job(ref).state, world.entry(house).status) == (JobState.PENDING, S.INTENDED)
    world.door_of(house).fails.clear()
    world.pass_time()
    assert world.entry(house).status is S.FILLED


def test_a_placement_that_can_never_be_made_is_abandoned_and_releases_its_reservation(
    world: World, house: House
) -> None:
    world.approve(house)
    world.door_of(house).fails["set_leverage"] = Permanent("no such leverage")
    ref = place(world)
    assert (world.job(ref).state, world.entry(house).status) == (JobState.FAILED, S.ABANDONED)
    assert (world.entry(house).reason, world.reserved(house)) == ("no such leverage", [])


def test_a_placement_that_fails_for_good_after_it_may_have_left_is_asked_about(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fails["place"] = Permanent("a failure nobody allows for")
    ref = place(world)
    assert (world.job(ref).state, world.entry(house).status) == (JobState.FAILED, S.SUBMITTING)
    assert len(world.jobs(Stage.SETTLE)) == 1


def test_giving_up_a_placement_that_turned_out_well_changes_nothing(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fails["fills"] = Permanent("cannot list fills")
    ref = place(world)
    assert (world.job(ref).state, world.entry(house).status) == (JobState.FAILED, S.SUBMITTING)
    world.door_of(house).fails.clear()
    settle(world, house)
    assert world.entry(house).status is S.FILLED


# --- Fates ----------------------------------------------------------------------------------------------------------


def test_an_acknowledged_entry_is_filled_and_its_stop_rests_for_exactly_what_is_held(
    world: World, house: House
) -> None:
    position = world.enter(house)
    [stop] = world.orders(house, OrderRole.STOP)
    assert (world.entry(house).status, stop.status) == (S.FILLED, S.ACCEPTED)
    assert (stop.intent.quantity, stop.intent.trigger_price) == (position.quantity, Decimal(98))
    assert world.reserved(house) == []


@pytest.mark.parametrize("fate", [Fate.AFTER, Fate.LATE, Fate.SILENT_PARTIAL])
def test_an_entry_of_unknown_outcome_that_the_venue_holds_is_found(world: World, house: House, fate: Fate) -> None:
    world.approve(house)
    world.door_of(house).fates = [fate]
    place(world)
    assert (world.entry(house).status, len(world.reserved(house))) == (S.UNKNOWN, 1)
    world.pass_time(rounds=3)
    position = world.position(house)
    assert position is not None
    assert position.quantity == world.at_venue(house).held[SOL]
    assert (world.entry(house).filled_quantity, world.door_of(house).calls.count("place")) == (position.quantity, 2)


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.BEFORE])
def test_an_entry_without_trace_is_not_placed_only_after_window_and_horizon(
    world: World, house: House, fate: Fate
) -> None:
    world.approve(house)
    world.door_of(house).fates = [fate]
    place(world)
    sent_at = world.clock.now()
    while world.clock.now() + timedelta(seconds=2) <= sent_at + VALIDITY + HORIZON:
        world.pass_time()
        assert (world.entry(house).status, len(world.reserved(house))) == (S.UNKNOWN, 1)
    world.pass_time(rounds=2)
    assert (world.entry(house).status, world.reserved(house)) == (S.NOT_PLACED, [])
    assert world.at_venue(house).orders == []


def test_an_order_that_the_venue_hides_for_a_while_is_not_given_up(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.AFTER]
    place(world)
    [resting] = world.at_venue(house).orders
    resting.is_hidden = True
    world.pass_time(rounds=5)
    assert world.entry(house).status is S.UNKNOWN
    resting.is_hidden = False
    world.pass_time()
    assert world.entry(house).status is S.FILLED


def test_fills_of_nobody_we_know_contradict_an_orders_absence(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.AFTER]
    place(world)
    [resting] = world.at_venue(house).orders
    resting.is_hidden = True
    world.clock.advance(60)
    assert settle(world, house) is Result.POSTPONED
    assert (world.entry(house).status, len(world.reserved(house))) == (S.UNKNOWN, 1)


def test_fills_of_another_side_or_time_contradict_nothing(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.LOST]
    place(world)
    entry = world.entry(house)
    world.venue.book_fill(house.account.id, SOL, entry.intent.side.SELL, Decimal(1), "by-hand")
    world.clock.advance(60)
    world.venue.book_fill(house.account.id, SOL, entry.intent.side, Decimal(1), "by-hand-too")
    assert settle(world, house) is Result.DONE
    assert world.entry(house).status is S.NOT_PLACED


def test_an_order_shown_only_among_the_open_ones_is_found_there(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.REST]
    door = world.door_of(house)
    door.fails["place"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        place(world)
    world.venue.arrive(house.account.id, world.entry(house).intent, world.clock.now(), Decimal(0))
    door.find = lambda intent: None  # type: ignore[method-assign]
    assert settle(world, house) is Result.DONE
    assert world.entry(house).status is S.ACCEPTED


def test_a_settlement_asked_for_before_the_order_left_waits_for_it(world: World, house: House) -> None:
    world.approve(house)
    assert settle(world, house) is Result.POSTPONED
    world.door_of(house).fates = [Fate.AFTER]
    place(world)
    world.pass_time()
    assert world.entry(house).status is S.FILLED


def test_a_settlement_of_a_known_order_asks_nobody(world: World, house: House) -> None:
    world.enter(house)
    asked = world.door_of(house).calls.count("find")
    assert settle(world, house) is Result.DONE
    assert world.door_of(house).calls.count("find") == asked


def test_no_failure_ends_the_asking_about_an_order_in_doubt(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.AFTER]
    place(world)
    world.door_of(house).fails["find"] = Permanent("the key was revoked")
    assert settle(world, house) is Result.POSTPONED
    world.door_of(house).fails.clear()
    world.pass_time(60)
    assert world.entry(house).status is S.FILLED


def test_a_definite_refusal_is_recorded_with_its_code_and_releases_the_reservation(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.REFUSED]
    ref = place(world)
    assert world.job(ref).outcome == "rejected by the venue: -2019"
    assert (world.entry(house).status, world.reserved(house)) == (S.REJECTED, [])
    assert world.entry(house).reason == "refused with -2019: margin is insufficient"


def test_a_partial_fill_is_held_and_protected_while_the_rest_still_works(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.PARTIAL]
    world.work()
    entry, [stop] = world.entry(house), world.orders(house, OrderRole.STOP)
    assert entry.status is S.PARTIALLY_FILLED
    assert entry.filled_quantity == stop.intent.quantity == world.at_venue(house).held[SOL]
    assert world.reserved(house) == [entry.id]


def test_fills_that_cannot_be_asked_for_now_are_learnt_by_the_monitor(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fails["fills"] = Transient("rate limit")
    ref = place(world)
    assert "still to be asked for" in world.job(ref).outcome
    assert (world.entry(house).status, world.position(house)) == (S.ACCEPTED, None)
    world.door_of(house).fails.clear()
    world.visit(house)
    assert world.entry(house).status is S.FILLED
    assert len(world.positions(house)) == 1


def test_who_knows_an_older_version_of_an_order_cannot_change_it(world: World, house: House) -> None:
    stale = world.approve(house)
    place(world)
    with world.store.unit_of_work(house.tenant.id) as uow, pytest.raises(Transient, match="another worker"):
        keep(uow, stale, stale.move(S.ABANDONED), world.clock.now())
    assert world.entry(house).status is S.FILLED


def test_an_order_settled_while_its_acknowledgement_was_on_the_way_is_not_sent_again(
    world: World, house: House
) -> None:
    world.approve(house)

    def overtake() -> None:
        order = world.entry(house)
        with world.store.unit_of_work(house.tenant.id) as uow:
            keep(uow, order, order.move(S.UNKNOWN, reason="somebody else"), world.clock.now())
            uow.commit()

    world.door_of(house).when["place"] = overtake
    place(world)
    world.door_of(house).when.clear()
    assert (world.entry(house).status, world.door_of(house).calls.count("place")) == (S.FILLED, 1)


# --- Stops and exits ------------------------------------------------------------------------------------------------


def test_a_position_whose_stop_is_refused_is_left_at_once(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [None, Fate.REFUSED]
    world.work()
    position = world.position(house)
    assert position is not None
    assert (position.is_open, position.close_reason) == (False, CloseReason.STOP)
    assert world.statuses(house, OrderRole.STOP) == [S.REJECTED]
    assert world.at_venue(house).held[SOL] == 0


def test_a_stop_that_is_not_taken_now_is_asked_for_anew_and_the_position_is_kept(world: World, house: House) -> None:
    world.approve(house)
    place(world)
    world.door_of(house).fails["place"] = NotNow("-1021", "timestamp outside of the window")
    world.run(world.take(Stage.PLACE))
    before = world.statuses(house, OrderRole.STOP)
    world.door_of(house).fails.clear()
    world.visit(house)
    world.work()
    position = world.position(house)
    assert position is not None
    assert (position.is_open, before) == (True, [S.REJECTED])
    assert sorted(world.statuses(house, OrderRole.STOP)) == [S.ACCEPTED, S.REJECTED]


def test_a_stop_refused_when_nothing_is_held_any_more_calls_for_nothing(world: World, house: House) -> None:
    world.approve(house)
    place(world)
    stop = world.take(Stage.PLACE)
    position = world.position(house)
    assert position is not None
    world.venue.book_fill(house.account.id, SOL, world.entry(house).intent.side.SELL, position.quantity, "stranger")
    world.run(stop)
    assert world.statuses(house, OrderRole.STOP) == [S.REJECTED]


@pytest.mark.parametrize("fate", [Fate.AFTER, Fate.LATE, Fate.LOST])
def test_an_exit_of_unknown_outcome_keeps_the_reason_it_was_made_for(world: World, house: House, fate: Fate) -> None:
    world.enter(house)
    world.door_of(house).fates = [fate]
    world.venue.prices[SOL] = Decimal(107)
    world.clock.advance(1)
    world.visit(house)
    world.work()
    for _ in range(20):
        world.pass_time()
        world.visit(house)
        world.work()
    position = world.position(house)
    assert position is not None
    assert (position.is_open, position.close_reason) == (False, CloseReason.TARGET)


@pytest.mark.parametrize("fate", [Fate.AFTER, Fate.LATE, Fate.LOST, Fate.BEFORE])
def test_a_stop_of_unknown_outcome_ends_resting_or_the_position_is_left(world: World, house: House, fate: Fate) -> None:
    world.approve(house)
    world.door_of(house).fates = [None, fate]
    world.work()
    for _ in range(20):
        world.pass_time()
        world.visit(house)
        world.work()
    position = world.position(house)
    assert position is not None
    resting = [order for order in world.at_venue(house).orders if order.is_open]
    assert position.is_open is bool(resting)
    assert sum(order.intent.quantity for order in resting) in {position.quantity, 0}


# --- Cancelling -----------------------------------------------------------------------------------------------------


def cancel(world: World, house: House) -> JobRef:
    """Ask for the cancellation of the newest entry, as a person does."""
    world.clock.advance(2)
    entry = world.orders(house, OrderRole.ENTRY)[-1]
    ref = request.order_job(world.fleet, Stage.CANCEL, house.tenant.name, entry.intent.client_order_id)
    world.run(ref)
    return ref


def test_only_the_venues_word_ends_an_order(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.REST]
    place(world)
    assert world.job(cancel(world, house)).outcome == "canceled"
    assert (world.entry(house).status, world.reserved(house)) == (S.CANCELED, [])


def test_a_fill_may_be_faster_than_the_cancel(world: World, house: House) -> None:
    world.approve(house)
    door = world.door_of(house)
    door.fates, door.fill_beats_cancel = [Fate.REST], True
    place(world)
    assert world.job(cancel(world, house)).outcome == "filled"
    assert world.position(house) == world.positions(house)[0]


def test_a_cancelled_partial_fill_keeps_what_was_filled(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.PARTIAL]
    world.door_of(house).fails["fills"] = Transient("rate limit")
    place(world)
    world.door_of(house).fails.clear()
    assert world.job(cancel(world, house)).outcome == "canceled"
    entry = world.entry(house)
    assert (entry.status, entry.filled_quantity) == (S.CANCELED, world.at_venue(house).held[SOL])


def test_a_cancel_that_the_venue_does_not_confirm_insists(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.REST]
    place(world)
    door = world.door_of(house)
    door.cancel = lambda intent: None  # type: ignore[method-assign]
    ref = cancel(world, house)
    assert (world.job(ref).state, world.job(ref).outcome) == (JobState.PENDING, "still accepted at the venue")
    del door.cancel
    world.pass_time()
    assert world.entry(house).status is S.CANCELED


def test_a_cancel_of_an_order_the_venue_does_not_show_now_insists(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.REST]
    place(world)
    world.at_venue(house).orders[0].is_hidden = True
    assert world.job(cancel(world, house)).state is JobState.PENDING
    world.at_venue(house).orders[0].is_hidden = False
    world.pass_time()
    assert world.entry(house).status is S.CANCELED


def test_an_order_in_doubt_is_cancelled_once_its_fate_is_known(world: World, house: House) -> None:
    world.approve(house)
    world.door_of(house).fates = [Fate.AFTER]
    place(world)
    ref = cancel(world, house)
    assert world.job(ref).state is JobState.PENDING
    world.pass_time(rounds=3)
    assert world.job(ref).outcome == "nothing to cancel: filled"


def test_an_intent_that_never_left_is_cancelled_by_abandoning_it(world: World, house: House) -> None:
    world.approve(house)
    assert world.job(cancel(world, house)).outcome == "abandoned before it left"
    place(world)
    assert (world.entry(house).status, world.reserved(house)) == (S.ABANDONED, [])
    assert "place" not in world.door_of(house).calls


def test_refusals_carry_the_venues_code() -> None:
    assert str(Refused("-2010", "no")) == "refused with -2010: no"


def test_a_placement_of_an_order_that_never_was_ends_as_failed(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        ref = uow.jobs.add(
            Stage.PLACE,
            "place:nothing",
            tenant_id=house.tenant.id,
            payload={"order_id": str(house.account.id)},
            now=world.clock.now(),
            correlation_id=house.account.id,
        )
        uow.commit()
    assert world.run(ref) is Result.FAILED
    assert "no order" in world.job(ref).outcome


def test_giving_up_a_placement_whose_order_is_known_changes_nothing(world: World, house: House) -> None:
    order = world.approve(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        job = uow.jobs.claim(world.take(Stage.PLACE).id, world.clock.now())
        assert job is not None
        keep(uow, order, order.move(S.ABANDONED, reason="a test"), world.clock.now())
        give_up_placement(world.fleet, uow, job, "whatever")
        uow.commit()
    assert (world.entry(house).status, world.entry(house).reason) == (S.ABANDONED, "a test")


@pytest.mark.parametrize("status", [S.INTENDED, S.ACCEPTED])
def test_a_wish_to_cancel_by_who_knows_an_older_version_is_made_again(
    world: World, house: House, status: OrderStatus
) -> None:
    stale = replace(world.approve(house), version=7, status=status)
    with world.store.unit_of_work(house.tenant.id) as uow, pytest.raises(Transient, match="another worker"):
        request_cancel(uow, stale, world.clock.now())


def test_an_order_whose_account_is_another_tenants_is_nobodys(world: World, house: House) -> None:
    order, other = world.approve(house), world.settle_in("meridian")
    with world.store.unit_of_work(other.tenant.id) as uow:
        strange = replace(order.intent, tenant_id=other.tenant.id, client_order_id="twestrange")
        with pytest.raises(Permanent):
            uow.orders.add(replace(order, intent=strange))
