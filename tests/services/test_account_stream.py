"""What a venue tells by itself is booked at once and once; what it may have kept back is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import psycopg
import pytest

from common.domain.errors import NotFound, Transient
from common.domain.job import Stage
from common.domain.order import OrderRole, OrderSide, OrderStatus
from common.domain.risk.book import Book, Environment
from common.domain.tenant import Account
from common.ports.account_stream import AccountNews, Gap, GapCause, Hearer
from common.ports.venue import Credentials, VenueOrder
from common.services import follow_accounts
from common.services.follow_accounts import Follower, Listener, Visits
from common.services.hear_account import Heard, hear_account, untold
from tests.servers import cut_leaders
from tests.services.test_positions import fill_entry, lose_as_foreseen, rest_entry
from tests.services.venue import SOL, Fate, Resting
from tests.services.world import House, World

S = OrderStatus


def entry_at_venue(world: World, house: House) -> Resting:
    [entry] = [order for order in world.at_venue(house).orders if order.intent.role is OrderRole.ENTRY]
    return entry


def news(world: World, house: House) -> AccountNews:
    """Everything there is to tell of the house's entry: its state, and its fills under our id."""
    entry = entry_at_venue(world, house)
    name = entry.intent.client_order_id
    fills = [replace(fill, client_order_id=name) for fill in world.at_venue(house).fills]
    return AccountNews(orders=(entry.told(),), fills=tuple(fills))


def hear(world: World, house: House, told: AccountNews) -> Heard:
    return hear_account(world.fleet, *house.ids, told)


def book(world: World, house: House) -> Book:
    """What the judges know of the account now."""
    with world.store.unit_of_work(house.tenant.id) as uow:
        return uow.risk.lock_book(house.account.id, world.clock.now())


# --- Hearing --------------------------------------------------------------------------------------------------------


def test_a_fill_that_is_told_is_booked_and_its_stop_rung_for_before_any_visit(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    assert hear(world, house, news(world, house)) == Heard(booked=1)
    assert [fill.quantity for fill in world.fills(house)] == [Decimal(100)]
    assert [ref.stage for ref in world.bus.inbox] == [Stage.PLACE]
    world.work()
    assert world.statuses(house, OrderRole.STOP) == [S.ACCEPTED]


def test_what_is_told_again_is_booked_once_and_rings_for_nothing(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    hear(world, house, news(world, house))
    world.work()
    assert hear(world, house, news(world, house)) == Heard(booked=0)
    world.visit(house)
    assert len(world.fills(house)) == 1
    assert world.bus.inbox == []


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_news_in_any_order_makes_the_same_ledger_as_asking(
    world: World, house: House, order: tuple[int, int, int]
) -> None:
    rest_entry(world, house)
    told = []
    for _ in range(3):
        fill_entry(world, house, "50")
        whole = news(world, house)
        told.append(replace(whole, fills=whole.fills[-1:]))
    heard = [hear(world, house, told[number]) for number in order]
    assert sum(item.booked for item in heard) == 3
    entry = world.entry(house)
    assert (entry.status, entry.filled_quantity) == (S.PARTIALLY_FILLED, Decimal(150))
    world.work()
    world.visit(house)
    assert world.entry(house) == entry
    stops = world.orders(house, OrderRole.STOP)
    assert sum(stop.remaining for stop in stops) == Decimal(150)


def test_what_closed_is_taken_out_of_the_balance_that_was_told_before(world: World) -> None:
    """Between two looks the breaker and the judges know of a result once, as they do after the next look."""
    house = lose_as_foreseen(world)
    hear(world, house, AccountNews(fills=tuple(world.at_venue(house).fills)))
    assert world.positions(house) == []
    heard = book(world, house)
    world.visit(house)
    told = book(world, house)
    assert told.record.day_profit != 0
    assert heard.record == told.record
    assert heard.equity == told.equity
    assert told.record.cooling_until is None


def test_a_gain_that_was_taken_is_taken_out_of_the_balance_too(world: World, house: House) -> None:
    world.enter(house)
    world.move_price("107")
    world.visit(house)
    world.work()
    world.clock.advance(5)
    assert world.positions(house) == []
    taken = book(world, house)
    world.visit(house)
    assert taken.record.day_profit > 0
    assert taken.record == book(world, house).record


def test_a_result_that_the_balance_knows_already_is_not_taken_out_of_it(world: World, house: House) -> None:
    world.enter(house)
    world.clock.advance(5)
    world.move_price("97")
    told = world.door_of(house).balance()
    with world.store.unit_of_work(house.tenant.id) as uow:
        uow.accounts.save_balance(house.account.id, told.wallet, told.equity, told.available, world.clock.now())
        uow.commit()
    hear(world, house, AccountNews(fills=tuple(world.at_venue(house).fills)))
    assert world.positions(house) == []
    assert book(world, house).equity == told.equity


def test_an_order_whose_acknowledgement_was_lost_is_known_by_what_the_venue_tells(world: World, house: House) -> None:
    world.door_of(house).fates = [Fate.AFTER]
    world.announce()
    world.run(world.take(Stage.EVALUATE))
    world.run(world.take(Stage.PLACE))
    assert world.entry(house).status is S.UNKNOWN
    assert hear(world, house, news(world, house)).booked == 1
    assert world.entry(house).status is S.FILLED


def test_fills_that_the_venue_counts_and_did_not_tell_are_a_doubt(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    heard = hear(world, house, replace(news(world, house), fills=()))
    assert heard.doubts == (f"fills of {world.entry(house).intent.client_order_id} are missing: 100",)
    assert not heard.strange
    assert world.fills(house) == []


def test_what_is_none_of_ours_is_a_doubt_that_wants_the_books_compared(world: World, house: House) -> None:
    strange = world.venue.book_fill(house.account.id, SOL, OrderSide.BUY, Decimal(5), "77")
    heard = hear(world, house, AccountNews(fills=(strange,)))
    assert (heard.booked, heard.strange) == (0, True)
    assert heard.doubts == (f"fill {strange.trade_id} belongs to no order of ours",)


def test_news_of_an_order_that_has_not_left_is_not_believed(world: World, house: House) -> None:
    intended = world.approve(house)
    told = VenueOrder(
        intended.intent.client_order_id, "9", SOL, OrderSide.BUY, S.FILLED, Decimal(1), Decimal(1), Decimal(100), False,
        world.clock.now(),
    )  # fmt: skip
    heard = hear(world, house, AccountNews(orders=(told,)))
    assert heard.strange
    assert world.entry(house).status is S.INTENDED


def test_news_of_another_accounts_order_changes_nothing(world: World, house: House) -> None:
    world.enter(house)
    other = world.settle_in("meridian")
    heard = hear(world, other, AccountNews(orders=(entry_at_venue(world, house).told(),)))
    assert heard.strange


def test_news_that_contradicts_the_order_table_is_not_written(world: World, house: House) -> None:
    rest_entry(world, house)
    fill_entry(world, house, "100")
    hear(world, house, news(world, house))
    absurd = replace(entry_at_venue(world, house).told(), status=S.REJECTED, filled_quantity=Decimal(0))
    fill_entry(world, house, "50")
    heard = hear(world, house, AccountNews(orders=(absurd,), fills=news(world, house).fills))
    assert (heard.booked, len(heard.doubts)) == (0, 1)
    assert world.entry(house).filled_quantity == Decimal(100)


def test_old_news_of_an_order_that_has_ended_changes_nothing(world: World, house: House) -> None:
    world.enter(house)
    before = world.entry(house)
    old = replace(entry_at_venue(world, house).told(), status=S.ACCEPTED, filled_quantity=Decimal(0))
    assert hear(world, house, AccountNews(orders=(old,))) == Heard()
    assert world.entry(house) == before


def test_news_of_an_account_that_is_not_the_tenants_is_not_heard(world: World, house: House) -> None:
    with pytest.raises(NotFound):
        hear_account(world.fleet, house.tenant.id, UUID(int=5), AccountNews())


def test_a_fill_that_was_found_and_not_told_betrays_a_stream_that_only_pretends(world: World, house: House) -> None:
    began = world.clock.now()
    world.enter(house)
    [fill] = world.fills(house)
    name = world.entry(house).intent.client_order_id
    later = world.clock.now()

    def missed(*told: str, since: Any = began, until: Any = later) -> str:
        return untold(world.fleet, *house.ids, since, until, set(told))

    assert fill.trade_id in missed()
    assert missed(fill.trade_id) == missed(name) == ""
    assert missed(since=fill.occurred_at + timedelta(seconds=1)) == ""
    assert missed(since=began - timedelta(seconds=9), until=fill.occurred_at - timedelta(seconds=1)) == ""


# --- Following ------------------------------------------------------------------------------------------------------


class ScriptedStream:
    """Hands on what the test tells it, until it is stopped; remembers why it was distrusted."""

    def __init__(self) -> None:
        self.hear: Hearer | None = None
        self.begun, self.ended = threading.Event(), threading.Event()
        self.distrusted: list[str] = []
        self.fails: Exception | None = None

    def run(self, hear: Hearer, stop: threading.Event) -> None:
        """Wait for the end."""
        self.hear = hear
        self.begun.set()
        if self.fails is not None:
            raise self.fails
        stop.wait(20)
        self.ended.set()

    def distrust(self, detail: str) -> None:
        """Remember it."""
        self.distrusted.append(detail)


@pytest.fixture
def live(world: World) -> House:
    """A house that trades with real money."""
    return world.settle_in(environment=Environment.LIVE)


class Counts:
    """What was counted."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def __call__(self, what: str, label: str, number: float) -> None:
        self.told.append((what, label))


@pytest.fixture
def streams(world: World) -> dict[UUID, list[ScriptedStream]]:
    """The streams that were opened, by account."""
    opened: dict[UUID, list[ScriptedStream]] = {}

    def open_stream(account: Account, credentials: Credentials) -> ScriptedStream:
        stream = ScriptedStream()
        opened.setdefault(account.id, []).append(stream)
        return stream

    world.fleet.open_account_stream = open_stream
    return opened


@pytest.fixture
def follower(world: World) -> Iterator[Follower]:
    """A follower that is closed when the test is over."""
    found = Follower(world.fleet, Counts())
    yield found
    found.close()


def eventually(question: Callable[[], Any], seconds: float = 10) -> None:
    """Wait for an event that another thread brings about."""
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_live_accounts_are_followed_and_paper_ones_are_not(
    world: World, live: House, follower: Follower, streams: dict[UUID, list[ScriptedStream]]
) -> None:
    world.settle_in("paper")
    follower.look()
    follower.look()
    assert list(follower.listeners) == list(streams) == [live.account.id]
    assert streams[live.account.id][0].begun.wait(10)


def test_an_account_is_followed_by_one_process_and_taken_over_when_that_one_ends(
    world: World, live: House, streams: dict[UUID, list[ScriptedStream]]
) -> None:
    first, second = Follower(world.fleet), Follower(world.fleet)
    first.look()
    second.look()
    assert (list(first.listeners), list(second.listeners)) == ([live.account.id], [])
    first.close()
    second.look()
    assert list(second.listeners) == [live.account.id]
    assert streams[live.account.id][0].ended.wait(10)
    second.close()


def test_a_process_follows_no_more_accounts_than_it_may(
    world: World, live: House, streams: dict[UUID, list[ScriptedStream]]
) -> None:
    other = world.settle_in("meridian", environment=Environment.LIVE)
    first, second = Follower(world.fleet, accounts_max=1), Follower(world.fleet, accounts_max=1)
    first.look()
    second.look()
    assert {*first.listeners, *second.listeners} == {live.account.id, other.account.id}
    first.close()
    second.close()


def test_leases_that_are_lost_with_their_connection_are_taken_anew(
    world: World,
    live: House,
    follower: Follower,
    streams: dict[UUID, list[ScriptedStream]],
    root: psycopg.Connection[Any],
) -> None:
    follower.look()
    cut_leaders(root)
    follower.look()
    assert len(streams[live.account.id]) == 2
    assert streams[live.account.id][0].ended.wait(10)


def test_a_stream_that_ended_by_a_defect_is_begun_anew(
    world: World, live: House, follower: Follower, streams: dict[UUID, list[ScriptedStream]]
) -> None:
    follower.look()
    listener = follower.listeners[live.account.id]
    listener.stop()
    listener.join(10)
    follower.look()
    assert len(streams[live.account.id]) == 2


def test_a_stream_that_raises_ends_its_thread_and_nothing_else(
    world: World, live: House, streams: dict[UUID, list[ScriptedStream]]
) -> None:
    stream = ScriptedStream()
    stream.fails = ValueError("a defect")
    listener = Listener(world.fleet, live.account, stream, Visits(world.fleet), Counts())
    listener.start()
    listener.join(10)
    assert not listener.is_alive


def test_a_venue_that_tells_nothing_leaves_the_account_to_others(world: World, live: House, follower: Follower) -> None:
    follower.look()
    assert follower.listeners == {}
    other = world.store.leases()
    assert other.take(f"account-stream|{live.account.id}")
    other.close()


def listener_of(world: World, house: House) -> tuple[Listener, ScriptedStream, Counts, Visits]:
    """A listener that hears what the test says, in the test's own thread."""
    stream, counts = ScriptedStream(), Counts()
    visits = Visits(world.fleet, counts)
    return Listener(world.fleet, house.account, stream, visits, counts), stream, counts, visits


def serve(visits: Visits, until: Callable[[], Any]) -> None:
    """Pay visits in a thread of their own until something has happened."""
    stop = threading.Event()
    thread = threading.Thread(target=visits.serve, args=(stop,))
    thread.start()
    try:
        eventually(until)
    finally:
        stop.set()
        thread.join(10)


@pytest.mark.parametrize("cause", list(GapCause))
def test_every_gap_is_counted_and_refilled_by_a_visit(world: World, live: House, cause: GapCause) -> None:
    rest_entry(world, live)
    fill_entry(world, live, "100")
    listener, _, counts, visits = listener_of(world, live)
    listener.hear(AccountNews(gaps=(Gap(cause, "as scripted"),)))
    assert counts.told == [("gap", cause.value)]
    assert world.fills(live) == []
    serve(visits, lambda: ("refilled", "") in counts.told)
    assert [fill.quantity for fill in world.fills(live)] == [Decimal(100)]


def test_news_is_booked_where_it_is_heard_and_counted(world: World, live: House) -> None:
    rest_entry(world, live)
    fill_entry(world, live, "100")
    listener, _, counts, _ = listener_of(world, live)
    listener.hear(news(world, live))
    assert counts.told == [("booked", live.account.venue)]
    assert len(world.fills(live)) == 1


def test_a_strangers_fill_has_the_books_compared_at_once(world: World, live: House) -> None:
    strange = world.venue.book_fill(live.account.id, SOL, OrderSide.BUY, Decimal(5), "77")
    listener, _, counts, visits = listener_of(world, live)
    listener.hear(AccountNews(fills=(strange,)))
    serve(visits, lambda: ("refilled", "") in counts.told)
    assert not world.account(live).is_reconciled


def test_news_that_cannot_be_booked_now_is_asked_for(
    world: World, live: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest_entry(world, live)
    fill_entry(world, live, "100")
    listener, _, counts, visits = listener_of(world, live)

    def refuse(*_: Any) -> Heard:
        raise Transient("the database is away")

    monkeypatch.setattr(follow_accounts, "hear_account", refuse)
    listener.hear(news(world, live))
    assert counts.told == [("gap", "not_booked")]
    serve(visits, lambda: world.fills(live))


def test_a_visit_that_another_monitor_kept_us_from_is_owed_still(world: World, live: House) -> None:
    rest_entry(world, live)
    fill_entry(world, live, "100")
    _, _, counts, visits = listener_of(world, live)
    visits.owe(*live.ids)
    with world.store.unit_of_work(live.tenant.id) as uow:
        assert uow.accounts.claim(live.account.id)
        stop = threading.Event()
        thread = threading.Thread(target=visits.serve, args=(stop,))
        thread.start()
        time.sleep(0.05)
        assert counts.told == []
    eventually(lambda: counts.told == [("refilled", "")])
    stop.set()
    thread.join(10)
    assert len(world.fills(live)) == 1


def test_a_visit_that_fails_is_owed_still_and_many_gaps_owe_one(world: World, live: House) -> None:
    _, _, counts, visits = listener_of(world, live)
    door = world.door_of(live)
    door.fails["balance"] = Transient("the venue is away")
    door.calls.clear()
    visits.owe(*live.ids)
    visits.owe(*live.ids, compare=True)
    serve(visits, lambda: "balance" in door.calls)
    door.fails.clear()
    serve(visits, lambda: counts.told == [("refilled", "")])
    assert "positions" in door.calls


def test_a_stream_is_distrusted_when_the_ledger_knows_more_than_it_told(world: World, live: House) -> None:
    listener, stream, _, _ = listener_of(world, live)
    listener.watch()
    listener.hear(AccountNews(gaps=(Gap(GapCause.CONNECTED),)))
    world.clock.advance(3)
    world.enter(live)
    listener.watch()
    assert stream.distrusted == []
    world.clock.advance(6)
    listener.watch()
    assert len(stream.distrusted) == 1
    listener.watch()
    assert len(stream.distrusted) == 1


def test_a_stream_that_told_is_trusted(world: World, live: House) -> None:
    listener, stream, _, _ = listener_of(world, live)
    listener.hear(AccountNews(gaps=(Gap(GapCause.CONNECTED),)))
    world.clock.advance(3)
    world.enter(live)
    listener.hear(news(world, live))
    world.clock.advance(6)
    listener.watch()
    assert stream.distrusted == []


def test_a_follower_looks_until_it_is_stopped_whatever_the_database_says(
    world: World, live: House, streams: dict[UUID, list[ScriptedStream]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_accounts, "LOOK_S", 0.01)
    found, stop = Follower(world.fleet), threading.Event()
    looks: list[int] = []
    look = found.look

    def fail_first() -> None:
        if not looks:
            raise Transient("not now")
        look()

    monkeypatch.setattr(found, "look", fail_first)

    def on_look() -> None:
        looks.append(1)
        if len(looks) > 3:
            stop.set()

    found.run(stop, on_look)
    assert found.listeners == {}
    assert len(streams[live.account.id]) == 1


def test_fills_of_unknown_accounts_are_not_known(world: World, house: House) -> None:
    world.enter(house)
    [fill] = world.fills(house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        assert uow.fills.known(house.account.id, [fill.trade_id, "none"]) == {fill.trade_id}
        assert uow.fills.known(house.account.id, []) == set()
