"""Pickles, also as joblib writes them: reading one runs whatever code is in it."""

from __future__ import annotations

import io
from collections.abc import Sequence

from seakeep.conversion.formats.format import Format, Taken, fitted
from seakeep.conversion.reading import Reading
from seakeep.records.feature import FeatureColumn

_COMPRESSED = (
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x5d\x00\x00",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
)


def _is_pickle(content: bytes, _name: str) -> bool:
    """Whether joblib would read it: protocols 2 to 5, compressed ones, and the oldest two, which are text."""
    head = content[:2]
    if head[:1] == b"\x80":
        return head[1:] in {b"\x02", b"\x03", b"\x04", b"\x05"}
    return content.startswith(_COMPRESSED) or (head[:1] in {b"(", b"c", b"]", b"}"} and content.endswith(b"."))


def _take(content: bytes, columns: Sequence[FeatureColumn], _reading: Reading) -> Taken:
    import joblib

    return fitted(joblib.load(io.BytesIO(content)), columns)


FORMAT = Format(
    name="pickle",
    told="a pickle",
    suffixes=(".pkl", ".pickle", ".joblib"),
    extra="sklearn",
    recognise=_is_pickle,
    take=_take,
    runs_code=True,
    caveat="it came as a pickle: that the model answers as the pickled one is only as true as whoever made the pickle",
)
