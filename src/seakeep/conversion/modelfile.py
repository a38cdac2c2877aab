"""Model files made elsewhere: read with bounds, and told apart by what is in them, never by their names."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import stat
import zipfile
from pathlib import Path

import numpy as np

from seakeep.errors import ConversionError

MOST_BYTES = 512 * 1024**2
_MOST_UNPACKED, _MOST_ENTRIES = 1024**3, 20_000
_DEEPEST = 200
_CHUNK = 1 << 20

FORMATS = {
    "skops": "a skops archive",
    "xgboost-json": "an XGBoost model in JSON",
    "xgboost-ubj": "an XGBoost model in UBJSON",
    "lightgbm": "a LightGBM model in text",
    "catboost": "a CatBoost model",
    "onnx": "an ONNX model",
    "pickle": "a pickle",
}
_NAMED = {
    ".skops": {"skops"}, ".ubj": {"xgboost-ubj"}, ".json": {"xgboost-json"}, ".txt": {"lightgbm"},
    ".cbm": {"catboost"}, ".onnx": {"onnx"}, ".pkl": {"pickle"}, ".pickle": {"pickle"}, ".joblib": {"pickle"},
}  # fmt: skip
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
_ONNX_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})  # ModelProto in onnx.proto3
_GRAPH = 7


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFile:
    """The bytes of a model file, and which format they are in: a key of :data:`FORMATS`."""

    name: str
    content: bytes
    format: str

    @property
    def sha256(self) -> str:
        """Its identity."""
        return hashlib.sha256(self.content).hexdigest()


def read_model_file(path: Path, *, trust_pickle: bool = False) -> ModelFile:
    """Read a model file and find out what it is.

    Raises
    ------
    ConversionError
        It is no regular file or too large, in no format that is taken, damaged, named as another format, or a pickle
        that was not said to be trusted.
    """
    content = read_bounded(path, MOST_BYTES)
    found = format_of(content, path.name)
    named = _NAMED.get(path.suffix.lower())
    if named is not None and found not in named:
        raise ConversionError(
            f"{path.name} is named {path.suffix}, but its content is {FORMATS[found]}",
            hint="find out who made it; if that is what it is meant to be, rename it",
        )
    if found == "pickle" and not trust_pickle:
        raise ConversionError(
            f"{path.name} is a pickle, which runs whatever code is in it when it is read",
            hint="save the model as skops or in its framework's own format; if you know who made it: --trust-pickle",
        )
    return ModelFile(path.name, content, found)


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a regular file that is no link and of at most ``most`` bytes.

    Raises
    ------
    ConversionError
        It is something else.
    """
    try:
        # Not blocking: opening a named pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        what = "is a link" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise ConversionError(f"{path.name} {what}", hint="name the model file itself") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConversionError(f"{path.name} is no regular file", hint="name the model file itself")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ConversionError(f"{path.name} has more than {most:,} bytes", hint="train a smaller model")
    return content


def format_of(content: bytes, name: str) -> str:  # noqa: PLR0911 -- one line for each format
    """Which of :data:`FORMATS` these bytes are in.

    Raises
    ------
    ConversionError
        None of them, or damaged.
    """
    head = content[:64]
    if head.startswith(b"PK"):
        return _of_zip(content, name)
    if head.startswith(b"CBM1"):
        return "catboost"
    if head.startswith(b"tree\n") and b"\nversion=v" in content[:256]:
        if b"\nend of trees" not in content:
            raise _damaged(name, "LightGBM model in text", "it ends before its last tree")
        return "lightgbm"
    if head.lstrip().startswith(b"{") and b'"learner"' in content[:65536]:
        _require_shallow(content, name)
        return "xgboost-json"
    if head.startswith(b"{L") and b"learner" in head:
        return "xgboost-ubj"
    if _is_onnx(content):
        return "onnx"
    if _is_pickle(content):
        return "pickle"
    raise ConversionError(
        f"{name} is in no format that is taken ({len(content):,} bytes, beginning {head[:12].hex(' ') or 'nowhere'})",
        hint=f"give {', '.join(FORMATS.values())}; a file cut off in the middle is not recognised either",
    )


def _is_pickle(content: bytes) -> bool:
    """Whether joblib would read it: protocols 2 to 5, compressed ones, and the oldest two, which are text."""
    head = content[:2]
    if head[:1] == b"\x80":
        return head[1:] in {b"\x02", b"\x03", b"\x04", b"\x05"}
    return content.startswith(_COMPRESSED) or (head[:1] in {b"(", b"c", b"]", b"}"} and content.endswith(b"."))


def _of_zip(content: bytes, name: str) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as error:
        raise _damaged(name, "zip archive", str(error)) from error
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > _MOST_ENTRIES or unpacked > _MOST_UNPACKED:
        raise ConversionError(
            f"{name} would unpack to {unpacked:,} bytes in {len(entries):,} files",
            hint=f"a model may have {_MOST_UNPACKED:,} bytes in {_MOST_ENTRIES:,} files",
        )
    if "schema.json" in {entry.filename for entry in entries}:
        return "skops"
    raise ConversionError(
        f"{name} is a zip archive, but not of skops", hint="save the estimator with skops.io.dump, or as ONNX"
    )


def _require_shallow(content: bytes, name: str) -> None:
    """Parsers written in C go one step down the stack for each level."""
    depth = 0
    for start in range(0, len(content), _CHUNK):
        part = np.frombuffer(content, dtype=np.uint8, count=min(_CHUNK, len(content) - start), offset=start)
        opened = np.isin(part, np.frombuffer(b"[{", np.uint8)).astype(np.int32)
        levels = depth + np.cumsum(opened - np.isin(part, np.frombuffer(b"]}", np.uint8)))
        if int(levels.max()) > _DEEPEST:
            raise _damaged(name, "JSON model", f"it is nested more than {_DEEPEST} levels deep")
        depth = int(levels[-1])
    if depth:
        raise _damaged(name, "JSON model", "its brackets do not match: it may be cut off")


def _is_onnx(content: bytes) -> bool:
    """Whether the bytes are, from first to last, the fields of a ModelProto with a graph among them."""
    at = 0
    fields: set[int] = set()
    while at < len(content) and len(fields) <= len(_ONNX_FIELDS):
        tag, at = _varint(content, at)
        field, wire = tag >> 3, tag & 7
        if at < 0 or field not in _ONNX_FIELDS or wire not in {0, 2}:
            return False
        size, at = _varint(content, at)
        if at < 0:
            return False
        at += size if wire == 2 else 0
        fields.add(field)
    return at == len(content) and _GRAPH in fields


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        value |= (content[at] & 127) << shift
        at += 1
        if content[at - 1] < 128:
            return value, at
    return 0, -1


def _damaged(name: str, what: str, why: str) -> ConversionError:
    return ConversionError(f"{name} is a damaged {what}: {why}", hint="save or copy it again")
