"""Breakers, single flight and budgets: one suite, in memory and on a real Valkey."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any, TypeVar

import pytest

from common.adapters.broker import ping_broker
from common.adapters.memory_state import MemoryBreakers, MemoryBudgets, MemorySingleFlight
from common.adapters.redis_state import RedisBreakers, RedisBudgets, RedisSingleFlight, connect_redis
from common.domain.errors import InvalidInput, Transient
from common.ports.shared_state import Breakers, BreakerState, Budgets, SingleFlight

Found = TypeVar("Found")
OPEN_S = 0.15


def eventually(question: Callable[[], Found | None], seconds: float = 5) -> Found:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.005)
    raise AssertionError(f"no answer within {seconds} s")


@pytest.fixture(params=["memory", "valkey"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield None
        return
    with connect_redis(request.getfixturevalue("redis_url")) as found:
        yield found


@pytest.fixture
def breakers(client: Any) -> Breakers:
    settings = {"failures_max": 3, "open_s": OPEN_S, "probe_s": 0.3}
    return MemoryBreakers(**settings) if client is None else RedisBreakers(client, "test", **settings)


@pytest.fixture
def flights(client: Any) -> SingleFlight:
    return MemorySingleFlight() if client is None else RedisSingleFlight(client, "test")


@pytest.fixture
def budgets(client: Any) -> Budgets:
    return MemoryBudgets() if client is None else RedisBudgets(client, "test")


def fail(breakers: Breakers, times: int) -> None:
    for _ in range(times):
        breakers.failed("model", breakers.ask("model"))


def test_a_breaker_opens_at_the_last_failure_in_a_row_and_for_its_own_dependency_only(breakers: Breakers) -> None:
    fail(breakers, 2)
    assert breakers.ask("model").is_allowed
    fail(breakers, 1)
    permit = breakers.ask("model")
    assert (permit.state, permit.is_allowed) == (BreakerState.OPEN, False)
    assert 0 < permit.retry_after_s <= OPEN_S
    assert breakers.ask("venue").is_allowed


def test_a_success_starts_the_count_again(breakers: Breakers) -> None:
    fail(breakers, 2)
    breakers.succeeded("model", breakers.ask("model"))
    fail(breakers, 2)
    assert breakers.ask("model").state is BreakerState.CLOSED


def probe(breakers: Breakers) -> Any:
    return eventually(lambda: p if (p := breakers.ask("model")).is_allowed else None)


def test_after_a_while_exactly_one_of_many_is_let_through_as_a_probe(breakers: Breakers) -> None:
    fail(breakers, 3)
    first = probe(breakers)
    with ThreadPoolExecutor(8) as pool:
        others = list(pool.map(lambda _: breakers.ask("model"), range(32)))
    assert first.state is BreakerState.HALF_OPEN
    assert not [permit for permit in others if permit.is_allowed]


def test_the_probes_success_closes_and_its_failure_opens_again(breakers: Breakers) -> None:
    fail(breakers, 3)
    breakers.failed("model", probe(breakers))
    assert breakers.ask("model").state is BreakerState.OPEN
    breakers.succeeded("model", probe(breakers))
    assert breakers.ask("model").state is BreakerState.CLOSED


def test_a_probe_that_never_came_back_is_replaced_and_has_nothing_more_to_say(breakers: Breakers) -> None:
    fail(breakers, 3)
    lost = probe(breakers)
    second = probe(breakers)
    assert second.probe != lost.probe
    breakers.succeeded("model", lost)
    assert not breakers.ask("model").is_allowed
    breakers.succeeded("model", second)
    assert breakers.ask("model").state is BreakerState.CLOSED


def test_a_late_result_from_before_the_opening_does_not_close_it(breakers: Breakers) -> None:
    early = breakers.ask("model")
    fail(breakers, 3)
    breakers.succeeded("model", early)
    assert breakers.ask("model").state is BreakerState.OPEN


def test_many_who_ask_at_once_cost_one_question(flights: SingleFlight) -> None:
    asked, together = [], Barrier(8)

    def compute() -> str:
        asked.append(1)
        time.sleep(0.05)
        return "confirm"

    def one(_: int) -> str:
        together.wait()
        return flights.once("key", 10, 5, compute)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert answers == ["confirm"] * 8
    assert len(asked) == 1


def test_an_answer_is_kept_for_its_time_and_its_exact_key_only(flights: SingleFlight) -> None:
    def never() -> str:
        raise AssertionError("the answer was kept")

    assert flights.once("a", 0.2, 1, lambda: "one") == "one"
    assert flights.once("a", 0.2, 1, never) == "one"
    assert flights.once("b", 0.2, 1, lambda: "two") == "two"
    eventually(lambda: flights.once("a", 0.2, 1, lambda: "three") == "three")


def test_a_failure_is_not_kept_and_the_next_in_line_tries_for_itself(flights: SingleFlight) -> None:
    def breaks() -> str:
        raise Transient("no model")

    with pytest.raises(Transient):
        flights.once("key", 10, 5, breaks)
    assert flights.once("key", 10, 5, lambda: "reject") == "reject"


def test_who_waits_longer_than_it_may_is_told_so_and_a_lost_leader_is_replaced(flights: SingleFlight) -> None:
    started, finish = Event(), Event()

    def slow() -> str:
        started.set()
        finish.wait(10)
        return "late"

    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(flights.once, "key", 10, 0.5, slow)
        started.wait(5)
        with pytest.raises(Transient):
            flights.once("key", 10, 0.05, lambda: "impatient")
        assert flights.once("key", 10, 2, lambda: "second") == "second"
        finish.set()
        assert leader.result(5) == "late"


def test_a_budget_is_spent_and_comes_back(budgets: Budgets) -> None:
    assert [budgets.take("ip", 4, 10, 20) for _ in range(2)] == [0.0, 0.0]
    wait = budgets.take("ip", 4, 10, 20)
    assert 0 < wait <= 0.1
    eventually(lambda: budgets.take("ip", 4, 10, 20) == 0.0)


def test_budgets_are_apart_and_what_is_given_back_can_be_taken_again(budgets: Budgets) -> None:
    assert budgets.take("a", 10, 10, 0.001) == 0.0
    assert budgets.take("b", 10, 10, 0.001) == 0.0
    assert budgets.take("a", 5, 10, 0.001) > 0
    budgets.give_back("a", 5, 10)
    assert budgets.take("a", 5, 10, 0.001) == 0.0


def test_more_than_a_budget_can_hold_is_refused(budgets: Budgets) -> None:
    with pytest.raises(InvalidInput, match="10"):
        budgets.take("a", 11, 10, 1)


def test_a_budget_is_never_overspent_by_many_at_once(budgets: Budgets) -> None:
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: budgets.take("a", 1, 10, 0.0001), range(40)))
    assert waits.count(0.0) == 10


def test_a_server_that_answers_is_there_and_its_absence_shows_no_password(redis_url: str) -> None:
    ping_broker(redis_url)
    with pytest.raises(Transient) as caught:
        ping_broker("redis://:the-password@127.0.0.1:1/0", timeout_s=0.2)
    assert "the-password" not in str(caught.value)


def test_an_unreachable_server_is_transient() -> None:
    with connect_redis("redis://127.0.0.1:1/0") as nobody:
        with pytest.raises(Transient):
            RedisBreakers(nobody).ask("model")
        with pytest.raises(Transient):
            RedisBudgets(nobody).take("a", 1, 2, 1)
        with pytest.raises(Transient):
            RedisSingleFlight(nobody).once("a", 1, 1, lambda: "x")
