import numpy as np

from seakeep.recorder.table import OutcomeTable


def test_labels_are_those_known_strictly_before_a_moment():
    table = OutcomeTable(
        key=np.array(["a", "b"], dtype=object), known_us=np.array([10, 20]), value=np.array([1.0, 0.0])
    )
    keys = np.array(["b", "a", "none"], dtype=object)
    assert np.isnan(table.labels_for(keys, as_of_us=10)).all()
    np.testing.assert_array_equal(table.labels_for(keys, as_of_us=20), [np.nan, 1.0, np.nan])
    np.testing.assert_array_equal(table.labels_for(keys, as_of_us=21), [0.0, 1.0, np.nan])
