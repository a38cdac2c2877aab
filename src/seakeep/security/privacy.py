"""Personal values made unreadable: hashes that can be counted and joined, and tokens that the key's holder can read.

Both are deterministic, so that equal values stay equal; both are bound to a column, so that columns cannot be linked.

References
----------
RFC 7693, The BLAKE2 Cryptographic Hash, section 2.9 (keyed hashing).
RFC 5297, Synthetic Initialization Vector (SIV) Authenticated Encryption Using AES (deterministic, authenticated).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from seakeep.errors import IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

HASH, TOKEN = "blake2b:", "token:"
"""How what replaces a value begins."""


class Protector:
    """Replaces values.

    Parameters
    ----------
    hashing
        The key of the hashes, 1 to 64 bytes. Without it a value can neither be read nor guessed.
    tokens
        The key of the tokens, 32 bytes. Who holds it can read every token.
    """

    def __init__(self, hashing: bytes, tokens: bytes) -> None:
        self._hashing, self._tokens = hashing, tokens

    @cached_property
    def _cipher(self) -> AESSIV:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        # SIV takes two keys of 256 bits: one for the synthetic IV, one for the encryption.
        return AESSIV(hashlib.blake2b(self._tokens, digest_size=64, person=b"seakeep-tokens").digest())

    def hash(self, column: str, value: Any) -> str:
        """The hash of a JSON value of a column: keyed BLAKE2b over the column's name, a zero byte and the JSON."""
        text = column.encode() + b"\0" + msgspec.json.encode(value, order="sorted")
        return HASH + hashlib.blake2b(text, key=self._hashing, digest_size=16).hexdigest()

    def token(self, column: str, value: Any) -> str:
        """The token of a JSON value of a column: AES-SIV of the JSON array of both, in base 64."""
        sealed = self._cipher.encrypt(msgspec.json.encode([column, value], order="sorted"), None)
        return TOKEN + base64.urlsafe_b64encode(sealed).decode()

    def reveal(self, token: str) -> tuple[str, Any]:
        """The column and the value behind a token.

        Raises
        ------
        IntegrityError
            It is no token of this key.
        """
        from cryptography.exceptions import InvalidTag

        try:
            # What does not begin like a token is no base 64: there is no colon in it.
            sealed = base64.b64decode(token.removeprefix(TOKEN), altchars=b"-_", validate=True)
            column, value = msgspec.json.decode(self._cipher.decrypt(sealed, None))
        except (InvalidTag, ValueError) as error:
            shown = token if len(token) <= 40 else f"{token[:40]}..."
            raise IntegrityError(
                f"{shown!r} is no token of this project", hint="use the key it was made with"
            ) from error
        return column, value
