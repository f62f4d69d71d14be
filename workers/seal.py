"""Authenticates the doorbell: a message that names jobs carries a MAC over stage, job ids, tenant ids and its expiry."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from common.domain.job import Stage
from common.machine import system_clock

log = logging.getLogger(__name__)

VERSION = 1
LIFETIME = timedelta(minutes=10)
"""Longer than the broker may take to deliver once more what a killed worker held; the relay rings with a fresh seal."""

Named = Sequence[Sequence[str | None]]
Seal = dict[str, Any]


@cache
def message_key() -> bytes | None:
    """The key that signs messages, None where the settings have none; that is said once."""
    from workers.app import settings

    key = settings.message_key
    if key is None:
        log.warning("no TRADEWINDS_MESSAGE_KEY: messages between stages are not authenticated")
        return None
    return key.get_secret_value().encode()


def seal(key: bytes, stage: Stage, named: Named, now: datetime) -> Seal:
    """What a message of `stage` that names these jobs must carry to be heard; `now` is life's time."""
    expires = int((now + LIFETIME).timestamp())
    return {"v": VERSION, "expires": expires, "mac": _mac(key, stage, named, expires)}


def objection(key: bytes | None, stage: Stage, named: Named, carried: object, now: datetime) -> str:
    """Why a message must not be heard; empty when it may, or when there is no key to tell."""
    if key is None:
        return ""
    if not isinstance(carried, Mapping):
        return "it carries no seal"
    expires, mac = carried.get("expires"), carried.get("mac")
    if carried.get("v") != VERSION or not isinstance(expires, int) or not isinstance(mac, str):
        return "its seal is malformed"
    if not hmac.compare_digest(mac.encode(), _mac(key, stage, named, expires).encode()):
        return "its seal is not ours"
    return "its seal has expired" if now.timestamp() > expires else ""


def seal_now(stage: Stage, named: Named) -> dict[str, Seal]:
    """The argument that a message of this process carries; none without a key."""
    key = message_key()
    return {} if key is None else {"seal": seal(key, stage, named, system_clock().now())}


def objection_now(stage: Stage, named: Named, carried: object) -> str:
    """`objection` by this process's key and clock."""
    return objection(message_key(), stage, named, carried, system_clock().now())


def _mac(key: bytes, stage: Stage, named: Named, expires: int) -> str:
    text = json.dumps([VERSION, stage.value, named, expires], separators=(",", ":"), default=str)
    return hmac.new(key, text.encode(), "sha256").hexdigest()
