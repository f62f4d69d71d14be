"""The requests' bench: what a venue is asked while its market is streamed and scanned, for 20 tenants beside 1."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx2

from bench.report import Report, say
from bench.world import url_of
from cli.context import child_environ, settings_of_world
from cli.worlds import World
from common.bootstrap import SIMULATOR, build_fleet, migrate
from common.domain.errors import Transient
from common.domain.job import Stage
from common.domain.market import InstrumentStatus
from common.domain.risk.book import Environment
from common.machine import ManagedProcess, embedded_servers
from common.services.fleet import Fleet
from common.services.keep_snapshots import list_snapshots
from common.services.routines import ROUTINES
from common.services.schedule_scans import schedule_scans
from common.services.stage import run as run_stage
from common.services.standalone import LocalBus
from common.services.tenants import create_tenant, open_account, refresh_instruments, subscribe
from common.settings import Settings, read_settings
from workers.stream import follow

TENANTS = 20
SPEED = 60.0
GOAL = 1.1
WANTED = (("scalper", "1m"), ("confluence", "5m"), ("ema_crossover", "5m"))
_WARM_UP_S, _TICK_S = 8.0, 0.25


@dataclass(frozen=True, slots=True)
class Seen:
    """What the venue counted in `seconds` of life, and what came of it."""

    tenants: int
    seconds: float
    requests: int
    scans: int
    signals: int
    snapshots: int

    @property
    def per_minute(self) -> float:
        """Requests a minute of life."""
        return 60.0 * self.requests / self.seconds


def run(is_quick: bool) -> Report:
    """The same minutes of the same market twice, each on a database of its own."""
    seconds = 6.0 if is_quick else 30.0
    one, many = (measure(count, seconds) for count in (1, 3 if is_quick else TENANTS))
    return Report(
        bench="market_requests",
        figure=many.per_minute,
        floor=one.per_minute,
        unit=f"requests a minute at a venue {SPEED:.0f} times faster than life, floor: one tenant",
        goal=GOAL,
        is_lower_better=True,
        details={f"{seen.tenants}_tenants": _told(seen) for seen in (one, many)},
    )


def _told(seen: Seen) -> dict[str, Any]:
    return {
        "requests": seen.requests,
        "per_minute": round(seen.per_minute, 1),
        "scans": seen.scans,
        "signals": seen.signals,
        "snapshots": seen.snapshots,
    }


def measure(tenants: int, seconds: float) -> Seen:
    """Stream and scan with so many tenants subscribed to the same instruments, strategies and timeframes."""
    with _world() as (settings, url):
        fleet = build_fleet(settings, "stream", bus=(bus := LocalBus()))
        _settle(fleet, tenants)
        stop = threading.Event()
        threads = [
            threading.Thread(target=follow, args=(fleet, settings, SIMULATOR, stop), daemon=True),
            threading.Thread(target=_scan, args=(fleet, bus, stop), daemon=True),
        ]
        for thread in threads:
            thread.start()
        time.sleep(_WARM_UP_S)  # Histories are fetched and books begun.
        before, began = _requests(url), time.monotonic()
        time.sleep(seconds)
        asked, took = _requests(url) - before, time.monotonic() - began
        stop.set()
        for thread in threads:
            thread.join(timeout=15)
        return _counted(fleet, tenants, took, asked)


def _counted(fleet: Fleet, tenants: int, seconds: float, requests: int) -> Seen:
    with fleet.store.operator() as view:
        scans = sum(job.stage is Stage.SCAN for job in view.jobs(limit=10_000))
        signals = len(view.signals(limit=10_000))
    snapshots = sum(market.snapshots for market in list_snapshots(fleet))
    fleet.store.close()
    say(f"{tenants} tenants: {requests} requests in {seconds:.0f} s, {signals} signals, {snapshots} snapshots")
    return Seen(tenants, seconds, requests, scans, signals, snapshots)


def _settle(fleet: Fleet, tenants: int) -> None:
    refresh_instruments(fleet, SIMULATOR)
    with fleet.store.unit_of_work(None) as uow:
        symbols = [item.symbol for item in uow.instruments.list(SIMULATOR) if item.status is InstrumentStatus.TRADING]
    for number in range(tenants):
        tenant = create_tenant(fleet, f"bench-{number:02d}")
        account = open_account(
            fleet, tenant.id, name="main", venue=SIMULATOR, environment=Environment.PAPER, profile="standard"
        )
        for strategy, timeframe in WANTED:
            subscribe(fleet, tenant.id, account.id, strategy=strategy, timeframe=timeframe, instruments=symbols)


def _scan(fleet: Fleet, bus: LocalBus, stop: threading.Event) -> None:
    """Beat and scan worker in one: tick as the beat would, and run what was rung."""
    while not stop.wait(_TICK_S):
        schedule_scans(fleet, SIMULATOR)
        while not bus.waiting.empty():
            ref = bus.waiting.get()
            if ref.stage is Stage.SCAN:  # What tenants do with a signal is their own cost.
                run_stage(fleet, ROUTINES, ref)


def _requests(url: str) -> int:
    answer = httpx2.get(f"{url}/simulator/status", timeout=10, trust_env=False)
    return int(answer.json()["requests"])


@contextmanager
def _world() -> Iterator[tuple[Settings, str]]:
    directory = Path(mkdtemp(prefix="tradewinds-bench-requests-"))
    home = World(directory / "worlds" / "bench")
    settings = settings_of_world(read_settings(env_file=None, attach=False, home=directory), home)
    command = [sys.executable, "-m", "simulator", "--port", "0", "--speed", str(SPEED), "--weight-limit", "0"]
    log = home.directory / "logs" / "simulator.log"
    simulator = ManagedProcess("simulator", command, log=log, env=child_environ(settings)).start()
    try:
        with embedded_servers(settings, home.directory, redis=False) as served:
            url = url_of(simulator)
            named = settings_of_world(served, home, simulator_url=url)
            migrate(named)
            yield named, url
    except Transient as error:
        raise Transient(f"{error}\n{simulator.tail()}") from error
    finally:
        simulator.stop()
        shutil.rmtree(directory, ignore_errors=True)
