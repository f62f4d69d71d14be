"""The crew: what ends is started again, later and later, and what never lives is not started for ever."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.crew import Crew, CrewFailed

LIVES = [sys.executable, "-c", "input()"]
SLEEPS = [sys.executable, "-c", "import signal; signal.pause()"]
DIES = [sys.executable, "-c", "raise SystemExit('no reason to live')"]


class Watch:
    """A stopwatch that is wound by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def crew(tmp_path: Path, watch: Watch) -> Crew:
    return Crew(watch, {"PATH": "/usr/bin"}, tmp_path, lambda sessions: None)


def end(crew: Crew, name: str) -> None:
    crew.members[name].process.kill()


def test_what_ends_is_started_again_after_a_pause(crew: Crew, watch: Watch) -> None:
    member = crew.add("worker", SLEEPS)
    watch.seconds += 100
    end(crew, "worker")
    crew.tend()
    waiting = member.state
    watch.seconds += 0.6
    crew.tend()
    try:
        assert (waiting, member.state, member.starts) == ("failing", "running", 2)
    finally:
        crew.stop(["worker"], 5)
    assert member.state == "stopped"


def test_what_ends_at_once_again_and_again_is_given_up_with_its_last_words(crew: Crew, watch: Watch) -> None:
    member = crew.add("worker", DIES)

    def until_given_up() -> None:
        for _ in range(100):
            member.process.wait(10)
            crew.tend()
            watch.seconds += 3

    with pytest.raises(CrewFailed, match="no reason to live"):
        until_given_up()
    assert member.starts == 4


def test_what_was_told_to_stop_stays_stopped(crew: Crew, watch: Watch) -> None:
    member = crew.add("worker", SLEEPS)
    crew.stop(["worker", "nobody"], 5)
    watch.seconds += 100
    crew.tend()
    assert (member.state, member.starts) == ("stopped", 1)


def test_what_does_not_listen_is_killed(crew: Crew, watch: Watch) -> None:
    deaf = (
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    )
    member = crew.add("worker", [sys.executable, "-u", "-c", deaf])
    while "deaf" not in member.process.tail():
        assert member.process.wait(0.05) is None
    crew.stop(["worker"], 0.1)
    assert member.process.poll() is not None


def test_the_sessions_of_all_who_were_started_are_noted(tmp_path: Path, watch: Watch) -> None:
    noted: list[dict[str, int]] = []
    crew = Crew(watch, {"PATH": "/usr/bin"}, tmp_path, lambda sessions: noted.append(dict(sessions)))
    first, second = crew.add("one", SLEEPS), crew.add("two", SLEEPS)
    crew.stop(["one", "two"], 5)
    assert noted[-1] == {"one": first.process.pid, "two": second.process.pid}
