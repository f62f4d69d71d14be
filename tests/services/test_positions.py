"""What the venue tells becomes the ledger, every open position is guarded, and books are compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from uuid import UUID

import pytest

from common.domain.errors import NotFound, Transient
from common.domain.job import Stage
from common.domain.order import OrderRole, OrderSide, OrderStatus
from common.domain.position import CloseReason, Position
from common.domain.risk.book import HaltMode, HaltScope
from common.domain.signal import ExitPlan
from common.ports.venue import VenueFunding
from common.services.close_position import close_position
from common.services.halts import halt, resume
from common.services.learn import learn, learn_fills, learn_fundings, learn_order, refold_position, save_position
from common.services.monitor_account import monitor_account
from common.services.reconcile_account import reconcile_account
from common.services.ticks import each_account
from tests.services.doors import minutes
from tests.services.venue import ADA, NOON, SOL, Fate
from tests.services.world import House, World

S = OrderStatus


def look(world: World, house: House) -> Position:
    """One visit of the monitor with all that follows; the position afterwards."""
    world.clock.advance(1)
    world.visit(house)
    world.work()
    position = world.position(house)
    assert position is not None
    return position


def fill_entry(world: World, house: House, quantity: str) -> None:
    """The venue fills a little more of the entry."""
    world.clock.advance(1)
    [entry] = [o for o in world.at_venue(house).orders if o.intent.role is OrderRole.ENTRY]
    world.venue.fill(house.account.id, entry, Decimal(quantity))


def rest_entry(world: World, house: House) -> None:
    """An entry that the venue accepted and has not filled."""
    world.door_of(house).fates = [Fate.REST]
    world.announce()
    world.work()


# --- Fills ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_fills_in_any_order_and_told_twice_make_the_same_ledger(
    world: World, house: House, order: tuple[int, ...]
) -> None:
    rest_entry(world, house)
    for quantity in ("100", "200", "126.7"):
        fill_entry(world, house, quantity)
    told = world.at_venue(house).fills
    for number in (*order, *order):
        with world.store.unit_of_work(house.tenant.id) as uow:
            uow.risk.lock()
            assert learn_fills(world.fleet, uow, house.account, [told[number]]) == []
            uow.commit()
    position = world.position(house)
    assert position is not None
    assert (len(world.fills(house)), position.quantity) == (3, Decimal("426.7"))
    assert (world.entry(house).status, world.entry(house).filled_quantity) == (S.FILLED, Decimal("426.7"))
    covered = sum(stop.intent.quantity for stop in world.orders(house, OrderRole.STOP))
    assert covered == position.quantity


def test_a_fill_told_under_another_name_of_its_market_is_not_booked_again(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    look(world, house)
    [told] = world.at_venue(house).fills
    misnamed = replace(told, instrument="SOLUSDT", client_order_id=world.entry(house).intent.client_order_id)
    with world.store.unit_of_work(house.tenant.id) as uow, pytest.raises(Transient, match="SOLUSDT"):
        learn_fills(world.fleet, uow, house.account, [misnamed])
    with world.store.unit_of_work(house.tenant.id) as uow:
        other = replace(told, instrument="ADA/USDT:USDT", client_order_id=None)
        assert learn_fills(world.fleet, uow, house.account, [other]) == [other]
    assert world.entry(house).filled_quantity == Decimal(100)


def test_an_order_ends_only_when_our_fills_account_for_what_the_venue_filled(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "426.7")
    told = world.at_venue(house).orders[0].told()
    with world.store.unit_of_work(house.tenant.id) as uow:
        after = learn_order(world.fleet, uow, world.entry(house), told)
        uow.commit()
    assert (told.status, after.status) == (S.FILLED, S.ACCEPTED)
    look(world, house)
    assert world.entry(house).status is S.FILLED


def test_a_second_partial_fill_gets_a_second_stop_for_exactly_what_is_naked(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    look(world, house)
    fill_entry(world, house, "50")
    look(world, house)
    assert [stop.intent.quantity for stop in world.orders(house, OrderRole.STOP)] == [Decimal(100), Decimal(50)]
    assert world.statuses(house, OrderRole.STOP) == [S.ACCEPTED] * 2


def test_the_exit_plan_of_a_position_is_the_one_risk_approved(world: World) -> None:
    house = world.settle_in(profile="scalper", limits={"exposure_max": "1", "spread_bps_max": 20})
    position = world.enter(house)
    assert position.exits.max_hold == minutes(5)
    assert position.exits.min_hold == timedelta(seconds=5)


def test_a_position_without_a_stored_proposal_is_left_as_its_signal_says(world: World, house: House) -> None:
    order = world.approve(house)
    decision = world.decision(house)
    assert decision is not None
    moved = world.signal(ADA)
    with world.store.unit_of_work(house.tenant.id) as uow:
        uow.signals.add(moved)
        stray = replace(
            order.intent,
            order_id=UUID(int=11),
            client_order_id="twestray",
            position_id=UUID(int=12),
            signal_id=moved.id,
            instrument=ADA,
        )
        uow.orders.add(replace(order, intent=stray, status=S.ACCEPTED, venue_order_id="v11"))
        uow.commit()
    fill = world.venue.book_fill(house.account.id, ADA, OrderSide.BUY, Decimal(5), "v11")
    with world.store.unit_of_work(house.tenant.id) as uow:
        learn_fills(world.fleet, uow, house.account, [fill])
        uow.commit()
    [position] = world.positions(house)
    assert position.exits == moved.exits


def test_a_position_of_no_fills_and_one_of_no_entry_are_none(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        assert refold_position(world.fleet, uow, house.account, UUID(int=4)) is None


def test_who_knows_an_older_version_of_a_position_cannot_change_it(world: World, house: House) -> None:
    position = world.enter(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        save_position(uow, position)
        with pytest.raises(Transient, match="another worker"):
            save_position(uow, position)


def test_a_fill_that_is_older_than_the_last_one_known_is_still_found(world: World, house: House) -> None:
    """The stop fills while nobody looks; another entry in the same market is placed and learnt before the monitor comes."""
    world.enter(house)
    world.move_price("97")
    world.clock.advance(3600)
    order = world.orders(house, OrderRole.STOP)[0]
    late = world.venue.book_fill(house.account.id, SOL, OrderSide.BUY, Decimal(1), "v-later")
    with world.store.unit_of_work(house.tenant.id) as uow:
        entry = world.entry(house)
        intent = replace(entry.intent, order_id=UUID(int=21), client_order_id="twelater", position_id=UUID(int=22))
        uow.orders.add(replace(entry, intent=intent, status=S.ACCEPTED, venue_order_id="v-later", version=0))
        learn_fills(world.fleet, uow, house.account, [late])
        uow.commit()
    position = look(world, house)
    assert (position.is_open, position.close_reason) == (False, CloseReason.STOP)
    assert world.order(house, order.id).status is S.FILLED


def test_funding_is_booked_once_to_the_position_that_was_held(world: World, house: House) -> None:
    position = world.enter(house)
    paid = VenueFunding("i1", SOL, Decimal("-1.5"), "USDT", world.clock.now() + timedelta(seconds=1))
    nobodys = VenueFunding("i2", ADA, Decimal(-9), "USDT", world.clock.now() + timedelta(seconds=1))
    world.clock.advance(2)
    world.door_of(house).payments = [paid, nobodys]
    look(world, house)
    after = look(world, house)
    assert (after.funding, after.net_profit) == (Decimal("-1.5"), position.net_profit - Decimal("1.5"))


# --- Guarding -------------------------------------------------------------------------------------------------------


def test_a_stop_that_the_venue_filled_closes_the_position_with_its_reason(world: World, house: House) -> None:
    world.enter(house)
    world.move_price("97")
    position = look(world, house)
    assert (position.is_open, position.close_reason) == (False, CloseReason.STOP)
    assert world.statuses(house, OrderRole.EXIT) == []
    assert world.at_venue(house).held[SOL] == 0


def test_a_target_is_taken_and_the_stop_that_is_left_over_cancelled(world: World, house: House) -> None:
    world.enter(house)
    world.venue.prices[SOL] = Decimal(107)
    position = look(world, house)
    assert (position.is_open, position.close_reason) == (False, CloseReason.TARGET)
    assert world.statuses(house, OrderRole.STOP) == [S.CANCELED]
    assert [order for order in world.at_venue(house).orders if order.is_open] == []


def test_time_is_up_when_the_plan_says_so(world: World, house: House) -> None:
    world.enter(house)
    world.clock.advance(3599)
    assert look(world, house).close_reason is CloseReason.TIME


def test_a_trailing_stop_follows_the_best_price_and_leaves_on_the_way_back(world: World, house: House) -> None:
    plan = ExitPlan(Decimal(98), Decimal(120), trail_distance=Decimal(2), trail_activation=Decimal(2))
    signal = world.announce(world.signal(exits=plan))
    world.work()
    assert world.position(house, signal) is not None
    world.venue.prices[SOL] = Decimal(105)
    assert look(world, house).best_price == Decimal(105)
    world.venue.prices[SOL] = Decimal("103.1")
    assert look(world, house).is_open
    world.venue.prices[SOL] = Decimal("102.9")
    assert look(world, house).close_reason is CloseReason.TRAILING


def test_while_an_exit_is_under_way_no_second_one_is_sent(world: World, house: House) -> None:
    world.enter(house)
    world.venue.prices[SOL] = Decimal(107)
    for _ in range(3):
        world.clock.advance(1)
        world.visit(house)
    assert len(world.orders(house, OrderRole.EXIT)) == 1


def test_a_position_whose_stop_does_not_rest_in_time_is_left(world: World, house: House) -> None:
    world.door_of(house).fates = [None, Fate.LOST]
    world.announce()
    world.work()
    world.clock.advance(world.fleet.policy.stop_deadline_s - 2)
    assert look(world, house).is_open
    world.clock.advance(2)
    position = look(world, house)
    assert (position.is_open, position.close_reason) == (False, CloseReason.UNPROTECTED)
    assert world.audited(house, position.id).count("unprotected") == 1
    look(world, house)
    assert [alert[:3] for alert in world.notifier.alerts] == [
        (whom, "unprotected", f"{SOL} of {house.account.name} at practice is left: it has no stop")
        for whom in (house.tenant.name, "")
    ]


def test_a_second_fill_whose_stop_does_not_rest_makes_the_position_naked_too(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    look(world, house)
    fill_entry(world, house, "100")
    world.door_of(house).fates = [Fate.LOST]
    look(world, house)
    world.clock.advance(world.fleet.policy.stop_deadline_s + 1)
    assert look(world, house).close_reason is CloseReason.UNPROTECTED


def test_an_older_stop_in_doubt_counts_however_young_the_stop_that_rests(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    world.door_of(house).fates = [Fate.LOST]
    look(world, house)
    world.clock.advance(world.fleet.policy.stop_deadline_s - 3)
    fill_entry(world, house, "100")
    assert look(world, house).is_open
    assert world.statuses(house, OrderRole.STOP) == [S.UNKNOWN, S.ACCEPTED]
    world.clock.advance(2)
    assert look(world, house).close_reason is CloseReason.UNPROTECTED


def test_the_deadline_runs_on_from_a_stop_that_turned_out_never_to_have_been_placed(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    world.door_of(house).fates = [Fate.LOST]
    look(world, house)
    fill_entry(world, house, "100")
    look(world, house)
    world.pass_time(seconds=10, rounds=8)
    assert world.statuses(house, OrderRole.STOP) == [S.NOT_PLACED, S.ACCEPTED]
    assert look(world, house).close_reason is CloseReason.UNPROTECTED


def test_a_stop_that_somebody_cancelled_at_the_venue_is_replaced(world: World, house: House) -> None:
    position = world.enter(house)
    world.clock.advance(600)
    [stop] = [order for order in world.at_venue(house).orders if order.intent.role is OrderRole.STOP]
    stop.status = S.CANCELED
    assert look(world, house).is_open
    assert world.statuses(house, OrderRole.STOP) == [S.CANCELED, S.ACCEPTED]
    assert world.orders(house, OrderRole.STOP)[1].intent.quantity == position.quantity


def test_a_price_nobody_knows_leaves_the_position_alone(world: World, house: House) -> None:
    world.enter(house)
    world.venue.prices[SOL] = Decimal(0)
    assert look(world, house).is_open


def test_an_entry_that_fills_after_the_position_was_left_opens_it_again_under_guard(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    look(world, house)
    world.door_of(house).fill_beats_cancel = True
    world.venue.prices[SOL] = Decimal(107)
    for _ in range(4):
        look(world, house)
    assert world.entry(house).status is S.FILLED
    assert sum(p.quantity for p in world.positions(house)) == world.at_venue(house).held[SOL]


def test_a_stop_out_rests_its_market_and_a_loss_streak_rests_the_account(world: World) -> None:
    house = world.settle_in(limits={"consecutive_losses_max": 1, "symbol_cooldown_min": 120})
    world.enter(house)
    world.move_price("97")
    look(world, house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        record = uow.risk.lock_book(house.account.id, world.clock.now()).record
    assert record.cooling_until is not None
    assert record.cooling_until > world.clock.now()
    assert SOL in (record.symbol_cooling_until or {})
    assert "breaker" in world.audited(house, house.account.id)


def lose_as_foreseen(world: World) -> House:
    """A house whose position was looked at just above its stop, which the venue has filled since."""
    house = world.settle_in("meridian", limits={"daily_loss_max": "0.012"})
    world.enter(house)
    world.move_price("98.1")
    world.visit(house)
    world.clock.advance(5)
    world.move_price("97.9")
    return house


def test_a_loss_that_was_seen_coming_is_counted_once(world: World) -> None:
    """The balance of an earlier look holds as unrealised what the fill that is learnt now has realised."""
    house = lose_as_foreseen(world)
    world.visit(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        record = uow.risk.lock_book(house.account.id, world.clock.now()).record
    assert world.positions(house) == []
    assert Decimal(-1_100) < record.day_profit < Decimal(-700)
    assert record.cooling_until is None


def test_a_stop_out_rests_every_market_where_the_profile_asks_for_it(world: World) -> None:
    house = world.settle_in(limits={"symbol_cooldown_min": None, "stop_cooldown_min": 900})
    world.enter(house)
    world.move_price("97")
    look(world, house)
    signal = world.announce(world.signal(ADA))
    world.work()
    decision = world.decision(house, signal)
    assert decision is not None
    assert decision.veto is not None


def test_two_monitors_of_one_account_do_not_both_work(world: World, house: House) -> None:
    world.enter(house)
    answers: list[str] = []
    door = world.door_of(house)

    def meddle() -> None:
        door.when.clear()
        answers.append(world.visit(house))

    door.when["balance"] = meddle
    world.visit(house)
    assert answers == ["claimed by another monitor"]


def test_an_account_of_another_tenant_is_not_visited(world: World, house: House) -> None:
    other = world.settle_in("meridian")
    for visit in (monitor_account, reconcile_account):
        assert visit(world.fleet, house.tenant.id, other.account.id).startswith("claimed")


def test_one_account_that_fails_does_not_keep_the_others_from_their_visit(world: World, house: House) -> None:
    world.settle_in("meridian")
    world.door_of(house).fails["balance"] = Transient("no answer")
    assert each_account(world.fleet, monitor_account) == 1


# --- Halts ----------------------------------------------------------------------------------------------------------


def stop_everything(world: World, mode: HaltMode, scope: HaltScope = HaltScope.PLATFORM, subject: str = "") -> None:
    halt(world.fleet, scope=scope, subject=subject, mode=mode, reason="emergency", by="operator")


@pytest.mark.parametrize(
    ("mode", "status"),
    [(HaltMode.HALT_NEW, S.ACCEPTED), (HaltMode.CANCEL_ENTRIES, S.CANCELED), (HaltMode.FLATTEN, S.CANCELED)],
)
def test_a_halt_takes_back_working_entries_as_far_as_its_mode_says(
    world: World, house: House, mode: HaltMode, status: OrderStatus
) -> None:
    rest_entry(world, house)
    stop_everything(world, mode)
    world.clock.advance(1)
    world.visit(house)
    world.work()
    assert world.entry(house).status is status


def take_back_entry(world: World, house: House) -> None:
    """An entry rests at the venue, and a halt has it cancelled."""
    rest_entry(world, house)
    stop_everything(world, HaltMode.CANCEL_ENTRIES)
    world.clock.advance(1)
    world.visit(house)
    world.work()


def counted(world: World, house: House) -> list[Decimal]:
    """Quantities that count against the house's limits."""
    with world.store.unit_of_work(house.tenant.id) as uow:
        return [item.quantity for item in uow.risk.lock_book(house.account.id, world.clock.now()).exposures]


def test_what_an_entry_that_was_taken_back_reserved_counts_until_a_late_fill_would_have_been_told(
    world: World, house: House
) -> None:
    take_back_entry(world, house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        (held,) = uow.risk.held()
    assert (held.status, held.lapses_at) == (S.CANCELED, world.clock.now() + timedelta(seconds=10))
    assert counted(world, house) == [Decimal("426.7")]
    reconcile_account(world.fleet, *house.ids)
    assert counted(world, house) == [Decimal("426.7")]
    world.clock.advance(10)
    reconcile_account(world.fleet, *house.ids)
    assert counted(world, house) == []


def test_the_room_of_an_entry_that_was_taken_back_is_not_given_away_by_a_clock_that_jumps(
    world: World, house: House
) -> None:
    """A venue's clock may leap: that much time is gone, and nobody has looked yet at what was filled within."""
    take_back_entry(world, house)
    world.clock.advance(600)
    assert counted(world, house) == [Decimal("426.7")]
    fill_entry(world, house, "426.7")
    reconcile_account(world.fleet, *house.ids)
    assert world.entry(house).status is S.FILLED
    (position,) = world.positions(house)
    assert (position.quantity, counted(world, house)) == (Decimal("426.7"), [Decimal("426.7")])


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (HaltScope.PLATFORM, ""),
        (HaltScope.VENUE, "practice"),
        (HaltScope.TENANT, "harbour"),
        (HaltScope.STRATEGY, "ema_crossover"),
        (HaltScope.INSTRUMENT, SOL),
    ],
)
def test_flattening_leaves_what_it_covers_and_says_why(
    world: World, house: House, scope: HaltScope, subject: str
) -> None:
    world.enter(house)
    stop_everything(world, HaltMode.FLATTEN, scope, subject)
    position = look(world, house)
    assert (position.is_open, position.close_reason) == (False, CloseReason.HALT)
    assert world.at_venue(house).held[SOL] == 0


@pytest.mark.parametrize("mode", [HaltMode.HALT_NEW, HaltMode.CANCEL_ENTRIES])
def test_lesser_halts_leave_positions_open_protected_and_leavable(world: World, house: House, mode: HaltMode) -> None:
    world.enter(house)
    stop_everything(world, mode)
    assert look(world, house).is_open
    world.venue.prices[SOL] = Decimal(107)
    assert look(world, house).close_reason is CloseReason.TARGET


def test_flattening_something_else_leaves_the_position_alone(world: World, house: House) -> None:
    world.enter(house)
    world.settle_in("meridian")
    stop_everything(world, HaltMode.FLATTEN, HaltScope.TENANT, "meridian")
    assert look(world, house).is_open


def test_flattening_needs_no_price(world: World, house: House) -> None:
    world.enter(house)
    world.venue.prices[SOL] = Decimal(0)
    stop_everything(world, HaltMode.FLATTEN)
    world.clock.advance(1)
    world.visit(house)
    assert len(world.orders(house, OrderRole.EXIT)) == 1


def test_an_approved_intent_is_taken_back_before_it_leaves(world: World, house: House) -> None:
    world.approve(house)
    stop_everything(world, HaltMode.CANCEL_ENTRIES)
    world.visit(house)
    assert (world.entry(house).status, world.reserved(house)) == (S.ABANDONED, [])


def test_visiting_again_under_a_halt_asks_for_nothing_twice(world: World, house: House) -> None:
    rest_entry(world, house)
    stop_everything(world, HaltMode.FLATTEN)
    for _ in range(3):
        world.visit(house)
    assert len(world.jobs(Stage.CANCEL)) == 1
    assert resume(world.fleet, scope=HaltScope.PLATFORM, subject="", by="operator")


# --- Reconciliation -------------------------------------------------------------------------------------------------


def test_an_account_is_reconciled_by_its_first_comparison_with_the_venue(world: World, house: House) -> None:
    assert world.account(house).is_reconciled
    assert world.audited(house, house.account.id)[-1] == "reconciliation"


def test_comparing_twice_changes_nothing(world: World, house: House) -> None:
    world.enter(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        head = uow.audit.head()
    assert [world.reconcile(house), world.reconcile(house)] == ["equal", "equal"]
    with world.store.unit_of_work(house.tenant.id) as uow:
        assert uow.audit.head() == head


def test_fills_and_states_that_nobody_noticed_are_adopted(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    world.reconcile(house)
    assert (world.entry(house).status, world.entry(house).filled_quantity) == (S.PARTIALLY_FILLED, Decimal(100))
    assert world.quarantined(house) == []
    assert world.reconcile(house) == "equal"


def test_a_fill_after_a_cancellation_is_found_although_younger_ones_are_known(world: World, house: House) -> None:
    rest_entry(world, house)
    [late] = [o for o in world.at_venue(house).orders if o.intent.role is OrderRole.ENTRY]
    first = world.entry(house)
    stop_everything(world, HaltMode.CANCEL_ENTRIES)
    world.visit(house)
    world.work()
    assert resume(world.fleet, scope=HaltScope.PLATFORM, subject="", by="operator")
    assert world.order(house, first.id).status is S.CANCELED
    world.clock.advance(30)
    assert (world.reconcile(house), counted(world, house)) == ("equal", [])
    world.venue.fill(house.account.id, late, Decimal(100))
    world.clock.advance(30)
    world.fleet = replace(world.fleet, policy=replace(world.fleet.policy, overlap=timedelta(seconds=5)))
    assert world.enter(house, world.signal(id=UUID(int=7))).is_open
    world.reconcile(house)
    assert world.order(house, first.id).filled_quantity == Decimal(100)
    assert (world.reconcile(house), world.quarantined(house)) == ("equal", [])


def test_an_order_believed_not_placed_that_the_venue_holds_is_adopted(world: World, house: House) -> None:
    world.door_of(house).fates = [Fate.LOST]
    world.announce()
    world.work()
    world.pass_time(rounds=20)
    entry = world.entry(house)
    assert entry.status is S.NOT_PLACED
    world.venue.arrive(house.account.id, entry.intent, world.clock.now(), Decimal(0))
    world.reconcile(house)
    assert world.entry(house).status is S.ACCEPTED


@pytest.mark.parametrize(("client_id", "detail"), [("somebody", "was not placed by"), ("twx", "has our prefix but")])
def test_a_strangers_order_is_quarantined_and_blocks_entries_in_its_market(
    world: World, house: House, client_id: str, detail: str
) -> None:
    order = world.approve(house)
    strange = replace(order.intent, client_order_id=client_id, instrument=ADA)
    world.venue.arrive(house.account.id, strange, world.clock.now(), Decimal(0))
    world.reconcile(house)
    world.reconcile(house)
    [found] = world.quarantined(house)
    assert detail in found
    signal = world.announce(world.signal(ADA))
    world.work()
    decision = world.decision(house, signal)
    assert decision is not None
    assert decision.veto is not None
    assert decision.veto.rule == "quarantined"


def test_a_strangers_fill_is_quarantined_and_a_differing_position_blocks_all_entries(
    world: World, house: House
) -> None:
    world.enter(house)
    world.venue.book_fill(house.account.id, SOL, OrderSide.SELL, Decimal(5), "by-hand")
    assert world.reconcile(house) == "1 positions differ"
    assert "belongs to no order of ours" in world.quarantined(house)[0]
    assert not world.account(house).is_reconciled
    signal = world.announce(world.signal(ADA))
    world.work()
    decision = world.decision(house, signal)
    assert decision is not None
    assert decision.veto is not None
    assert decision.veto.rule == "account_not_reconciled"


def test_entries_go_on_once_the_books_agree_again(world: World, house: House) -> None:
    world.at_venue(house).held[ADA] = Decimal(3)
    assert world.reconcile(house) == "1 positions differ"
    world.at_venue(house).held[ADA] = Decimal(0)
    assert world.reconcile(house) == "equal"
    assert (world.account(house).is_reconciled, world.quarantined(house)) == (True, [])


def test_what_an_order_in_doubt_filled_is_nobody_elses(world: World, house: House) -> None:
    world.door_of(house).fates = [Fate.AFTER]
    world.announce()
    world.work()
    assert world.reconcile(house).startswith("an order is in doubt")
    assert (world.quarantined(house), world.account(house).is_reconciled) == ([], True)
    world.pass_time(rounds=2)
    assert world.reconcile(house) == "equal"


def test_a_book_that_moves_while_it_is_read_is_not_judged(world: World, house: House) -> None:
    door = world.door_of(house)

    def move() -> None:
        door.ledger.held[ADA] = door.ledger.held.get(ADA, Decimal(0)) + 1

    door.when["positions"] = move
    assert world.reconcile(house) == "moved while it was read; judged at the next visit"
    assert world.account(house).is_reconciled


def test_a_ledger_that_moves_while_the_venue_is_read_is_not_judged(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    door = world.door_of(house)

    def learn_it_elsewhere() -> None:
        door.when.clear()
        with world.store.unit_of_work(house.tenant.id) as uow:
            learn_fills(world.fleet, uow, house.account, world.at_venue(house).fills)
            uow.commit()

    door.when["open_orders"] = learn_it_elsewhere
    assert world.reconcile(house) == "moved while it was read; judged at the next visit"
    assert world.account(house).is_reconciled
    assert world.reconcile(house) == "equal"


def test_two_reconciliations_of_one_account_do_not_both_work(world: World, house: House) -> None:
    answers: list[str] = []
    door = world.door_of(house)

    def meddle() -> None:
        door.when.clear()
        answers.append(world.reconcile(house))

    door.when["positions"] = meddle
    world.reconcile(house)
    assert answers == ["claimed by another worker"]


def test_a_position_whose_entry_is_unknown_cannot_be_opened(world: World, house: House) -> None:
    position = world.enter(house)
    fills = world.fills(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        uow.fills.add(replace(fills[0], trade_id="stray", position_id=UUID(int=77)))
        with pytest.raises(NotFound, match="entry order"):
            refold_position(world.fleet, uow, house.account, UUID(int=77))
    assert position.opened_at == NOON + timedelta(seconds=2)


def test_a_position_is_left_when_its_strategy_says_so_after_it_was_opened(world: World, house: House) -> None:
    position = world.enter(house)
    assert position.opened_at is not None
    with world.store.unit_of_work(None) as uow:
        uow.leavings.add(position.venue, SOL, position.strategy, position.side, position.opened_at - minutes(1))
        uow.commit()
    assert look(world, house).is_open
    with world.store.unit_of_work(None) as uow:
        uow.leavings.add(position.venue, SOL, position.strategy, position.side, world.clock.now())
        uow.commit()
    assert look(world, house).close_reason is CloseReason.OPPOSITE


def test_an_order_that_is_gone_cannot_be_learnt_about(world: World, house: House) -> None:
    world.enter(house)
    told = world.at_venue(house).orders[0].told()
    nobodys = world.entry(house)
    nobodys = replace(nobodys, intent=replace(nobodys.intent, order_id=UUID(int=3)))
    with world.store.unit_of_work(house.tenant.id) as uow, pytest.raises(NotFound, match="order"):
        learn(world.fleet, uow, house.account, [(nobodys, told)], [])


def test_funding_that_is_told_after_the_position_was_left_changes_its_profit_and_nothing_else(
    world: World, house: House
) -> None:
    position = world.enter(house)
    world.clock.advance(5)
    paid = VenueFunding("i9", SOL, Decimal(-2), "USDT", world.clock.now() - timedelta(seconds=3))
    world.move_price("97")
    closed = look(world, house)
    kinds = world.audited(house, position.id)
    with world.store.unit_of_work(house.tenant.id) as uow:
        learn_fundings(world.fleet, uow, house.account, [paid])
        uow.commit()
    after = world.position(house)
    assert after is not None
    assert after.net_profit == closed.net_profit - 2
    assert world.audited(house, position.id) == kinds


def test_funding_of_a_position_that_was_left_between_two_visits_is_asked_for(world: World, house: House) -> None:
    world.enter(house)
    world.clock.advance(5)
    with world.store.unit_of_work(house.tenant.id) as uow:
        held = uow.positions.open(house.account.id)[0]
        close_position(world.fleet, uow, held, CloseReason.MANUAL, world.clock.now())
        refs = uow.commit()
    paid = VenueFunding("i9", SOL, Decimal(-2), "USDT", world.clock.now() - timedelta(seconds=3))
    for ref in refs:
        world.run(ref)
    closed = world.position(house)
    assert closed is not None
    assert not closed.is_open
    world.door_of(house).payments = [paid]
    assert look(world, house).net_profit == closed.net_profit - 2


def test_a_fill_told_by_our_id_belongs_to_its_order_before_the_venues_id_is_known(world: World, house: House) -> None:
    world.door_of(house).fates = [Fate.AFTER]
    world.announce()
    world.work()
    [fill] = world.at_venue(house).fills
    named = replace(fill, client_order_id=world.entry(house).intent.client_order_id)
    with world.store.unit_of_work(house.tenant.id) as uow:
        uow.risk.lock()
        assert learn_fills(world.fleet, uow, house.account, [named]) == []
        uow.commit()
    assert world.entry(house).status is S.FILLED
