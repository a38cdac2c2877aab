"""Reads a recorder folder by what docs/recorder.md says, and by nothing else: no line of Seakeep is imported here."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import zlib
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

FIELDS = {
    "p": [
        "sequence",
        "id",
        "model",
        "version",
        "bundle",
        "role",
        "pair",
        "time_us",
        "recorded_us",
        "key",
        "principal",
        "request",
        "numbers",
        "categories",
        "feature_times_us",
        "score",
        "decision",
        "parse_us",
        "features_us",
        "queue_us",
        "model_us",
        "total_us",
        "error",
        "scores",
        "answer",
    ],
    "e": ["sequence", "batch", "source", "recorded_us", "columns"],
    "g": ["sequence", "writer", "count", "reason", "from_us", "to_us"],
}


def records(folder: Path):
    """All records: the kind and the elements by name."""
    for path, first in counting(folder):
        if path.suffix in {".parquet", ".aes"}:
            yield from parquet(path)
        else:
            yield from segment(path)
            assert first


# Which files count


def counting(folder: Path):
    pattern = re.compile(
        r"(?P<writer>.+?)-(?P<first>\d{8,})(?:-(?P<last>\d{8,}))?(?:-r(?P<r>\d+))?\.(?P<form>open|seg|parquet|aes)"
    )
    found = []
    for path in folder.iterdir():
        if match := pattern.fullmatch(path.name):
            first = int(match["first"])
            last = int(match["last"] or first)
            table = match["form"] in {"parquet", "aes"}
            found.append(((match["writer"], first, -last, not table, -int(match["r"] or 0)), path))
    reached = ("", -1)
    for (writer, first, last, _, _), path in sorted(found):
        if writer == reached[0] and -last <= reached[1]:
            continue
        reached = (writer, -last)
        yield path, first


# Segments


def segment(path: Path):
    data = path.read_bytes()
    assert data[:8] == b"SEAKSEG\x01"
    place, header = frame(data, 8)
    writer, number, begun_us, accounted = unpack(header)
    assert path.name.startswith(f"{writer}-{number:08d}")
    assert begun_us > 0
    assert accounted >= 0
    while place < len(data):
        begun = place
        place, payload = frame(data, begun)
        if payload is None:
            assert path.suffix == ".open", f"damage at {begun} of {path}"
            return
        kind, *elements = unpack(payload)
        if kind == "x":
            clear = AESGCM(key_of(path)).decrypt(begun.to_bytes(12, "big"), elements[0], None)
            inner = 0
            while inner < len(clear):
                inner, one = frame(clear, inner)
                yield named(unpack(one))
        else:
            yield named([kind, *elements])


def header_of(path: Path):
    return unpack(frame(path.read_bytes(), 8)[1])


def frame(data: bytes, place: int):
    """Where the next frame begins, and the payload; None if the frame is not whole."""
    if place + 8 > len(data):
        return len(data), None
    crc, length = struct.unpack_from("<II", data, place)
    end = place + 8 + length
    if end > len(data) or zlib.crc32(data[place + 4 : end]) != crc:
        return len(data), None
    return end, data[place + 8 : end]


def named(elements):
    kind, *values = elements
    if kind == "p":
        values += [{"scores": []}.get(name, "") for name in FIELDS["p"][len(values) :]]
    return kind, dict(zip(FIELDS[kind], values, strict=False))


def unpack(data: bytes):
    value, end = _value(data, 0)
    assert end == len(data)
    return value


def _value(data, at):  # noqa: PLR0911 -- one for each form
    """MessagePack, as far as it is needed."""
    head, at = data[at], at + 1
    if head < 0x80:
        return head, at
    if head >= 0xE0:
        return head - 0x100, at
    if head < 0x90:
        return _map(data, at, head & 0x0F)
    if head < 0xA0:
        return _array(data, at, head & 0x0F)
    if head < 0xC0:
        return data[at : at + (head & 0x1F)].decode(), at + (head & 0x1F)
    if head in {0xC0, 0xC2, 0xC3}:
        return {0xC0: None, 0xC2: False, 0xC3: True}[head], at
    if head in _NUMBERS:
        form = struct.Struct(_NUMBERS[head])
        return form.unpack_from(data, at)[0], at + form.size
    width = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}[head]
    size, at = int.from_bytes(data[at : at + width], "big"), at + width
    if head in {0xC4, 0xC5, 0xC6}:
        return data[at : at + size], at + size
    if head in {0xD9, 0xDA, 0xDB}:
        return data[at : at + size].decode(), at + size
    return _array(data, at, size) if head in {0xDC, 0xDD} else _map(data, at, size)


_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip


def _array(data, at, size):
    found = []
    for _ in range(size):
        value, at = _value(data, at)
        found.append(value)
    return found, at


def _map(data, at, size):
    flat, at = _array(data, at, 2 * size)
    return dict(zip(flat[::2], flat[1::2], strict=True)), at


# Keys


def key_of(path: Path) -> bytes:
    held = json.loads(path.with_suffix(".key").read_text())
    place = path.parent / (path.parent / "wrapping-key").read_text()
    for file in (place, place.with_name(place.name + ".old")):
        if not file.exists():
            continue
        wrapping = file.read_bytes()
        name = hashlib.blake2b(wrapping, digest_size=8, person=b"seakeep-wrapping").hexdigest()
        if name == held["key"]:
            wrapped = base64.b64decode(held["wrapped"])
            return AESGCM(wrapping).decrypt(wrapped[:12], wrapped[12:], path.stem.encode())
    raise AssertionError(f"no wrapping key {held['key']}")


# Parquet


def parquet(path: Path):
    """By any reader of Parquet; here DuckDB, on a file in memory if it is encrypted."""
    import os

    import duckdb

    memory = os.memfd_create("clear")
    os.write(memory, decrypted(path) if path.suffix == ".aes" else path.read_bytes())
    name = f"/proc/self/fd/{memory}"
    try:
        with duckdb.connect() as connection:
            metadata = dict(
                connection.execute(f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{name}')").fetchall()
            )
            rows = connection.execute(f"FROM read_parquet('{name}')")
            names = [column[0] for column in rows.description]
            found = rows.fetchall()
    finally:
        os.close(memory)
    assert names == ["segment", *FIELDS["p"]]
    assert int(metadata["seakeep.accounted"]) >= 0
    for gap in json.loads(metadata["seakeep.gaps"]):
        gap.pop("segment")
        yield "g", gap
    order = [(row[3], row[4], row[8]) for row in found]
    assert order == sorted(order), "model, version, time_us"
    for row in found:
        values = dict(zip(names, row, strict=True))
        values.pop("segment")
        values["request"] = json.loads(values["request"])
        yield "p", values


def decrypted(path: Path) -> bytes:
    data = path.read_bytes()
    header = data[:20]
    magic, chunk, size = struct.unpack("<8sIQ", header)
    assert magic == b"SEAKAES\x01"
    cipher, clear, at, number = AESGCM(key_of(path)), b"", 20, 0
    while True:
        length = min(chunk, size - len(clear)) + 16
        clear += cipher.decrypt(number.to_bytes(12, "big"), data[at : at + length], header)
        at, number = at + length, number + 1
        if len(clear) == size:
            assert at == len(data)
            return clear


# Ledgers, tokens and hashes


def ledger(path: Path):
    return struct.unpack("<5Q", path.read_bytes())


def hashed(pepper: bytes, column: str, value) -> str:
    text = (
        column.encode() + b"\0" + json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    )
    return "blake2b:" + hashlib.blake2b(text, key=pepper, digest_size=16).hexdigest()


def revealed(secret: bytes, token: str):
    key = hashlib.blake2b(secret, digest_size=64, person=b"seakeep-tokens").digest()
    return json.loads(AESSIV(key).decrypt(base64.urlsafe_b64decode(token.removeprefix("token:")), None))
