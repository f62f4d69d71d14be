"""Where fresh identifiers come from: the operating system's source of randomness."""

from __future__ import annotations

import secrets
from uuid import UUID, uuid4


class SystemIds:
    """Identifiers nobody can guess."""

    def new(self) -> UUID:
        """A random version 4 UUID."""
        return uuid4()

    def token(self) -> str:
        """256 random bits, URL-safe."""
        return secrets.token_urlsafe(32)
