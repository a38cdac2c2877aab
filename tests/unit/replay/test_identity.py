import math

import numpy as np
import pytest
from tests.recording import prediction, writer

from seakeep.recorder.query import Query, load
from seakeep.replay.identity import replay_against_itself


class Doubling:
    """A model that can be computed by hand: twice the first number, in any batch."""

    def score(self, numbers, categories):
        assert len(numbers) == len(categories)
        return numbers[:, 0] * 2


@pytest.fixture
def table(tmp_path):
    pen = writer(tmp_path)
    for n in range(1, 10_001):
        value = math.nan if n % 100 == 0 else n / 7
        pen.append(prediction(pen.next_sequence(), numbers=[value], score=value * 2))
    pen.append(prediction(pen.next_sequence(), numbers=[], categories=[], score=math.nan, error="row"))
    pen.close()
    return load(tmp_path, Query(model="late-arrival"))


def test_a_version_replayed_against_itself_shows_no_difference(table):
    found = replay_against_itself(table, Doubling())
    assert found.holds
    assert (found.rows, found.differing, found.largest) == (10_000, (), 0.0)


def test_a_single_changed_bit_is_named(table):
    table.score[5_000] = math.nextafter(table.score[5_000], 0)
    found = replay_against_itself(table, Doubling())
    assert found.differing == (table.id[5_000],)
    assert 0 < found.largest < 1e-11


def test_a_score_that_went_missing_is_the_largest_difference(table):
    table.score[0] = math.nan
    table.score[1] += 1.0
    found = replay_against_itself(table, Doubling())
    assert len(found.differing) == 2
    assert found.largest == math.inf


def test_no_predictions_show_no_difference(table):
    found = replay_against_itself(table.select(np.zeros(len(table), dtype=bool)), Doubling())
    assert found.holds
    assert found.rows == 0
