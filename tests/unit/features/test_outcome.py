import logging

import numpy as np
import pytest

from seakeep.errors import DataError
from seakeep.features.outcome import declared, value_of
from seakeep.recorder.query import outcomes_of
from seakeep.records.expression import col
from seakeep.records.model import Label
from seakeep.records.outputs import classes
from seakeep.records.source import Events

LABEL = Label(Events("landings", time="landed", key="id"), col("kind"), answers=classes("smooth", "hard", "around"))


def table(*kinds):
    return {
        "id": np.array([f"f{row}" for row in range(len(kinds))], dtype=object),
        "landed": np.arange(len(kinds)).astype("datetime64[us]"),
        "kind": np.array(kinds, dtype=object),
    }


def test_a_class_is_the_place_of_its_name_and_an_empty_one_is_missing():
    value, odd = value_of(LABEL, table("hard", "", "smooth", "around"))
    np.testing.assert_array_equal(value, [1.0, np.nan, 0.0, 2.0])
    assert not len(odd)


def test_a_class_that_is_not_declared_is_told_with_its_row():
    with pytest.raises(DataError, match="1 outcomes of 'landings' are of no declared class: row 1, id 'f1', is 'soft'"):
        declared(LABEL, table("hard", "soft", ""))


def test_an_event_that_was_recorded_is_no_outcome_then_and_is_told_in_the_log(caplog):
    with caplog.at_level(logging.WARNING, "seakeep.recorder"):
        found = outcomes_of([table("hard", "soft", "around")], LABEL)
    assert found.key.tolist() == ["f0", "f2"]
    assert found.value.tolist() == [1.0, 2.0]
    assert "1 outcomes of landings are of no declared class" in caplog.text
