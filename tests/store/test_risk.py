"""The book: everything that counts against a tenant's limits, and nobody else's, true under its lock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Thread
from typing import Any

import psycopg
import pytest

from common.domain.advice import AdvisorFallback
from common.domain.errors import NotFound, Transient
from common.domain.order import OrderStatus
from common.domain.risk.book import Book, Environment, HaltMode, HaltScope, TradingState
from common.domain.risk.verdict import Reservation
from common.domain.signal import Side
from common.store import Store, Timeouts
from tests.clocks import NOON
from tests.servers import Database
from tests.store.world import (
    STRATEGY,
    SYMBOL,
    World,
    closed,
    entry,
    identity,
    intent,
    position,
    settle,
    signal,
    somebody_waits,
    stop,
    subscription,
)

HOUR = timedelta(hours=1)
MIDNIGHT = NOON.replace(hour=0)
HELD = Reservation(notional=Decimal(20000), margin=Decimal(5000), risk=Decimal(500))


def book(world: World, now: datetime = NOON, **options: int) -> Book:
    """Our house's book at `now`."""
    with world.store.unit_of_work(world.ours.id) as uow:
        return uow.risk.lock_book(world.ours.account.id, now, **options)


def test_the_book_of_a_new_account_is_empty(world: World) -> None:
    seen = book(world)
    assert (seen.tenant_id, seen.account_id) == (world.ours.id, world.ours.account.id)
    assert (seen.environment, seen.tenant_state) == (Environment.PAPER, TradingState.ACTIVE)
    assert (seen.exposures, seen.halts, seen.halt_epoch) == ((), (), 0)
    assert seen.equity == seen.available == 0
    assert (seen.record.win_rate, seen.record.sharpe, seen.record.closed_trades) == (None, None, 0)
    assert (seen.live_allowed, seen.is_reconciled, seen.quarantined) == (False, True, frozenset())


def test_an_unknown_account_has_no_book(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow, pytest.raises(NotFound):
        uow.risk.lock_book(world.theirs.account.id, NOON)


def test_an_open_position_counts_with_its_entry_value(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.positions.add(position(world.ours))
        uow.commit()
    (exposure,) = book(world).exposures
    assert (exposure.instrument, exposure.strategy, exposure.side) == (SYMBOL, STRATEGY, Side.LONG)
    assert (exposure.quantity, exposure.notional, exposure.margin) == (Decimal("0.5"), Decimal(20000), Decimal(5000))
    assert (exposure.is_position, exposure.account_id) == (True, world.ours.account.id)


@pytest.mark.parametrize("status", [OrderStatus.INTENDED, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN])
def test_an_entry_counts_with_what_it_reserved_whatever_its_fate(world: World, status: OrderStatus) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.signals.add(signal())
        uow.orders.add(entry(world.ours, status=status))
        uow.risk.add_reservation(entry(world.ours).id, world.ours.account.id, HELD)
        uow.commit()
    (exposure,) = book(world).exposures
    assert (exposure.quantity, exposure.notional, exposure.margin) == (Decimal("0.5"), Decimal(20000), Decimal(5000))
    assert (exposure.strategy, exposure.is_position) == (STRATEGY, False)


def test_a_partly_filled_entry_counts_with_what_is_left(world: World) -> None:
    partly = entry(world.ours, status=OrderStatus.PARTIALLY_FILLED, filled_quantity=Decimal("0.1"))
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(partly)
        uow.risk.add_reservation(partly.id, world.ours.account.id, HELD)
        uow.commit()
    (exposure,) = book(world).exposures
    assert (exposure.quantity, exposure.notional, exposure.margin) == (Decimal("0.4"), Decimal(16000), Decimal(4000))


def test_an_entry_that_ended_counts_until_its_reservation_is_released(world: World) -> None:
    ended = entry(world.ours, status=OrderStatus.REJECTED)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(ended)
        uow.risk.add_reservation(ended.id, world.ours.account.id, HELD)
        uow.commit()
    assert len(book(world).exposures) == 1
    with world.store.unit_of_work(world.ours.id) as uow:
        (held,) = uow.risk.held()
        assert (held.order_id, held.reservation, held.status) == (ended.id, HELD, OrderStatus.REJECTED)
        assert uow.risk.release_reservation(ended.id)
        assert not uow.risk.release_reservation(ended.id)
        uow.commit()
    assert book(world).exposures == ()


def test_what_lapses_counts_until_it_is_reaped_and_that_is_not_before(world: World) -> None:
    taken_back = entry(world.ours, status=OrderStatus.CANCELED, filled_quantity=Decimal("0.1"))
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(taken_back)
        uow.risk.add_reservation(taken_back.id, world.ours.account.id, HELD)
        uow.risk.let_lapse(taken_back.id, NOON)
        uow.commit()
    for instant in (NOON - HOUR, NOON + HOUR):
        (exposure,) = book(world, instant).exposures
        assert exposure.quantity == Decimal("0.4")
    with world.store.unit_of_work(world.ours.id) as uow:
        assert [item.lapses_at for item in uow.risk.held()] == [NOON]
        assert uow.risk.reap_reservations(world.ours.account.id, NOON - HOUR) == 0
        assert uow.risk.reap_reservations(world.ours.account.id, NOON) == 1
        assert uow.risk.held() == []
        uow.commit()
    assert book(world, NOON).exposures == ()


def test_a_live_entry_counts_even_when_nothing_was_reserved_for_it(world: World) -> None:
    adopted = entry(world.ours, status=OrderStatus.ACCEPTED)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(adopted)
        uow.commit()
    (exposure,) = book(world).exposures
    assert (exposure.notional, exposure.margin) == (Decimal("20000.25"), Decimal("5000.0625"))


def test_a_protective_stop_counts_for_nothing(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(replace(stop(world.ours), status=OrderStatus.ACCEPTED))
        uow.commit()
    assert book(world).exposures == ()


def test_what_another_tenant_holds_counts_for_nothing(world: World) -> None:
    with world.store.unit_of_work(world.theirs.id) as uow:
        uow.positions.add(position(world.theirs))
        uow.orders.add(entry(world.theirs, 1, status=OrderStatus.ACCEPTED))
        uow.commit()
    assert book(world).exposures == ()


def test_every_account_of_the_tenant_counts(world: World) -> None:
    second = replace(world.ours.account, id=identity("second"), name="second")
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.accounts.add(second)
        uow.positions.add(position(world.ours, account_id=second.id))
        uow.commit()
    assert [exposure.account_id for exposure in book(world).exposures] == [second.id]


def test_money_moves_only_when_tenant_and_account_both_say_so(store: Store) -> None:
    willing = settle(store, "willing", environment=Environment.LIVE, live_enabled=True)
    with store.unit_of_work(None) as uow:
        assert uow.tenants.allow_live(willing.id, True)
        uow.commit()
    reluctant = settle(store, "reluctant", environment=Environment.LIVE, live_enabled=True)
    allowed = {}
    for house in (willing, reluctant):
        with store.unit_of_work(house.id) as uow:
            allowed[house.tenant.name] = uow.risk.lock_book(house.account.id, NOON).live_allowed
    assert allowed == {"willing": True, "reluctant": False}


def test_the_record_of_the_day_counts_what_was_closed_and_what_floats(world: World) -> None:
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.positions.add(closed(world.ours, 0, -300, MIDNIGHT - timedelta(seconds=1)))
        uow.positions.add(closed(world.ours, 1, 50, MIDNIGHT))
        uow.positions.add(position(world.ours, 2))
        uow.equity.snapshot(account, Decimal(7), Decimal(7), Decimal(0), Decimal(0), MIDNIGHT - 2 * HOUR)
        uow.equity.snapshot(account, Decimal(9990), Decimal(9990), Decimal(0), Decimal(0), MIDNIGHT - HOUR)
        uow.equity.snapshot(account, Decimal(1), Decimal(1), Decimal(0), Decimal(0), MIDNIGHT + HOUR)
        uow.accounts.save_balance(account, Decimal(10000), Decimal(10120), Decimal(5000), NOON)
        uow.commit()
    seen = book(world)
    # 50 closed, 10 of fees paid on the open one, 120 floating.
    assert seen.record.day_profit == Decimal(160)
    assert seen.record.day_start_equity == Decimal(9990)
    assert (seen.equity, seen.available, seen.record.peak_equity) == (
        Decimal(10120),
        Decimal(5000),
        Decimal(10120),
    )


def test_the_peak_rises_and_never_falls(world: World) -> None:
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.accounts.save_balance(account, Decimal(100), Decimal(100), Decimal(100), NOON)
        uow.risk.raise_peak(account, Decimal(150))
        uow.risk.raise_peak(account, Decimal(120))
        uow.commit()
    assert book(world).record.peak_equity == 150


def lose(world: World, *profits: int) -> None:
    """Close positions with these profits, the last of them an hour ago and each an hour after the one before."""
    with world.store.unit_of_work(world.ours.id) as uow:
        for number, profit in enumerate(profits):
            uow.positions.add(closed(world.ours, number, profit, NOON - (len(profits) - number) * HOUR))
        uow.commit()


def test_losses_are_counted_back_to_the_last_gain(world: World) -> None:
    lose(world, -5, 10, -1, -2, -3)
    assert (book(world).record.consecutive_losses, book(world).record.closed_trades) == (3, 5)


def test_a_trade_that_earned_nothing_ends_the_streak(world: World) -> None:
    lose(world, -5, 0, -1)
    assert book(world).record.consecutive_losses == 1


@pytest.mark.parametrize("first", [0, 1])
def test_of_trades_that_closed_at_once_the_one_entered_first_closed_first(world: World, first: int) -> None:
    gain, loss = closed(world.ours, 0, 10, NOON - HOUR), closed(world.ours, 1, -1, NOON - HOUR)
    opened = [NOON - 3 * HOUR, NOON - 2 * HOUR]
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.positions.add(replace(gain, opened_at=opened[first]))
        uow.positions.add(replace(loss, opened_at=opened[1 - first]))
        uow.commit()
    assert book(world).record.consecutive_losses == 1 - first


def test_rates_need_a_sample(world: World) -> None:
    lose(world, 30, -10, 10, 10)
    assert book(world, minimum_sample=5).record.win_rate is None
    record = book(world, minimum_sample=4).record
    assert record.win_rate == Decimal("0.75")
    # Mean 10, standard deviation 16.33 of 30, -10, 10 and 10.
    assert record.sharpe is not None
    assert round(record.sharpe, 4) == Decimal("0.6124")


def test_only_the_last_trades_are_looked_at(world: World) -> None:
    lose(world, 10, 10, -1, -2)
    record = book(world, window=2, minimum_sample=2).record
    assert (record.closed_trades, record.consecutive_losses, record.win_rate) == (2, 2, Decimal(0))


def test_a_cool_down_rests_the_account_and_forgives_what_led_to_it(world: World) -> None:
    account, until = world.ours.account.id, NOON + 24 * HOUR
    lose(world, -1, -2, -3)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.accounts.save_balance(account, Decimal(90), Decimal(90), Decimal(90), NOON)
        uow.risk.raise_peak(account, Decimal(200))
        uow.risk.start_cooldown(account, until, "consecutive_losses_exceed_limit")
        uow.commit()
    record = book(world).record
    assert (record.cooling_until, record.cooling_reason) == (until, "consecutive_losses_exceed_limit")
    assert (record.consecutive_losses, record.closed_trades, record.peak_equity) == (0, 0, Decimal(90))


def test_a_symbol_cools_down_by_itself(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.risk.symbol_cooldown(world.ours.account.id, SYMBOL, NOON + HOUR)
        uow.risk.symbol_cooldown(world.ours.account.id, SYMBOL, NOON + 2 * HOUR)
        uow.commit()
    assert book(world).record.symbol_cooling_until == {SYMBOL: NOON + 2 * HOUR}
    assert book(world, NOON + 2 * HOUR).record.symbol_cooling_until == {}


def test_orders_are_counted_by_the_minute_and_by_the_hour(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        for number, age in enumerate((timedelta(0), timedelta(seconds=59), timedelta(seconds=60), HOUR)):
            uow.orders.add(entry(world.ours, number, created_at=NOON - age))
        uow.commit()
    record = book(world).record
    assert (record.orders_last_minute, record.orders_last_hour) == (2, 3)


def test_the_book_holds_the_halts_that_may_cover_the_account(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        for scope, subject in (
            (HaltScope.VENUE, "elsewhere"),
            (HaltScope.TENANT, str(world.theirs.id)),
            (HaltScope.VENUE, world.ours.account.venue),
            (HaltScope.INSTRUMENT, SYMBOL),
        ):
            uow.halts.add(scope, subject, HaltMode.HALT_NEW, "a test", "tester", NOON)
        uow.commit()
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.halts.add(HaltScope.STRATEGY, STRATEGY, HaltMode.FLATTEN, "enough", "ours", NOON)
        uow.commit()
    seen = book(world)
    assert [halt.scope for halt in seen.halts] == [HaltScope.VENUE, HaltScope.INSTRUMENT, HaltScope.STRATEGY]
    assert (seen.halts[2].mode, seen.halts[2].since, seen.halt_epoch) == (HaltMode.FLATTEN, NOON, 5)


def test_the_book_names_quarantined_instruments(world: World) -> None:
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.quarantine.add(account, SYMBOL, "v-1", None, "a stranger", NOON)
        uow.quarantine.add(account, SYMBOL, "v-2", None, "a stranger", NOON)
        uow.quarantine.add(account, "ETH/USDT:USDT", "v-3", "x", "a stranger", NOON)
        uow.quarantine.clear(account, "v-3", "tester", NOON)
        uow.commit()
    assert book(world).quarantined == {SYMBOL}


def test_what_is_said_of_the_advisor_comes_from_the_subscription_that_wants_the_signal(world: World) -> None:
    other = subscription(
        world.ours,
        id=identity("other"),
        strategy="confluence",
        advisor="default",
        on_advisor_unavailable=AdvisorFallback.TECHNICAL,
    )
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.subscriptions.add(other)
        uow.commit()
    seen = {}
    for strategy in (STRATEGY, "confluence"):
        with world.store.unit_of_work(world.ours.id) as uow:
            found = uow.risk.lock_book(world.ours.account.id, NOON, signal(strategy=strategy))
            seen[strategy] = (found.advisor_required, found.on_advisor_unavailable)
    assert seen == {STRATEGY: (False, AdvisorFallback.WAIT), "confluence": (True, AdvisorFallback.TECHNICAL)}


def test_two_decisions_of_one_tenant_never_see_the_same_book(world: World, root: psycopg.Connection[Any]) -> None:
    """The second waits for the lock, and then sees what the first one reserved."""
    seen: list[Book] = []

    def second() -> None:
        seen.append(book(world))

    with world.store.unit_of_work(world.ours.id) as first:
        first.risk.lock_book(world.ours.account.id, NOON)
        waiting = Thread(target=second)
        waiting.start()
        first.orders.add(entry(world.ours))
        first.risk.add_reservation(entry(world.ours).id, world.ours.account.id, HELD)
        while not somebody_waits(root):
            waiting.join(0.01)
        first.commit()
    waiting.join(10)
    assert len(seen[0].exposures) == 1


def test_the_books_of_two_tenants_do_not_wait_for_each_other(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as ours, world.store.unit_of_work(world.theirs.id) as theirs:
        ours.risk.lock()
        theirs.risk.lock()


def test_a_lock_that_is_not_granted_in_time_is_worth_another_try(world: World, books: Database) -> None:
    impatient = Store(books.url_app, timeouts=Timeouts(lock_ms_max=50))
    with world.store.unit_of_work(world.ours.id) as holder:
        holder.risk.lock()
        with impatient.unit_of_work(world.ours.id) as other, pytest.raises(Transient, match="lock timeout"):
            other.risk.lock()
    impatient.close()


def test_a_reservation_is_held_for_an_order_that_exists(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.risk.add_reservation(intent(world.ours).order_id, world.ours.account.id, HELD)
        uow.orders.add(entry(world.ours))
        uow.commit()
    assert len(book(world).exposures) == 1
