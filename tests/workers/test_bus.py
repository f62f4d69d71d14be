"""Ringing by message: ids only, one message per stage and batch, and a broker that does not answer is Transient."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery
from fakeredis import TcpFakeServer

from common.adapters.embedded.home import free_port
from common.domain.errors import Transient
from common.domain.job import JobRef, Stage
from tests.workers.conftest import with_broker

TENANT = UUID(int=3)


def refs(stage: Stage, count: int) -> list[JobRef]:
    return [JobRef(UUID(int=number + 1), stage, TENANT) for number in range(count)]


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a Redis that is none."""
    number = free_port()
    server = TcpFakeServer(("127.0.0.1", number), server_type="valkey")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield number
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


@pytest.fixture
def broker(imported_app: Celery, port: int) -> Iterator[redis.Redis]:
    """The broker as the app speaks to it."""
    url = f"redis://127.0.0.1:{port}/0"
    for _ in with_broker(imported_app, url):
        with redis.Redis.from_url(url) as client:
            yield client


def messages(broker: Any, queue: str) -> list[Any]:
    """Arguments of the messages that wait in a queue, the first one first."""
    prefix = "tradewinds"
    keys = [key.decode() for key in broker.keys("*") if key.decode().endswith(f":{queue}") and b"_kombu" not in key]
    assert all(key.startswith(prefix) for key in keys)
    raw = [item for key in keys for item in reversed(broker.lrange(key, 0, -1))]
    return [json.loads(b64decode(json.loads(item)["body"])) for item in raw]


def test_jobs_of_a_stage_share_messages_up_to_the_size_of_its_batch(broker: redis.Redis) -> None:
    from workers.bus import CeleryBus
    from workers.queues import STAGE_QUEUES

    size = STAGE_QUEUES[Stage.EVALUATE].batch
    CeleryBus().ring([*refs(Stage.EVALUATE, size + 1), *refs(Stage.PLACE, 2)])
    assert [len(message[1]["jobs"]) for message in messages(broker, "risk")] == [size, 1]
    assert [len(message[1]["jobs"]) for message in messages(broker, "execution")] == [1, 1]


def test_a_message_holds_ids_and_nothing_else(broker: redis.Redis) -> None:
    from workers.bus import CeleryBus

    CeleryBus().ring([JobRef(UUID(int=1), Stage.CONFIRM, None), JobRef(UUID(int=2), Stage.PLACE, TENANT)])
    [[args, kwargs, _]] = messages(broker, "llm")
    assert (args, kwargs) == ([], {"jobs": [[str(UUID(int=1)), None]]})
    [[_, kwargs, _]] = messages(broker, "execution")
    assert kwargs == {"jobs": [[str(UUID(int=2)), str(TENANT)]]}


def test_nothing_to_ring_for_sends_nothing(broker: redis.Redis) -> None:
    from workers.bus import CeleryBus

    CeleryBus().ring([])
    assert messages(broker, "risk") == []


def test_a_broker_that_does_not_answer_is_transient(imported_app: Celery) -> None:
    from workers.bus import CeleryBus

    for _ in with_broker(imported_app, f"redis://127.0.0.1:{free_port()}/0"):
        with pytest.raises(Transient, match="broker"):
            CeleryBus().ring(refs(Stage.PLACE, 1))
