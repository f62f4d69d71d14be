"""Every kind of fault: where it strikes, how it is brought about, and how it ends by itself or is healed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from chaos.crew import STAGES
from chaos.proxy import CutAt, Mode
from chaos.world import PRACTICE_VISIBILITY_S, World, patiently
from common.bootstrap import SIMULATOR
from common.domain.errors import Transient
from common.domain.job import JobRef, Stage
from common.domain.risk.book import HaltMode, HaltScope
from common.services.halts import halt, resume

LAG_S_MAX = PRACTICE_VISIBILITY_S - 2.0
"""How long faults hide an order at most, in seconds of life: the venue keeps what its capability record promises."""

_STRIKE_S = 4.0
_RETRY_AFTER_S = 5.0
_ORDER, _ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"

Act = Callable[[World, random.Random], str]
"""Brings a fault about and returns, when it is over, what was done; an empty text when it struck nobody."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault; two of one `domain` never overlap, and `weight` is how often it is drawn."""

    name: str
    domain: str
    weight: int
    act: Act


KINDS: dict[str, Kind] = {}


def kind(domain: str, weight: int) -> Callable[[Act], Act]:
    """Enter a kind of fault under its function's name."""

    def enter(act: Act) -> Act:
        KINDS[act.__name__] = Kind(act.__name__, domain, weight, act)
        return act

    return enter


# Processes -------------------------------------------------------------------------------------------------------------


@kind("crew", 12)
def worker_kill(world: World, dice: random.Random) -> str:
    """kill -9 of a worker of any stage."""
    hand = dice.choice(world.crew.of(dice.choice(STAGES)))
    return f"{hand.name} pid {world.crew.kill(hand)}"


@kind("crew", 5)
def worker_child_kill(world: World, dice: random.Random) -> str:
    """kill -9 of a prefork child."""
    hand = dice.choice(world.crew.of("signal"))
    pid = world.crew.kill_child(hand)
    return f"child {pid} of {hand.name}" if pid else ""


@kind("crew", 4)
def worker_stop(world: World, dice: random.Random) -> str:
    """SIGSTOP of a worker for some seconds, then SIGCONT."""
    hand = dice.choice(world.crew.of(dice.choice(STAGES)))
    seconds = dice.uniform(0.5, 4.0)
    pids = world.crew.freeze(hand)
    time.sleep(seconds)
    world.crew.thaw(pids)
    return f"{hand.name} for {seconds:.1f} s"


@kind("crew", 2)
def rolling_restart(world: World, dice: random.Random) -> str:
    """SIGTERM of a stage's workers one after another, as a deployment does."""
    stage = dice.choice(STAGES)
    for hand in world.crew.of(stage):
        world.crew.retire([hand.name], 15.0)
        world.crew.recall([hand.name])
    return stage


@kind("clocks", 2)
def beat_kill(world: World, dice: random.Random) -> str:
    """kill -9 of one of the two beats."""
    hand = dice.choice(world.crew.of("beat"))
    return f"{hand.name} pid {world.crew.kill(hand)}"


@kind("clocks", 2)
def beat_repeated(world: World, dice: random.Random) -> str:
    """The same ticks many times over, as two leaders would ring them."""
    from workers.app import app

    names = ["signal.schedule", "position.tick", "maintenance.relay", "maintenance.reconcile"]
    for name in names * dice.randint(2, 5):
        patiently(lambda name=name: _send(app, name), 5.0)  # type: ignore[misc]
    return ", ".join(names)


def _send(app: object, name: str) -> None:
    from kombu.exceptions import OperationalError

    try:
        app.send_task(name, queue="maintenance", expires=5, retry=False)  # type: ignore[attr-defined]
    except (OperationalError, OSError) as error:
        raise Transient(f"broker: {error}") from None


@kind("clocks", 2)
def beats_silent(world: World, dice: random.Random) -> str:
    """Neither beat ticks for some seconds: both are stopped, and go on."""
    seconds = dice.uniform(1.0, 4.0)
    pids = [pid for hand in world.crew.of("beat") for pid in world.crew.freeze(hand)]
    time.sleep(seconds)
    world.crew.thaw(pids)
    return f"for {seconds:.1f} s"


@kind("stream", 2)
def stream_kill(world: World, dice: random.Random) -> str:
    """kill -9 of the market's stream, or of the accounts'."""
    hand = dice.choice([*world.crew.of("stream"), *world.crew.of("accounts")])
    return f"{hand.name} pid {world.crew.kill(hand)}"


@kind("venue", 2)
def simulator_kill(world: World, dice: random.Random) -> str:
    """kill -9 of the venue itself, and its return."""
    seconds = dice.uniform(0.0, 2.0)
    with world.halt_lock:
        world.venue.kill()
        time.sleep(seconds)
        world.venue.start()
        world.venue_restarted_at = time.monotonic()
    return f"down for {seconds:.1f} s"


# Deliveries ------------------------------------------------------------------------------------------------------------

_JOBS = "SELECT id, stage, tenant_id FROM jobs WHERE state {condition} ORDER BY created_at {order} LIMIT 400"


def _refs(world: World, condition: str, order: str) -> list[JobRef]:
    rows = patiently(lambda: world.rows(_JOBS.format(condition=condition, order=order)), 10.0)
    return [JobRef(row[0], Stage(row[1]), row[2]) for row in rows]


@kind("deliveries", 5)
def duplicate_delivery(world: World, dice: random.Random) -> str:
    """Messages for jobs just done or still pending, several times over and out of order."""
    refs = _refs(world, "IN ('pending', 'done')", "DESC")
    chosen = dice.choices(refs, k=min(len(refs), 40)) if refs else []
    patiently(lambda: world.fleet.bus.ring(chosen), 10.0)
    return f"{len(chosen)} messages" if chosen else ""


@kind("deliveries", 2)
def late_delivery(world: World, dice: random.Random) -> str:
    """Messages for the oldest jobs, long after they were done."""
    refs = _refs(world, "<> 'pending'", "ASC")
    chosen = dice.sample(refs, min(len(refs), 30))
    patiently(lambda: world.fleet.bus.ring(chosen), 10.0)
    return f"{len(chosen)} messages" if chosen else ""


@kind("deliveries", 1)
def forged_delivery(world: World, dice: random.Random) -> str:
    """Messages with no or a wrong signature, for jobs that are pending and for jobs that never were."""
    from workers.app import app

    refs = [*_refs(world, "= 'pending'", "DESC")[:10], JobRef(uuid4(), Stage.PLACE, None)]
    for ref in refs:
        named = [[str(ref.id), str(ref.tenant_id) if ref.tenant_id else None]]
        seal = dice.choice([None, {"v": 1, "expires": 4_000_000_000, "mac": "00" * 32}])
        arguments = {"jobs": named} | ({"seal": seal} if seal else {})
        with suppress(Exception):  # A broker that is down takes no forged message either.
            app.send_task(ref.stage.value, kwargs=arguments, retry=False)
    return f"{len(refs)} messages"


# Valkey ----------------------------------------------------------------------------------------------------------------


@kind("valkey", 5)
def valkey_flush(world: World, dice: random.Random) -> str:
    """FLUSHALL."""
    patiently(world.flush_valkey, 10.0)
    return "everything"


@kind("valkey", 5)
def valkey_restart(world: World, dice: random.Random) -> str:
    """kill -9 or a clean stop of Valkey, and its return."""
    how, seconds = dice.choice(("kill", "stop")), dice.uniform(0.0, 2.0)
    getattr(world.valkey, how)()
    time.sleep(seconds)
    world.valkey = world.valkey_home.start()
    return f"{how}, down for {seconds:.1f} s"


@kind("valkey", 5)
def valkey_partition(world: World, dice: random.Random) -> str:
    """No wire between fleet and Valkey."""
    return _partition(world, "valkey", dice)


# Postgres --------------------------------------------------------------------------------------------------------------


@kind("postgres", 4)
def postgres_restart(world: World, dice: random.Random) -> str:
    """A fast shutdown or kill -9 of Postgres, and its return."""
    how = dice.choice(("kill", "stop"))
    getattr(world.postgres, how)()
    world.postgres = world.postgres_home.start()
    return how


@kind("postgres", 5)
def postgres_terminate(world: World, dice: random.Random) -> str:
    """pg_terminate_backend of some of the fleet's connections."""
    share = dice.choice((0.2, 0.5, 1.0))
    rows = patiently(
        lambda: world.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'tradewinds' AND pid <> pg_backend_pid() AND random() < %s",
            [share],
        )
    )
    return f"{len(rows)} connections" if rows else ""


@kind("postgres", 10)
def postgres_cut_commit(world: World, dice: random.Random) -> str:
    """The wire is cut at COMMIT, before Postgres heard of it or after it answered."""
    times: tuple[CutAt, ...] = ("before", "after")
    when, count = dice.choice(times), dice.randint(1, 6)
    proxy = world.proxies["postgres"]
    before = proxy.cut_commits
    proxy.cut_at_commit(when, count)
    _wait(lambda: proxy.cut_commits >= before + count)
    proxy.cuts.clear()
    cut = proxy.cut_commits - before
    return f"{when}, {cut} times" if cut else ""


@kind("postgres", 5)
def postgres_lock(world: World, dice: random.Random) -> str:
    """A stranger's transaction sits on the tenants' risk rows and on the epoch of halts for some seconds."""
    seconds = dice.uniform(0.5, 3.0)
    patiently(lambda: world.sit_on("SELECT FROM tenant_risk FOR UPDATE; SELECT FROM halt_epoch FOR UPDATE", seconds))
    return f"for {seconds:.1f} s"


@kind("postgres", 4)
def postgres_partition(world: World, dice: random.Random) -> str:
    """No wire between fleet and Postgres."""
    return _partition(world, "postgres", dice)


# The wire to the venue -------------------------------------------------------------------------------------------------


@kind("venue", 10)
def venue_partition(world: World, dice: random.Random) -> str:
    """No wire between fleet and venue."""
    return _partition(world, "venue", dice)


def _partition(world: World, name: str, dice: random.Random) -> str:
    proxy = world.proxies[name]
    modes: tuple[Mode, ...] = ("drop", "half_open", "slow", "reset")
    mode = dice.choice(modes)
    seconds, cut = dice.uniform(0.5, 4.0), dice.random() < 0.5
    touched = proxy.connections
    proxy.worsen(mode, delay_s=dice.uniform(0.05, 0.4))
    time.sleep(seconds)
    proxy.heal(cut=cut)
    return f"{mode} for {seconds:.1f} s, {touched} connections" + (", cut at the end" if cut else "")


# The venue -------------------------------------------------------------------------------------------------------------


@contextmanager
def _in_force(world: World, site: str, how: str, wish: dict[str, object]) -> Iterator[int]:
    number = patiently(lambda: world.venue.fault(site, how, **wish), 15.0)
    try:
        yield number
    finally:
        with suppress(Transient):  # A venue that was killed meanwhile has forgotten the fault.
            world.venue.end(number)


def _misbehave(world: World, site: str, how: str, count: int = 1, **wish: object) -> str:
    """Put a fault of the venue in force until it has struck `count` times, or for as long as it may take."""
    with _in_force(world, site, how, {"count": count} | wish) as number:
        _wait(lambda: patiently(lambda: world.venue.struck(number), 5.0) >= count)
        struck = patiently(lambda: world.venue.struck(number), 5.0)
    return f"{site} {how} {wish}, {struck} times" if struck else ""


def _placements(dice: random.Random) -> dict[str, str]:
    return {"method": "POST", "path": dice.choice((_ORDER, _ORDER, _ALGO))}


@kind("venue-1", 8)
def venue_timeout_after_accept(world: World, dice: random.Random) -> str:
    """The order is accepted, the answer never comes."""
    how = dice.choice(("hang", "reset"))
    params = {"seconds": dice.uniform(1.0, 12.0)}
    return _misbehave(world, "rest.after_accept", how, dice.randint(1, 3), params=params, match=_placements(dice))


@kind("venue-1", 5)
def venue_error_before_accept(world: World, dice: random.Random) -> str:
    """5xx, and the order was not taken."""
    params = {"answer": dice.choice(("unknown", "unavailable", "internal", "server_error", "bad_gateway", "timeout"))}
    return _misbehave(world, "rest.before_accept", "http", dice.randint(1, 3), params=params, match=_placements(dice))


@kind("venue-1", 5)
def venue_error_after_accept(world: World, dice: random.Random) -> str:
    """5xx, and the order was taken."""
    params = {"answer": dice.choice(("unknown", "unavailable", "internal", "server_error", "bad_gateway", "timeout"))}
    return _misbehave(world, "rest.after_accept", "http", dice.randint(1, 3), params=params, match=_placements(dice))


@kind("venue-2", 4)
def venue_rate_limited(world: World, dice: random.Random) -> str:
    """429 with Retry-After, for anything."""
    told = _misbehave(world, "rest.before_accept", "http", dice.randint(1, 3), params={"answer": "rate_limited"})
    if told:
        time.sleep(_RETRY_AFTER_S)  # The silence the venue asked for belongs to the fault.
    return told


@kind("venue-1", 4)
def venue_late_request(world: World, dice: random.Random) -> str:
    """The connection is lost, and the order arrives seconds later all the same."""
    params = {"seconds": dice.uniform(0.5, 8.0)}
    return _misbehave(world, "rest.before_accept", "late", dice.randint(1, 2), params=params, match=_placements(dice))


@kind("venue-2", 6)
def venue_slow_answer(world: World, dice: random.Random) -> str:
    """Anything asked is answered, late."""
    site = dice.choice(("rest.before_accept", "rest.after_accept"))
    return _misbehave(world, site, "delay", dice.randint(2, 8), params={"seconds": dice.uniform(0.2, 3.0)})


@kind("venue-2", 4)
def venue_garbled_answer(world: World, dice: random.Random) -> str:
    """An answer that is no answer."""
    match = dice.choice(({}, _placements(dice)))
    return _misbehave(world, "rest.reply", dice.choice(("garble", "empty")), dice.randint(1, 4), match=match)


@kind("venue-2", 2)
def venue_wrong_order(world: World, dice: random.Random) -> str:
    """The answer is about another order."""
    return _misbehave(world, "rest.reply", "other_order", 1, match={"method": "POST", "path": _ORDER})


@kind("venue-3", 5)
def venue_partial_fill(world: World, dice: random.Random) -> str:
    """A part is filled, then silence."""
    rate = world.options.speed
    params = {"fraction": dice.choice((0.3, 0.5)), "seconds": dice.uniform(1.0, 5.0) * rate}
    return _misbehave(world, "fill", dice.choice(("partial_then_silence", "hold")), dice.randint(1, 2), params=params)


@kind("venue-3", 5)
def venue_cancel_race(world: World, dice: random.Random) -> str:
    """The order fills while, or after, it is cancelled."""
    params = {"fraction": dice.choice((0.5, 1.0)), "seconds": dice.uniform(0.5, 3.0) * world.options.speed}
    return _misbehave(world, "cancel", dice.choice(("fill_during_cancel", "late_fill")), 1, params=params)


@kind("venue-4", 4)
def venue_visibility_lag(world: World, dice: random.Random) -> str:
    """An order that is there and is not shown for a while."""
    params = {"seconds": dice.uniform(0.5, LAG_S_MAX) * world.options.speed}
    return _misbehave(world, "visibility", "lag", dice.randint(1, 3), params=params)


@kind("clock", 3)
def venue_clock_step(world: World, dice: random.Random) -> str:
    """Venue time leaps ahead."""
    seconds = dice.choice((1, 60, 600, 3600))
    with world.halt_lock:
        patiently(lambda: world.venue.fault("clock", "jump", params={"seconds": seconds}), 15.0)
        world.venue_restarted_at = time.monotonic()
    return f"{seconds} s ahead"


@kind("clock", 2)
def venue_clock_skew(world: World, dice: random.Random) -> str:
    """The venue tells a wrong time for a while."""
    seconds = dice.choice((-3600, -60, -1, 1, 60, 3600))
    patiently(lambda: world.venue.fault("clock", "skew", params={"seconds": seconds}), 15.0)
    time.sleep(dice.uniform(1.0, 3.0))
    patiently(lambda: world.venue.fault("clock", "skew", params={"seconds": 0}), 15.0)
    return f"{seconds} s"


@kind("stream", 4)
def stream_fault(world: World, dice: random.Random) -> str:
    """The websocket goes silent, is cut, or says things twice or not at all."""
    how = dice.choice(("zombie", "disconnect", "duplicate", "drop"))
    return _misbehave(world, "ws.send", how, dice.randint(1, 8))


@kind("stream", 2)
def stream_refused(world: World, dice: random.Random) -> str:
    """The websocket is cut, and not let in again at once."""
    with _in_force(world, "ws.handshake", "refuse", {"count": dice.randint(1, 3)}) as number:
        told = _misbehave(world, "ws.send", "disconnect")
        _wait(lambda: patiently(lambda: world.venue.struck(number), 5.0) >= 1)
    return told


@kind("stream", 1)
def listen_key_expiry(world: World, dice: random.Random) -> str:
    """Every listen key ends at once."""
    patiently(lambda: world.venue.fault("listen_key", "expire"), 15.0)
    return "all"


@kind("model", 6)
def model_fault(world: World, dice: random.Random) -> str:
    """The model is slow, silent, or talks nonsense."""
    hows = ("delay", "hang", "bad_json", "fenced_json", "wrong_symbol", "truncated", "empty", "refusal", "http", "drip")
    params = {"seconds": dice.uniform(1.0, 12.0)}
    return _misbehave(world, "model.reply", dice.choice(hows), dice.randint(1, 4), params=params)


# People ----------------------------------------------------------------------------------------------------------------


@kind("halt", 5)
def kill_switch(world: World, dice: random.Random) -> str:
    """A halt of any scope and mode, and its lift some seconds later."""
    scope, subject = _scope(world, dice)
    mode = dice.choice(list(HaltMode))
    with world.halt_lock:
        # Right after the venue's clock was moved nobody's clock can be compared with it.
        _wait(lambda: time.monotonic() - world.venue_restarted_at > 7.0, 8.0)
        span = world.halts.begin(scope, subject, mode)
        patiently(lambda: halt(world.fleet, scope=scope, subject=subject, mode=mode, reason="chaos", by="chaos"))
        span.committed_ms = patiently(world.venue.now_ms)
        time.sleep(dice.uniform(1.0, 4.0))
        span.lifting_ms = patiently(world.venue.now_ms)
        patiently(lambda: resume(world.fleet, scope=scope, subject=subject, by="chaos"))
    return f"{mode} of {scope} {subject}".rstrip()


def _scope(world: World, dice: random.Random) -> tuple[HaltScope, str]:
    scope = dice.choice(list(HaltScope))
    account = dice.choice(world.tenancy.accounts)
    subjects: dict[HaltScope, str] = {
        HaltScope.PLATFORM: "",
        HaltScope.VENUE: SIMULATOR,
        HaltScope.TENANT: str(UUID(str(account.tenant_id))),
        HaltScope.STRATEGY: dice.choice(world.tenancy.strategies),
        HaltScope.INSTRUMENT: dice.choice(list(world.tenancy.instruments)).symbol,
    }
    return scope, subjects[scope]


def _wait(until: Callable[[], bool], patience_s: float = _STRIKE_S) -> bool:
    deadline = time.monotonic() + patience_s
    while not until():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
