"""Workers of every pool we ship go on when their broker was gone and came back, idle or busy: why Celery's pin can be lifted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from common.adapters.embedded import EmbeddedValkey

pytestmark = [pytest.mark.slow]

POOLS = ("prefork", "threads")
PATIENCE_S = 40.0
BUSY_S = 3.0


def until(question: Callable[[], bool], what: str) -> None:
    """Wait for something to become true, for a limited time."""
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_S} s"
        time.sleep(0.05)


class House:
    """A broker, a worker of one pool, and marks that its tasks leave."""

    def __init__(self, folder: Path, pool: str) -> None:
        self.folder, self.home = folder, EmbeddedValkey(folder / "valkey", durable=False)
        self.server = self.home.start()
        self.worker = self._start(pool)
        self.client = Celery("client", broker=self.server.url)
        self.client.conf.broker_transport_options = {"global_keyprefix": "tradewinds:"}

    def _start(self, pool: str) -> subprocess.Popen[bytes]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWINDS_")}
        named = {
            "REDIS_URL": self.server.url,
            "HOME": str(self.folder),
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        }
        command = [sys.executable, "-m", "celery", "-A", "tests.workers.broker_app", "worker", "-Q", "marks"]
        command += ["-P", pool, "-c", "2", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
        with (self.folder / "worker.log").open("wb") as log:
            return subprocess.Popen(
                command, env=ours | {f"TRADEWINDS_{k}": v for k, v in named.items()}, stdout=log, stderr=log
            )

    def send(self, name: str, seconds: float = 0.0) -> Path:
        """Ask for a mark; it may be asked for again."""
        path = self.folder / name
        self.client.send_task("mark", args=[str(path), seconds], queue="marks", retry=False)
        return path

    def insist(self, name: str) -> None:
        """Ask for a mark until it is there: doorbells may be lost with a broker that writes nothing down."""

        def is_there() -> bool:
            try:
                return self.send(name).exists()
            except (OperationalError, OSError):
                return False

        until(is_there, f"the mark {name}")

    def restart_broker(self) -> None:
        """kill -9, and another one on the same port."""
        self.server.kill()
        self.server = self.home.start()

    def end(self) -> None:
        """Stop everything."""
        self.worker.terminate()
        try:
            self.worker.wait(20)
        except subprocess.TimeoutExpired:
            # How a worker ends is another question; supervisors kill one that does not.
            self.worker.kill()
            self.worker.wait(10)
        self.server.stop()


@pytest.fixture(params=POOLS)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, request.param)
    yield made
    made.end()


def test_an_idle_worker_outlives_its_broker(house: House) -> None:
    house.insist("before")
    house.restart_broker()
    house.insist("after")
    assert house.worker.poll() is None


def test_a_busy_worker_outlives_its_broker(house: House) -> None:
    house.insist("before")
    busy = [house.send(f"busy-{number}", BUSY_S) for number in range(2)]
    until(lambda: all(Path(f"{path}.began").exists() for path in busy), "the start of what keeps it busy")
    house.restart_broker()
    house.insist("after")
    until(lambda: all(path.exists() for path in busy), "the end of what was running")
    assert house.worker.poll() is None


def test_these_are_the_pools_we_ship(imported_app: Celery) -> None:
    from workers.queues import QUEUES

    assert {queue.pool.value for queue in QUEUES.values()} == set(POOLS)
