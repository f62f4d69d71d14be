"""A model to ask: the practice world's endpoint as a process of its own, spoken to by the fleet's own client."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from common.adapters.clock import SystemClock, read_simulator_clock
from common.adapters.embedded.home import free_port
from common.adapters.embedded.process import ManagedProcess
from common.adapters.openai_advisor import OpenAIAdvisor
from common.domain.errors import Transient
from common.ports.advisor import Advisor

PROFILE = "default"

_MODEL = "simulated-rules-1"
_READY_S = 60.0
_DEADLINE_S = 8.0


@contextmanager
def practice_model() -> Iterator[Advisor]:
    """An advisor for as long as the run takes; raises Transient where its endpoint does not come up."""
    with TemporaryDirectory(prefix="tradewinds-parity-") as folder:
        port = free_port()
        command = [sys.executable, "-m", "simulator", "--port", str(port), "--speed", "1", "--symbols", "BTCUSDT"]
        process = ManagedProcess("model", command, log=Path(folder) / "model.log").start()
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url)
            yield OpenAIAdvisor(PROFILE, f"{url}/v1", "practice", _MODEL, SystemClock(), deadline_s=_DEADLINE_S)
        finally:
            process.stop()


def _wait(process: ManagedProcess, url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.alive:
        try:
            read_simulator_clock(url)
        except Transient:
            time.sleep(0.05)
        else:
            return
    raise Transient(f"the practice model did not come up:\n{process.tail()}")
