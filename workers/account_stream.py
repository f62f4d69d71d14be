"""The account stream: what venues tell of live accounts by themselves is booked at once; it holds keys, as execution does."""

from __future__ import annotations

import signal
import threading

from common.bootstrap import build_fleet
from common.services.follow_accounts import VISITORS, Follower
from common.settings import read_settings
from common.telemetry import configure_logging, metrics
from workers.bus import CeleryBus
from workers.heartbeat import touch

_CONNECTIONS = 2 * VISITORS + 8
"""Visits hold two at a time, the leases one; listeners take turns at the rest."""


def run_account_stream() -> int:
    """Follow every live account that nobody else follows until SIGTERM or SIGINT."""
    settings = read_settings()
    configure_logging(settings, process="account-stream")
    roomy = settings.model_copy(update={"database_pool_size": max(settings.database_pool_size, _CONNECTIONS)})
    fleet = build_fleet(roomy, "account-stream", bus=CeleryBus())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    numbers = metrics()
    if settings.metrics_port is not None:
        numbers.serve(settings.metrics_port)
    file = settings.heartbeat_file
    Follower(fleet, numbers.account_stream).run(stop, (lambda: touch(file)) if file is not None else (lambda: None))
    return 0
