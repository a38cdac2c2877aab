import numpy as np
import pytest
from tests.unit.diagnosis.streams import Change, simulate

from seakeep.diagnosis.hindsight import truth
from seakeep.monitoring.history import NEVER_US, Labelled


def rows(hits: int, missed: int, false: int, right: int, high: int | None = None) -> Labelled:
    """Scores are 0.9 or 0.1: high where alerted, or of the first ``high`` rows whatever was alerted."""
    table = simulate(Change(per_day=12), 0).live.predictions
    value = np.repeat([1.0, 1.0, 0.0, 0.0], (hits, missed, false, right))
    chosen = table.select(slice(0, len(value)))
    decision = np.repeat([True, False, True, False], (hits, missed, false, right))
    score = np.where(decision if high is None else np.arange(len(value)) < high, 0.9, 0.1)
    fields = {name: getattr(chosen, name) for name in chosen.__slots__}
    return Labelled(
        type(chosen)(**{**fields, "decision": decision, "score": score}), value, np.full(len(value), NEVER_US)
    )


ACCEPTED = rows(40, 60, 40, 360)


@pytest.mark.parametrize(
    ("recent", "cause"),
    [
        (rows(40, 60, 40, 360), "nothing"),
        (rows(80, 120, 40, 260), "world-changed"),
        (rows(20, 30, 38, 412), "world-changed"),
        (rows(10, 90, 40, 360), "model-failing"),
        (rows(40, 60, 120, 280), "model-failing"),
        (rows(20, 180, 30, 270), "both"),
        (rows(10, 30, 10, 450), "world-changed"),
        (rows(0, 50, 0, 450, high=70), "both"),
        (rows(0, 80, 0, 420, high=70), "both"),
        (rows(0, 100, 0, 400, high=80), "model-failing"),
        (rows(0, 100, 0, 400), "model-failing"),
        (rows(0, 60, 0, 440), "world-changed"),
    ],
)
def test_hindsight_counts(recent, cause):
    assert truth(ACCEPTED, ACCEPTED, recent) == cause


def test_without_positives_hindsight_cannot_tell():
    assert truth(ACCEPTED, ACCEPTED, rows(0, 0, 10, 90)) == "cannot-tell"
