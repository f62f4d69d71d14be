"""A child of the nursery is as one that was started: logged, watched, stopped, and never outliving its supervisor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.adapters.embedded import ManagedProcess, Nursery
from tests.adapters.test_embedded_process import ends

PATIENCE_S = 30.0
PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks from a nursery")

TELL = """
import json, os, sys
said = {
    "arguments": sys.argv[1:], "mark": os.environ.get("MARK"), "folder": os.getcwd(), "leads": os.getsid(0) == os.getpid(),
    "parent": os.getppid(), "name": __name__, "warm": "fractions" in sys.modules,
    "variables": len(os.environ),
}
open(sys.argv[1], "w").write(json.dumps(said))
print("written to the log")
sys.exit(7)
"""
SLEEP = """
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "teller.py").write_text(TELL)
    (tmp_path / "sleeper.py").write_text(SLEEP)
    os.mkfifo(tmp_path / "bell")
    return tmp_path


@pytest.fixture
def nursery(folder: Path) -> Iterator[Nursery]:
    env = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}"}
    made = Nursery(["fractions"], log=folder / "nursery.log", env=env).start()
    yield made
    made.stop()


def child(nursery: Nursery, folder: Path, module: str, **more: object) -> ManagedProcess:
    command = [sys.executable, "-m", module, str(folder / "bell"), "last"]
    env = {"MARK": "mine", "PATH": os.environ["PATH"]}
    return ManagedProcess(module, command, log=folder / "child.log", env=env, nursery=nursery, **more)


def test_a_forked_child_is_what_a_started_one_would_be(nursery: Nursery, folder: Path) -> None:
    process = child(nursery, folder, "teller", directory=folder).start()
    said = json.loads((folder / "bell").read_text())
    assert process.wait(PATIENCE_S) == 7
    assert said == {
        "arguments": [str(folder / "bell"), "last"],
        "mark": "mine",
        "folder": str(folder),
        "leads": True,
        "parent": nursery.pid,
        "name": "__main__",
        "warm": True,
        "variables": 2,
    }
    assert (folder / "child.log").read_text() == "written to the log\n"
    assert not process.alive


def test_its_end_is_reported_however_it_ends(nursery: Nursery, folder: Path) -> None:
    process = child(nursery, folder, "sleeper").start()
    assert (folder / "bell").read_text() == str(process.pid)
    assert process.alive
    assert process.wait(0.01) is None
    assert process.stop() == -signal.SIGTERM
    process.start()
    assert (folder / "bell").read_text() == str(process.pid)
    assert process.kill() == -signal.SIGKILL


def test_many_live_at_once_and_each_end_is_its_own(nursery: Nursery, folder: Path) -> None:
    many = []
    for number in range(6):
        bell = folder / f"bell{number}"
        os.mkfifo(bell)
        command = [sys.executable, "-m", "sleeper", str(bell)]
        made = ManagedProcess(
            f"s{number}", command, log=folder / f"{number}.log", env=dict(os.environ), nursery=nursery
        )
        many.append(made.start())
        assert bell.read_text() == str(made.pid)
    for process in many[::2]:
        process.signal(signal.SIGTERM)
    assert [process.wait(PATIENCE_S) for process in many[::2]] == [-signal.SIGTERM] * 3
    assert all(process.alive for process in many[1::2])


def test_when_the_nursery_dies_its_children_die_and_the_next_is_started(nursery: Nursery, folder: Path) -> None:
    process = child(nursery, folder, "sleeper").start()
    (folder / "bell").read_text()
    assert nursery.pid is not None
    os.kill(nursery.pid, signal.SIGKILL)
    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert ends(process.pid)
    anew = ManagedProcess(
        "teller",
        [sys.executable, "-m", "teller", str(folder / "bell"), "last"],
        log=folder / "child.log",
        env=os.environ | {"PYTHONPATH": str(folder)},
        nursery=nursery,
    ).start()
    said = json.loads((folder / "bell").read_text())
    assert said["parent"] == os.getpid()
    assert not said["warm"]
    assert anew.wait(PATIENCE_S) == 7


def test_a_nursery_that_cannot_import_hinders_nobody(folder: Path) -> None:
    env = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}"}
    broken = Nursery(["no_such_module"], log=folder / "nursery.log", env=env).start()
    process = ManagedProcess(
        "teller",
        [sys.executable, "-m", "teller", str(folder / "bell")],
        log=folder / "child.log",
        env=env,
        nursery=broken,
    ).start()
    assert json.loads((folder / "bell").read_text())["parent"] == os.getpid()
    assert process.wait(PATIENCE_S) == 7
    assert "No module named 'no_such_module'" in (folder / "nursery.log").read_text()


def test_what_only_some_need_is_imported_while_nobody_asks(folder: Path) -> None:
    os.mkfifo(folder / "read")
    (folder / "late.py").write_text(f"open({str(folder / 'read')!r}).read()\n")
    env = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}"}
    nursery = Nursery([], log=folder / "nursery.log", env=env, later=["no_such_module", "fractions", "late"]).start()
    with (folder / "read").open("w"):  # By now all that comes before it has been imported.
        pass
    process = child(nursery, folder, "teller").start()
    assert json.loads((folder / "bell").read_text())["warm"]
    assert process.wait(PATIENCE_S) == 7
    nursery.stop()


def test_what_is_no_module_is_started(nursery: Nursery, folder: Path) -> None:
    process = ManagedProcess(
        "plain", [sys.executable, "-c", "import os, sys; sys.exit(os.getppid() == int(sys.argv[1]))", str(nursery.pid)],
        log=folder / "child.log", nursery=nursery,
    ).start()  # fmt: skip
    assert process.wait(PATIENCE_S) == 0


def test_nobody_outlives_a_supervisor_that_was_killed(folder: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from common.adapters.embedded import ManagedProcess, Nursery; "
        f"folder = Path({str(folder)!r}); nursery = Nursery([], log=folder / 'nursery.log', env=dict(os.environ)).start(); "
        "command = [sys.executable, '-m', 'sleeper', str(folder / 'bell')]; "
        "ManagedProcess('s', command, log=folder / 'child.log', env=dict(os.environ), nursery=nursery).start(); "
        "time.sleep(600)"
    )
    env = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}"}
    supervisor = subprocess.Popen([sys.executable, "-c", code], env=env)
    sleeper = int((folder / "bell").read_text())
    supervisor.kill()
    supervisor.wait(PATIENCE_S)
    assert ends(sleeper)
