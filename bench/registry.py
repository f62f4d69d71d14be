"""Every bench by name: what it measures and how to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from bench.report import Report

Run = Callable[[bool], Report]
"""Runs a bench, shortened when the argument is true."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A measurement; `module` has the function `run` and is loaded only when it is wanted."""

    name: str
    module: str
    measures: str

    def run(self, is_quick: bool) -> Report:
        """Measure."""
        function: Run = import_module(self.module).run
        return function(is_quick)


_ALL = (
    Bench(
        "pipeline",
        "bench.pipeline",
        "signals to filled orders per second and latency per stage of the real fleet, beside a bare Celery chain",
    ),
    Bench(
        "backtest",
        "bench.backtest",
        "the reference strategy on 780,135 candles, whole process, beside TA-Lib and one compiled loop",
    ),
    Bench(
        "features",
        "bench.features",
        "all features of 500 instruments x 500 candles, beside the bare calls they are made of",
    ),
    Bench(
        "scan",
        "bench.scan",
        "closed candles to committed signals, 100 instruments x 3 strategies, beside freqtrade's iteration",
    ),
    Bench(
        "market_requests",
        "bench.market_requests",
        "requests at the venue while its market is streamed and scanned for 20 tenants, beside one tenant",
    ),
    Bench(
        "race",
        "bench.race",
        "64 threads race 10,000 intents against a tenant's limits: breaches and leaks, beside a race without the lock",
    ),
    Bench(
        "kill",
        "bench.kill",
        "entries that leave after a halt has committed, 64 threads placing, beside placements that only look",
    ),
)

BENCHES: Mapping[str, Bench] = {bench.name: bench for bench in _ALL}
