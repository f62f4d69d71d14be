"""Starts the practice world as a process of its own, for every test that needs one."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 30


class DidNotStart(Exception):
    """The program ended before it said where it is; the text is what it wrote to stderr."""


@dataclass(slots=True)
class SimulatorProcess:
    """A running practice world: its address, and ways to end it gently or not."""

    url: str
    ready: dict[str, Any]
    process: subprocess.Popen[str]
    errors: IO[str] = field(repr=False)

    def stop(self) -> int:
        """Ask it to stop and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        finally:
            self._drop()

    def kill(self) -> None:
        """Kill it with -9, as a power cut would."""
        self.process.kill()
        self.process.wait(15)
        self._drop()

    def log(self) -> str:
        """What it wrote to stderr so far."""
        self.errors.seek(0)
        return self.errors.read()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of its own routes, like `call("GET", "/simulator/clock")`; a refusal is returned, not raised."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def open_account(self, api_key: str, api_secret: str = "secret", balance: str = "10000") -> None:
        """Open an account with a deposit; asking again is harmless."""
        self.call("POST", "/simulator/accounts", {"api_key": api_key, "api_secret": api_secret, "balance": balance})

    def statement(self, api_key: str) -> dict[str, Any]:
        """Everything that happened in an account, as the venue knows it."""
        found: dict[str, Any] = self.call("GET", f"/simulator/accounts/{api_key}/statement")
        return found

    def fault(self, site: str, kind: str, **wish: Any) -> dict[str, Any]:
        """Put a fault in force: params, match, count or probability, seed."""
        found: dict[str, Any] = self.call("POST", "/simulator/faults", {"site": site, "kind": kind} | wish)
        return found

    def heal(self) -> None:
        """Take all faults out of force."""
        self.call("DELETE", "/simulator/faults")

    def clock(self) -> dict[str, Any]:
        """Rate, origins and server time."""
        found: dict[str, Any] = self.call("GET", "/simulator/clock")
        return found

    def _drop(self) -> None:
        with contextlib.suppress(OSError):
            self.errors.close()
        if self.process.stdout is not None:
            self.process.stdout.close()


def start(
    *,
    speed: float = 60.0,
    market: Path | None = None,
    state: Path | None = None,
    seed: int = 7,
    symbols: str = "",
    port: int = 0,
    weight_limit: int = 0,
    extra: tuple[str, ...] = (),
) -> SimulatorProcess:
    """Start a practice world on a free port and wait until it listens; rate limits are off unless asked for."""
    command = [sys.executable, "-m", "simulator", "--port", str(port), "--speed", str(speed), "--seed", str(seed)]
    command += ["--weight-limit", str(weight_limit), *extra]
    command += [
        part for name, value in (("--market", market), ("--state", state)) if value for part in (name, str(value))
    ]
    command += ["--symbols", symbols] if symbols else []
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process.
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
    stdout = process.stdout
    line = stdout.readline() if stdout is not None else ""
    if not line:
        process.wait(START_SECONDS)
        errors.seek(0)
        text = errors.read()
        errors.close()
        raise DidNotStart(text)
    ready = json.loads(line)
    return SimulatorProcess(ready["url"], ready, process, errors)
