import dataclasses
import math

import msgspec
import numpy as np
import pytest
from tests.scoring_rig import BAD, ROWS, ScoringRig, content, read, table_of, write, write_lines
from tests.serving_rig import expected_score, onnx_model

from seakeep.errors import DataError, FeaturesError
from seakeep.records.outputs import Outputs
from seakeep.records.scoring import Scored
from seakeep.scoring import score as module
from seakeep.scoring.output import SUCCESS


def test_every_row_has_its_answer_in_order_whatever_the_parts(rig, tmp_path):
    file = write(tmp_path / "in.parquet", table_of(ROWS))
    scored = rig.score(tmp_path / "out", rig.plan(file))
    found = read(tmp_path / "out")
    assert [one["key"] for one in found] == [row["flight_id"] for row in ROWS]
    assert [one["input_row"] for one in found] == list(range(40))
    assert {one["input_file"] for one in found} == {str(file)}
    assert [part.rows for part in scored.parts] == [7, 7, 7, 7, 7, 5]
    late = {"AA": 4.0, "UA": 8.0}
    for row, one in zip(ROWS, found, strict=True):
        carrier = row["carrier"] or ""
        expected = expected_score(late.get(carrier, math.nan), row["distance"], carrier, bias=1 / 8)
        assert one["score"] == pytest.approx(expected, rel=1e-12)
        assert one["decision"] is (one["score"] >= 0.5)
        assert one["unknown"] == ([] if carrier in late else ["carrier_recent"])
        assert (one["version"], one["error"], one["hint"]) == (1, None, None)
    assert (scored.rows, scored.refused, scored.unknown) == (40, 0, 20)
    assert msgspec.json.decode((tmp_path / "out" / SUCCESS).read_bytes(), type=Scored) == scored


def test_a_refused_row_says_what_its_own_request_would_be_told_and_the_others_are_answered(rig, tmp_path):
    rows = [ROWS[0], BAD[0], *ROWS[1:4], *BAD[1:], ROWS[4]]
    scored = rig.score(tmp_path / "out", rig.plan(write_lines(tmp_path / "in.jsonl", rows)))
    found = read(tmp_path / "out")
    refused = [at for at, one in enumerate(found) if one["error"]]
    assert refused == [1, 5, 6, 7]
    assert (scored.rows, scored.refused) == (9, 4)
    for at in refused:
        with pytest.raises(DataError) as alone:
            rig.runner().inputs(rig.version, [msgspec.Raw(msgspec.json.encode(rows[at]))])
        assert (found[at]["error"], found[at]["hint"]) == (alone.value.message, alone.value.hint)
        assert found[at]["score"] is found[at]["decision"] is None
    assert [found[at]["key"] for at in refused] == ["", "late", "b2", "b3"]


def test_a_row_that_the_model_fails_for_is_told_no_more_than_a_client_is(connection, tmp_path):
    (tmp_path / "rig").mkdir()
    rig = ScoringRig(tmp_path / "rig", connection, model=onnx_model(nan_below=10.0))
    scored = rig.score(tmp_path / "out", rig.plan(write(tmp_path / "in.parquet", table_of(ROWS)), part_rows=100))
    found = read(tmp_path / "out")
    assert [one["error"] is not None for one in found] == [row["distance"] < 10 for row in ROWS]
    assert found[0]["error"] == "the request could not be answered because of a fault in the server"
    assert scored.refused == 2


def test_features_that_cannot_be_looked_up_end_the_job_and_it_goes_on_later(rig, tmp_path, monkeypatch):
    file = write(tmp_path / "in.parquet", table_of(ROWS))
    rig.score(tmp_path / "whole", rig.plan(file))
    assemble, left = rig.features.assemble, iter([1, 1, 1])

    def failing(*arguments):
        if next(left, None) is None:
            raise OSError("the store is away")
        return assemble(*arguments)

    monkeypatch.setattr(rig.features, "assemble", failing)
    with pytest.raises(FeaturesError):
        rig.score(tmp_path / "out", rig.plan(file))
    assert not (tmp_path / "out" / SUCCESS).exists()
    assert len(read(tmp_path / "out")) == 21
    monkeypatch.undo()
    rig.score(tmp_path / "out", rig.plan(file))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_rows_without_a_time_speak_for_one_moment(rig, tmp_path):
    untimed = [{name: value for name, value in row.items() if name != "scheduled"} for row in ROWS]
    plan = rig.plan(write_lines(tmp_path / "in.jsonl", untimed))
    rig.score(tmp_path / "out", plan, answerer=rig.answerer("wall"))
    rig.score(tmp_path / "timed", rig.plan(write_lines(tmp_path / "timed.jsonl", ROWS)))
    now, timed = read(tmp_path / "out"), read(tmp_path / "timed")
    assert [one["score"] for one in now] == [one["score"] for one in timed]
    assert not any(one["error"] for one in now)


def test_several_files_follow_one_another_and_no_part_spans_two(rig, tmp_path):
    for at in range(3):
        write(tmp_path / f"in-{at}.parquet", table_of(ROWS[10 * at : 10 * at + 10]))
    scored = rig.score(tmp_path / "out", rig.plan(*(tmp_path / f"in-{at}.parquet" for at in range(3))))
    assert [(part.input, part.from_row, part.rows) for part in scored.parts] == [
        (0, 0, 7), (0, 7, 3), (1, 0, 7), (1, 7, 3), (2, 0, 7), (2, 7, 3),
    ]  # fmt: skip
    assert [one["key"] for one in read(tmp_path / "out")] == [f"f{at}" for at in range(30)]


def test_no_rows_give_an_empty_table_with_the_same_columns(rig, tmp_path):
    none = write(tmp_path / "none.parquet", f"select * from ({table_of(ROWS[:1])}) limit 0")
    some = write(tmp_path / "some.parquet", table_of(ROWS))
    assert rig.score(tmp_path / "none", rig.plan(none)).rows == 0
    rig.score(tmp_path / "some", rig.plan(none, some))
    assert read(tmp_path / "none") == []
    assert len(read(tmp_path / "some")) == 40
    described = [read(write(tmp_path / f"{name}.parquet", f"from (describe from '{tmp_path}/{name}/*.parquet')"))
                 for name in ("none", "some")]  # fmt: skip
    assert described[0] == described[1]


def test_what_is_kept_has_the_type_it_had(rig, tmp_path):
    file = write(
        tmp_path / "in.parquet",
        f"select *, 12.50::decimal(9, 2) as fare, date '2013-07-01' as day, [1, null] as seats, blob '\\x00\\xff' as tag,"
        f" {{'a': 'x,y', 'b': 0.1::float}} as pair, timestamptz '2013-07-01 00:00:00+02' as zoned, null::int as none"
        f" from ({table_of(ROWS[:9])})",
    )
    keep = ("fare", "day", "seats", "tag", "pair", "zoned", "none", "distance", "scheduled")
    rig.score(tmp_path / "out", rig.plan(file, keep=keep))
    found, given = read(tmp_path / "out"), read(file)
    assert [{name: one[name] for name in keep} for one in found] == [
        {name: one[name] for name in keep} for one in given
    ]


def test_progress_tells_of_every_block(rig, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 3)
    seen = []
    plan = rig.plan(write(tmp_path / "in.parquet", table_of(ROWS[:10])))
    rig.score(tmp_path / "out", plan, on_progress=lambda done, rows: seen.append((done, rows)))
    assert seen == [(0, 10), (3, 10), (6, 10), (7, 10), (10, 10)]


def test_a_number_is_answered_as_a_value(rig, tmp_path):
    answerer = rig.answerer()
    answerer.version = dataclasses.replace(rig.version, outputs=Outputs(kind="value"))
    rig.score(tmp_path / "out", rig.plan(write(tmp_path / "in.parquet", table_of(ROWS))), answerer=answerer)
    rig.score(tmp_path / "scores", rig.plan(write(tmp_path / "in.parquet", table_of(ROWS))))
    values, scores = read(tmp_path / "out"), read(tmp_path / "scores")
    assert [one["value"] for one in values] == [one["score"] for one in scores]
    assert not {"score", "decision"} & values[0].keys()


def test_scores_have_all_their_bits(rig, tmp_path):
    rig.score(tmp_path / "out", rig.plan(write(tmp_path / "in.parquet", table_of(ROWS)), part_rows=40))
    sent = [msgspec.Raw(msgspec.json.encode(row)) for row in ROWS]
    inputs = rig.runner().inputs(rig.version, sent)
    expected = rig.version.score(inputs.numbers, inputs.categories)
    assert np.array([one["score"] for one in read(tmp_path / "out")]).tobytes() == expected.tobytes()
