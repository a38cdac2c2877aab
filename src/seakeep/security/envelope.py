"""Envelope encryption: data under a key of its own, that key under a wrapping key.

Whoever holds the wrapping key can read; to change it, only the wrapped keys are written anew, never the data.

References
----------
NIST SP 800-38D, Recommendation for Block Cipher Modes of Operation: Galois/Counter Mode (GCM) and GMAC.
"""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from typing import TYPE_CHECKING

from seakeep.errors import IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG_BYTES = 16
"""How much longer what is sealed is than what was."""

_NONCE_BYTES = 12


class DataKey:
    """Encrypts pieces of one file with AES-256-GCM.

    Parameters
    ----------
    secret
        32 bytes, used for this file alone.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    @cached_property
    def _cipher(self) -> AESGCM:
        # Costs 40 ms to import, and most recorders never encrypt.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self.secret)

    def seal(self, number: int, plain: bytes | memoryview, bound: bytes = b"") -> bytes:
        """Encrypt a piece.

        Parameters
        ----------
        number
            The nonce, big-endian in 12 bytes: no two pieces under one key may have the same.
        bound
            Bytes that are not encrypted, but must be the same when the piece is opened.
        """
        return self._cipher.encrypt(number.to_bytes(_NONCE_BYTES, "big"), plain, bound)

    def open(self, number: int, sealed: bytes | memoryview, bound: bytes = b"") -> bytes:
        """Decrypt a piece; see :meth:`seal`.

        Raises
        ------
        IntegrityError
            A bit of it was changed, or it is not this piece.
        """
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(number.to_bytes(_NONCE_BYTES, "big"), sealed, bound)
        except InvalidTag as error:
            message = "an encrypted piece was changed, or is not under this key"
            raise IntegrityError(message, hint="restore the file from a copy") from error


class WrappingKey:
    """Encrypts data keys.

    Parameters
    ----------
    secret
        32 bytes.

    Attributes
    ----------
    id
        Names the key without telling anything of it: 16 hexadecimal digits of its BLAKE2b.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = DataKey(secret)
        self.id = hashlib.blake2b(secret, digest_size=8, person=b"seakeep-wrapping").hexdigest()

    def wrap(self, key: DataKey, name: str) -> bytes:
        """A data key, encrypted for the file of that name: the nonce, the ciphertext and the tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._key.seal(int.from_bytes(nonce, "big"), key.secret, name.encode())

    def unwrap(self, wrapped: bytes, name: str) -> DataKey:
        """The data key of the file of that name.

        Raises
        ------
        IntegrityError
            It was changed, is of another file, or under another wrapping key.
        """
        number = int.from_bytes(wrapped[:_NONCE_BYTES], "big")
        return DataKey(self._key.open(number, wrapped[_NONCE_BYTES:], name.encode()))
