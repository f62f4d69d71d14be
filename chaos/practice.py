"""The practice venue as a process that can be killed, restarted on its port, asked for the truth and told to misbehave."""

from __future__ import annotations

import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.domain.errors import Transient
from common.machine import ManagedProcess, free_port

_READY_S = 60.0
_CALL_S = 10.0


@dataclass(frozen=True, slots=True)
class Armed:
    """A fault in force: its number, and in which of the venue's lives, for a venue that was killed counts anew."""

    life: int
    number: int


class PracticeVenue:
    """The simulator, spoken to directly and not through the proxy that stands before the fleet."""

    def __init__(self, directory: Path, environ: Mapping[str, str], speed: float, seed: int) -> None:
        self.port = free_port()
        self.life = 0
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
        self.life += 1
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

    def fault(self, site: str, kind: str, **wish: Any) -> Armed:
        """Put a fault in force."""
        life = self.life
        return Armed(life, int(self.call("POST", "/simulator/faults", {"site": site, "kind": kind} | wish)["id"]))

    def struck(self, armed: Armed) -> int:
        """How often a fault has struck so far; 0 in another life than its own."""
        hits = int(self.call("GET", f"/simulator/faults/{armed.number}")["hits"])
        return hits if armed.life == self.life else 0

    def strikes(self, armed: Armed) -> list[dict[str, Any]]:
        """What a fault has struck, the last first, as far as the venue's log still tells."""
        found: list[dict[str, Any]] = self.call("GET", "/simulator/faults")["log"]
        return [entry for entry in reversed(found) if entry.get("id") == armed.number and armed.life == self.life]

    def end(self, armed: Armed) -> None:
        """Take one fault out of force; a venue that has died since has forgotten it."""
        if armed.life == self.life:
            self.call("DELETE", f"/simulator/faults/{armed.number}")

    def list_as(self, symbol: str, status: str) -> None:
        """Halt a market, settle it, or let it trade again."""
        self.call("POST", "/simulator/instruments", {"symbol": symbol, "status": status})

    def transfer(self, api_key: str, amount: str) -> None:
        """Pay into an account, or out of it with an amount below zero."""
        self.call("POST", f"/simulator/accounts/{api_key}/transfers", {"amount": amount})

    def deleverage(self, api_key: str, symbol: str) -> None:
        """Close what an account holds in a market by force, as auto-deleveraging does."""
        self.call("POST", f"/simulator/accounts/{api_key}/deleverage", {"symbol": symbol})

    def liquidate(self, api_key: str) -> list[str]:
        """Close all that an account holds by force, as if its margin had run out; the symbols."""
        closed: list[str] = self.call("POST", f"/simulator/accounts/{api_key}/liquidate")["closed"]
        return closed

    def set_tick(self, symbol: str, tick: str) -> None:
        """Change the price step that orders in a market must keep."""
        self.call("POST", f"/simulator/instruments/{symbol}/tick", {"tick": tick})

    def heal(self) -> None:
        """Take all faults out of force and let every market trade, on its own price step."""
        self.call("DELETE", "/simulator/faults")
        for symbol, status in self.call("GET", "/simulator/instruments")["instruments"].items():
            if status != "TRADING":
                self.list_as(symbol, "TRADING")

    def statement(self, api_key: str) -> dict[str, Any]:
        """All that ever happened in an account, as the venue knows it."""
        found: dict[str, Any] = self.call("GET", f"/simulator/accounts/{api_key}/statement")
        return found

    def now_ms(self) -> int:
        """The instant the venue works with."""
        clock = self.call("GET", "/simulator/clock")
        return int((clock["origin_venue"] + (time.time() - clock["origin_real"]) * clock["rate"]) * 1000)
