"""Counts the fields of a message before it is read: each empty one is two bytes on the wire and a hundred in memory."""

from __future__ import annotations

from seakeep.serving.errors import RequestError

LARGE_BYTES = 512 * 1024
"""Smaller messages cannot take up much, whatever they hold."""
MAX_FIELDS = 16_384
"""Inputs, raw contents, outputs and parameters of one request together."""


def check_fields(body: bytes) -> None:
    """Refuse a message of more fields than a request has; one that cannot be walked is left to whoever reads it.

    Raises
    ------
    RequestError
        It has too many fields.

    References
    ----------
    Protocol Buffers, *Encoding*: tags, wire types and lengths.
    """
    at, fields, size = 0, 0, len(body)
    while at < size:
        fields += 1
        if fields > MAX_FIELDS:
            raise RequestError(400, f"the message has more than {MAX_FIELDS} fields")
        tag, at = _varint(body, at)
        match tag & 7:
            case 0:
                _, at = _varint(body, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(body, at)
                at += length
            case 3 | 4:
                pass  # a group begins or ends; what is in it counts too
            case 5:
                at += 4
            case _:
                return


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A whole number, and where it ends; the end of the message where it is cut off."""
    value = 0
    for place, byte in enumerate(body[at : at + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    return value, len(body)
