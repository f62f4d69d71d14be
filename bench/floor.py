"""The floor of the pipeline: a bare Celery chain of five tasks that do nothing but commit one row each."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
from celery import Celery

from common.settings import read_settings
from workers.app import configuration
from workers.queues import EXECUTION, LLM, MAINTENANCE, POSITION, RISK, Queue
from workers.waker import Waker

HOPS: tuple[Queue, ...] = (LLM, RISK, EXECUTION, POSITION, MAINTENANCE)
"""Each hop runs in the pool of one of the fleet's stages."""

_OF_THE_FLEET = ("beat_schedule", "beat_scheduler", "beat_max_loop_interval", "imports", "task_routes")

app = Celery("tradewinds-floor")
app.conf.update({name: value for name, value in configuration(read_settings()).items() if name not in _OF_THE_FLEET})
app.steps["worker"].add(Waker)

_connections = threading.local()


def _database() -> psycopg.Connection[Any]:
    if not hasattr(_connections, "own"):
        _connections.own = psycopg.connect(str(read_settings().database_url), autocommit=True)
    connection: psycopg.Connection[Any] = _connections.own
    return connection


def queue_of(hop: int) -> str:
    """The queue of a hop, counted from 1."""
    return f"floor.{hop}"


def note(database: psycopg.Connection[Any], chain: int, hop: int) -> None:
    """One row, one commit."""
    database.execute("INSERT INTO bench_floor (chain, hop) VALUES (%s, %s)", [chain, hop])


def ring(chain: int, hop: int) -> None:
    """Publish the message of a hop as the fleet publishes its own."""
    with app.producer_or_acquire() as producer:
        app.send_task("floor.hop", kwargs={"chain": chain, "hop": hop}, queue=queue_of(hop), producer=producer)


@app.task(name="floor.hop")
def hop(chain: int, hop: int) -> None:
    """Commit and ring the next."""
    note(_database(), chain, hop)
    if hop < len(HOPS):
        ring(chain, hop + 1)


def worker_arguments(hop: int) -> list[str]:
    """Arguments after `python -m` that start the worker of a hop, in the pool of its stage."""
    stage = HOPS[hop - 1]
    pool = ["-P", stage.pool.value, "-c", str(stage.concurrency), "-n", f"floor{hop}@%h-%i"]
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    return ["celery", "-A", "bench.floor", "worker", "-Q", queue_of(hop), *pool, *quiet]


class Floor:
    """Starts chains and reads from Postgres when their hops were committed."""

    def __init__(self, database_url: str) -> None:
        self._database = psycopg.connect(database_url, autocommit=True)
        self._database.execute(
            "CREATE TABLE bench_floor (chain int, hop int, at timestamptz NOT NULL DEFAULT clock_timestamp(),"
            " PRIMARY KEY (chain, hop))"
        )
        self._started = 0

    def begin(self) -> int:
        """Start one chain; returns its number."""
        self._started += 1
        note(self._database, self._started, 0)
        ring(self._started, 1)
        return self._started

    def ended(self, first: int, last: int) -> int:
        """How many of these chains have ended."""
        row = self._database.execute(
            "SELECT count(*) FROM bench_floor WHERE hop = %s AND chain BETWEEN %s AND %s", [len(HOPS), first, last]
        ).fetchone()
        return int(row[0]) if row else 0

    def wait(self, first: int, last: int, patience_s: float) -> bool:
        """Wait until all of these chains have ended; False when they had not in time."""
        deadline = time.monotonic() + patience_s
        while self.ended(first, last) < last - first + 1:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def seconds(self, first: int, last: int) -> list[float]:
        """From the first row to the last of each chain."""
        rows = self._database.execute(
            "SELECT extract(epoch FROM max(at) - min(at))::float FROM bench_floor WHERE chain BETWEEN %s AND %s"
            " GROUP BY chain HAVING count(*) = %s",
            [first, last, len(HOPS) + 1],
        ).fetchall()
        return [row[0] for row in rows]

    def per_second(self, first: int, last: int) -> float:
        """Chains ended a second, from the first row of all to the last."""
        row = self._database.execute(
            "SELECT count(*) FILTER (WHERE hop = %s), extract(epoch FROM max(at) - min(at))::float FROM bench_floor"
            " WHERE chain BETWEEN %s AND %s",
            [len(HOPS), first, last],
        ).fetchone()
        return row[0] / row[1] if row and row[1] else 0.0

    def close(self) -> None:
        """Leave the database."""
        self._database.close()
