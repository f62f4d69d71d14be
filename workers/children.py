"""Has a prefork pool look after its children twice a second instead of once in five.

A child that is killed while it works keeps its place until the pool has looked twice (`worker_lost_wait`): ten to fifteen
seconds by Celery's own measures, in which a worker with one child does nothing at all.
"""

from __future__ import annotations

from typing import Any, ClassVar

from celery import bootsteps

LOOK_S = 0.5


class Children(bootsteps.StartStopStep):
    """Lets the loop of a prefork worker call the pool's own `maintain_pool` often; other pools have no children."""

    requires: ClassVar[set[str]] = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = bool(worker.use_eventloop) and worker.pool_cls.__module__ == "celery.concurrency.prefork"

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Begin to look; called at every start of the loop, for the loss of the broker makes it forget its timers."""
        hub.call_repeatedly(LOOK_S, worker.pool.maintain_pool)
