"""Strategies of the user's own: Python files of a folder, and packages that name them by an entry point."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path

from common.domain.errors import InvalidInput
from common.domain.strategies import Rules, names, register

GROUP = "tradewinds.strategies"
_PREFIX = "tradewinds_user_strategies"


def load_folder(folder: Path) -> list[str]:
    """Run every Python file of `folder` (those that begin with _ are only imported by others); names registered by it.

    A file registers its strategies itself with `@register`, or every class of Rules with a name defined there is.
    """
    if not folder.is_dir():
        raise InvalidInput("strategies", str(folder), "a folder of Python files")
    before = set(names())
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))
    for path in sorted(folder.glob("[!_]*.py")):
        _load(path)
    return sorted(set(names()) - before)


def _load(path: Path) -> None:
    # Two folders may have the same name.
    place = sha256(str(path.resolve().parent).encode()).hexdigest()[:8]
    name = f"{_PREFIX}.{path.resolve().parent.name}_{place}.{path.stem}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidInput("strategy", str(path), "a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InvalidInput:
        del sys.modules[name]
        raise
    except Exception as error:
        # Whatever a stranger's file raises is told with its name and line, as a fault of that file.
        del sys.modules[name]
        raise InvalidInput(
            "strategy", str(path), f"a file that can be run; it says {type(error).__name__}: {error}"
        ) from error
    for kind in vars(module).values():
        if inspect.isclass(kind) and issubclass(kind, Rules) and kind.__module__ == name and hasattr(kind, "name"):
            register(kind)


def load_packages() -> list[str]:
    """Strategies of installed packages: each entry point of the group names a class of Rules; names registered."""
    before = set(names())
    for point in entry_points(group=GROUP):
        try:
            kind = point.load()
        except Exception as error:
            raise InvalidInput("strategy", point.value, f"something that can be imported: {error}") from error
        if not (inspect.isclass(kind) and issubclass(kind, Rules)):
            raise InvalidInput("strategy", point.value, "a class derived from Rules")
        register(kind)
    return sorted(set(names()) - before)
