"""Runs `tradewinds up` in a folder of its own and asks its command line, as a person would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent


@dataclass
class RunningFleet:
    """One `tradewinds up`; `home` survives it, so that another can go on from there."""

    process: subprocess.Popen[bytes]
    home: Path
    out: Path
    said_before: int

    @classmethod
    def start(cls, home: Path, *arguments: str) -> RunningFleet:
        """Start the fleet with its output in files of `home`."""
        home.mkdir(parents=True, exist_ok=True)
        out = home / f"out-{len(list(home.glob('out-*')))}.txt"
        command = [str(BIN / "tradewinds"), "up", "--json", *arguments]
        with out.open("wb") as stdout, (home / "err.txt").open("ab") as stderr:
            said_before = stderr.tell()
            process = subprocess.Popen(command, cwd=home, env=environment(home), stdout=stdout, stderr=stderr)
        fleet = cls(process, home, out, said_before)
        fleet.wait_for(lambda: "first scan finished" in fleet.errors())
        return fleet

    def wait_for(self, is_so: Callable[[], bool], within_s: float = 90.0) -> None:
        """Return when `is_so()`; fails when that does not come in time, or when the fleet ends before."""
        deadline = time.monotonic() + within_s
        while not is_so():
            assert self.process.poll() is None, self.errors()
            assert time.monotonic() < deadline, f"not within {within_s} s: {self.errors()}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2)

    def ask(self, *arguments: str) -> dict[str, Any]:
        """One `tradewinds` command's JSON."""
        return last_json(run(self.home, str(BIN / "tradewinds"), *arguments, "--json").stdout)

    def until(self, is_so: Callable[[dict[str, Any]], bool], within_s: float = 90.0) -> None:
        """Return when the status is such that `is_so`."""
        self.wait_for(lambda: is_so(self.ask("status")), within_s)

    def finish(self, within_s: float = 120.0) -> dict[str, Any]:
        """Ask the fleet to drain and return its summary; fails when it did not end well."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within_s)
        summary = last_json(self.out.read_text())
        assert code == 0, (summary, self.errors())
        return summary

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def errors(self) -> str:
        """What this run has said on stderr."""
        return (self.home / "err.txt").read_text()[self.said_before :]


def environment(home: Path) -> dict[str, str]:
    """The environment of a user who has nothing of ours set but the home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWINDS_")}
    return kept | {"TRADEWINDS_HOME": str(home / "data"), "PATH": f"{BIN}:{kept.get('PATH', '')}"}


def run(home: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in `home` as its user would."""
    done = subprocess.run(
        command, cwd=home, env=environment(home), capture_output=True, text=True, timeout=60, check=False
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
    return done


def last_json(text: str) -> dict[str, Any]:
    """The object on the last line."""
    found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return found
