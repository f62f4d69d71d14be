"""A worker goes on asking for messages whatever its broker has swallowed: an acknowledgement, or an answer."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.asynchronous.hub import Hub
from kombu.transport.redis import Transport

from common.adapters.embedded import EmbeddedValkey, ValkeyServer


@pytest.fixture
def listener(imported_app: Celery) -> Any:
    """The module, imported after the app has its settings."""
    return importlib.import_module("workers.listener")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[[], ValkeyServer]]:
    """Starts the Valkey of this test, again and again at one place; the last one ends with the test, however it ends."""
    home, started = EmbeddedValkey(tmp_path / "valkey", durable=False), list[ValkeyServer]()

    def start() -> ValkeyServer:
        started.append(home.start())
        return started[-1]

    yield start
    started[-1].stop()


def worker(listener: Any, asked_ago_s: float, *, is_answered: bool = False) -> Any:
    channel = listener.AskingChannel.__new__(listener.AskingChannel)
    channel.asked_at = time.monotonic() - asked_ago_s
    channel._in_poll = None if is_answered else object()
    return SimpleNamespace(consumer=SimpleNamespace(task_consumer=SimpleNamespace(channel=channel)))


def test_an_acknowledgement_that_fails_takes_up_no_room(listener: Any) -> None:
    def frozen(*_: object) -> Any:
        raise TimeoutError

    window = listener.Window(SimpleNamespace(conn_or_acquire=frozen, do_restore=False), prefetch_count=1)
    window._delivered["a message"] = object()
    assert not window.can_consume()
    with pytest.raises(TimeoutError):
        window.ack("a message")
    assert window.can_consume()


def test_a_frozen_broker_costs_no_place_in_the_window(listener: Any, servers: Callable[[], ValkeyServer]) -> None:
    server = servers()
    heard: list[Any] = []
    options = {"socket_timeout": 2}
    with (
        Connection(server.url, transport_options=options) as connection,
        connection.Consumer(
            [Queue("tests")], callbacks=[lambda _, message: heard.append(message)], prefetch_count=1
        ) as consumer,
    ):
        producer = connection.Producer(routing_key="tests")
        for number in range(2):
            producer.publish(number)
        connection.drain_events(timeout=5)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(connection.connection_errors, match="Timeout"):
                heard[0].ack()
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert isinstance(consumer.channel.qos, listener.Window)
        connection.drain_events(timeout=5)
        assert [message.payload for message in heard] == [0, 1]


def test_a_connection_lost_while_it_lay_idle_does_not_end_the_asking(
    listener: Any, servers: Callable[[], ValkeyServer]
) -> None:
    server, hub = servers(), Hub()
    heard: list[int] = []

    def hear(body: int, message: Any) -> None:
        heard.append(body)
        message.ack()

    with Connection(server.url) as connection:
        for queue in (Queue("told", Exchange("told", "fanout")), Queue("tests")):
            consumer = connection.Consumer([queue], channel=connection.channel())
            consumer.register_callback(hear)
            consumer.consume()
        connection.transport.register_with_event_loop(connection.connection, hub)
        server.kill()
        servers()
        loop, deadline = hub.create_loop(), time.monotonic() + 20
        for number in range(3):
            connection.Producer(routing_key="tests").publish(number)
            while number not in heard and time.monotonic() < deadline:
                next(loop)
    assert heard == [0, 1, 2]


def test_channels_count_with_it(listener: Any) -> None:
    assert Transport.Channel is listener.AskingChannel
    assert Transport.Channel.QoS is listener.Window


def test_who_has_just_asked_is_left_alone(listener: Any) -> None:
    listener.listen(worker(listener, 1.0))


def test_who_gets_no_answer_connects_anew(listener: Any) -> None:
    with pytest.raises(ConnectionResetError):
        listener.listen(worker(listener, listener.UNANSWERED_S + 1))


def test_who_was_answered_need_not_ask_again(listener: Any) -> None:
    listener.listen(worker(listener, listener.UNANSWERED_S + 1, is_answered=True))


def test_who_has_no_consumer_yet_is_left_alone(listener: Any) -> None:
    listener.listen(SimpleNamespace(consumer=SimpleNamespace()))


def test_no_answer_counts_as_the_loss_of_the_broker() -> None:
    assert issubclass(ConnectionResetError, Connection("redis://").connection_errors)
