"""Asks the broker whether it is there; everything else it is told through Celery."""

from __future__ import annotations

from common.adapters.redis_state import ping_redis


def ping_broker(url: str, timeout_s: float = 2.0) -> None:
    """Return when the broker at `url` answers; raises Transient, which never shows the address's password."""
    ping_redis(url, timeout_s)
