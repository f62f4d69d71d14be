"""The practice venue as a process that can be killed, restarted on its port, asked for the truth and told to misbehave."""

from __future__ import annotations

import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.domain.errors import Transient
from common.machine import ManagedProcess, free_port

_READY_S = 60.0
_CALL_S = 10.0


class PracticeVenue:
    """The simulator, spoken to directly and not through the proxy that stands before the fleet."""

    def __init__(self, directory: Path, environ: Mapping[str, str], speed: float, seed: int) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "simulator", "--port", str(self.port), "--state", str(directory / "simulator")]
        command += ["--speed", f"{speed:g}", "--seed", str(seed), "--weight-limit", "0"]
        self._process = ManagedProcess(
            "simulator",
            command,
            log=directory / "logs" / "simulator.log",
            env=environ,
            death_signal=signal.SIGKILL,
        )

    @property
    def url(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers; raises Transient with the end of its log."""
        self._process.start()
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process.alive:
            try:
                self.call("GET", "/simulator/clock")
            except Transient:
                time.sleep(0.05)
            else:
                return
        raise Transient(f"the practice venue did not come up:\n{self._process.tail()}")

    def kill(self) -> None:
        """kill -9; its state is on disk."""
        self._process.kill()

    def stop(self) -> None:
        """A clean end."""
        self._process.stop()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of its own routes; raises Transient when there is no answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own loopback address.
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=_CALL_S) as answer:  # noqa: S310 - as above.
                return json.load(answer)
        except (OSError, ValueError) as error:
            raise Transient(f"the practice venue does not answer {path}: {error}") from None

    def fault(self, site: str, kind: str, **wish: Any) -> int:
        """Put a fault in force; its number."""
        return int(self.call("POST", "/simulator/faults", {"site": site, "kind": kind} | wish)["id"])

    def struck(self, number: int) -> int:
        """How often a fault has struck so far."""
        return int(self.call("GET", f"/simulator/faults/{number}")["hits"])

    def end(self, number: int) -> None:
        """Take one fault out of force."""
        self.call("DELETE", f"/simulator/faults/{number}")

    def heal(self) -> None:
        """Take all faults out of force."""
        self.call("DELETE", "/simulator/faults")

    def statement(self, api_key: str) -> dict[str, Any]:
        """All that ever happened in an account, as the venue knows it."""
        found: dict[str, Any] = self.call("GET", f"/simulator/accounts/{api_key}/statement")
        return found

    def now_ms(self) -> int:
        """The instant the venue works with."""
        clock = self.call("GET", "/simulator/clock")
        return int((clock["origin_venue"] + (time.time() - clock["origin_real"]) * clock["rate"]) * 1000)
