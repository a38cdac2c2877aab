import pytest

from seakeep.config import KeySettings, ServingSettings
from seakeep.serving.errors import RequestError
from seakeep.serving.priority import CRITICAL, HEADER, MOST, NORMAL, SHEDDABLE, Ranks, lowered

KEYS = {
    "shop": KeySettings(priority="critical"),
    "batch": KeySettings(priority="sheddable"),
    "page": KeySettings(rows_per_second=5),
}


@pytest.fixture
def ranks():
    return Ranks(ServingSettings(keys=KEYS))


@pytest.mark.parametrize(
    ("principal", "asked", "rank"),
    [
        ("shop", b"critical", CRITICAL),
        ("shop", b" Critical ", CRITICAL),
        ("shop", None, NORMAL),
        ("shop", b"sheddable", SHEDDABLE),
        ("page", b"critical", NORMAL),
        ("page", None, NORMAL),
        ("batch", b"critical", SHEDDABLE),
        ("batch", None, SHEDDABLE),
        ("stranger", b"critical", NORMAL),
        ("stranger", b"sheddable", SHEDDABLE),
    ],
)
def test_a_request_gets_the_class_it_names_but_no_higher_one_than_its_key(ranks, principal, asked, rank):
    assert ranks.of(principal, {} if asked is None else {HEADER: asked}) == rank


@pytest.mark.parametrize("asked", [b"", b"1", b"urgent", b"critical, normal", b"\xff"])
def test_a_class_that_there_is_not_is_refused(ranks, asked):
    with pytest.raises(RequestError, match="not a class") as caught:
        ranks.of("shop", {HEADER: asked})
    assert (caught.value.status, caught.value.hint) == (400, "classes: critical, normal, sheddable")


@pytest.mark.parametrize(
    ("rank", "parameter", "most", "found"),
    [
        (NORMAL, 0, CRITICAL, NORMAL),
        (SHEDDABLE, 0, NORMAL, SHEDDABLE),
        (NORMAL, 1, CRITICAL, CRITICAL),
        (NORMAL, 1, NORMAL, NORMAL),
        (NORMAL, 2, CRITICAL, NORMAL),
        (NORMAL, 3, CRITICAL, SHEDDABLE),
        (NORMAL, MOST, CRITICAL, SHEDDABLE),
        (SHEDDABLE, 1, SHEDDABLE, SHEDDABLE),
    ],
)
def test_the_parameter_counts_from_1_and_reaches_no_higher_than_the_key(rank, parameter, most, found):
    assert lowered(rank, parameter, most) == found
