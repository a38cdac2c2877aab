"""Signatures over manifests: who holds the key vouches for every byte a manifest lists.

References
----------
RFC 8032, Edwards-Curve Digital Signature Algorithm (Ed25519).
"""

from __future__ import annotations

from typing import Any

import msgspec

from seakeep.errors import IntegrityError


class Signer:
    """Signs with a private key.

    Parameters
    ----------
    private
        The key, 32 bytes (RFC 8032, section 5.1.5).
    """

    def __init__(self, private: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(private)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> bytes:
        """The signature of a content, 64 bytes."""
        return self._key.sign(content)


class Verifier:
    """Checks signatures against a public key.

    Parameters
    ----------
    public
        The key, 32 bytes.
    """

    def __init__(self, public: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        self._key = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, content: bytes, signature: bytes) -> None:
        """Return if the signature is of this content by the key's holder.

        Raises
        ------
        IntegrityError
            It is not.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, content)
        except InvalidSignature as error:
            message = "the signature does not verify"
            raise IntegrityError(message, hint="it was changed, or signed with another key") from error


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return msgspec.json.encode(value, order="sorted")
