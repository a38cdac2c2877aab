import json

import pytest

from seakeep import errors
from seakeep.errors import (
    AccessError,
    ConflictError,
    CrashedError,
    DataError,
    DeadlineError,
    FeaturesError,
    ForbiddenError,
    IntegrityError,
    NotFoundError,
    PlatformError,
    QuotaError,
    RecorderError,
    RowError,
    SeakeepError,
    ServingError,
    UnavailableError,
)
from seakeep.serving.errors import CODES, InternalError, RequestError, body_of, headers_of, status_of


def tree(kind=SeakeepError):
    return {kind, *(below for child in kind.__subclasses__() for below in tree(child))}


@pytest.mark.parametrize(
    ("error", "status", "code", "lines"),
    [
        (RequestError(418, "x"), 418, "request", b""),
        (RequestError(405, "x"), 405, "request", b"\r\nallow: GET, HEAD, POST"),
        (RowError("x", row=3), 400, "row", b""),
        (DataError("x"), 400, "data", b""),
        (NotFoundError("x"), 404, "not-found", b""),
        (AccessError("x"), 401, "access", b"\r\nwww-authenticate: Bearer"),
        (ForbiddenError("x"), 403, "forbidden", b""),
        (UnavailableError("x"), 503, "unavailable", b"\r\nretry-after: 1"),
        (UnavailableError("x", retry_after_s=30), 503, "unavailable", b"\r\nretry-after: 30"),
        (RecorderError("x"), 503, "recorder", b"\r\nretry-after: 1"),
        (DeadlineError("x"), 504, "deadline", b""),
        (FeaturesError("x"), 503, "features", b"\r\nretry-after: 1"),
        (QuotaError("x", retry_after_s=3), 429, "quota", b"\r\nretry-after: 3"),
        (ServingError("x"), 500, "serving", b""),
        (InternalError("x"), 500, "internal", b""),
        (IntegrityError("x"), 500, "integrity", b""),
        (ConflictError("x"), 500, "conflict", b""),
        (PlatformError("x"), 500, "platform", b""),
    ],
)
def test_an_error_has_a_status_a_code_and_headers(error, status, code, lines):
    assert status_of(error) == status
    assert headers_of(error) == lines
    told = json.loads(body_of(error))
    assert told["code"] == code
    assert set(told) == {"error", "code", "hint"}


def test_only_faults_of_the_client_or_of_the_moment_are_told_in_full():
    told = {kind for kind in tree() if kind.__init__ is SeakeepError.__init__}
    for kind in told:
        body = json.loads(body_of(kind("/secret/place", hint="look into /secret/place")))
        outside = issubclass(
            kind, (DataError, NotFoundError, AccessError, UnavailableError, DeadlineError, CrashedError)
        )
        assert ("/secret/place" in body["error"]) is outside, kind
        assert ("/secret/place" in body["hint"]) is outside, kind
        assert body["error"]
        assert body["hint"]


def test_every_error_of_the_tree_has_a_status_and_a_code_of_its_own():
    assert errors.UnavailableError in tree()
    assert all(400 <= next(s for k, s in status_table() if issubclass(kind, k)) < 600 for kind in tree())
    codes = [kind.code for kind in tree()]
    assert len(codes) == len(set(codes))


def status_table():
    from seakeep.serving.errors import STATUS

    return STATUS


def test_what_is_told_to_clients_is_counted_by_its_code():
    clients = {RequestError, RowError, DataError, NotFoundError, AccessError, ForbiddenError}
    clients |= {UnavailableError, QuotaError, FeaturesError, DeadlineError}
    ours = {RecorderError, ServingError, CrashedError, InternalError}
    assert {kind.code for kind in clients | ours} | {"other"} == set(CODES)
