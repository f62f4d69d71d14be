"""The project's own source, parsed once for all tests of this room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[2]
ROOMS = (
    "api", "bench", "chaos", "cli", "common", "migrations", "modelcheck", "simulation", "simulator", "workers", "beat_schedule.py"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its path below the project, with `/`, and its tree."""

    path: str
    tree: ast.Module

    def is_in(self, *rooms: str) -> bool:
        """Whether the file is one of `rooms` or lies below one."""
        return any(self.path == room or self.path.startswith(room.rstrip("/") + "/") for room in rooms)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of everything imported, wherever in the file."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)

    def texts(self) -> Iterator[tuple[int, str]]:
        """Line and value of every string, docstrings too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value

    def names_used(self) -> Iterator[tuple[int, str]]:
        """Line and full dotted name of whatever is reached through an import, as in `dt.datetime.now`."""
        known = self._aliases()
        for node in ast.walk(self.tree):
            dotted = _dotted(node)
            first, _, rest = dotted.partition(".")
            if first in known:
                yield getattr(node, "lineno", 0), ".".join(filter(None, (known[first], rest)))

    def _aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    aliases[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module:
                aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        return aliases


def modules(*rooms: str) -> list[Module]:
    """The modules of `rooms`, of the whole house when none is named."""
    return [module for module in _all() if not rooms or module.is_in(*rooms)]


@cache
def _all() -> tuple[Module, ...]:
    paths = [path for room in (*ROOMS, "tests") for path in _python_files(PROJECT / room)]
    return tuple(
        Module(path.relative_to(PROJECT).as_posix(), ast.parse(path.read_text(encoding="utf-8"), str(path)))
        for path in sorted(paths)
    )


def _python_files(place: Path) -> list[Path]:
    if place.suffix == ".py":
        return [place] if place.exists() else []
    return list(place.rglob("*.py"))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def report(reason: str, offences: list[str]) -> str:
    """The message of a failing test: why the rule is there, then each place that breaks it."""
    return "\n  ".join([reason, *offences])
