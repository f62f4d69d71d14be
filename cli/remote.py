"""The kill switch from afar: signs requests to an API with the halt key; needs neither the database nor a world."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from cli.acts import one_of, typed_words
from cli.output import answer
from common.domain.errors import InvalidInput, Permanent, Transient
from common.domain.risk.book import HaltMode, HaltScope
from common.machine import system_clock, system_ids
from common.services.kill_switch import confirmation, sign
from common.settings import Settings, read_settings

_TIMEOUT_S = 10.0
_PATH = "/api/v1/halts"


def halt_from_afar(url: str, scope: str, of: str, mode: str, reason: str, by: str, as_json: bool) -> None:
    """`tradewinds halt --via-api`."""
    chosen, how = one_of(HaltScope, "scope", scope), one_of(HaltMode, "mode", mode)
    body = {"scope": chosen.value, "subject": of, "mode": how.value, "reason": reason, "by": by}
    placed = _ask(url, _PATH, body)
    answer(placed, as_json, lambda console: console.print(f"{how.value} is in force for {chosen.value} {of}".rstrip()))


def resume_from_afar(url: str, scope: str, of: str, reason: str, by: str, confirm: str | None, as_json: bool) -> None:
    """`tradewinds resume --via-api`."""
    chosen = one_of(HaltScope, "scope", scope)
    words = typed_words(confirm, confirmation(chosen, of))
    body = {"scope": chosen.value, "subject": of, "reason": reason, "by": by, "confirm": words}
    lifted = _ask(url, f"{_PATH}/resume", body)
    told = "the halt is lifted" if lifted["lifted"] else "there was no such halt"
    answer(lifted, as_json, lambda console: console.print(told))


def signed_headers(settings: Settings, path: str, body: bytes) -> dict[str, str]:
    """Headers that prove who asks: signature, second signature where its key is here, and the operator's token."""
    if settings.halt_key is None:
        raise Permanent("no halt key: set TRADEWINDS_HALT_KEY or TRADEWINDS_HALT_KEY_FILE")
    timestamp, nonce = str(int(system_clock().now().timestamp())), system_ids().token()
    headers = {
        "Content-Type": "application/json",
        "X-Tradewinds-Timestamp": timestamp,
        "X-Tradewinds-Nonce": nonce,
        "X-Tradewinds-Signature": sign(settings.halt_key.get_secret_value(), "POST", path, timestamp, nonce, body),
    }
    if settings.halt_second_key is not None:
        second = settings.halt_second_key.get_secret_value()
        headers["X-Tradewinds-Second-Signature"] = sign(second, "POST", path, timestamp, nonce, body)
    if settings.api_token is not None:
        headers["Authorization"] = f"Bearer {settings.api_token.get_secret_value()}"
    return headers


def _ask(url: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a signed POST; raises Permanent with the API's own words, Transient when it is not reached."""
    base = urlsplit(url)
    if base.scheme not in {"http", "https"} or not base.hostname:
        raise InvalidInput("via-api", url, "an address such as https://tradewinds.example")
    sent = json.dumps(body).encode()
    # What is signed is the path the API sees, which may lie below a proxy's.
    request = Request(  # noqa: S310 - the scheme was checked above.
        url.rstrip("/") + path, data=sent, headers=signed_headers(read_settings(), path, sent), method="POST"
    )
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as told:  # noqa: S310 - as above.
            found: dict[str, Any] = json.load(told)
            return found
    except HTTPError as error:
        raise Permanent(f"the API refused with {error.code}: {_detail(error)}") from None
    except (URLError, TimeoutError) as error:
        raise Transient(f"the API at {base.hostname} cannot be reached: {error}") from None


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError):
        return error.reason
