"""Secret keys in files that only their owner can read."""

from __future__ import annotations

from pathlib import Path

from seakeep.errors import IntegrityError
from seakeep.security.privacy import Protector
from seakeep.security.secret import load_or_create_secret, load_secret
from seakeep.security.signing import Signer, Verifier

SIGNING, VERIFYING, PEPPER, TOKENS = "signing.key", "signing.pub", "pepper", "tokens.key"


def load_or_create_signer(folder: Path) -> Signer:
    """The signer with the key in ``signing.key``, made on first use.

    Raises
    ------
    IntegrityError
        A file is a link, can be read by others, or holds no key, or the two keys do not belong together.
    """
    signer = Signer(load_or_create_secret(folder / SIGNING))
    if load_or_create_secret(folder / VERIFYING, signer.public) != signer.public:
        message = f"{folder / VERIFYING} does not belong to {SIGNING}"
        raise IntegrityError(message, hint="restore both from the same backup")
    return signer


def load_verifier(folder: Path) -> Verifier:
    """The verifier with the public key in ``signing.pub``.

    Raises
    ------
    IntegrityError
        There is no such file, it is a link or can be changed by others, or it holds no key.
    """
    return Verifier(load_secret(folder / VERIFYING))


def load_or_create_pepper(folder: Path) -> bytes:
    """The secret of digests that must not be guessed, 32 bytes, made on first use."""
    return load_or_create_secret(folder / PEPPER)


def load_or_create_protector(folder: Path) -> Protector:
    """What replaces personal values: hashes by the pepper, tokens by the key in ``tokens.key``, made on first use."""
    return Protector(load_or_create_pepper(folder), load_or_create_secret(folder / TOKENS))
