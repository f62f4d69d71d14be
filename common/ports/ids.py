"""The ids port: the only source of randomness in ids and nonces."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class Ids(Protocol):
    """Fresh identifiers; seeded in simulation."""

    def new(self) -> UUID:
        """A fresh unique id."""
        ...

    def token(self) -> str:
        """A fresh secret of at least 256 bits, URL-safe."""
        ...
