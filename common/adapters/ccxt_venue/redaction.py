"""Takes keys and signatures out of texts before they leave the room."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TEXT_MAX = 300
_MARKED = re.compile(
    r"(?i)\b(signature|sign|api[-_]?key|x-mbx-apikey|secret|passphrase|listen[-_]?key|private[-_]?key|authorization|"
    r"token)(\"?\s*[=:]\s*\"?)([^\s\"'&,;}]+)"
)
_QUERY = re.compile(r"\?[^\s\"']*")
_LONG = re.compile(r"\b(?:0x)?[0-9a-fA-F]{40,}\b|\b[A-Za-z0-9+/_-]{48,}={0,2}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without known secrets, marked values, query strings and whatever looks like a key; at most 300 long."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "…")
    text = _QUERY.sub("?…", text)
    text = _MARKED.sub(r"\1\2…", text)
    text = _LONG.sub("…", text)
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"
