"""The one table from errors to HTTP statuses, and the body that tells a client about one."""

from __future__ import annotations

import msgspec

from seakeep.errors import (
    AccessError,
    CrashedError,
    DataError,
    DeadlineError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
    RecorderError,
    RowError,
    SeakeepError,
    ServingError,
    UnavailableError,
)


class RequestError(ServingError):
    """The request itself is at fault.

    Parameters
    ----------
    status
        The HTTP status that says so.
    """

    code = "request"

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class InternalError(ServingError):
    """A fault of ours; what happened is in the worker's log, not in the answer."""

    code = "internal"


STATUS: tuple[tuple[type[SeakeepError], int], ...] = (
    (RowError, 400),
    (DataError, 400),
    (NotFoundError, 404),
    (ForbiddenError, 403),
    (AccessError, 401),
    (QuotaError, 429),
    (UnavailableError, 503),
    (RecorderError, 503),
    (DeadlineError, 504),
    (SeakeepError, 500),
)
"""The first class that fits decides."""

CODES = (
    "row",
    "data",
    "request",
    "not-found",
    "access",
    "forbidden",
    "unavailable",
    "quota",
    "features",
    "deadline",
    "recorder",
    "serving",
    "crashed",
    "internal",
    "other",
)
"""What errors are counted by; a code that is not among them counts as ``other``."""


CLIENT_CODES = ("row", "data", "request", "not-found", "access", "forbidden", "quota")
"""Those of them that are the client's mistakes: the answer was 4xx, and nothing is wrong here."""


class ErrorBody(msgspec.Struct, frozen=True):
    """What a client is told; ``error`` is where Open Inference Protocol clients look."""

    error: str
    code: str
    hint: str


_TOLD = (RequestError, DataError, NotFoundError, AccessError, UnavailableError, DeadlineError, CrashedError)
_encode = msgspec.json.Encoder().encode


def status_of(error: SeakeepError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, RequestError):
        return error.status
    return next(status for kind, status in STATUS if isinstance(error, kind))


def told(error: SeakeepError) -> ErrorBody:
    """What a client learns of an error.

    The text of errors that are not the client's may name files and settings, so it stays here; the client learns the
    code.
    """
    if isinstance(error, _TOLD):
        return ErrorBody(error=error.message, code=error.code, hint=error.hint)
    return ErrorBody(
        error="the request could not be answered because of a fault in the server",
        code=error.code,
        hint="try again; if it persists, look into the server's log",
    )


def body_of(error: SeakeepError) -> bytes:
    """The JSON body of an error."""
    return _encode(told(error))


def headers_of(error: SeakeepError) -> bytes:
    """Header lines, each after ``CRLF``, that go with an error."""
    if isinstance(error, AccessError) and not isinstance(error, ForbiddenError):
        return b"\r\nwww-authenticate: Bearer"
    if isinstance(error, UnavailableError):
        return b"\r\nretry-after: %d" % error.retry_after_s
    if isinstance(error, RecorderError):
        return b"\r\nretry-after: 1"
    return b"\r\nallow: GET, HEAD, POST" if status_of(error) == 405 else b""
