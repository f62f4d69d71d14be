"""Who may import whom, as design.md draws it and pyproject.toml writes it down."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from tests.architecture.source import PROJECT

CONTRACTS = {
    "domain", "ports", "store", "adapters", "services", "bootstrap", "doors", "neighbours", "modelcheck", "simulator"
}  # fmt: skip


def test_every_import_contract_is_kept() -> None:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as run; run()",
        "--no-cache",
        "--no-logo",
    ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    reason = (
        "The arrows between rooms are what lets one room be changed without the others; ask through the room between:"
    )
    assert done.returncode == 0, f"{reason}\n{done.stdout}{done.stderr}"


def test_no_contract_has_been_dropped() -> None:
    configuration = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {contract["id"] for contract in configuration["tool"]["importlinter"]["contracts"]} == CONTRACTS
