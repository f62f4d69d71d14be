"""What is committed works on everybody's machine, and says nothing about ours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.source import PROJECT, report

# Written in two parts, so that this file does not name them either.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs.org",
    "registry." + "npmjs.com",
    "registry." + "yarnpkg.com",
    "npm" + "mirror.com",
    "proxy." + "golang.org",
]
REGISTRY = re.compile("|".join(re.escape(host) for host in REGISTRIES))
FOLDER_OF_ONE_MACHINE = re.compile(
    r"(?<![\w.-])/(?:work/(?:main|shared)|root/\.pyenv|home/[a-z]+/|Users/[A-Z]?[a-z]+/|opt/(?:wheels|pypi))"
)
SIZE_MAX = 2_000_000


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False)
    paths = [PROJECT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()] or pytest.skip("this is not a git repository")


def lines_with(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """Each line of a text file among `paths` that holds `pattern`."""
    return [
        f"{path.relative_to(PROJECT)}:{number} {line.strip()[:100]}"
        for path in paths
        if b"\0" not in (content := path.read_bytes())[:8000]
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry(committed: list[Path]) -> None:
    offences = lines_with(REGISTRY, committed)
    reason = "Where packages come from is the machine's business (mirrors, proxies, offline wheels); lock names and hashes only:"
    assert not offences, report(reason, offences)


def test_no_file_names_a_folder_of_one_machine(committed: list[Path]) -> None:
    offences = lines_with(FOLDER_OF_ONE_MACHINE, committed)
    assert not offences, report("A path that exists on one machine works on none other:", offences)


def test_no_file_is_a_data_set(committed: list[Path]) -> None:
    offences = [
        f"{path.relative_to(PROJECT)}: {path.stat().st_size} bytes"
        for path in committed
        if path.stat().st_size > SIZE_MAX
    ]
    assert not offences, report(
        "Recorded market data and builds stay out of the repository; clones stay small:", offences
    )
