"""Asks a public source for JSON: within a time, up to a size, and with its errors in our words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError

from common.domain.errors import Permanent, Transient

T = TypeVar("T")

ANSWER_BYTES_MAX = 4_000_000
"""The largest answer we ask for, 250 coins, has some 300 kB."""

_NOT_NOW = frozenset({408, 425, 429})


def ask(
    name: str,
    address: str,
    query: Mapping[str, str],
    shape: TypeAdapter[T],
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
) -> T:
    """What `address` answers, read as `shape`; `headers` may hold a key and are never told.

    Raises Transient for what may be better next time: no answer, 5xx, a rate limit, an answer that cannot be read or is
    too large; Permanent where the source says that we ask wrongly.
    """
    try:
        status, body = _fetch(address, query, headers or {}, timeout_s)
    except httpx2.HTTPError as error:
        raise Transient(f"{name} does not answer: {type(error).__name__}") from None
    if len(body) > ANSWER_BYTES_MAX:
        raise Transient(f"{name} answered more than {ANSWER_BYTES_MAX} bytes")
    if status >= 500 or status in _NOT_NOW:
        raise Transient(f"{name} answered {status}")
    if status >= 300:
        raise Permanent(f"{name} refused the question with {status}: {_said(body)}")
    try:
        return shape.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the answer"
        raise Transient(f"{name} answered something else than expected: {where}: {first['msg']}") from None


def _fetch(address: str, query: Mapping[str, str], headers: Mapping[str, str], timeout_s: float) -> tuple[int, bytes]:
    client = httpx2.Client(timeout=timeout_s, trust_env=False, follow_redirects=False)
    with client, client.stream("GET", address, params=dict(query), headers=dict(headers)) as answer:
        body = bytearray()
        for part in answer.iter_bytes():
            body += part
            if len(body) > ANSWER_BYTES_MAX:
                break
        return answer.status_code, bytes(body)


def _said(body: bytes) -> str:
    try:
        told: Any = json.loads(body)
    except ValueError:
        return "no reason that can be read"
    status = told.get("status") if isinstance(told, dict) else None
    said = status.get("error_message") if isinstance(status, dict) else None
    said = said or (told.get("error") if isinstance(told, dict) else None)
    return str(said)[:200] if said else "no reason given"
