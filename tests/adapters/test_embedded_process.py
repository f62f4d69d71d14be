"""A managed child is logged, stopped, and never outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from common.adapters.embedded import child
from common.adapters.embedded.process import EmbeddedError, ManagedProcess, rotate

PATIENCE_S = 20.0
PROJECT = Path(__file__).parents[2]

# A child says through a named pipe that it is ready, so that no test has to guess how long that takes.
SAY_READY = "import os, signal, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); "
SLEEP = "time.sleep(600)"


@pytest.fixture
def doorbell(tmp_path: Path) -> Path:
    path = tmp_path / "ready"
    os.mkfifo(path)
    return path


@pytest.fixture
def sleeper(tmp_path: Path, doorbell: Path) -> ManagedProcess:
    return ManagedProcess("sleeper", [sys.executable, "-c", SAY_READY + SLEEP, str(doorbell)], log=tmp_path / "log")


def ends(pid: int) -> bool:
    """Whether process `pid`, not necessarily a child of ours, ends within the patience."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(watch, closefd=True):
        return bool(select.select([watch], [], [], PATIENCE_S)[0])


def test_a_started_child_is_alive_until_it_is_stopped(sleeper: ManagedProcess, doorbell: Path) -> None:
    sleeper.start()
    assert doorbell.read_text() == str(sleeper.pid)
    assert sleeper.alive
    assert sleeper.stop() == -signal.SIGTERM
    assert not sleeper.alive


def test_starting_a_running_child_again_leaves_it_alone(sleeper: ManagedProcess, doorbell: Path) -> None:
    first = sleeper.start().pid
    doorbell.read_text()
    assert sleeper.start().pid == first
    sleeper.stop()


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path, doorbell: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SAY_READY + SLEEP
    process = ManagedProcess("deaf", [sys.executable, "-c", deaf, str(doorbell)], log=tmp_path / "log").start()
    doorbell.read_text()
    assert process.stop(timeout_s=0.2) == -signal.SIGKILL


def test_killing_a_child_kills_what_it_started(tmp_path: Path, doorbell: Path) -> None:
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SAY_READY + SLEEP!r}, sys.argv[1]])"
    process = ManagedProcess("family", [sys.executable, "-c", grandchild, str(doorbell)], log=tmp_path / "log").start()
    pid = int(doorbell.read_text())
    process.kill()
    assert ends(pid)


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path, doorbell: Path) -> None:
    parent = (
        "import sys, time; from pathlib import Path; from common.adapters.embedded.process import ManagedProcess; "
        f"ManagedProcess('orphan', [sys.executable, '-c', {SAY_READY + SLEEP!r}, sys.argv[1]], log=Path(sys.argv[2])).start(); "
        "time.sleep(600)"
    )
    started = subprocess.Popen([sys.executable, "-c", parent, str(doorbell), str(tmp_path / "log")], cwd=PROJECT)
    pid = int(doorbell.read_text())
    started.kill()
    started.wait()
    assert ends(pid)


def test_a_child_outlives_the_thread_that_started_it(sleeper: ManagedProcess, doorbell: Path) -> None:
    thread = threading.Thread(target=sleeper.start)
    thread.start()
    thread.join()
    doorbell.read_text()
    assert sleeper.wait(0.3) is None
    sleeper.stop()


def test_a_child_whose_parent_has_ended_already_does_not_begin() -> None:
    stranger = str(os.getppid())
    command = [sys.executable, child.__file__, "--parent", stranger, "--death-signal", "15", "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        child.NOT_STARTED,
        "true was not started: the parent ended before its child began\n",
    )


def test_a_command_that_does_not_exist_ends_with_its_reason_in_the_log(tmp_path: Path) -> None:
    process = ManagedProcess("ghost", [str(tmp_path / "no-such-program")], log=tmp_path / "log").start()
    assert process.wait(PATIENCE_S) == child.NOT_STARTED
    assert "No such file or directory" in process.tail()


def test_a_child_gets_the_environment_and_the_folder_it_was_given(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.environ['COLOUR'], os.getcwd())"]
    process = ManagedProcess(
        "painter", command, log=tmp_path / "log", env={"COLOUR": "blue"}, directory=tmp_path
    ).start()
    assert process.wait(PATIENCE_S) == 0
    assert process.tail() == f"blue {tmp_path}"


def test_an_unstarted_child_has_no_number(sleeper: ManagedProcess) -> None:
    with pytest.raises(EmbeddedError):
        _ = sleeper.pid
    assert (sleeper.poll(), sleeper.stop(), sleeper.kill(), sleeper.alive) == (None, None, None, False)


def test_every_start_begins_a_new_log_and_keeps_the_last_few(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for number in range(6):
        rotate(log, generations=2)
        log.write_text(str(number))
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"log": "5", "log.1": "4", "log.2": "3"}
