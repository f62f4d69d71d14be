"""The lock files hold every package of a run by hash, and the two agree."""

from __future__ import annotations

import re

from packaging.requirements import Requirement

from tests.architecture.source import PROJECT

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>\S+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """Package and version of every line of a lock file."""
    return {
        match["name"].lower(): match["version"] for match in PIN.finditer((PROJECT / name).read_text(encoding="utf-8"))
    }


def test_the_development_lock_holds_the_other_one() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_every_package_is_held_by_hash() -> None:
    blocks = re.split(r"\n(?=\S)", (PROJECT / "requirements-dev.lock").read_text(encoding="utf-8"))
    assert [block.splitlines()[0] for block in blocks if PIN.match(block) and "--hash=sha256:" not in block] == []


def test_every_dependency_is_locked_within_its_bounds() -> None:
    import tomllib

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    locked = pins("requirements.lock")
    assert [
        str(each)
        for each in wanted
        if not each.specifier.contains(locked.get(each.name.lower(), "0"), prereleases=True)
    ] == []
