"""The image is built from locked parts, runs as nobody in particular, and can hold no secret."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, PROJECT

DOCKERFILES = sorted(DEPLOY.rglob("Dockerfile"))
SCRIPTS = sorted([*DEPLOY.rglob("*.sh"), DEPLOY / "tradewinds"])


def ignored(path: str) -> bool:
    """Whether the build leaves `path` out, by the patterns of the ignore file, the last match winning."""
    verdict = False
    for line in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines():
        keep, pattern = line.startswith("!"), line.removeprefix("!").removeprefix("**/")
        parts = [path, *map(str, Path(path).parents), Path(path).name, *Path(path).parts]
        matches = bool(line) and not line.startswith("#") and any(fnmatch.fnmatch(part, pattern) for part in parts)
        verdict = (not keep) if matches else verdict
    return verdict


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: str(file.relative_to(DEPLOY)))
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    beside = Path(sys.executable).with_name("hadolint")
    linter = str(beside) if beside.exists() else shutil.which("hadolint")
    done = subprocess.run(
        [linter or pytest.skip("hadolint is not installed"), str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_package_of_the_image_is_checked_against_the_lock() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "requirements.lock" in installs[0]


def test_the_image_ends_as_a_numbered_user_that_is_not_root() -> None:
    users = [
        [line.split()[1] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("USER ")]
        for file in DOCKERFILES
    ]
    assert [numbers[-1].split(":")[0].isdigit() and numbers[-1] != "0" for numbers in users] == [True] * len(users)


@pytest.mark.parametrize(
    "path", ["secrets/master_key", ".env", ".git/HEAD", ".tradewinds/x", "tests/a.py", "docs/a.md"]
)
def test_secrets_history_and_data_stay_out_of_the_image(path: str) -> None:
    assert ignored(path)


@pytest.mark.parametrize(
    "path", ["common/settings.py", "migrations/versions/0001_walls.sql", "beat_schedule.py", "deploy/tradewinds"]
)
def test_what_the_fleet_runs_on_is_in_the_image(path: str) -> None:
    assert (PROJECT / path).exists()
    assert not ignored(path)


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: str(file.relative_to(DEPLOY)))
def test_a_script_can_be_executed_and_says_by_what(file: Path) -> None:
    assert os.access(file, os.X_OK)
    assert file.read_text(encoding="utf-8").startswith("#!/")


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.sh")), ids=lambda file: str(file.relative_to(DEPLOY)))
def test_a_shell_script_can_be_read_by_a_shell(file: Path) -> None:
    shell = file.read_text(encoding="utf-8").splitlines()[0].removeprefix("#!")
    done = subprocess.run([shell, "-n", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def flower_config(tmp_path: Path, content: str) -> dict[str, object]:
    """What flowerconfig.py defines when its secret file holds `content`."""
    secret = tmp_path / "flower_basic_auth"
    secret.write_text(content, encoding="utf-8")
    source = (DEPLOY / "flower" / "flowerconfig.py").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(compile(source.replace("/run/secrets/flower_basic_auth", str(secret)), "flowerconfig.py", "exec"), names)
    return names


def test_flower_takes_its_password_from_the_secret_file(tmp_path: Path) -> None:
    assert flower_config(tmp_path, "operator:0123456789\n")["basic_auth"] == ["operator:0123456789"]


@pytest.mark.parametrize("content", ["", "operator", ":0123456789", "operator:short"])
def test_flower_does_not_start_without_a_user_and_a_password(tmp_path: Path, content: str) -> None:
    with pytest.raises(SystemExit, match="user:password"):
        flower_config(tmp_path, content)
