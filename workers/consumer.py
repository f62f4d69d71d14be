"""A consumer that looks for its broker often: Celery's own waits two seconds, then four, then six, up to thirty."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

FIRST_S, STEP_S, MOST_S = 0.2, 0.2, 2.0


class EagerConsumer(Consumer):
    """Celery's consumer with short pauses between two attempts to connect; the broker is on our own network."""

    def ensure_connected(self, conn: Any) -> Any:
        """The connection once it stands; waits at most `MOST_S` longer than the broker is away."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=FIRST_S, interval_step=STEP_S, interval_max=MOST_S
        )
        try:
            return super().ensure_connected(conn)
        finally:
            del conn.ensure_connection
