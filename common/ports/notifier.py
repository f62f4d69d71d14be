"""The notifier port: tells people what they asked to be told."""

from __future__ import annotations

from typing import Protocol

OPERATOR = ""
"""Who is told of everything, beside the tenant whom it concerns."""


class Notifier(Protocol):
    """Sends one alert; raises Transient when the channel cannot be reached."""

    def notify(self, tenant: str, kind: str, title: str, body: str) -> None:
        """Send `title` and `body` of an alert of `kind` to the channels of `tenant`, by name, or `OPERATOR`."""
        ...
