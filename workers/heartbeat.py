"""Signs of life: a file that the worker's own loop touches, and a row that operators see."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

from celery.signals import heartbeat_sent

from common.domain.errors import TradewindsError
from common.settings import read_settings
from workers.fleet import current_fleet

log = logging.getLogger(__name__)

_names: list[str] = []


def start_heartbeat(worker: str) -> None:
    """Begin to give signs of life as `worker`, each time the worker's consumer loop sends its own heartbeat."""
    _names.append(worker)
    _beat()


@heartbeat_sent.connect
def _on_heartbeat(**_: Any) -> None:
    _beat()


def give_sign_of_life() -> None:
    """Touch this process's heartbeat file, where the settings name one."""
    file = _heartbeat_file()
    if file is not None:
        touch(file)


@cache
def _heartbeat_file() -> Path | None:
    return read_settings().heartbeat_file


def _beat() -> None:
    give_sign_of_life()
    if not _names:
        return
    try:
        fleet = current_fleet()
        with fleet.store.unit_of_work(None) as uow:
            uow.heartbeats.beat(_names[-1], _names[-1].split("@", 1)[0], "", fleet.clock.now())
            uow.commit()
    except TradewindsError as error:
        log.warning("heartbeat not recorded: %s", error)


def touch(path: Path) -> None:
    """Set the file's modification time to now, making it and its folder where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
