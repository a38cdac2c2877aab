import hashlib
import pickle  # noqa: TID251 -- the proof that what was written can be read

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from seakeep.errors import TrainingError
from seakeep.training.artefact import digest, to_bytes


def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    return x, (x[:, 0] + rng.normal(size=400) > 0).astype(float)


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, RandomForestClassifier])
def test_equal_estimators_are_equal_bytes_and_come_back(kind):
    x, y = rows()
    one = to_bytes(kind(random_state=0).fit(x, y))
    # Other objects between the two fits leave other bytes in the memory that is used again.
    junk = [np.full(10_000, float(i)) for i in range(50)]
    del junk
    assert one == to_bytes(kind(random_state=0).fit(x, y))
    back = pickle.loads(one)
    np.testing.assert_array_equal(back.predict_proba(x), kind(random_state=0).fit(x, y).predict_proba(x))


def test_padding_between_the_fields_of_an_array_does_not_count():
    dtype = np.dtype([("flag", np.uint8), ("value", np.float64)], align=True)
    arrays = []
    for junk in (0x00, 0xFF):
        array = np.frombuffer(bytearray([junk]) * (3 * dtype.itemsize), dtype=dtype)
        array["flag"], array["value"] = [1, 0, 1], [0.5, 1.5, 2.5]
        arrays.append(array)
    assert arrays[0].tobytes() != arrays[1].tobytes()
    assert to_bytes(arrays[0]) == to_bytes(arrays[1])
    np.testing.assert_array_equal(pickle.loads(to_bytes(arrays[1])), arrays[0])


def test_another_seed_is_another_artefact():
    x, y = rows()
    one, other = (to_bytes(RandomForestClassifier(random_state=seed).fit(x, y)) for seed in (0, 1))
    assert digest(one) != digest(other)


def test_the_digest_is_sha256():
    assert digest(b"abc") == hashlib.sha256(b"abc").hexdigest()


def test_what_cannot_be_stored_is_named():
    with pytest.raises(TrainingError, match="function cannot be stored") as caught:
        to_bytes(lambda: None)
    assert "lambda" in caught.value.hint
