"""Which columns of a request are kept, hashed or dropped before anything is written."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from seakeep.config import RecorderSettings
from seakeep.records.prediction import Prediction

HASHED = "blake2b:"
"""How a hashed value begins."""


class Policy:
    """Applies the recorder's settings to requests.

    A hash is keyed BLAKE2b over the column's name and the value: equal values can be counted and joined, but not read,
    nor guessed without the key. A missing value stays missing. The policy reaches the request as it was sent; the
    model's inputs, without which nothing can be executed again, and the key, by which the outcome is found, are kept.

    Parameters
    ----------
    settings
        ``hash`` and ``drop`` name request columns.
    secret
        The key of the hashes, at most 64 bytes; needed when a column is hashed.

    References
    ----------
    RFC 7693, The BLAKE2 Cryptographic Hash, section 2.9 (keyed hashing).
    """

    def __init__(self, settings: RecorderSettings, secret: bytes = b"") -> None:
        if settings.hash and not secret:
            message = "hashed columns need a secret key"
            raise ValueError(message)
        self._hashed = frozenset(settings.hash)
        self._dropped = frozenset(settings.drop)
        self._secret = secret
        self.keeps_all = not (self._hashed or self._dropped)

    def apply(self, prediction: Prediction) -> Prediction:
        """The prediction as it may be written."""
        if self.keeps_all or not prediction.request:
            return prediction
        return msgspec.structs.replace(prediction, request=self.request(prediction.request))

    def request(self, row: dict[str, Any]) -> dict[str, Any]:
        """The columns of a request that may be written."""
        return {
            name: self._digest(name, value) if name in self._hashed and value is not None else value
            for name, value in row.items()
            if name not in self._dropped
        }

    def _digest(self, name: str, value: Any) -> str:
        text = name.encode() + b"\0" + msgspec.json.encode(value, order="sorted")
        return HASHED + hashlib.blake2b(text, key=self._secret, digest_size=16).hexdigest()
