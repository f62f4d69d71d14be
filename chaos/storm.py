"""A run: squalls of seeded faults, recovery measured after each, and every promise checked after each hundred."""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chaos.faults import KINDS, Kind
from chaos.recovery import NotRecovered, Prober, percentile
from chaos.tenants import Weather
from chaos.truth import violations
from chaos.world import World, patiently
from common.domain.errors import InvalidInput, TradewindsError, Transient
from common.services.drain import work_off
from common.services.halts import halts_in_force, resume

log = logging.getLogger(__name__)

Say = Callable[[str], None]

STUCK_S = 10.0
DOUBT_S = 25.0
QUIET_S = 75.0
LANE_S = 10.0
"""A lane is full once its faults take about so long."""

_SPREAD_S = 0.5
_FIRST_S = 6.0
"""Within so long of a squall's beginning those faults are armed that strike a request each."""
_ORDERLY_S = 10.0
_STUCK = """
    SELECT 'job ' || stage || ' ' || key || ' ' || outcome FROM jobs WHERE state = 'pending' AND available_at < %s
    UNION ALL SELECT 'order ' || client_order_id || ' ' || status FROM orders
    WHERE status IN ('intended', 'submitting', 'unknown') AND coalesce(submitted_at, created_at) < %s
"""
_WAITING = (
    "SELECT count(*) FROM jobs WHERE state = 'pending' AND stage IN ('llm.confirm', 'risk.evaluate', 'execution.place')"
)
_COUNTS = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM fills), (SELECT count(*) FROM signals)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One fault of the log: its number in the schedule, what it was, when it began and ended, what was done."""

    number: int
    kind: str
    began_s: float
    ended_s: float
    detail: str

    def line(self, seed: int) -> str:
        """The entry as one line of JSON."""
        return json.dumps(
            {
                "seed": seed,
                "number": self.number,
                "kind": self.kind,
                "began_s": self.began_s,
                "ended_s": self.ended_s,
                "detail": self.detail,
            }
        )


@dataclass(slots=True)
class Storm:
    """The state of a run."""

    world: World
    say: Say
    prober: Prober
    weather: Weather
    entries: list[Entry] = field(default_factory=list)
    idle: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    rounds: int = 0
    drawn: int = 0
    began_s: float = 0.0
    quiet_s: float = 0.0
    lasting: list[threading.Thread] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def faults(self) -> Counter[str]:
        """How many of each kind have struck."""
        return Counter(entry.kind for entry in self.entries)

    def result(self) -> dict[str, Any]:
        """The JSON object of the run."""
        seconds = self.prober.seconds
        orders, fills, signals = patiently(lambda: self.world.rows(_COUNTS))[0]
        return {
            "faults": dict(sorted(self.faults.items())),
            "total": len(self.entries),
            "violations": len(self.violations),
            "orders": orders,
            "fills": fills,
            "signals": signals,
            "recovery_s": {
                "p50": percentile(seconds, 0.5),
                "p99": percentile(seconds, 0.99),
                "max": max(seconds, default=0.0),
                "measured": len(seconds),
                "waited_for": self.prober.slowest,
            },
            "halt_in_flight_s_max": max(self.world.halts.in_flight_s, default=0.0),
            "struck_nobody": dict(sorted(self.idle.items())),
            "restarts": {name: hand.starts - 1 for name, hand in sorted(self.world.crew.hands.items())},
            "rounds": self.rounds,
            "faults_per_minute": round(len(self.entries) * 60 / max(1.0, self.world.at() - self.began_s), 1),
            "quiet_s": round(self.quiet_s, 1),
            "load_1m": round(os.getloadavg()[0], 1),
            "seed": self.world.options.seed,
            "seconds": self.world.at(),
            "first_violation": self.violations[0] if self.violations else None,
        }


def chosen_kinds(names: tuple[str, ...]) -> list[Kind]:
    """The kinds of these names, all without any; raises InvalidInput naming those there are."""
    for name in names:
        if name not in KINDS:
            raise InvalidInput("kind", name, f"one of {', '.join(sorted(KINDS))}")
    return [KINDS[name] for name in names or sorted(KINDS)]


def draw_squall(dice: random.Random, kinds: list[Kind], size: int) -> list[list[Kind]]:
    """At most `size` kinds by weight in lanes: what shares a domain strikes one after the other, all else at once."""
    lanes: dict[str, list[Kind]] = {}
    alone: list[list[Kind]] = []
    for _ in range(size):
        left = [item for item in kinds if sum(other.takes_s for other in lanes.get(item.domain, ())) < LANE_S]
        if not left:
            break
        chosen = dice.choices(left, weights=[item.weight for item in left])[0]
        if chosen.domain:
            lanes.setdefault(chosen.domain, []).append(chosen)
        else:
            alone.append([chosen])
    return [*(sorted(lane, key=lambda item: item.moves_time) for lane in lanes.values()), *alone]


def run_storm(world: World, say: Say) -> Storm:
    """Break `world` as its options say and check it; ends at the first round with a violation."""
    options = world.options
    storm = Storm(world, say, Prober(world), _weather(world))
    kinds = chosen_kinds(options.kinds)
    dice = random.Random(f"storm {options.seed}")
    try:
        storm.prober.measure()
        storm.prober.seconds.clear()
        storm.prober.slowest.clear()
        say(f"{world.at():7.1f} s  the fleet works; faults begin")
        storm.began_s = world.at()
        storm.weather.start()
        _wait_for_orders(world)
        checked = 0
        while len(storm.entries) < options.faults and not storm.violations:
            size = min(dice.randint((options.squall + 1) // 2, options.squall), options.faults - len(storm.entries))
            # Some strike nobody: the last few of a run are not drawn one by one.
            size = max(size, options.squall // 8)
            _squall(storm, draw_squall(dice, kinds, size))
            if len(storm.entries) - checked >= options.round_size or len(storm.entries) >= options.faults:
                checked = len(storm.entries)
                _round(storm)
    except NotRecovered as error:
        storm.violations.append(f"I1: {error}")
    finally:
        storm.weather.stop()
    return storm


def _weather(world: World) -> Weather:
    return Weather(world.fleet, world.tenancy, world.options.seed, lambda: int(world.rows(_WAITING)[0][0]))


def _wait_for_orders(world: World, patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and patiently(lambda: world.rows(_COUNTS))[0][1] < 1:
        time.sleep(0.2)


def _squall(storm: Storm, lanes: list[list[Kind]]) -> None:
    """Strike down every lane at once, and see how long the fleet takes to work again."""
    threads: list[threading.Thread] = []
    lasts = any(thread.is_alive() for thread in storm.lasting)
    for lane in [lane for lane in lanes if not (lasts and lane[0].outlasts)]:
        numbered = []
        for item in lane:
            storm.drawn += 1
            numbered.append((storm.drawn, item))
        thread = threading.Thread(target=_strike_all, args=(storm, numbered), daemon=True)
        thread.start()
        (storm.lasting if lane[0].outlasts else threads).append(thread)
    _await(threads)
    seconds = storm.prober.measure()
    storm.say(
        f"{storm.world.at():7.1f} s  {len(storm.entries):5d} faults, recovered in {seconds:.1f} s ({storm.prober.last})"
    )


def _await(threads: list[threading.Thread]) -> None:
    while threads:
        threads.pop().join()


def _strike_all(storm: Storm, lane: list[tuple[int, Kind]]) -> None:
    for number, item in lane:
        dice = random.Random(f"fault {storm.world.options.seed} {number}")
        time.sleep(dice.uniform(0.0, _SPREAD_S if item.domain else _FIRST_S))
        began = time.monotonic()
        _strike(storm, item, number, dice)
        if (number, item) != lane[-1]:
            # What is over at once, such as a kill, keeps its domain busy all the same.
            time.sleep(max(0.0, began + item.takes_s - time.monotonic()))


def _strike(storm: Storm, item: Kind, number: int, dice: random.Random) -> None:
    began = storm.world.at()
    try:
        detail = item.act(storm.world, dice)
    except TradewindsError as error:
        # Another fault of the squall stood in the way; what was begun is healed by the round.
        log.info("%s was not brought about: %s", item.name, error)
        detail = ""
    entry = Entry(number, item.name, began, storm.world.at(), detail)
    with storm.lock:
        if not detail:
            storm.idle[item.name] += 1
            return
        storm.entries.append(entry)
        with (storm.world.directory / "faults.jsonl").open("a", encoding="utf-8") as file:
            file.write(entry.line(storm.world.options.seed) + "\n")


def _round(storm: Storm) -> None:
    """Heal, wait until the fleet has come to rest by itself, stop its clock, and compare."""
    storm.rounds += 1
    world, began = storm.world, storm.world.at()
    storm.weather.calm()
    _await(storm.lasting)
    heal(world)
    storm.violations += _stuck(world)
    clocks = [hand.name for stage in ("beat", "stream", "accounts") for hand in world.crew.of(stage)]
    world.crew.retire(clocks, _ORDERLY_S)
    if not storm.violations:
        storm.violations += _unfinished(world)
        storm.violations += violations(world)
    storm.quiet_s += world.at() - began
    storm.say(
        f"{world.at():7.1f} s  round {storm.rounds}: {len(storm.entries)} faults, {len(storm.violations)} violations, "
        f"quiet and checked in {world.at() - began:.0f} s"
    )
    if not storm.violations:
        world.crew.recall(clocks)
        storm.weather.blow()


def heal(world: World) -> None:
    """Take every fault out of force and lift every halt."""
    patiently(world.venue.heal)
    for proxy in world.proxies.values():
        proxy.heal()
    for halt in patiently(lambda: halts_in_force(world.fleet)):
        patiently(lambda halt=halt: resume(world.fleet, scope=halt.scope, subject=halt.subject, by="chaos"))  # type: ignore[misc]


def _stuck(world: World) -> list[str]:
    """What the fleet does not finish by itself although nothing is wrong any more."""
    deadline = time.monotonic() + QUIET_S
    while True:
        found = patiently(lambda: _overdue(world))
        if not found:
            return []
        if time.monotonic() > deadline:
            return [f"I1: {text} is not finished {QUIET_S:.0f} s after everything was healed" for text in found[:5]]
        time.sleep(0.5)


def _overdue(world: World) -> list[str]:
    now, transport = world.fleet.clock.now(), world.fleet.clock.transport
    return [text for (text,) in world.rows(_STUCK, [now - transport(STUCK_S), now - transport(DOUBT_S)])]


def _unfinished(world: World) -> list[str]:
    """What is left although all workers run and nothing new is begun."""
    deadline = time.monotonic() + QUIET_S
    while True:
        try:
            left = work_off(world.fleet)
        except Transient as error:
            log.info("the drain goes on: %s", error)
        else:
            if left.is_empty:
                return []
            if time.monotonic() > deadline:
                return [f"I1: {left.jobs} jobs and {left.orders} orders are not finished after the drain"]
        time.sleep(0.3)
