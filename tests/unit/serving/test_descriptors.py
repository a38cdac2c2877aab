import resource

import pytest

from seakeep.serving import descriptors


@pytest.mark.parametrize(
    ("soft", "hard", "most", "expected", "raised"),
    [
        (1024, 1 << 20, 4096, 4096, 4352),
        (1024, 1024, 4096, 768, None),
        (1024, 2048, 4096, 1792, 2048),
        (64, 64, 4096, 32, None),
        (1 << 20, 1 << 20, 4096, 4096, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 4096, 4096, None),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be_and_some_are_kept(monkeypatch, soft, hard, most, expected, raised):
    told = []
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(descriptors.resource, "setrlimit", lambda _, limits: told.append(limits))
    assert descriptors.connections(most) == expected
    assert told == ([] if raised is None else [(raised, hard)])
