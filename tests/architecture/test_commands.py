"""The commands a newcomer types first: they explain themselves, and say what to do when the machine is not ready."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source import PROJECT

REAL_PYTHON = Path(sys.executable).resolve()
HOPELESS_LOCK = "no-such-package-anywhere==1.0 --hash=sha256:" + "0" * 64 + "\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone, on which nothing has been run."""
    return make_clone(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone after its first set-up; making the environment takes seconds, so the tests of this file share one."""
    folder = make_clone(tmp_path_factory.mktemp("made"))
    assert setup(folder).returncode == 0
    return folder


def make_clone(place: Path) -> Path:
    """A project that needs no package, in a folder whose name is hard on scripts."""
    folder = place / "a clone's folder"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy2(PROJECT / ".ci" / "setup", folder / ".ci" / "setup")
    (folder / "cli").mkdir()
    (folder / "cli" / "__init__.py").touch()
    (folder / "cli" / "main.py").write_text("def main():\n    print('the fleet', __import__('sys').argv[1:])\n")
    (folder / "requirements.lock").touch()
    (folder / "requirements-dev.lock").touch()
    return folder


def setup(clone: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(clone),
        "PIP_NO_INDEX": "1",
        "PYTHON": str(REAL_PYTHON),
    } | env
    return subprocess.run([".ci/setup", "run"], cwd=clone, env=environment, capture_output=True, text=True, check=False)


def fake_python(folder: Path, version: str, modules: str) -> str:
    """An interpreter that claims `version` and answers the question for venv with `modules`."""
    path = folder / f"python-{version}"
    path.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *--version*) echo "Python {version}";; *version_info*) exec {REAL_PYTHON} -c '
        f"\"import sys; sys.version_info = tuple(map(int, '{version}'.split('.'))); $2\";; *) {modules};; esac\n"
    )
    path.chmod(0o755)
    return str(path)


def test_make_alone_prints_every_command() -> None:
    shown = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    documented = re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"up", "test", "check", "lock", "format", "simulate", "chaos", "modelcheck", "bench", "clean"} <= set(
        documented
    )
    assert [name for name in documented if f"make {name} " not in shown] == []


def test_set_up_gives_a_command_that_runs_from_anywhere(made: Path, tmp_path: Path) -> None:
    command = [str(made / ".venv" / "bin" / "tradewinds"), "up", "--for", "1s"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == (
        "the fleet ['up', '--for', '1s']\n"
    )


def test_a_second_set_up_does_nothing(made: Path) -> None:
    setup(made)
    again = setup(made)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_changed_lock_is_installed(made: Path) -> None:
    (made / "requirements.lock").write_text("# changed\n")
    assert "installing what requirements.lock names" in setup(made).stderr


def test_an_old_python_is_refused_with_the_way_out(clone: Path) -> None:
    done = setup(clone, PYTHON=fake_python(clone, "3.9.2", "exit 0"))
    assert done.returncode == 1
    assert done.stderr.endswith(
        "python-3.9.2 is not Python 3.11 or newer (Python 3.9.2); name one that is, as in: make up PYTHON=python3.13\n"
    )


def test_a_python_without_venv_is_refused_with_the_way_out(clone: Path) -> None:
    done = setup(clone, PYTHON=fake_python(clone, "3.12.1", "exit 1"))
    assert done.returncode == 1
    assert "lacks its venv module; install it (Debian, Ubuntu: apt install python3-venv)" in done.stderr


def test_a_machine_without_any_suitable_python_is_told_so(clone: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    done = setup(clone, PYTHON="", PATH=str(tools))
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed and no python3 was found" in done.stderr


def test_a_broken_download_says_what_to_do_and_is_made_good_by_the_next_run(clone: Path) -> None:
    (clone / "requirements.lock").write_text(HOPELESS_LOCK)
    broken = setup(clone)
    assert broken.returncode == 1
    assert "check the network or your package index and run this again" in broken.stderr.splitlines()[-1]
    (clone / "requirements.lock").write_text("")
    assert setup(clone).returncode == 0


def test_a_release_newer_than_the_lock_changes_nothing(clone: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheels = [wheel(shelf, "tool", "1.0", "part[more]>=1.0"), wheel(shelf, "part", "1.0"), wheel(shelf, "part", "2.0")]
    (clone / "requirements.lock").write_text(
        "".join(f"{name}==1.0 --hash=sha256:{digest}\n" for name, digest in (("part", wheels[1]), ("tool", wheels[0])))
    )
    done = setup(clone, PIP_FIND_LINKS=str(shelf))
    assert (done.returncode, "must have their versions pinned" in done.stderr) == (0, False)


def wheel(shelf: Path, name: str, version: str, *requires: str) -> str:
    """Put a package that holds nothing on `shelf`; its sha256."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Provides-Extra: more"]
    path = shelf / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{info}/METADATA", "\n".join([*lines, *(f"Requires-Dist: {item}" for item in requires)]) + "\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()
