"""The scan's bench: from candles that closed to signals committed, beside one iteration of freqtrade's loop."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bench.floors.candle_loop import bare_iteration
from bench.peers import freqtrade_loop
from bench.report import Report, say
from common.adapters.made_market import made_market
from common.domain.backtest import Assumptions, BacktestMarket, Setup
from common.domain.job import Stage
from common.domain.recording import traded_as
from common.domain.risk.limits import resolve
from common.domain.strategies import get
from common.ports.candle_stream import ClosedCandle
from common.services.ingest_candles import ingest_closed, refill
from common.services.schedule_scans import schedule_scans
from simulation.database import Database, prepare, server
from simulation.parity.live import Driver

FREQTRADE_OVER_BARE = 64.0
"""How many times longer freqtrade 2026.9 takes for an iteration of its lightest strategy (100 pairs with a new candle
each, network at zero latency) than its bare work does, `floors/candle_loop.py`: the least of seven pairs of runs on one
machine of two cores, 64 to 97, median 81. With 8 indicators it takes a sixth longer, with freqtrade's own template half
as long again."""

GOAL = 1 / 50
RULES = ("ema_crossover", "rsi_mean_reversion", "confluence")
INSTRUMENTS, ROUNDS = 100, 12
ITERATIONS = 12


def run(is_quick: bool) -> Report:
    """Several candles in turn on a real Postgres; medians."""
    count, rounds = (10, 2) if is_quick else (INSTRUMENTS, ROUNDS)
    floor, floor_is = _floor(count)
    setup, first = _setup(count, rounds)
    with server() as url:
        prepare(url, ["bench_scan"])
        database = Database(url, "bench_scan")
        try:
            seconds, signals, parts = _measure(database, setup, first, rounds)
        finally:
            database.close()
    say(f"{statistics.median(seconds) * 1e3:.0f} ms a scan of {count} instruments, {signals} signals in {rounds} scans")
    return Report(
        bench="scan",
        figure=statistics.median(seconds),
        floor=floor,
        unit="seconds from closed candles to committed signals",
        goal=GOAL,
        is_lower_better=True,
        details={
            "instruments": count,
            "strategies": list(RULES),
            "scans": rounds,
            "signals": signals,
            "best": round(min(seconds), 4),
            "processor": round(statistics.median(parts.pop("processor")), 4),
            "median_parts": {name: round(statistics.median(values), 4) for name, values in parts.items()},
            "times_faster": round(floor / statistics.median(seconds), 1),
            "floor_is": floor_is,
        },
    )


def _floor(pairs: int) -> tuple[float, str]:
    """Seconds of freqtrade's iteration on this machine, now, and how they were come by."""
    bare = bare_iteration(pairs, ITERATIONS)
    say(f"the bare work of a loop over {pairs} pairs: {bare * 1e3:.0f} ms; freqtrade's own where it is installed")
    loop = freqtrade_loop(pairs, ITERATIONS)
    if loop is None:
        return bare * FREQTRADE_OVER_BARE, f"its bare work, measured in this run, times {FREQTRADE_OVER_BARE:g}"
    seconds = loop["iteration_ms"] / 1000
    told = f"freqtrade {loop['version']}, measured in this run: {seconds / bare:.1f} times its bare work"
    return seconds, told


def _setup(count: int, rounds: int) -> tuple[Setup, int]:
    rules = tuple(get(name) for name in RULES)
    first = max(rule.history for rule in rules) + 20
    markets = []
    for number in range(count):
        instrument = replace(traded_as("bench", f"X{number:03d}/USDT", 2, 3), base=f"X{number:03d}")
        markets.append(BacktestMarket(instrument, made_market(number, first + rounds + 3)[1]))
    assumed = Assumptions(depth_share=None, participation=None)
    limits = resolve("standard", {})
    return Setup(tuple(markets), rules, limits, Decimal(10_000), assumed, profile="standard"), first


def _measure(
    database: Database, setup: Setup, first: int, rounds: int
) -> tuple[list[float], int, dict[str, list[float]]]:
    driver = Driver(database.store, setup, first)
    fleet, venue = driver.fleet, driver.venue
    frame = driver.lead.columns.timeframe
    refill(fleet, venue.name, driver.symbols, frame, driver.clock.now(), first)
    seconds: list[float] = []
    parts: dict[str, list[float]] = {"keep_candles": [], "schedule": [], "scan": [], "processor": []}
    for bar in range(first, first + rounds + 1):
        for symbol in driver.symbols:
            venue.close_bar(symbol, bar)
        driver.clock.advance_to(driver.lead.closed_at(bar))
        since = driver.lead.opened_at(bar)
        closed = [ClosedCandle(s, frame, venue.candles(s, frame, since, 1)[0]) for s in driver.symbols]
        used = time.process_time()
        marks = [time.perf_counter()]
        ingest_closed(fleet, venue.name, closed)
        marks.append(time.perf_counter())
        schedule_scans(fleet, venue.name)
        marks.append(time.perf_counter())
        driver.work(Stage.SCAN)
        marks.append(time.perf_counter())
        used = time.process_time() - used
        driver.inbox.waiting.clear()
        if bar > first:
            parts["processor"].append(used)
            seconds.append(marks[-1] - marks[0])
            for name, begin, end in zip(parts, marks, marks[1:], strict=False):
                parts[name].append(end - begin)
    return seconds, _raised(driver), parts


def _raised(driver: Any) -> int:
    with driver.fleet.store.unit_of_work(None) as uow:
        return len(uow.signals.list(venue=driver.venue.name, limit=100_000))
