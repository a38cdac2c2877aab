import msgspec
import numpy as np
import pytest
from tests.replaying import DEFINITION, DEST, Kept, executable, table, with_columns

from seakeep.conversion.latency import ROUNDS, ROWS
from seakeep.errors import DataError, NotFoundError
from seakeep.replay import gather
from seakeep.replay.execute import execute
from seakeep.replay.gather import Gathering
from seakeep.replay.whatif import compare

PERIOD = {"from_us": 0, "to_us": 10**15}
LABELS = {f"flight-{n}": float(n % 3 == 0) for n in range(0, 2000, 2)}


def names(number):
    return ["origin"]


def gathered(tables, candidate=None, against=None, *, categories=names, labels=LABELS):
    versions = [candidate or executable(2, (0.6, -0.2), threshold=0.55), against or executable(1)]
    shown = lambda number, values: dict(zip(categories(number), values.T, strict=False))  # noqa: E731
    gathering = Gathering(*versions, labels=labels, categories=shown)
    for block in execute(tables, versions, threads=2):
        gathering.add(block)
    return gathering.result("late", **PERIOD)


def measured_apart(found):
    """A what-if without what was timed."""
    untimed = {"p50_us": 0.0, "p99_us": 0.0, "cpu_s_per_million": 0.0, "batch_cpu_s_per_million": 0.0}
    sides = {side: msgspec.structs.replace(getattr(found, side), **untimed) for side in ("candidate", "against")}
    return msgspec.structs.replace(found, **sides)


def test_how_the_records_lie_in_blocks_does_not_matter():
    rows = table(1500)
    whole = gathered([rows])
    cut = gathered([rows.select(slice(start, start + 170)) for start in range(0, 1500, 170)])
    assert measured_apart(cut) == measured_apart(whole)
    assert whole.rows == 1350
    assert whole.failed == 150


def test_the_result_says_what_both_did():
    rows = table(1500)
    found = gathered([rows])
    answered = rows.select(rows.error == "")
    score = executable(2, (0.6, -0.2)).scorer.score(answered.numbers, answered.categories)
    assert (found.candidate.version, found.against.version) == (2, 1)
    assert (found.candidate.threshold, found.against.threshold) == (0.55, 0.5)
    assert found.candidate.alerts == (score >= 0.55).sum()
    assert found.against.alerts == (answered.score >= 0.5).sum()
    assert (found.candidate.refused, found.irreproducible, found.equal) == (0, 0, 0)
    assert found.largest == np.abs(score - answered.score).max()
    assert found.outcomes.rows == sum(key in LABELS for key in answered.key)
    hits = [LABELS.get(key) == 1.0 for key in answered.key]
    assert found.against.confusion.hits == (answered.decision & hits).sum()
    assert {(one.column, one.value) for one in found.slices} == {("origin", "EWR"), ("origin", "JFK"), ("origin", "")}
    for side in (found.candidate, found.against):
        assert 0 < side.p50_us <= side.p99_us
        assert side.cpu_s_per_million > 0
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_recorded_answers_of_the_other_version_must_come_out_again():
    rows, others = table(100), table(50, version=3, weights=(0.1, 0.1), start=100)
    rows.score[[2, 5]] += 1e-16 + 1e-9
    found = gathered([rows, others])
    assert found.irreproducible == 2
    assert found.rows == 135


def test_a_refusal_is_no_alert():
    rows = table(100)
    rows.numbers[3, 0] = np.nan
    found = gathered([rows], against=executable(3, (0.7, -0.3)))
    assert found.candidate.refused == found.against.refused == 1
    assert found.decisions.rows == found.rows == 90


def test_categories_of_both_versions_are_slices():
    """A version that answered without an input that another has: its rows have no value there."""
    wanted = with_columns(*DEFINITION.columns, DEST)
    found = gathered(
        [table(60), table(40, version=4, start=60)],
        executable(2, (0.7, -0.3), definition=wanted, history=Kept()),
        categories=lambda number: ["origin", "dest"] if number == 2 else ["origin"],
    )
    assert found.recomputed == ("dest",)
    assert {one.column for one in found.slices} == {"origin", "dest"}
    assert sum(one.decisions.rows for one in found.slices if one.column == "dest") == found.rows
    assert found.unmatched == 90 - found.rows > 0


def test_a_column_that_some_versions_lack_slices_the_rows_that_have_it():
    found = gathered(
        [table(60), table(40, version=4, start=60)],
        executable(2, (0.7, -0.3), definition=with_columns(*DEFINITION.columns[::2])),
        executable(5, (0.7, -0.3), definition=with_columns(*DEFINITION.columns[::2])),
        categories=lambda number: {1: ["origin"], 4: ["from"]}.get(number, []),
    )
    rows = {
        column: sum(one.decisions.rows for one in found.slices if one.column == column) for column in ("origin", "from")
    }
    assert rows == {"origin": 54, "from": 36}


def test_only_the_most_frequent_values_are_slices(monkeypatch):
    monkeypatch.setattr(gather, "MOST_SLICES", 2)
    rows = table(600)
    counts = {value: int((rows.categories[rows.error == ""] == value).sum()) for value in ("EWR", "JFK", "")}
    rarest = min(counts, key=counts.get)
    found = gathered([rows])
    assert {one.value for one in found.slices} == set(counts) - {rarest}
    assert sum(one.decisions.rows for one in found.slices) == 540 - counts[rarest]


def test_a_sample_of_the_rows_is_timed():
    rows = table(4000)
    candidate, against = executable(2, (0.6, -0.2)), executable(1)
    gathered([rows], candidate, against)
    answered = int((rows.error == "").sum())
    assert candidate.scorer.asked == against.scorer.asked == answered + ROUNDS * ROWS + 100  # and the warm-up


def test_nothing_recorded_is_told_apart_from_nothing_that_can_be_executed():
    with pytest.raises(NotFoundError, match=r"no answered request of late is recorded in this period$"):
        gathered([])
    failed = table(50)
    with pytest.raises(NotFoundError, match="this period; 5 requests failed"):
        gathered([failed.select(failed.error != "")])
    odd = table(60)
    odd = odd.select(np.arange(60) % 2 == 1)
    wanted = with_columns(*DEFINITION.columns, DEST)
    with pytest.raises(DataError, match=r"late:2 needs dest: not recorded, and none of the 24 requests") as raised:
        gathered([odd], executable(2, definition=wanted, history=Kept()))
    assert "hashes or drops" in raised.value.hint


def test_the_comparison_is_the_pure_one():
    rows = table(900)
    answered = rows.select(rows.error == "")
    found = gathered([rows])
    pure = compare(
        gather.Pairs(
            time_us=answered.time_us,
            label=np.array([LABELS.get(key, np.nan) for key in answered.key]),
            candidate=executable(2, (0.6, -0.2)).scorer.score(answered.numbers, answered.categories),
            against=answered.score,
            slices={},
        ),
        candidate_threshold=0.55,
        against_threshold=0.5,
    )
    assert (found.decisions, found.outcomes, found.differences) == (
        pure.decisions,
        pure.outcomes,
        pure.metrics.difference,
    )
