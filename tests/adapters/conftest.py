"""Fixtures of the adapters' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.scripted_server import ScriptedServer, scripted_server
from tests.clocks import ManualClock


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A loopback server of this test's own."""
    with scripted_server() as script:
        yield script


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon."""
    return ManualClock()
