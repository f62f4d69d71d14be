"""The vault port: seals secrets for storage and opens them again."""

from __future__ import annotations

from typing import Protocol


class Vault(Protocol):
    """Envelope encryption; `context` binds a sealed secret to its place (tenant, credential, venue)."""

    def seal(self, secret: bytes, context: str) -> bytes:
        """`secret` under a fresh data key, itself wrapped by the key-encryption key."""
        ...

    def open(self, sealed: bytes, context: str) -> bytes:
        """The secret; raises Permanent when `context` differs, the key is gone or a byte was changed."""
        ...
