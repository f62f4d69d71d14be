"""Queues as data: which stage waits where, in what kind of pool, for how long at most."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from common.domain.errors import NotFound
from common.domain.job import Stage


class Pool(StrEnum):
    """How a worker runs its tasks: `prefork` for work of the processor, `threads` for work that waits."""

    PREFORK = "prefork"
    THREADS = "threads"


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue and its workers; `limit_s` is the hard limit of one task, `batch` how many jobs a message may name.

    `limit_s` must stay below the broker's visibility timeout, or a slow task would be delivered twice.
    """

    name: str
    pool: Pool
    concurrency: int
    limit_s: int
    batch: int


SIGNAL = Queue("signal", Pool.PREFORK, 1, 60, 1)
LLM = Queue("llm", Pool.THREADS, 16, 90, 1)
RISK = Queue("risk", Pool.THREADS, 4, 60, 16)
EXECUTION = Queue("execution", Pool.THREADS, 12, 90, 1)
POSITION = Queue("position", Pool.THREADS, 6, 90, 1)
MAINTENANCE = Queue("maintenance", Pool.THREADS, 3, 90, 1)

QUEUES = {queue.name: queue for queue in (SIGNAL, LLM, RISK, EXECUTION, POSITION, MAINTENANCE)}

STAGE_QUEUES: dict[Stage, Queue] = {
    Stage.SCAN: SIGNAL,
    Stage.CONFIRM: LLM,
    Stage.EVALUATE: RISK,
    Stage.PLACE: EXECUTION,
    Stage.SETTLE: EXECUTION,
    Stage.CANCEL: EXECUTION,
    Stage.MONITOR: POSITION,
}

VISIBILITY_TIMEOUT_S = 120
"""Longer than the longest `limit_s`: after this long an unacknowledged message is delivered again."""


def queue_named(name: str) -> Queue:
    """The queue a worker is started for; NotFound names those there are."""
    if name not in QUEUES:
        raise NotFound("stage", name, QUEUES)
    return QUEUES[name]


def worker_options(stage: str, concurrency: int | None = None) -> dict[str, Any]:
    """What Celery's worker of a stage is made of."""
    queue = queue_named(stage)
    return {
        "hostname": f"{stage}@%h-%i",
        "queues": [queue.name],
        "pool_cls": queue.pool.value,
        "concurrency": concurrency or queue.concurrency,
        # Neither gossip nor mingle: workers have nothing to tell one another, Postgres knows everything.
        "without_gossip": True,
        "without_mingle": True,
        "loglevel": "WARNING",
    }
