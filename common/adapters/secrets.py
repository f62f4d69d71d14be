"""Where secrets come from: a file, the environment, or, where allowed, made once and kept in a file of one's own."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from common.domain.errors import InvalidInput, NotFound

_PLACEHOLDER = re.compile(
    r"(?i)^(change[-_ ]?me.*|default[-_ ]?secret.*|replace[-_ ]?me.*|your[-_ ].*|placeholder.*|example.*|password|secret|"
    r"admin|test|todo|x{3,}|<.*>|\$\{.*\})$"
)


def refuse_placeholder(name: str, text: str) -> str:
    """`text`; raises InvalidInput when it only stands where a secret belongs. The text itself is not shown."""
    if not text.strip() or _PLACEHOLDER.match(text.strip()):
        raise InvalidInput(name, "a placeholder", "a real secret; `tradewinds doctor --init` writes one")
    return text


class SecretSource(Protocol):
    """One place to look in."""

    def get(self, name: str) -> str | None:
        """The secret called `name`, or None when this place does not have it."""
        ...


class FileSecrets:
    """One file per secret in a folder, as container platforms mount them."""

    def __init__(self, folder: Path = Path("/run/secrets")) -> None:
        self._folder = folder

    def get(self, name: str) -> str | None:
        """The file's text without its last line break."""
        path = self._folder / name
        return path.read_text(encoding="utf-8").rstrip("\r\n") if path.is_file() else None


class EnvironmentSecrets:
    """Variables named `PREFIX` and the secret's name in capitals."""

    def __init__(self, environment: Mapping[str, str], prefix: str = "TRADEWINDS_") -> None:
        self._environment, self._prefix = environment, prefix

    def get(self, name: str) -> str | None:
        """The variable's value; empty counts as absent."""
        return self._environment.get(self._prefix + name.upper()) or None


class GeneratedSecrets:
    """Secrets of 256 bits that are made at the first question and kept in files only their owner can read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> str:
        """The secret, made now if nobody made it before; two processes asking at once get the same one."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / name
        if not path.exists():
            self._make(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise InvalidInput(
                str(path), oct(stat.S_IMODE(path.stat().st_mode)), "a file only its owner can read (0600)"
            )
        return path.read_text(encoding="utf-8").rstrip("\r\n")

    @staticmethod
    def _make(path: Path) -> None:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # Fails when another process was first, and then its secret is the one.
        except FileExistsError:
            pass
        finally:
            draft.unlink()


def find_secret(name: str, sources: Sequence[SecretSource]) -> str:
    """The first source's answer; raises NotFound when none has it and InvalidInput when it is a placeholder."""
    for source in sources:
        found = source.get(name)
        if found is not None:
            return refuse_placeholder(name, found)
    raise NotFound("secret", name)
