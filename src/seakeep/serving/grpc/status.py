"""What a gRPC client is told about an error: the codes follow from the one table of HTTP statuses.

References
----------
gRPC, *Status codes and their use in gRPC*; gRFC A6 (retry pushback).
"""

from __future__ import annotations

import grpc

from seakeep.errors import SeakeepError, UnavailableError
from seakeep.serving.errors import status_of, told

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def code_of(error: SeakeepError) -> grpc.StatusCode:
    """The status code of an error."""
    status = status_of(error)
    return _CODES.get(status, grpc.StatusCode.INTERNAL if status >= 500 else grpc.StatusCode.INVALID_ARGUMENT)


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
