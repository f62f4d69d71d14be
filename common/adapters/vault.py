"""Seals secrets: each under a data key of its own, that key under the platform's, both bound to their place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.adapters.secrets import refuse_placeholder
from common.domain.errors import InvalidInput, Permanent

_MAGIC = b"TWV1"
_NONCE = 12  # Bytes: 96 random bits, as GCM wants them; a data key seals one secret only, so they never repeat.
_TAG = 16
_KEY = 32
_KEY_ID = 8
_MASTER_LENGTH_MIN = 16


@dataclass(frozen=True, slots=True, repr=False)
class MasterKey:
    """A key-encryption key derived from a secret text, and the id by which sealed secrets name it."""

    id: bytes
    key: bytes

    @classmethod
    def derive(cls, text: str) -> MasterKey:
        """The key of `text`; raises InvalidInput for a placeholder or a text too short to be a secret."""
        refuse_placeholder("master key", text)
        if len(text) < _MASTER_LENGTH_MIN:
            raise InvalidInput(
                "master key", f"{len(text)} characters", f"at least {_MASTER_LENGTH_MIN} random characters"
            )
        return cls(_hkdf(text, b"tradewinds vault key id", _KEY_ID), _hkdf(text, b"tradewinds vault key", _KEY))


def _hkdf(text: str, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(text.encode())


@dataclass(frozen=True, slots=True)
class _Sealed:
    key_id: bytes
    wrap_nonce: bytes
    wrapped: bytes
    nonce: bytes
    body: bytes

    @classmethod
    def read(cls, sealed: bytes) -> _Sealed:
        if len(sealed) < len(_MAGIC) + _KEY_ID + 2 * _NONCE + _KEY + 2 * _TAG or not sealed.startswith(_MAGIC):
            raise Permanent("this is not a sealed secret of ours")
        rest = BytesIO(sealed[len(_MAGIC) :])
        return cls(rest.read(_KEY_ID), rest.read(_NONCE), rest.read(_KEY + _TAG), rest.read(_NONCE), rest.read())

    def write(self) -> bytes:
        return b"".join((_MAGIC, self.key_id, self.wrap_nonce, self.wrapped, self.nonce, self.body))


class EnvelopeVault:
    """AES-256-GCM envelopes; implements ports.vault.Vault.

    `master_key` seals; `retired` keys still open what they sealed, until `rewrap` has gone over it.
    """

    def __init__(self, master_key: str, retired: Sequence[str] = ()) -> None:
        self._current = MasterKey.derive(master_key)
        known = [self._current, *(MasterKey.derive(text) for text in retired)]
        self._known = {key.id: key for key in known}

    def __repr__(self) -> str:
        return f"EnvelopeVault(key {self.key_id})"

    @property
    def key_id(self) -> str:
        """Id of the key that seals now; it tells nothing about the key."""
        return self._current.id.hex()

    def seal(self, secret: bytes, context: str) -> bytes:
        """`secret` under a fresh data key, itself wrapped by the current key; both bound to `context`."""
        data_key, nonce = AESGCM.generate_key(_KEY * 8), os.urandom(_NONCE)
        body = AESGCM(data_key).encrypt(nonce, secret, _aad(b"secret", context))
        return self._wrap(data_key, nonce, body, context)

    def open(self, sealed: bytes, context: str) -> bytes:
        """The secret; raises Permanent when `context` differs, the key is gone or a byte was changed."""
        read = _Sealed.read(sealed)
        data_key = self._unwrap(read, context)
        try:
            return AESGCM(data_key).decrypt(read.nonce, read.body, _aad(b"secret", context))
        except InvalidTag:
            raise Permanent("the sealed secret was changed or belongs elsewhere") from None

    def needs_rewrap(self, sealed: bytes) -> bool:
        """Whether a retired key wraps it."""
        return _Sealed.read(sealed).key_id != self._current.id

    def rewrap(self, sealed: bytes, context: str) -> bytes:
        """The same secret with its data key under the current key; the secret itself is not opened. Idempotent."""
        read = _Sealed.read(sealed)
        if read.key_id == self._current.id:
            return sealed
        return self._wrap(self._unwrap(read, context), read.nonce, read.body, context)

    def _wrap(self, data_key: bytes, nonce: bytes, body: bytes, context: str) -> bytes:
        wrap_nonce, key = os.urandom(_NONCE), self._current
        wrapped = AESGCM(key.key).encrypt(wrap_nonce, data_key, _aad(b"key" + key.id, context))
        return _Sealed(key.id, wrap_nonce, wrapped, nonce, body).write()

    def _unwrap(self, read: _Sealed, context: str) -> bytes:
        key = self._known.get(read.key_id)
        if key is None:
            raise Permanent(f"the secret was sealed with key {read.key_id.hex()}, which is not among ours")
        try:
            return AESGCM(key.key).decrypt(read.wrap_nonce, read.wrapped, _aad(b"key" + key.id, context))
        except InvalidTag:
            raise Permanent("the sealed secret was changed or belongs elsewhere") from None


def _aad(purpose: bytes, context: str) -> bytes:
    return _MAGIC + len(purpose).to_bytes(2, "big") + purpose + context.encode()
