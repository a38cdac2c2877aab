import pytest
from tests.registering import NOW_US, key, release, route, run, version

RECORDS = [run(), version(1), release(1), route(1), key()]


@pytest.mark.parametrize(
    ("routes", "champion", "candidate"),
    [
        ((route(1),), 1, None),
        ((route(1), route(2, "candidate", 0.1)), 1, 2),
        ((route(2, "candidate", 0.1), route(1)), 1, 2),
        ((route(2, "candidate", 0.1),), None, 2),
    ],
)
def test_a_release_knows_its_champion_and_its_candidate(routes, champion, candidate):
    one = release(1, *routes)
    assert (one.champion and one.champion.version) == champion
    assert (one.candidate and one.candidate.version) == candidate


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_frozen(record):
    for name in record.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(record, name, None)


def test_a_key_is_revoked_from_the_moment_it_was():
    assert not key().revoked
    assert key(revoked_us=NOW_US).revoked
