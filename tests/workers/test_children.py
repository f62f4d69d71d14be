"""A prefork worker looks after its children often; a worker without children has nothing to look after."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency import get_implementation


def step(pool: str) -> tuple[Any, Any]:
    """The step in a worker of `pool`, and that worker."""
    worker = SimpleNamespace(
        use_eventloop=True, pool_cls=get_implementation(pool), pool=SimpleNamespace(maintain_pool=object())
    )
    return importlib.import_module("workers.children").Children(worker), worker


def test_a_prefork_pool_is_called_often(imported_app: Celery) -> None:
    children, worker = step("prefork")
    called: list[tuple[float, Any]] = []
    children.register_with_event_loop(worker, SimpleNamespace(call_repeatedly=lambda *call: called.append(call)))
    assert children.enabled
    assert called == [(0.5, worker.pool.maintain_pool)]
    assert imported_app.conf.worker_lost_wait <= 0.5


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_have_no_children(imported_app: Celery, pool: str) -> None:
    assert not step(pool)[0].enabled
