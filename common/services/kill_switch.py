"""Who may pull the kill switch from afar: signatures over method, path, time, nonce and body, each good once and for seconds."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime

from common.domain.errors import Permanent
from common.domain.risk.book import HaltScope
from common.services.halts import Nonce

WINDOW_S = 30
"""Seconds of life by which the clocks of signer and verifier may differ, journey included."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Forged(Permanent):
    """The request does not prove that a holder of the key made it just now."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it arrived; `path` with its query, `timestamp` in seconds since 1970, `signature` in hex."""

    method: str
    path: str
    timestamp: str
    nonce: str
    body: bytes
    signature: str


def sign(key: str, method: str, path: str, timestamp: str, nonce: str, body: bytes) -> str:
    """HMAC-SHA256 in hex over `method|path|timestamp|nonce|sha256(body)`."""
    told = "|".join((method.upper(), path, timestamp, nonce, hashlib.sha256(body).hexdigest()))
    return hmac.new(key.encode(), told.encode(), hashlib.sha256).hexdigest()


def verify(request: SignedRequest, key: str, now: datetime) -> Nonce:
    """The nonce of a request that was signed with `key` within WINDOW_S of `now` (life's time); raises Forged.

    The signature is judged first, so that only who holds the key is told what else is wrong. The nonce proves nothing
    until it has been used up in the transaction that acts: `halt` and `resume` do that.
    """
    for text, shape in ((request.timestamp, _TIMESTAMP), (request.nonce, _NONCE), (request.signature, _SIGNATURE)):
        if shape.fullmatch(text) is None:
            raise Forged("the request is not signed")
    if not is_signed_by(request, request.signature, key):
        raise Forged("the signature is wrong")
    if abs(now.timestamp() - int(request.timestamp)) > WINDOW_S:
        raise Forged(f"the signature is more than {WINDOW_S} s away from now")
    return Nonce(request.nonce, now)


def is_signed_by(request: SignedRequest, signature: str, key: str) -> bool:
    """Whether `signature` is that of `request` under `key`, compared in constant time."""
    expected = sign(key, request.method, request.path, request.timestamp, request.nonce, request.body)
    return hmac.compare_digest(expected.encode(), signature.encode())


def confirmation(scope: HaltScope, subject: str) -> str:
    """What has to be typed to lift a halt: nobody lifts the wrong one by pressing a key twice."""
    return f"resume {scope.value} {subject}".rstrip()
