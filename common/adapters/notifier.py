"""Tells people what they asked to be told: in the log, or through any channel that Apprise knows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.domain.errors import InvalidInput, Transient
from common.ports.notifier import Notifier

_log = logging.getLogger("tradewinds.alerts")

_TITLE_LENGTH_MAX = 200
_BODY_LENGTH_MAX = 4000
Channels = Callable[[str], Sequence[str]]
"""The channel addresses of a tenant (empty name = the operator), such as `tgram://token/chat` or `mailto://…`."""


def _sender() -> Any:
    # Loaded for the first alert: a process that is started again should not spend a tenth of its start on it.
    import apprise

    return apprise.Apprise()


class LogNotifier:
    """Writes alerts into the log; it cannot be out of reach."""

    def notify(self, tenant: str, kind: str, title: str, body: str) -> None:
        """One warning line."""
        told = {"alert_tenant": tenant, "alert_kind": kind, "alert_title": title, "alert_body": body}
        _log.warning("alert %s for %s: %s: %s", kind, tenant or "the operator", title, body, extra=told)


class AppriseNotifier:
    """Sends alerts to a tenant's channels through Apprise; channel addresses hold secrets and are never shown."""

    def __init__(self, channels: Channels, make: Callable[[], Any] = _sender) -> None:
        self._channels, self._make = channels, make

    def notify(self, tenant: str, kind: str, title: str, body: str) -> None:
        """Send to every channel of `tenant`; raises Transient when one could not be reached, InvalidInput for a bad one."""
        addresses = list(self._channels(tenant))
        if not addresses:
            return
        sender = self._make()
        for number, address in enumerate(addresses, start=1):
            if not sender.add(address):
                raise InvalidInput(f"channels of {tenant or 'the operator'}", f"number {number}", "an Apprise address")
        try:
            is_sent = sender.notify(title=title[:_TITLE_LENGTH_MAX], body=f"[{kind}] {body}"[:_BODY_LENGTH_MAX])
        except Exception as caught:  # noqa: BLE001 - a plugin may raise anything, with the address in its text.
            is_sent, kind_of_failure = False, type(caught).__name__
        else:
            kind_of_failure = "no answer"
        if not is_sent:
            raise Transient(f"an alert of {kind} did not reach all {len(addresses)} channels ({kind_of_failure})")


class Fanout:
    """Tells several notifiers; one that fails does not keep the others from being told."""

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = tuple(notifiers)

    def notify(self, tenant: str, kind: str, title: str, body: str) -> None:
        """Tell all; raises Transient naming how many failed once every one was asked."""
        failed = 0
        for notifier in self._notifiers:
            try:
                notifier.notify(tenant, kind, title, body)
            except Transient:
                failed += 1
        if failed:
            raise Transient(f"{failed} of {len(self._notifiers)} notifiers could not be reached")


def fixed_channels(channels: Mapping[str, Sequence[str]]) -> Channels:
    """Channels from a table by tenant name."""
    return lambda tenant: channels.get(tenant, ())
