"""What a gRPC client is told about an error: the codes follow from the one table of HTTP statuses.

References
----------
gRPC, *Status codes and their use in gRPC*; gRFC A6 (retry pushback).
"""

from __future__ import annotations

import enum

from seakeep.errors import SeakeepError, UnavailableError
from seakeep.serving.errors import status_of, told


class Status(enum.IntEnum):
    """The codes that are in use here."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_CODES = {
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    413: Status.RESOURCE_EXHAUSTED,
    429: Status.RESOURCE_EXHAUSTED,
    501: Status.UNIMPLEMENTED,
    503: Status.UNAVAILABLE,
    504: Status.DEADLINE_EXCEEDED,
}


def code_of(error: SeakeepError) -> Status:
    """The status code of an error."""
    status = status_of(error)
    return _CODES.get(status, Status.INTERNAL if status >= 500 else Status.INVALID_ARGUMENT)


def details_of(error: SeakeepError) -> str:
    """The message that goes with the code."""
    text = told(error)
    return f"{text.error}; {text.hint}" if text.hint else text.error


def metadata_of(error: SeakeepError) -> tuple[tuple[str, str], ...]:
    """Trailing metadata: the error's slug for programs, and when to try again."""
    code = (("seakeep-code", error.code),)
    if isinstance(error, UnavailableError):
        return (*code, ("grpc-retry-pushback-ms", str(error.retry_after_s * 1000)))
    return code
