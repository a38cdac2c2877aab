import dataclasses

import numpy as np
import pytest
from tests.serving_rig import COLUMNS, onnx_model

from seakeep.clock import DAY_US
from seakeep.conversion.session import ScoringSession
from seakeep.features.frame import Frame
from seakeep.records.feature import FeatureColumn
from seakeep.registry.evidence import against_champion
from seakeep.training.evaluate import log_losses

GOOD, BIASED = ScoringSession(onnx_model()), ScoringSession(onnx_model(bias=2.0))
BROKEN = ScoringSession(onnx_model(nan_below=1e9))
HALF_BROKEN = ScoringSession(onnx_model(nan_below=0.0))


def frame(rows=600, seed=0):
    draw = np.random.default_rng(seed)
    values = {
        "carrier_recent.late_1h": draw.normal(0, 8, rows),
        "distance": draw.normal(0, 500, rows),
        "carrier": draw.choice(["AA", "UA", "DL"], rows).astype(object),
    }
    made = Frame(
        columns=COLUMNS,
        values=values,
        key=np.array([f"f{row}" for row in range(rows)], dtype=object),
        time_us=np.arange(rows) * DAY_US // 20,
        label=np.zeros(rows),
        label_known_us=np.zeros(rows, dtype=np.int64),
    )
    score = GOOD.score(made.numbers(), made.categories())
    return dataclasses.replace(made, label=(draw.random(rows) < score).astype(np.float64))


def compared(rows, candidate, champion, champion_columns=COLUMNS):
    return against_champion(
        champion="late:1",
        frame=rows,
        candidate_columns=COLUMNS,
        candidate_model=candidate,
        champion_columns=champion_columns,
        champion_model=champion,
    )


def test_a_version_is_neither_better_nor_worse_than_itself():
    found = compared(frame(), GOOD, GOOD)
    assert (found.champion, found.rows, found.obstacle) == ("late:1", 600, "")
    assert (found.paired.value, found.paired.low, found.paired.high) == (0.0, 0.0, 0.0)


def test_the_difference_is_of_the_same_rows_and_negative_is_better():
    rows = frame()
    found = compared(rows, GOOD, BIASED)
    good, biased = (log_losses(rows.label, one.score(rows.numbers(), rows.categories())) for one in (GOOD, BIASED))
    assert found.paired.value == pytest.approx(np.mean(good - biased))
    assert found.paired.high < 0
    swapped = compared(rows, BIASED, GOOD)
    assert swapped.paired.value == pytest.approx(-found.paired.value)
    assert swapped.paired.low > 0


def test_rows_without_a_label_and_rows_that_one_side_refuses_do_not_count():
    rows = frame()
    rows.label[:100] = np.nan
    assert compared(rows, GOOD, BIASED).rows == 500
    positive = int(np.sum(rows.values["distance"][100:] >= 0))
    assert 0 < positive < 500
    assert compared(rows, GOOD, HALF_BROKEN).rows == positive
    assert compared(rows, HALF_BROKEN, GOOD).rows == positive


@pytest.mark.parametrize(("candidate", "champion"), [(GOOD, BROKEN), (BROKEN, GOOD)])
def test_rows_that_only_one_side_scores_are_no_comparison(candidate, champion):
    found = compared(frame(60), candidate, champion)
    assert (found.paired, found.rows, found.obstacle) == (None, 0, "no labelled row was scored by both")


def test_rows_without_any_label_are_no_comparison():
    rows = frame(60)
    rows.label[:] = np.nan
    assert compared(rows, GOOD, BIASED).obstacle == "no labelled row was scored by both"


def test_inputs_that_the_rows_lack_are_named():
    columns = (*COLUMNS, FeatureColumn(name="wind", kind="number"), FeatureColumn(name="ice", kind="number"))
    found = compared(frame(60), GOOD, GOOD, columns)
    assert (found.paired, found.obstacle) == (None, "the rows lack its inputs ice, wind")


def test_each_side_gets_its_own_inputs_in_its_own_order():
    late, distance, carrier = COLUMNS
    reordered = compared(frame(60), GOOD, GOOD, (carrier, late, distance))
    assert reordered.paired.value == 0.0
    swapped = compared(frame(60), GOOD, GOOD, (distance, late, carrier))
    assert swapped.paired.value != 0.0
