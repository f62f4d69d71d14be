"""The rate-limit broker: one suite in memory and on a real Valkey, and the venue's own word against the whole chain."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import ccxt
import pytest

from common.adapters.ccxt_venue import BrokeredPace, CcxtMarketData, Connection, Crowded, Guard, capability
from common.adapters.clock import FollowedClock
from common.adapters.memory_state import MemoryBreakers
from common.adapters.rate_broker import MemoryRateBroker
from common.adapters.redis_state import RedisRateBroker, connect_redis
from common.domain.errors import TradewindsError, Transient
from common.ports.rate_limits import (
    CEILINGS,
    USABLE,
    CallClass,
    Caller,
    Charge,
    Grant,
    RateBroker,
    caller,
    calling,
)
from tests.simulator_process import SimulatorProcess, start

CAP = 1000.0
PATIENT_ROUNDS = 4000
DAY_S = 86_400


class Life:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.at = 1_000_020.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture(params=["memory", "valkey"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield None
        return
    with connect_redis(request.getfixturevalue("redis_url")) as found:
        yield found


@pytest.fixture
def broker(client: Any) -> RateBroker:
    return MemoryRateBroker(Life().now) if client is None else RedisRateBroker(client, "test")


def charge(weight: float = 1, budget: str = "venue", cap: float = CAP) -> Charge:
    return Charge(budget, weight, cap)


def take(broker: RateBroker, kind: CallClass, tenant: str = "", weight: float = 1) -> Grant:
    return broker.ask([charge(weight)], Caller(kind, tenant))


def fill(broker: RateBroker, kind: CallClass, weight: float = 5) -> float:
    """Take until nothing more is granted; how much."""
    taken = 0.0
    while take(broker, kind, weight=weight).wait_s == 0:
        taken += weight
    return taken


def jain(shares: list[float]) -> float:
    """Jain's index of fairness: 1 when all are equal, 1/n when one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def contended(broker: RateBroker, wishes: dict[str, int], shares: dict[str, float] | None = None) -> Counter[str]:
    """What each tenant gets of one window when it asks so many times a round, round after round.

    Valkey's clock goes on meanwhile: a window of a day is not over before all have asked.
    """
    got: Counter[str] = Counter()
    wish = Charge("venue", 1, CAP, DAY_S)
    for _ in range(PATIENT_ROUNDS // sum(wishes.values())):
        for tenant, times in wishes.items():
            for _ in range(times):
                asks = Caller(CallClass.ENTRY, tenant, (shares or {}).get(tenant, 1.0))
                got[tenant] += broker.ask([wish], asks).wait_s == 0
    return got


def test_each_class_leaves_room_for_those_before_it(broker: RateBroker) -> None:
    total = 0.0
    for kind in reversed(CallClass):
        total += fill(broker, kind)
        assert CEILINGS[kind] * CAP - 5 < total <= CEILINGS[kind] * CAP
    assert total <= USABLE * CAP


def test_every_charge_is_taken_or_none(broker: RateBroker) -> None:
    both = [charge(1), charge(1, "orders", cap=2)]
    assert broker.ask(both, Caller(CallClass.PROTECTIVE)).wait_s == 0
    assert broker.ask(both, Caller(CallClass.PROTECTIVE)).wait_s > 0
    assert broker.ask([charge(0)], Caller(CallClass.PROTECTIVE)).used == 1


def test_equal_tenants_get_equal_shares_however_loud_one_of_them_is(broker: RateBroker) -> None:
    got = contended(broker, {"loud": 16, "b": 1, "c": 1, "d": 1, "e": 1})
    assert jain([float(count) for count in got.values()]) >= 0.95, got
    assert sum(got.values()) >= 0.89 * CEILINGS[CallClass.ENTRY] * CAP


def test_a_tenant_with_twice_the_share_gets_twice_as_much(broker: RateBroker) -> None:
    got = contended(broker, {"a": 4, "b": 4}, {"a": 2.0})
    assert got["a"] == pytest.approx(2 * got["b"], rel=0.05)


def test_a_lone_tenant_may_use_what_nobody_else_wants_but_for_the_newcomers_part(broker: RateBroker) -> None:
    limit = CEILINGS[CallClass.ENTRY] * CAP
    alone = contended(broker, {"alone": 4})["alone"]
    newcomer = contended(broker, {"newcomer": 4})["newcomer"]
    assert limit * 0.88 < alone <= limit * 0.9
    assert newcomer >= limit * 0.099


def test_protection_waits_for_no_share(broker: RateBroker) -> None:
    contended(broker, {"a": 4, "b": 1})
    assert take(broker, CallClass.PROTECTIVE, "a").wait_s == 0


def test_when_the_venue_wants_silence_nobody_asks(broker: RateBroker) -> None:
    broker.hold("venue", 30)
    for kind in CallClass:
        grant = take(broker, kind)
        assert grant.is_held
        assert 29 < grant.wait_s <= 30
    assert broker.ask([charge(budget="another")], Caller()).wait_s == 0


def test_what_was_known_when_it_was_asked_is_not_learnt_in_the_minute_after(broker: RateBroker) -> None:
    broker.learn("venue", 361, known=358)
    assert take(broker, CallClass.DATA).used == 4


def test_what_others_use_from_our_address_is_learnt_from_the_venue(broker: RateBroker) -> None:
    take(broker, CallClass.DATA, weight=10)
    broker.learn("venue", 5)
    assert take(broker, CallClass.DATA).used == 11
    broker.learn("venue", CEILINGS[CallClass.DATA] * CAP)
    assert take(broker, CallClass.DATA).wait_s > 0
    assert take(broker, CallClass.PROTECTIVE).wait_s == 0


def test_two_processes_share_one_budget(redis_url: str) -> None:
    with connect_redis(redis_url) as first, connect_redis(redis_url) as second:
        brokers = [RedisRateBroker(first, "test"), RedisRateBroker(second, "test")]
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda number: fill(brokers[number % 2], CallClass.DATA, 1), range(8)))
    assert sum(taken) == int(CEILINGS[CallClass.DATA] * CAP)


def test_no_minute_of_any_clock_holds_more_than_may_be_used() -> None:
    life, dice = Life(), Random(5)
    broker = MemoryRateBroker(life.now)
    sent: list[tuple[float, float]] = []
    while life.at < 1_000_020 + 400:
        weight, kind = dice.choice([1, 2, 5, 40]), dice.choice(list(CallClass))
        if take(broker, kind, dice.choice(["", "a", "b"]), weight).wait_s == 0:
            sent.append((life.at, weight))
        life.sleep(dice.expovariate(20))
    starts = [1_000_020 + offset / 2 for offset in range(680)]
    windows = [sum(weight for at, weight in sent if begin <= at < begin + 60) for begin in starts]
    assert max(windows) <= USABLE * CAP
    assert max(windows) >= 0.9 * USABLE * CAP


def test_protective_calls_never_wait_behind_data() -> None:
    life = Life()
    broker = MemoryRateBroker(life.now)
    waits = {CallClass.PROTECTIVE: [0.0], CallClass.DATA: [0.0]}
    for tick in range(6000):
        for _ in range(3):
            waits[CallClass.DATA].append(take(broker, CallClass.DATA).wait_s)
        for _ in range(tick % 10 == 0):
            waits[CallClass.PROTECTIVE].append(take(broker, CallClass.PROTECTIVE, f"t{tick % 7}").wait_s)
        life.sleep(0.05)
    assert max(waits[CallClass.DATA]) > 0
    assert max(waits[CallClass.PROTECTIVE]) == 0


def test_a_loud_tenant_hardly_moves_the_waits_of_the_others() -> None:
    assert p99_wait(loud=16) <= 1.1 * p99_wait(loud=1) + 0.01


def p99_wait(loud: int) -> float:
    """p99 of the waits of three quiet tenants beside one that is `loud` times as busy, in virtual seconds."""
    life = Life()
    broker = MemoryRateBroker(life.now)
    waits: list[float] = []
    for tick in range(4000):
        for _ in range(loud):
            take(broker, CallClass.ENTRY, "loud")
        waits.append(take(broker, CallClass.ENTRY, f"quiet-{tick % 3}").wait_s)
        life.sleep(0.25)
    return sorted(waits)[int(len(waits) * 0.99)]


def pace(broker: RateBroker, life: Life, kind: CallClass = CallClass.DATA, **changes: Any) -> BrokeredPace:
    return BrokeredPace(
        broker, "venue", lambda: CAP, Caller(kind, "t"), "account", now=life.now, sleep=life.sleep, **changes
    )


def test_a_client_waits_its_turn_and_gives_up_when_it_has_no_more_patience() -> None:
    life = Life()
    broker = MemoryRateBroker(life.now)
    fill(broker, CallClass.DATA)
    began = life.at
    with pytest.raises(Crowded, match="rate budget is used up"):
        pace(broker, life, patience_s=2.0).admit(5, 0, is_order=False)
    assert life.at - began == pytest.approx(2.0, abs=0.3)
    pace(broker, life, patience_s=100.0).admit(5, 0, is_order=False)
    assert life.at - began > 55


def test_an_account_sends_no_more_orders_than_the_venue_counts() -> None:
    life = Life()
    sender = pace(MemoryRateBroker(life.now), life, CallClass.PROTECTIVE, patience_s=0.0)
    for _ in range(285):
        sender.admit(1, 0, is_order=True)
    with pytest.raises(Crowded):
        sender.admit(1, 0, is_order=True)
    sender.admit(1, 0, is_order=False)


def test_what_the_venue_says_to_one_process_is_heard_by_all() -> None:
    life = Life()
    broker = MemoryRateBroker(life.now)
    first, second = pace(broker, life), pace(broker, life)
    first.hold(20)
    with pytest.raises(Crowded, match="wants silence"):
        second.admit(1, 0, is_order=False)
    assert second.held_s > 0


class Away:
    """A broker that cannot be reached."""

    def ask(self, *asked: Any) -> Any:
        raise Transient("away")

    learn = hold = ask


def test_without_a_broker_every_process_keeps_to_its_own_measure() -> None:
    life = Life()
    alone = pace(Away(), life)
    alone.admit(1, 0.0, is_order=False)
    alone.learn(7)
    alone.hold(3)
    assert 0 < alone.held_s <= 3


def test_a_purpose_that_was_declared_goes_with_every_call_of_its_block() -> None:
    usual = Caller(CallClass.DATA, "market")
    with calling(CallClass.EXIT, "harbour"):
        assert caller(usual) == Caller(CallClass.EXIT, "harbour")
        with calling(CallClass.PROTECTIVE):
            assert caller(usual) == Caller(CallClass.PROTECTIVE, "market")
    assert caller(usual) == usual


# Against a venue that counts -----------------------------------------------------------------------------------------

WEIGHT_LIMIT = 400
HELPER = """
import sys
sys.path.insert(0, sys.argv[3])
import ccxt
from tests.adapters.test_rate_broker import ask_until_full
from common.adapters.redis_state import RedisRateBroker, connect_redis
print("ready", flush=True)
sys.stdin.readline()
print(ask_until_full(sys.argv[1], lambda: RedisRateBroker(connect_redis(sys.argv[2]), "test"), 2))
"""


@pytest.fixture(scope="module")
def counting() -> Iterator[SimulatorProcess]:
    process = start(speed=1, symbols="BTCUSDT", weight_limit=WEIGHT_LIMIT)
    yield process
    process.stop()


def market_of(url: str, broker: RateBroker, kind: CallClass, guard: Guard | None = None) -> CcxtMarketData:
    link = Connection(capability("binanceusdm"), "simulator", url)
    paced = BrokeredPace(broker, "simulator", lambda: WEIGHT_LIMIT, Caller(kind), patience_s=0.5)
    return CcxtMarketData(link, FollowedClock(url), paced, guard)


def ask_until_full(url: str, broker: Callable[[], RateBroker], threads: int) -> int:
    """Ask as hard as can be until the budget of the most urgent class is used up; how many answers there were."""

    def work(_: int) -> int:
        market, answered = market_of(url, broker(), CallClass.PROTECTIVE), 0
        while True:
            try:
                market.clock_offset()
            except Crowded:
                return answered
            answered += 1

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads)))


def test_two_processes_use_the_whole_of_95_percent_and_the_venue_never_says_429(
    counting: SimulatorProcess, redis_url: str
) -> None:
    assert ccxt.Exchange  # Loaded by now on both sides, so that they begin together.
    here = [sys.executable, "-c", HELPER, counting.url, redis_url, str(Path(__file__).parents[2])]
    with subprocess.Popen(here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as helper:
        assert helper.stdout is not None
        assert helper.stdin is not None
        assert helper.stdout.readline() == "ready\n"
        helper.stdin.write("go\n")
        helper.stdin.flush()
        mine = ask_until_full(counting.url, lambda: RedisRateBroker(connect_redis(redis_url), "test"), 3)
        theirs = int(helper.communicate(timeout=60)[0])
    with connect_redis(redis_url) as client:
        seconds = {
            name: float(value) for name, value in client.hgetall("test:rate:simulator").items() if name[0] == "s"
        }
        assert "hold" not in client.hgetall("test:rate:simulator")
    assert mine > 0
    assert theirs > 0
    assert 0.94 * WEIGHT_LIMIT <= sum(seconds.values()) <= USABLE * WEIGHT_LIMIT


def test_a_venue_that_says_429_silences_the_fleet_for_as_long_as_it_wants(redis_url: str) -> None:
    world = start(speed=1, symbols="BTCUSDT", weight_limit=5)
    try:
        with connect_redis(redis_url) as client:
            broker = RedisRateBroker(client, "test")
            market = market_of(world.url, broker, CallClass.DATA)
            for _ in range(2):
                with pytest.raises(TradewindsError):
                    market.book("BTC/USDT:USDT", 500)
            told = broker.ask([Charge("simulator", 1, WEIGHT_LIMIT)], Caller(CallClass.PROTECTIVE))
        assert told.is_held
        assert 0 < told.wait_s <= 60
    finally:
        world.stop()


# Breakers around reads -----------------------------------------------------------------------------------------------


def test_reads_stop_while_a_venue_is_ill_and_one_probe_finds_it_well() -> None:
    world = start(speed=1, symbols="BTCUSDT")
    breakers = MemoryBreakers(failures_max=3, open_s=0.3, probe_s=5.0)
    try:
        markets = [market_of(world.url, MemoryRateBroker(), CallClass.DATA, Guard(breakers, "venue")) for _ in range(2)]
        for market in markets:
            market.book("BTC/USDT:USDT", 5)
        world.fault("rest.before_accept", "http", params={"answer": "unavailable"}, count=100)
        for _ in range(3):
            with pytest.raises(Transient, match="answered 503"):
                markets[0].book("BTC/USDT:USDT", 5)
        for market in markets:
            with pytest.raises(Transient, match="is not well"):
                eventually_refused(market)
        world.heal()
        assert eventually(lambda: answered(markets[1]))
        assert breakers.ask("venue").state == "closed"
    finally:
        world.stop()


def eventually_refused(market: CcxtMarketData) -> None:
    """Ask until the guard's quarter of a second of trust is over."""
    for _ in range(100):
        try:
            market.book("BTC/USDT:USDT", 5)
        except Transient as error:
            if "is not well" in str(error):
                raise
        time.sleep(0.02)


def answered(market: CcxtMarketData) -> bool:
    try:
        market.book("BTC/USDT:USDT", 5)
    except Transient:
        return False
    return True


def eventually(question: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if question():
            return True
        time.sleep(0.02)
    return False
