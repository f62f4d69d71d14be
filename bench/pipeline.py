"""The pipeline's bench: latency at low load and throughput at saturation of the real fleet, beside a bare chain of tasks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from bench.report import Report, each_ms, say, spread
from bench.world import BenchWorld, batches, bench_world
from common.bootstrap import SIMULATOR, build_fleet
from common.domain.errors import Transient
from common.domain.market import Instrument
from common.services.fleet import Fleet
from common.services.market_view import market_now
from common.services.scan_market import raise_signal

STAGES = ("llm", "risk", "execution", "position", "maintenance")
_PATIENCE_S = 45.0
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured, and how long a saturated fleet is watched at most."""

    desks: int
    low: int
    floor_low: int
    floor_chains: int
    watch_s: float


FULL = Plan(desks=27, low=36, floor_low=60, floor_chains=500, watch_s=25.0)
QUICK = Plan(desks=2, low=3, floor_low=5, floor_chains=40, watch_s=15.0)


def run(is_quick: bool) -> Report:
    """Measure the floor, then the fleet, on the same servers."""
    plan = QUICK if is_quick else FULL
    with bench_world("pipeline") as world:
        floor = measure_floor(world, plan)
        fleet = measure_fleet(world, plan)
    return Report(
        bench="pipeline",
        figure=fleet["throughput"]["filled_per_second"],
        floor=floor["chains_per_second"],
        unit="signals to filled orders per second",
        details={"fleet": fleet, "floor": floor, "latency_ratio_p50": _latency_ratio(fleet, floor)},
    )


def _latency_ratio(fleet: Mapping[str, Any], floor: Mapping[str, Any]) -> float:
    bare = floor["latency"]["p50_ms"]
    return round(fleet["latency"]["end_to_end"]["p50_ms"] / bare, 2) if bare else 0.0


def measure_floor(world: BenchWorld, plan: Plan) -> dict[str, Any]:
    """A chain of five tasks with one commit each, in the pools of five stages: one at a time, then all at once."""
    from bench.floor import HOPS, Floor, worker_arguments

    floor = Floor(str(world.settings.database_url))
    names = [f"floor-{hop}" for hop in range(1, len(HOPS) + 1)]
    for hop, name in enumerate(names, start=1):
        world.start(name, *worker_arguments(hop))
    warm = [floor.begin() for _ in range(20)]
    if not floor.wait(warm[0], warm[-1], _PATIENCE_S):
        world.check()
        raise Transient("the workers of the bare chain did not come up")
    say("floor: one chain at a time")
    chain = warm[-1]
    for _ in range(plan.floor_low):
        chain = floor.begin()
        floor.wait(chain, chain, _PATIENCE_S)
    alone = spread(floor.seconds(warm[-1] + 1, chain))
    say("floor: all chains at once")
    before = world.processor_seconds()
    last = [floor.begin() for _ in range(plan.floor_chains)][-1]
    floor.wait(chain + 1, last, _PATIENCE_S)
    rate, ended = floor.per_second(chain + 1, last), floor.ended(chain + 1, last)
    used = each_ms(before, world.processor_seconds(), ended)
    world.end(*names)
    floor.close()
    say(f"floor: {rate:.1f} chains/s, p50 {alone['p50_ms']} ms")
    return {"chains_per_second": round(rate, 2), "chains": ended, "latency": alone, "processor_ms_each": used}


def measure_fleet(world: BenchWorld, plan: Plan) -> dict[str, Any]:
    """The real fleet: signals one at a time, then all at once; every signal is one tenant's alone, model call included."""
    # Imported here, because the Celery application reads the world's settings when it is loaded.
    from bench.tenants import open_desks
    from workers.bus import CeleryBus

    fleet = build_fleet(world.settings, "worker", bus=CeleryBus())
    began = time.monotonic()
    for stage in STAGES:
        world.start(stage, "workers", "worker", stage)
    world.start("beat", "workers", "beat")
    desks, instruments = open_desks(fleet, world.simulator_url, plan.desks)
    bench = Injector(world, fleet, slots(desks, instruments))
    say(f"{len(desks)} tenants on {len(instruments)} instruments are open after {time.monotonic() - began:.1f} s")
    with psycopg.connect(str(world.settings.database_url), autocommit=True) as database:
        ledger = Ledger(database)
        warm = ledger.filled(bench.watch(ledger, bench.inject(len(desks)), _PATIENCE_S))
        say(f"warm after {time.monotonic() - began:.1f} s: {len(warm)} of {len(desks)} accounts have traded once")
        low = [signal for _ in range(plan.low) for signal in bench.watch(ledger, bench.inject(1), 10.0)]
        say(f"low load: {len(ledger.filled(low))} of {len(low)} filled")
        before = world.processor_seconds()
        high = bench.watch(ledger, bench.inject(bench.left), plan.watch_s)
        filled = ledger.filled(high)
        used = each_ms(before, world.processor_seconds(), len(filled))
        say(f"saturation: {len(filled)} of {len(high)} filled")
        found = {
            "latency": {
                "signals": len(low),
                "filled": len(ledger.filled(low)),
                "not_filled": ledger.reasons(low),
                "end_to_end": spread(ledger.end_to_end(low)),
                "stages": ledger.stages(low),
            },
            "throughput": {
                "filled_per_second": round(_per_second(ledger, high), 3),
                "signals": len(high),
                "filled": len(filled),
                "not_filled": ledger.reasons(high),
                "processor_ms_each": used,
                "end_to_end": spread(ledger.end_to_end(high)),
                "stages": ledger.stages(high),
            },
            "tenants": len(desks),
        }
    fleet.store.close()
    return found


def _per_second(ledger: Ledger, signals: Sequence[UUID]) -> float:
    """Orders filled over the time from the first signal to the last fill booked."""
    times = ledger.filled(signals)
    if not times:
        raise Transient(f"nothing was filled: {ledger.reasons(signals)}")
    return len(times) / (max(end for _, end in times) - min(start for start, _ in times))


def slots(desks: Sequence[Any], instruments: Sequence[Instrument]) -> Iterator[tuple[Any, Instrument]]:
    """Every desk with every instrument once, desks in turn: one position per instrument and account is allowed."""
    for instrument in instruments:
        for desk in desks:
            yield desk, instrument


class Injector:
    """Raises signals through the pipeline's own entry and waits for their fills."""

    def __init__(self, world: BenchWorld, fleet: Fleet, pairs: Iterator[tuple[Any, Instrument]]) -> None:
        self._world, self._fleet = world, fleet
        self._pairs = list(pairs)
        self._prices: dict[str, Decimal] = {}

    @property
    def left(self) -> int:
        """How many signals can still be filled."""
        return len(self._pairs)

    def inject(self, count: int) -> list[UUID]:
        """Raise `count` signals as a scan would: one transaction for a shard of them, then ring."""
        from bench.tenants import signal_for

        pairs, self._pairs = self._pairs[:count], self._pairs[count:]
        for _, instrument in pairs:
            if instrument.symbol not in self._prices:
                self._prices[instrument.symbol] = self._price(instrument)
        raised = []
        for shard in batches(pairs, self._fleet.policy.shard_size):
            with self._fleet.store.unit_of_work(None) as uow:
                for desk, instrument in shard:
                    price = self._prices[instrument.symbol]
                    signal = signal_for(desk, instrument, price, self._fleet.clock.now())
                    raise_signal(self._fleet, uow, signal, signal.id)
                    raised.append(signal.id)
                refs = uow.commit()
            self._fleet.publish(refs)
        return raised

    def _price(self, instrument: Instrument) -> Decimal:
        state = market_now(self._fleet, instrument)
        return state.last or state.mark or Decimal(1)

    def watch(self, ledger: Ledger, signals: list[UUID], patience_s: float) -> list[UUID]:
        """Wait until each of `signals` is filled or has ended otherwise, or the patience has; returns them."""
        deadline = time.monotonic() + patience_s
        while ledger.open(signals) and time.monotonic() < deadline:
            self._world.check()
            time.sleep(_LOOK_S)
        return signals


class Ledger:
    """What Postgres says happened to signals; times are the venue's, which at speed 1 are life's."""

    def __init__(self, database: psycopg.Connection[Any]) -> None:
        self._database = database

    def _all(self, query: str, signals: Sequence[UUID]) -> list[Any]:
        return self._database.execute(query, {"signals": list(signals), "venue": SIMULATOR}).fetchall()

    def open(self, signals: Sequence[UUID]) -> int:
        """How many have neither a filled entry nor another end yet."""
        ended = self._all(
            "SELECT count(*) FROM decisions AS d LEFT JOIN orders AS o ON o.id = d.order_id"
            " WHERE d.signal_id = ANY(%(signals)s) AND (d.order_id IS NULL OR o.status IN"
            " ('filled', 'rejected', 'abandoned', 'not_placed', 'canceled', 'expired'))",
            signals,
        )
        return len(signals) - int(ended[0][0])

    def filled(self, signals: Sequence[UUID]) -> list[tuple[float, float]]:
        """(raised, filled and booked) of each filled signal, in seconds since the epoch."""
        rows = self._all(
            "SELECT extract(epoch FROM s.closed_at)::float, extract(epoch FROM o.updated_at)::float"
            " FROM orders AS o JOIN signals AS s ON s.id = o.signal_id"
            " WHERE o.signal_id = ANY(%(signals)s) AND o.role = 'entry' AND o.status = 'filled'",
            signals,
        )
        return [(start, end) for start, end in rows]

    def end_to_end(self, signals: Sequence[UUID]) -> list[float]:
        """Seconds from the signal to its booked fill."""
        return [end - start for start, end in self.filled(signals)]

    def reasons(self, signals: Sequence[UUID]) -> dict[str, int]:
        """What kept the others from being filled, and how often."""
        rows = self._all(
            "SELECT coalesce(d.veto_rule, o.status, d.outcome, 'undecided'), count(*)"
            " FROM signals AS s LEFT JOIN decisions AS d ON d.signal_id = s.id LEFT JOIN orders AS o ON o.id = d.order_id"
            " WHERE s.id = ANY(%(signals)s) AND o.status IS DISTINCT FROM 'filled' GROUP BY 1",
            signals,
        )
        return {str(reason): int(count) for reason, count in rows}

    def stages(self, signals: Sequence[UUID]) -> dict[str, dict[str, float | int]]:
        """From due to done of each stage's jobs, queueing included, and what placing and protecting consist of."""
        found: dict[str, list[float]] = defaultdict(list)
        jobs = (
            "SELECT stage, extract(epoch FROM finished_at - available_at)::float FROM jobs"
            " WHERE correlation_id = ANY(%(signals)s) AND state = 'done'"
        )
        steps = (
            "SELECT step.name, extract(epoch FROM step.took)::float FROM orders AS o"
            " JOIN LATERAL (SELECT max(occurred_at) AS at FROM fills AS f WHERE f.order_id = o.id) AS f ON true"
            " JOIN LATERAL (SELECT max(updated_at) AS at FROM orders AS p"
            "   WHERE p.position_id = o.position_id AND p.role = 'stop' AND p.status = 'accepted') AS stop ON true"
            " CROSS JOIN LATERAL (VALUES ('order: approved to submitted', o.submitted_at - o.created_at),"
            "   ('order: submitted to fill at the venue', f.at - o.submitted_at),"
            "   ('order: fill at the venue to booked', o.updated_at - f.at),"
            "   ('order: booked to stop resting', stop.at - o.updated_at)) AS step (name, took)"
            " WHERE o.signal_id = ANY(%(signals)s) AND o.role = 'entry' AND o.status = 'filled' AND step.took IS NOT NULL"
        )
        for name, seconds in self._all(jobs, signals) + self._all(steps, signals):
            found[name].append(seconds)
        return {name: spread(values) for name, values in found.items()}
