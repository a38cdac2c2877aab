import dataclasses

import numpy as np
from tests.unit.diagnosis.streams import CHANGE_US, LIVE_US, Change, simulate

from seakeep.monitoring.history import NEVER_US, Labelled
from seakeep.recorder.table import OutcomeTable

TABLE = simulate(Change(per_day=5), 0).live.predictions.select(slice(0, 4))


def outcomes(*rows):
    key, known_us, value = zip(*rows, strict=True)
    return OutcomeTable(
        key=np.array(key, dtype=object), known_us=np.array(known_us), value=np.array(value, dtype=float)
    )


def test_labels_are_those_of_the_outcome_table_at_every_moment():
    told = outcomes((TABLE.key[2], 10, 1), (TABLE.key[0], 20, 0), ("stranger", 30, 1))
    joined = Labelled.join(TABLE, told)
    for now_us in (0, 10, 11, 20, 21, 100):
        np.testing.assert_array_equal(joined.labels(now_us), told.labels_for(TABLE.key, as_of_us=now_us))


def test_first_outcome_known_counts_and_a_prediction_without_key_has_none():
    table = dataclasses.replace(TABLE, key=np.array(["a", "", "b", "c"], dtype=object))
    joined = Labelled.join(table, outcomes(("a", 1, 1), ("", 2, 1), ("a", 3, 0)))
    assert joined.value[0] == 1
    assert np.isnan(joined.value[1:]).all()
    assert (joined.known_us[1:] == NEVER_US).all()


def test_answered_leaves_out_shadows_errors_and_failed_scores():
    table = dataclasses.replace(
        TABLE,
        role=np.array(["shadow", "champion", "champion", "canary"], dtype=object),
        error=np.array(["", "unavailable", "", ""], dtype=object),
        score=np.array([0.1, 0.2, np.nan, 0.4]),
    )
    assert Labelled.join(table, outcomes(("x", 1, 1))).answered().predictions.score.tolist() == [0.4]


def test_periods_are_half_open_and_reach_back_into_the_validation_rows():
    history = simulate(Change(per_day=5), 0)
    period = history.live.between(LIVE_US, CHANGE_US).predictions.time_us
    assert (period.min() >= LIVE_US, period.max() < CHANGE_US) == (True, True)
    assert set(history.period(0, LIVE_US).predictions.role) == {"validation"}
    assert history.until(CHANGE_US).live.predictions.time_us.max() < CHANGE_US
