"""A real worker on a real broker: it runs what it is rung for, and goes on when the broker was gone and came back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid5

import pytest
from celery import Celery

from common.adapters.embedded import EmbeddedValkey, ValkeyServer
from common.domain.decision import DecisionOutcome
from common.domain.errors import Transient
from common.domain.job import JobRef, Stage
from common.domain.signal import NAMESPACE, Signal
from tests.servers import Database
from tests.services.world import House, World
from tests.workers.conftest import forget_connections

PATIENCE_S = 25.0


def until(question: Callable[[], bool], what: str) -> None:
    """Wait for something to become true, for a limited time."""
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_S} s"
        time.sleep(0.05)


@pytest.fixture
def worker(
    books: Database, tmp_path: Path, valkey: EmbeddedValkey, broker_url: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process of the risk stage, as it is started in life."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWINDS_")}
    named = {"DATABASE_URL": books.url_app, "REDIS_URL": broker_url, "HOME": str(tmp_path)}
    environ = ours | {f"TRADEWINDS_{name}": value for name, value in named.items()}
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", "worker", "risk", "--concurrency", "2"],
            env=environ,
            stdout=log,
            stderr=log,
        )
        yield process
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def valkey(tmp_path: Path) -> EmbeddedValkey:
    """A broker of our own, which may be killed."""
    return EmbeddedValkey(tmp_path / "valkey", durable=False)


@pytest.fixture
def server(valkey: EmbeddedValkey) -> Iterator[list[ValkeyServer]]:
    """The running broker, in a list so that a test may put another in its place."""
    running: list[ValkeyServer] = [valkey.start()]
    yield running
    running[-1].stop()


@pytest.fixture
def broker_url(server: list[ValkeyServer]) -> str:
    """Where it listens, before and after it was started anew."""
    return server[-1].url


def stale_signal(world: World, number: int) -> Signal:
    """A signal that is too old in life's time: its outcome needs no venue."""
    signal = world.signal(id=uuid5(NAMESPACE, f"process {number}"))
    world.announce(signal)
    return signal


def ring(ref: JobRef) -> bool:
    """Ring; False while the broker does not answer."""
    from workers.bus import CeleryBus

    try:
        CeleryBus().ring([ref])
    except Transient:
        return False
    return True


def is_expired(world: World, house: House, signal: Signal) -> bool:
    """Whether the worker has recorded the outcome."""
    decision = world.decision(house, signal)
    return decision is not None and decision.outcome is DecisionOutcome.EXPIRED


@pytest.mark.slow
def test_a_worker_runs_a_job_and_another_one_after_its_broker_was_killed_and_started_again(
    imported_app: Celery,
    world: World,
    house: House,
    valkey: EmbeddedValkey,
    server: list[ValkeyServer],
    broker_url: str,
    worker: subprocess.Popen[bytes],
) -> None:
    forget_connections(imported_app, broker_url)
    first = stale_signal(world, 1)
    assert ring(world.take(Stage.EVALUATE))
    until(lambda: is_expired(world, house, first), "the first outcome")
    server[-1].kill()
    second = stale_signal(world, 2)
    ref = world.take(Stage.EVALUATE)
    assert not ring(ref)
    server.append(valkey.start())
    assert server[-1].url == broker_url
    until(lambda: ring(ref), "a ring at the new broker")
    until(lambda: is_expired(world, house, second), "the second outcome")
    assert worker.poll() is None
