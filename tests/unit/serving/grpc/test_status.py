import pytest

from seakeep.errors import (
    AccessError,
    DataError,
    DeadlineError,
    ForbiddenError,
    IntegrityError,
    NotFoundError,
    RecorderError,
    RowError,
    ServingError,
    UnavailableError,
)
from seakeep.serving.errors import InternalError, RequestError

pytest.importorskip("grpc")

from seakeep.serving.grpc.status import code_of, details_of, metadata_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError(400, "x"), "INVALID_ARGUMENT"),
        (RequestError(418, "x"), "INVALID_ARGUMENT"),
        (RequestError(413, "x"), "RESOURCE_EXHAUSTED"),
        (RowError("x"), "INVALID_ARGUMENT"),
        (DataError("x"), "INVALID_ARGUMENT"),
        (NotFoundError("x"), "NOT_FOUND"),
        (AccessError("x"), "UNAUTHENTICATED"),
        (ForbiddenError("x"), "PERMISSION_DENIED"),
        (UnavailableError("x"), "UNAVAILABLE"),
        (RecorderError("x"), "UNAVAILABLE"),
        (DeadlineError("x"), "DEADLINE_EXCEEDED"),
        (ServingError("x"), "INTERNAL"),
        (InternalError("x"), "INTERNAL"),
        (IntegrityError("x"), "INTERNAL"),
    ],
)
def test_an_error_has_a_code(error, code):
    assert code_of(error).name == code
    assert dict(metadata_of(error))["seakeep-code"] == error.code


def test_details_are_what_a_client_may_know():
    assert details_of(NotFoundError("no such model", hint="models: late")) == "no such model; models: late"
    assert details_of(NotFoundError("no such model")) == "no such model"
    assert "/secret" not in details_of(IntegrityError("/secret/place is broken", hint="mend /secret/place"))


def test_who_is_turned_away_is_told_when_to_come_back():
    assert dict(metadata_of(UnavailableError("x", retry_after_s=3)))["grpc-retry-pushback-ms"] == "3000"
    assert "grpc-retry-pushback-ms" not in dict(metadata_of(NotFoundError("x")))
