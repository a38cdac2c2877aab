import math

import numpy as np
import pytest
from tests.replaying import executable, table

from seakeep.records.replay import Replay
from seakeep.replay.execute import execute
from seakeep.replay.identity import EXAMPLES, Tally, compare


def tallied(tables, version=None):
    version = version or executable()
    tally = Tally(version.threshold)
    for block in execute(tables, [version], threads=2):
        tally.add(block)
    return tally


def test_a_version_replayed_against_itself_shows_no_difference():
    found = tallied([table(10_000), table(2_345, start=10_000, seed=1)])
    (one,) = found.versions.values()
    assert (one.version, one.rows, one.equal, one.decisions, one.refused) == (1, 11_111, 11_111, 0, 0)
    assert (one.largest, one.examples) == (0.0, ())
    assert found.failed == 1_234
    assert found.unmatched == 0


def test_a_single_changed_bit_is_counted_and_named():
    recorded = table(10_000)
    recorded.score[5_000] = math.nextafter(recorded.score[5_000], 0)
    (one,) = tallied([recorded]).versions.values()
    assert (one.rows - one.equal, one.examples) == (1, ("p1-5000",))
    assert 0 < one.largest < 1e-15


def test_a_score_that_is_refused_now_is_counted_and_has_no_size():
    recorded = table(100)
    recorded.numbers[3] = np.nan
    recorded.score[4] += 0.25
    (one,) = tallied([recorded]).versions.values()
    assert (one.rows, one.equal, one.refused) == (90, 88, 1)
    assert one.largest == pytest.approx(0.25)
    assert one.examples == ("p1-3", "p1-4")


def test_a_missing_score_that_stays_missing_is_equal():
    recorded = table(20)
    again = recorded.score.copy()
    answered = recorded.select(slice(0, 20))
    found = compare(answered, again, 0.5)
    assert (found.equal, found.refused) == (20, 0)


def test_versions_are_counted_apart_and_only_the_version_itself_must_agree():
    other = (0.7, -0.2)
    found = tallied([table(500), table(300, version=2, weights=other, start=500), table(200, start=800)])
    one, two = found.versions[1], found.versions[2]
    assert (one.rows, one.equal) == (630, 630)
    assert (two.rows, two.equal) == (270, 0)
    again = executable().scorer.score(table(300, version=2, weights=other).numbers, np.empty((300, 1), dtype=object))
    recorded = table(300, version=2, weights=other)
    answered = recorded.error == ""
    assert two.decisions == ((again >= 0.5) != recorded.decision)[answered].sum()
    assert two.largest == np.abs(again - recorded.score)[answered].max()
    assert len(two.examples) == EXAMPLES
    kept = {
        "model": "late",
        "from_us": None,
        "to_us": None,
        "failed": 0,
        "unmatched": 0,
        "recomputed": (),
        "seconds": 1.0,
    }
    replay = Replay(version=1, versions=(one, two), **kept)
    assert (replay.rows, replay.equal, replay.holds) == (900, 630, True)
    assert not Replay(version=2, versions=(one, two), **kept).holds
    assert Replay(version=3, versions=(one, two), **kept).holds


def test_no_predictions_show_no_difference():
    assert tallied([]).versions == {}
    failed = table(10)
    found = tallied([failed.select(failed.error != "")])
    assert (found.versions, found.failed) == ({}, 1)
