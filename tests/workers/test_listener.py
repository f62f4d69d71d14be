"""A worker that has nothing to do and asks for nothing is deaf, and connects anew."""

from __future__ import annotations

import importlib
import time
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker import state
from kombu import Connection


@pytest.fixture
def listener(imported_app: Celery) -> Any:
    """The module, imported after the app has its settings."""
    return importlib.import_module("workers.listener")


def worker(listener: Any, asked_ago_s: float) -> Any:
    channel = listener.AskingChannel.__new__(listener.AskingChannel)
    channel.asked_at = time.monotonic() - asked_ago_s
    return SimpleNamespace(consumer=SimpleNamespace(task_consumer=SimpleNamespace(channel=channel)))


def test_who_asks_is_left_alone(listener: Any) -> None:
    listener.listen(worker(listener, 1.0))


def test_who_asks_for_nothing_connects_anew(listener: Any) -> None:
    with pytest.raises(ConnectionResetError):
        listener.listen(worker(listener, listener.DEAF_S + 1))


def test_who_is_at_work_need_not_ask(listener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "reserved_requests", {object()})
    listener.listen(worker(listener, listener.DEAF_S + 1))


def test_who_has_no_consumer_yet_is_left_alone(listener: Any) -> None:
    listener.listen(SimpleNamespace(consumer=SimpleNamespace()))


def test_being_deaf_counts_as_the_loss_of_the_broker() -> None:
    assert issubclass(ConnectionResetError, Connection("redis://").connection_errors)
