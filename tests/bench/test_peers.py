"""That a peer is measured where it is installed, and that one that fails is not taken for one that is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import freqtrade_loop
from common.domain.errors import Permanent


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of peers with the loop's script and no environment."""
    (tmp_path / "ft_loop.py").write_text("the interpreter of these tests does not read it", encoding="utf-8")
    monkeypatch.setenv("TRADEWINDS_PEERS", str(tmp_path))
    monkeypatch.setenv("TRADEWINDS_MARKET_DATA", str(tmp_path / "candles"))
    monkeypatch.delenv("PEERS", raising=False)
    return tmp_path


def install(place: Path, script: str) -> None:
    """An interpreter of freqtrade's environment under `place` that does what `script` says."""
    python = place / "freqtrade" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)


def test_the_last_result_of_the_loop_is_its_answer(peers: Path) -> None:
    install(
        peers / ".venvs",
        'echo starting; echo "RESULT {\\"pairs\\": $4, \\"iterations\\": $5, \\"data\\": \\"$MARKET_DATA\\"}"',
    )
    assert freqtrade_loop(100, 12) == {"pairs": 100, "iterations": 12, "data": str(peers / "candles")}


def test_environments_may_lie_elsewhere(peers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "elsewhere", 'echo "RESULT {}"')
    monkeypatch.setenv("PEERS", str(tmp_path / "elsewhere"))
    assert freqtrade_loop(1, 3) == {}


@pytest.mark.usefixtures("peers")
def test_without_an_installation_there_is_no_answer() -> None:
    assert freqtrade_loop(100, 12) is None


def test_a_loop_that_fails_says_why(peers: Path) -> None:
    install(peers / ".venvs", "echo no candles here >&2; exit 3")
    with pytest.raises(Permanent, match="ended with 3 and no result: no candles here"):
        freqtrade_loop(100, 12)


def test_a_loop_that_never_ends_is_given_up(peers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(peers / ".venvs", "exec sleep 60")
    monkeypatch.setattr("bench.peers.PATIENCE_S", 0.05)
    with pytest.raises(Permanent, match="still running"):
        freqtrade_loop(100, 12)
