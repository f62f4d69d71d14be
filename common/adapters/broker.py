"""Asks the broker whether it is there; everything else it is told through Celery."""

from __future__ import annotations

import redis

from common.domain.errors import Transient


def ping_broker(url: str, timeout_s: float = 2.0) -> None:
    """Return when the broker at `url` answers; raises Transient, which never shows the address's password."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=timeout_s, socket_timeout=timeout_s) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise Transient(f"the broker does not answer: {type(error).__name__}") from None
